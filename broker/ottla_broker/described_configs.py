"""Settings as DescribeConfigs and CreateTopics show them: the value in force, where it comes from, what else would
apply.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum

import msgspec

from ottla_broker import loggers
from ottla_broker.cluster import configs
from ottla_broker.cluster.group_configs import GROUP_OPTIONS
from ottla_broker.cluster.group_configs import synonym as group_synonym
from ottla_broker.cluster.image import ClusterImage
from ottla_broker.config import BrokerConfig, known_settings
from ottla_broker.log.config import OPTIONS, ConfigType, LogConfig


class Source(IntEnum):
    """Where a value comes from, as `ConfigEntry.ConfigSource` numbers it."""

    TOPIC = 1
    BROKER = 2
    EVERY_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5
    LOGGER = 6
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


class Describer:
    """Describes the settings of one cluster as a node sees it, which has the settings `broker` in force."""

    def __init__(self, image: ClusterImage, broker: BrokerConfig) -> None:
        self._in_force = broker
        self._given = broker.given
        self._everyone, self._own = configs.layers(image, broker.node_id)
        self._defaults = BrokerConfig()

    def topic(self, overrides: Mapping[str, str]) -> Iterator[DescribedSetting]:
        """All settings of a topic that has `overrides`."""
        config = LogConfig.parse(overrides, self._in_force.log_defaults)
        for name, option in OPTIONS.items():
            own = [Synonym(name, overrides[name], Source.TOPIC)] if name in overrides else []
            synonyms = (*own, *self._synonyms(option.synonym))
            yield DescribedSetting(
                name, config.text(name), synonyms[0].source, option.type, option.documentation, False, synonyms
            )

    def group(self, overrides: Mapping[str, str]) -> Iterator[DescribedSetting]:
        """All settings of a group that has `overrides`, whether the group exists or not."""
        for name, option in GROUP_OPTIONS.items():
            own = [Synonym(name, overrides[name], Source.GROUP)] if name in overrides else []
            synonyms = (*own, *self._synonyms(group_synonym(name)))
            yield DescribedSetting(
                name, synonyms[0].value, synonyms[0].source, option.kind, option.doc, False, synonyms
            )

    def broker(self) -> Iterator[DescribedSetting]:
        """All settings of the node."""
        for name, setting in known_settings().items():
            synonyms = tuple(self._synonyms(name))
            source = synonyms[0].source if synonyms else Source.DEFAULT
            value = setting.text(self._in_force)
            yield DescribedSetting(name, value, source, setting.kind, setting.doc, not setting.dynamic, synonyms)

    def every_broker(self) -> Iterator[DescribedSetting]:
        """The settings that were set for all brokers."""
        for name, value in self._everyone.items():
            setting = known_settings()[name]
            synonym = Synonym(name, value, Source.EVERY_BROKER)
            yield DescribedSetting(name, value, synonym.source, setting.kind, setting.doc, False, (synonym,))

    def loggers(self) -> Iterator[DescribedSetting]:
        """The levels of the node's loggers."""
        for name, level in loggers.levels().items():
            synonym = Synonym(name, level, Source.LOGGER)
            yield DescribedSetting(name, level, Source.LOGGER, ConfigType.STRING, "", False, (synonym,))

    def _synonyms(self, name: str) -> Iterator[Synonym]:
        """What gives a broker setting its value, and what would if that were not there."""
        for layer, source in (
            (self._own, Source.BROKER),
            (self._everyone, Source.EVERY_BROKER),
            (self._given, Source.STATIC_BROKER),
        ):
            if name in layer:
                yield Synonym(name, layer[name], source)
        default = known_settings()[name].text(self._defaults)
        if default is not None:
            yield Synonym(name, default, Source.DEFAULT)
