"""The dynamic settings of single groups (KIP-848): names, limits, and what is in force. Pure.

Each is the setting of one group in place of a broker setting that holds for all of them, and lies within limits that
are broker settings too.
"""

from collections.abc import Mapping

import msgspec

from ottla_broker import settings
from ottla_broker.config import BrokerConfig
from ottla_broker.errors import InvalidSetting
from ottla_broker.log.config import ConfigType
from ottla_broker.settings import Setting
from ottla_wire.errors import ErrorCode, KafkaError

GROUP_OPTIONS: Mapping[str, Setting] = {
    "consumer.session.timeout.ms": Setting(ConfigType.INT, "The session timeout of the group's members.", minimum=1),
    "consumer.heartbeat.interval.ms": Setting(
        ConfigType.INT, "How often the group's members are told to send heartbeats.", minimum=1
    ),
    "consumer.assignment.interval.ms": Setting(
        ConfigType.INT, "How long after one target assignment of the group the next may follow.", minimum=0
    ),
}


class GroupConfig(msgspec.Struct, frozen=True):
    """The settings in force for a group; times are milliseconds."""

    consumer_session_timeout_ms: int
    consumer_heartbeat_interval_ms: int
    consumer_assignment_interval_ms: int

    @classmethod
    def of(cls, values: Mapping[str, str], broker: BrokerConfig) -> "GroupConfig":
        """What was set for a group, brought within the limits that hold today, and for the rest what holds for all."""
        return cls(*(_within(broker, name, int(values.get(name, default(broker, name)))) for name in GROUP_OPTIONS))


def default(broker: BrokerConfig, name: str) -> int:
    """What holds for the groups that `name` is not set for."""
    value: int = getattr(broker, synonym(name).replace(".", "_"))
    return value


def synonym(name: str) -> str:
    """The broker setting that a group's setting takes the place of."""
    return f"group.{name}"


def validate(values: Mapping[str, str], broker: BrokerConfig) -> None:
    """Raises KafkaError INVALID_CONFIG for a setting that groups do not have, or a value that it does not take."""
    for name, text in values.items():
        option = GROUP_OPTIONS.get(name)
        if option is None:
            raise KafkaError(ErrorCode.INVALID_CONFIG, settings.unknown(name, GROUP_OPTIONS))
        try:
            value = option.parse(name, text)
        except InvalidSetting as error:
            raise KafkaError(ErrorCode.INVALID_CONFIG, str(error)) from None
        assert isinstance(value, int)
        if _within(broker, name, value) != value:
            lowest, highest = _limits(broker, name)
            raise KafkaError(
                ErrorCode.INVALID_CONFIG, f"Invalid value {value} for {name}: must be within {lowest} and {highest}"
            )
    config = GroupConfig.of(values, broker)
    if config.consumer_heartbeat_interval_ms >= config.consumer_session_timeout_ms:
        raise KafkaError(
            ErrorCode.INVALID_CONFIG,
            "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms",
        )


def _limits(broker: BrokerConfig, name: str) -> tuple[int, int]:
    field = name.removeprefix("consumer.").replace(".", "_")
    return getattr(broker, f"group_consumer_min_{field}"), getattr(broker, f"group_consumer_max_{field}")


def _within(broker: BrokerConfig, name: str, value: int) -> int:
    lowest, highest = _limits(broker, name)
    return min(max(value, lowest), highest)
