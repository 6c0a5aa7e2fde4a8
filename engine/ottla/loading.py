"""Finding an app by `MODULE:APP`, as the command line names it."""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType

from ottla.app import App
from ottla.errors import ConfigError, OttlaError


def load_app(target: str) -> App:
    """Imports the module, from the working directory too, and returns the app of that name in it.

    Raises `ConfigError` when there is no such module or app, or the module cannot be imported.
    """
    module_name, colon, name = target.partition(":")
    if not (module_name and colon and name):
        raise ConfigError(f"{target!r} is not MODULE:APP, such as my_package.my_module:app")
    if "/" in module_name or module_name.endswith(".py"):
        path = Path(module_name)
        raise ConfigError(
            f"{module_name!r} is a file, and a module is meant: in the directory {str(path.parent)!r} it is "
            f"{path.stem}:{name}"
        )
    module = import_module(module_name)
    try:
        app = getattr(module, name)
    except AttributeError:
        raise ConfigError(f"module {module_name!r} has no {name!r}{_apps_of(vars(module))}") from None
    if not isinstance(app, App):
        raise ConfigError(f"{target} is of type {type(app).__name__}, not an ottla.App{_apps_of(vars(module))}")
    return app


def import_module(name: str) -> ModuleType:
    """Imports a module, from the working directory too. Raises `ConfigError` when there is none, or it fails."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(f"there is no module {error.name!r} in {here} or on the Python path") from None
        raise ConfigError(_import_failure(name, error)) from error
    except Exception as error:  # a module may raise anything
        raise ConfigError(_import_failure(name, error)) from error


def _import_failure(module_name: str, error: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    if isinstance(error, OttlaError):  # the line of the app that made the mistake, not the one of ours that noticed
        ours = Path(__file__).parent
        frames = [each for each in frames if each.filename[0] != "<" and ours not in Path(each.filename).parents]
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    reason = str(error)
    if isinstance(error, SyntaxError):  # no frame is in what cannot be read
        where, reason = f" at {error.filename}:{error.lineno}", error.msg
    return f"importing {module_name!r} failed{where}: {type(error).__name__}: {reason}"


def _apps_of(names: dict[str, object]) -> str:
    found = [repr(name) for name, value in names.items() if isinstance(value, App)]
    return f"; its apps are {', '.join(found)}" if found else ""
