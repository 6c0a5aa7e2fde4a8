"""What the controller decides about settings. Pure: image in, records out.

Topics have dynamic settings, those of `log.config.OPTIONS`, and groups have those of `group_configs`. A broker's
settings are fixed when it starts.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import IntEnum

import msgspec

from ottla_broker.cluster import group_configs
from ottla_broker.cluster.image import ClusterImage, ResourceType
from ottla_broker.cluster.records import ConfigRecord, MetadataRecord
from ottla_broker.config import BrokerConfig
from ottla_broker.log.config import OPTIONS, ConfigType, LogConfig
from ottla_wire.errors import ErrorCode, KafkaError


class Operation(IntEnum):
    """What happens to one setting (`AlterConfigOp.OpType`); APPEND and SUBTRACT are for lists."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class Alteration(msgspec.Struct, frozen=True):
    """One change to one setting; DELETE has no value."""

    name: str
    operation: Operation
    value: str | None = None


def alter(
    image: ClusterImage,
    kind: ResourceType,
    name: str,
    alterations: Sequence[Alteration],
    broker: BrokerConfig,
) -> list[MetadataRecord]:
    """The records that change some settings of a resource, all or none of them. Raises KafkaError.

    A group need not exist to have settings.
    """
    if kind is ResourceType.BROKER:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            "The settings of a broker are fixed when it starts: set them there and restart it",
        )
    if kind is ResourceType.TOPIC and name not in image.topics:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic {name!r} does not exist.")
    if kind is ResourceType.GROUP and not name:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "The settings of groups need the name of a group.")
    if len({alteration.name for alteration in alterations}) < len(alterations):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A setting is altered more than once in one request")
    current = image.config(kind, name)
    changed = dict(current)
    known: Collection[str] = OPTIONS if kind is ResourceType.TOPIC else group_configs.GROUP_OPTIONS
    for alteration in alterations:
        _apply(changed, alteration, known, broker.log_defaults)
    if kind is ResourceType.TOPIC:
        LogConfig.parse(changed, broker.log_defaults)
    else:
        group_configs.validate(changed, broker)
    return [
        ConfigRecord(resource_type=kind, resource_name=name, name=setting, value=changed.get(setting))
        for setting in {**current, **changed}
        if changed.get(setting) != current.get(setting)
    ]


def replacing(current: Mapping[str, str], wanted: Mapping[str, str | None]) -> list[Alteration]:
    """The alterations that turn the settings of a resource into `wanted`; what that leaves out goes (AlterConfigs)."""
    deleted = [Alteration(name, Operation.DELETE) for name in current if name not in wanted]
    return deleted + [Alteration(name, Operation.SET, value) for name, value in wanted.items()]


def _apply(values: dict[str, str], alteration: Alteration, known: Collection[str], defaults: LogConfig) -> None:
    name, operation, value = alteration.name, alteration.operation, alteration.value
    if operation is Operation.DELETE:
        if name not in known:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown config name: {name}")
        values.pop(name, None)
        return
    if value is None:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Null value not supported for the setting {name}")
    if operation is Operation.SET:
        values[name] = value
        return
    option = OPTIONS.get(name)
    if name not in known or option is None or option.type is not ConfigType.LIST:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Can't {operation.name} to {name}: its type is not a list")
    items = [item for item in values.get(name, defaults.text(name)).split(",") if item]
    given = [item.strip() for item in value.split(",") if item.strip()]
    if operation is Operation.APPEND:
        items += [item for item in given if item not in items]
    else:
        items = [item for item in items if item not in given]
    values[name] = ",".join(items)
