"""Faust's modules under their own paths: those whose names are in another module here, and those that are refused.

`from faust.tables.wrappers import WindowSet` becomes `from ottla.faust.tables.wrappers import WindowSet`, though here
both are in `tables.py`. Importing from a module of which nothing is there raises `ConfigError`, with what to do
instead.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from ottla.errors import ConfigError
from ottla.faust import (
    agents,
    app,
    auth,
    cli,
    contrib,
    exceptions,
    models,
    sensors,
    serializers,
    streams,
    tables,
    types,
    utils,
    web,
    windows,
)
from ottla.faust.contrib import asgi
from ottla.faust.missing import ABSENT, MODULES, REFUSAL
from ottla.faust.models import fields
from ottla.faust.types import ONLY_TO_ANNOTATE
from ottla.faust.web import base, cache
from ottla.tables import GlobalTable, SetTable, Table
from ottla.tables.global_sets import SetGlobalTable
from ottla.tables.window_views import WindowedItems, WindowedKeys, WindowedValues

_PACKAGE = __package__ or ""

_SAME: Mapping[str, ModuleType] = {
    "agents.agent": agents,
    "app.base": app,
    "cli.base": cli,
    "contrib.fastapi": asgi,
    "models.base": models,
    "sensors.base": sensors,
    "sensors.monitor": sensors,
    "tables.base": tables,
    "tables.globaltable": tables,
    "tables.sets": tables,
    "tables.table": tables,
    "tables.wrappers": tables,
    "web.cache.cache": cache,
    "web.cache.exceptions": cache,
}

_ELSEWHERE: Mapping[ModuleType, Mapping[str, Any]] = {
    agents: {"AgentFun": Any, "AgentT": agents.Agent, "SinkT": Any},
    base: {"Request": web.Request},
    types: dict.fromkeys(ONLY_TO_ANNOTATE, Any),
    streams: {"current_event": app.current_event},
    tables: {
        **dict.fromkeys(("Collection", "CollectionT", "Table", "TableT"), Table),
        **dict.fromkeys(("GlobalTable", "GlobalTableT"), GlobalTable),
        "SetGlobalTable": SetGlobalTable,
        "SetTable": SetTable,
        "WindowWrapper": tables.Windowed,
        "WindowedItemsView": WindowedItems,
        "WindowedKeysView": WindowedKeys,
        "WindowedValuesView": WindowedValues,
    },
}
"""Names that Faust has in these modules and that are of others here."""


class Absent(ModuleType):
    """Stands for a module of which nothing is there."""

    def __init__(self, name: str, instead: str) -> None:
        super().__init__(f"{_PACKAGE}.{name}", instead)
        self._refusal = REFUSAL.format(f"faust.{name}", instead)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # What the import system asks of modules.
            raise AttributeError(name)
        raise ConfigError(self._refusal)


def lend(module: ModuleType) -> None:
    """Has a module answer for the names that it has not: those of others, and those that are refused."""
    others, faust_name = _ELSEWHERE.get(module, {}), module.__name__.removeprefix("ottla.")
    refused = {**MODULES.get(faust_name.removesuffix(".base"), {}), **_absent_below(faust_name)}

    def __getattr__(name: str) -> Any:  # noqa: N807 - what Python calls
        if name in others:
            return others[name]
        if name in refused:
            raise ConfigError(REFUSAL.format(f"{faust_name}.{name}", refused[name]))
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    vars(module)["__getattr__"] = __getattr__


def _absent_below(faust_name: str) -> dict[str, str]:
    """The modules of a package of Faust's of which nothing is there."""
    below = f"{faust_name}.".removeprefix("faust.")
    paths = (path for path in ABSENT if path.startswith(below) and "." not in path.removeprefix(below))
    return {path.removeprefix(below): ABSENT[path] for path in paths}


for _module in (
    *(agents, app, asgi, auth, base, cli, contrib, exceptions, fields, models),
    *(sensors, serializers, streams, tables, types, utils, web, windows),
):
    lend(_module)
sys.modules.update({f"{_PACKAGE}.{path}": module for path, module in _SAME.items()})
sys.modules.update({f"{_PACKAGE}.{path}": Absent(path, instead) for path, instead in ABSENT.items()})
