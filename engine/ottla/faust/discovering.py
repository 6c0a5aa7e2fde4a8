"""The modules of an app, imported for what they declare: `autodiscover=` and `app.discover()`."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ottla.errors import ConfigError

Ignored = str | Callable[[str], Any]

_LEFT_OUT = re.compile(r"(^|\.)(test_[^.]*|tests|conftest|__main__)$")


def discover(modules: Iterable[str], ignore: Iterable[Ignored] = ()) -> None:
    """Imports modules, and of packages all that are in them but for tests and `__main__`, and those to ignore. Raises
    `ConfigError` for one that is not there."""
    left_out = [_LEFT_OUT.search, *(each if callable(each) else re.compile(each).search for each in ignore)]
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise ConfigError(f"there is no module {name!r} to discover") from None
        _import_below(module, left_out)


def _import_below(package: Any, left_out: Sequence[Callable[[str], Any]]) -> None:
    for each in pkgutil.iter_modules(getattr(package, "__path__", ()), f"{package.__name__}."):
        if not any(leaves_out(each.name) for leaves_out in left_out):
            _import_below(importlib.import_module(each.name), left_out)


def modules_of(autodiscover: Any, origin: str | None) -> list[str]:
    """What `faust.App(autodiscover=, origin=)` names. Raises `ConfigError` for True without an origin."""
    if not autodiscover:
        return []
    if autodiscover is True:
        if origin is None:
            raise ConfigError("faust.App(autodiscover=True) needs origin=, the name of the package to look through")
        return [origin]
    named = list(autodiscover() if callable(autodiscover) else autodiscover)
    return named if origin is None else [*named, origin]
