"""Prints the public names of faust-streaming as JSON: those of its classes, with their parameters, of its modules, its
settings and its program's commands. Run by the interpreter that has it installed."""

import importlib
import inspect
import json
import pkgutil
from typing import Any

import faust
import faust.cli
import faust.web
from faust.app.base import App
from faust.cli.faust import cli
from faust.events import Event
from faust.models.fields import FieldDescriptor
from faust.tables.wrappers import WindowSet, WindowWrapper
from faust.types.tuples import Message
from faust.web.cache import Cache

CLASSES = {
    each.__name__: each
    for each in (
        App, faust.Agent, faust.Stream, faust.Channel, faust.Topic, Event, Message, faust.Schema, faust.Codec,
        faust.Table, faust.GlobalTable, faust.SetTable, faust.SetGlobalTable, WindowWrapper, WindowSet,
        faust.HoppingWindow, faust.TumblingWindow, faust.Record, faust.ModelOptions, FieldDescriptor,
        faust.Sensor, faust.Monitor, faust.Worker, faust.cli.AppCommand,
        faust.web.View, faust.web.Blueprint, faust.web.Web, Cache,
        faust.SASLCredentials, faust.GSSAPICredentials, faust.SSLCredentials,
    )
}  # fmt: skip
NOT_IMPORTABLE = {"faust.__main__", "faust.sensors.prometheus"}
"""The program itself, and what needs a library that Faust does without."""


def parameters(function: Any) -> list[tuple[str, str]] | None:
    """The parameters of a function and their kinds, but for the first of a method."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [(each.name, each.kind.name) for each in found if each.name not in ("self", "cls")]


def members(cls: type) -> dict[str, Any]:
    """The public names of a class and of its objects, and the parameters of those that are functions."""
    own = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in ("faust", "mode")]
    found: dict[str, Any] = {}
    for name in dir(cls):
        where = next((base for base in cls.__mro__ if name in vars(base)), None)
        if name.startswith("_") or where not in own:
            continue
        static = inspect.getattr_static(cls, name)
        plain = static.__func__ if isinstance(static, staticmethod | classmethod) else static
        found[name] = parameters(plain) if inspect.isroutine(plain) else None
    for base in own:
        found |= dict.fromkeys(
            name for name in inspect.get_annotations(base) if not name.startswith("_") and name not in found
        )
    return {**found, "__init__": parameters(cls)}


def names(path: str) -> list[str]:
    """The public names of a module."""
    module = importlib.import_module(path)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == path]
    return [name for name in getattr(module, "__all__", own) if not name.startswith("_")]


def main() -> None:
    paths = [each.name for each in pkgutil.walk_packages(faust.__path__, "faust.")]
    modules = [path for path in paths if "._" not in path and path not in NOT_IMPORTABLE]
    found = {
        "classes": {name: members(cls) for name, cls in CLASSES.items()},
        "modules": {path: names(path) for path in ("faust", *modules)},
        "settings": sorted(faust.Settings.SETTINGS),
        "commands": sorted(cli.commands),
    }
    print(json.dumps(found))


main()
