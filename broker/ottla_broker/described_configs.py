"""Settings as DescribeConfigs and CreateTopics show them: the value in force, where it comes from, what else would
apply.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum

import msgspec

from ottla_broker.cluster import group_configs
from ottla_broker.cluster.group_configs import GROUP_OPTIONS
from ottla_broker.config import BrokerConfig
from ottla_broker.log.config import OPTIONS, ConfigType, LogConfig


class Source(IntEnum):
    """Where a value comes from, as `ConfigEntry.ConfigSource` numbers it."""

    TOPIC = 1
    STATIC_BROKER = 4
    DEFAULT = 5
    GROUP = 8


class Synonym(msgspec.Struct, frozen=True):
    """A setting that gives, or would give, another its value."""

    name: str
    value: str | None
    source: Source


class DescribedSetting(msgspec.Struct, frozen=True):
    """One setting. `synonyms` begins with the one in force."""

    name: str
    value: str | None
    source: Source
    type: ConfigType
    documentation: str
    read_only: bool
    synonyms: tuple[Synonym, ...]


def describe_topic_config(overrides: Mapping[str, str], broker: BrokerConfig) -> Iterator[DescribedSetting]:
    """All settings of a topic that has `overrides`."""
    defaults = LogConfig()
    for option in OPTIONS.values():
        name = option.name
        synonyms = []
        if name in overrides:
            synonyms.append(Synonym(name, overrides[name], Source.TOPIC))
        if option.synonym in broker.given:
            synonyms.append(Synonym(option.synonym, broker.log_defaults.text(name), Source.STATIC_BROKER))
        synonyms.append(Synonym(option.synonym, defaults.text(name), Source.DEFAULT))
        yield DescribedSetting(
            name=name,
            value=synonyms[0].value,
            source=synonyms[0].source,
            type=option.type,
            documentation=option.documentation,
            read_only=False,
            synonyms=tuple(synonyms),
        )


def describe_group_config(overrides: Mapping[str, str], broker: BrokerConfig) -> Iterator[DescribedSetting]:
    """All settings of a group that has `overrides`, whether the group exists or not."""
    defaults = BrokerConfig()
    for name, option in GROUP_OPTIONS.items():
        synonym = group_configs.synonym(name)
        synonyms = []
        if name in overrides:
            synonyms.append(Synonym(name, overrides[name], Source.GROUP))
        if synonym in broker.given:
            synonyms.append(Synonym(synonym, str(group_configs.default(broker, name)), Source.STATIC_BROKER))
        synonyms.append(Synonym(synonym, str(group_configs.default(defaults, name)), Source.DEFAULT))
        yield DescribedSetting(
            name=name,
            value=synonyms[0].value,
            source=synonyms[0].source,
            type=option.kind,
            documentation=option.doc,
            read_only=False,
            synonyms=tuple(synonyms),
        )


def describe_broker_config(broker: BrokerConfig) -> Iterator[DescribedSetting]:
    """All settings of a broker. They are fixed when it starts."""
    for name, value, kind, documentation in broker.shown():
        source = Source.STATIC_BROKER if name in broker.given else Source.DEFAULT
        yield DescribedSetting(
            name=name,
            value=value,
            source=source,
            type=kind,
            documentation=documentation,
            read_only=True,
            synonyms=(Synonym(name, value, source),),
        )
