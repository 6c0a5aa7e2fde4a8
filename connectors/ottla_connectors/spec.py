"""Specs: which connectors there are and what each does, as a TOML file holds them.

    broker = "kafka://127.0.0.1:9092"

    [[source]]
    name = "flights"
    plugin = "file"
    topic = "flights"
    partitions = 6
    config = { path = "flights.csv.gz", key = "carrier" }

    [[sink]]
    name = "delays"
    plugin = "sqlite"
    topics = ["delays"]
    config = { path = "flights.db", table = "delays", columns = { carrier = "str", mean_delay = "float" } }

A connector's name is its identity: positions, transactions and dead letters go by it, so it must stay what it is.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ottla_connectors.errors import ConfigError

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
Topic = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+$", max_length=249)]


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source: a plugin, its config, and the topic it fills, with what serves to create the topic."""

    name: Name
    plugin: str
    topic: Topic
    partitions: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    topic_config: dict[str, str] = {}
    config: dict[str, Any] = {}


class SinkSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sink: a plugin, its config, and the topics it empties. `group` is the consumer group that shows its lag."""

    name: Name
    plugin: str
    topics: Annotated[list[Topic], Meta(min_length=1)]
    group: str | None = None
    config: dict[str, Any] = {}

    @property
    def consumer_group(self) -> str:
        """The group that is set, or Kafka Connect's name for it."""
        return self.group or f"connect-{self.name}"


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A spec file. So many seconds a run waits at its start for a broker that does not answer."""

    broker: str
    broker_wait_s: Annotated[float, Meta(ge=0)] = 60.0
    sources: list[SourceSpec] = msgspec.field(name="source", default_factory=list)
    sinks: list[SinkSpec] = msgspec.field(name="sink", default_factory=list)

    @property
    def names(self) -> list[str]:
        """The names of all connectors, sources first."""
        return [source.name for source in self.sources] + [sink.name for sink in self.sinks]


def read_spec(path: Path) -> Spec:
    """The spec in a TOML file. Raises ConfigError saying what is wrong where."""
    try:
        spec = msgspec.toml.decode(path.read_bytes(), type=Spec)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    names = Counter(spec.names)
    if not names:
        raise ConfigError(f"{path} names no connector; add a [[source]] or a [[sink]]")
    if twice := [name for name, count in names.items() if count > 1]:
        raise ConfigError(f"{path}: two connectors are called {twice[0]!r}; each needs a name of its own")
    return spec
