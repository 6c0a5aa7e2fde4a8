"""Which plugins are installed: the entry points of the group `ottla.connectors`, read without importing them.

A distribution offers a plugin as `"source.NAME" = "module:Class"` or `"sink.NAME" = "module:Class"`; the class is one
of `contract.py`'s protocols. Listing costs no import of a database driver; `load` imports the one that is used.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import Enum
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

import msgspec

from ottla_connectors.contract import Sink, Source
from ottla_connectors.errors import ConfigError

GROUP = "ottla.connectors"


class Kind(Enum):
    """The direction of a plugin, and the first part of its entry point's name."""

    SOURCE = "source"
    SINK = "sink"


class Plugin(msgspec.Struct, frozen=True):
    """An installed plugin that has not been imported."""

    kind: Kind
    name: str
    target: str
    distribution: str
    entry_point: EntryPoint


def installed_plugins() -> list[Plugin]:
    """Every plugin that is installed, by kind and name; entry points whose name has no known kind are left out."""
    found: dict[tuple[Kind, str], Plugin] = {}
    for entry_point in entry_points(group=GROUP):
        kind, _, name = entry_point.name.partition(".")
        if name and kind in {known.value for known in Kind}:
            distribution = entry_point.dist.name if entry_point.dist is not None else ""
            plugin = Plugin(Kind(kind), name, entry_point.value, distribution, entry_point)
            found.setdefault((plugin.kind, name), plugin)
    return sorted(found.values(), key=lambda plugin: (plugin.kind.value, plugin.name))


def load_source(name: str) -> type[Source]:
    """The class of the source plugin `name`. Raises ConfigError for one that is not installed or cannot be imported."""
    return cast("type[Source]", _load(Kind.SOURCE, name))


def load_sink(name: str) -> type[Sink]:
    """The class of the sink plugin `name`. Raises ConfigError for one that is not installed or cannot be imported."""
    return cast("type[Sink]", _load(Kind.SINK, name))


def read_config(plugin: type[Source] | type[Sink], config: Mapping[str, Any], connector: str) -> msgspec.Struct:
    """The plugin's typed config from plain data, as a spec file holds it. Raises ConfigError naming the connector."""
    try:
        return msgspec.convert(config, plugin.config_type)
    except msgspec.ValidationError as error:
        raise ConfigError(f"connector {connector!r}, config: {error}") from None


def config_schema(plugin: type[Source] | type[Sink]) -> dict[str, Any]:
    """The JSON Schema of the plugin's config."""
    return msgspec.json.schema(plugin.config_type)


def _load(kind: Kind, name: str) -> object:
    plugins = {plugin.name: plugin for plugin in installed_plugins() if plugin.kind is kind}
    if name not in plugins:
        near = difflib.get_close_matches(name, plugins, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"installed: {', '.join(plugins) or 'none'}"
        raise ConfigError(f"no {kind.value} plugin is called {name!r}; {hint}")
    try:
        return plugins[name].entry_point.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the {kind.value} plugin {name!r} of {plugins[name].distribution} cannot be imported: {error}"
        ) from error
