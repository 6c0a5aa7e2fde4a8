"""What the controller decides about settings. Pure: image in, records out.

Topics have dynamic settings, those of `log.config.OPTIONS`, and groups have those of `group_configs`. Of a broker's
settings some can change while it runs (KIP-226): for one broker, under its id, or for all of them, under the empty
name. What is in force is what the broker was started with, under what is set for all, under what is set for this one.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import msgspec

from ottla_broker.cluster import group_configs
from ottla_broker.cluster.image import ClusterImage, ResourceType
from ottla_broker.cluster.records import ConfigRecord, MetadataRecord
from ottla_broker.cluster.topics import validate_name
from ottla_broker.config import BrokerConfig, known_settings, stands_for, unknown_setting
from ottla_broker.errors import InvalidSetting
from ottla_broker.log.config import OPTIONS, ConfigType, LogConfig
from ottla_wire.errors import ErrorCode, KafkaError

# The name under which settings hold for all brokers.
EVERY_BROKER = ""


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


def in_force(image: ClusterImage, broker: BrokerConfig) -> BrokerConfig:
    """What a broker was started with, under the dynamic settings as they are now."""
    return broker.overlaid(*layers(image, broker.node_id))


def layers(image: ClusterImage, node_id: int) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The dynamic settings of all brokers, and those of one."""
    return image.config(ResourceType.BROKER, EVERY_BROKER), image.config(ResourceType.BROKER, str(node_id))


def alter(
    image: ClusterImage,
    kind: ResourceType,
    name: str,
    alterations: Sequence[Alteration],
    broker: BrokerConfig,
) -> list[MetadataRecord]:
    """The records that change some settings of a resource, all or none of them. Raises KafkaError.

    `broker` has the settings in force on this node. A group need not exist to have settings.
    """
    _check_resource(image, kind, name, broker.node_id)
    if len({alteration.name for alteration in alterations}) < len(alterations):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A setting is altered more than once in one request")
    current = image.config(kind, name)
    changed = dict(current)
    lists = _lists(kind, broker)
    for alteration in alterations:
        _apply(changed, alteration, lists)
    match kind:
        case ResourceType.TOPIC:
            LogConfig.parse(changed, broker.log_defaults)
        case ResourceType.GROUP:
            group_configs.validate(changed, broker)
        case ResourceType.BROKER:
            _check_brokers(image, name, changed, broker)
    return [
        ConfigRecord(resource_type=kind, resource_name=name, name=setting, value=changed.get(setting))
        for setting in {**current, **changed}
        if changed.get(setting) != current.get(setting)
    ]


def _check_resource(image: ClusterImage, kind: ResourceType, name: str, node_id: int) -> None:
    match kind:
        case ResourceType.TOPIC:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Default topic resources are not allowed.")
            validate_name(name)
            if name not in image.topics:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic {name!r} does not exist.")
        case ResourceType.GROUP:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "The settings of groups need the name of a group.")
        case ResourceType.BROKER:
            if name not in (EVERY_BROKER, str(node_id)):
                raise KafkaError(
                    ErrorCode.INVALID_REQUEST, f"Unexpected broker id, expected {node_id} or none, but received {name}"
                )


def replacing(current: Mapping[str, str], wanted: Mapping[str, str | None]) -> list[Alteration]:
    """The alterations that turn the settings of a resource into `wanted`; what that leaves out goes (AlterConfigs)."""
    deleted = [Alteration(name, Operation.DELETE) for name in current if name not in wanted]
    return deleted + [Alteration(name, Operation.SET, value) for name, value in wanted.items()]


def _lists(kind: ResourceType, broker: BrokerConfig) -> Mapping[str, str]:
    """The settings of a kind of resource that are lists, with what they are where nobody has set them."""
    match kind:
        case ResourceType.TOPIC:
            defaults = broker.log_defaults
            return {name: defaults.text(name) for name, option in OPTIONS.items() if option.type is ConfigType.LIST}
        case ResourceType.BROKER:
            known = known_settings()
            return {name: known[name].text(broker) or "" for name in known if known[name].kind is ConfigType.LIST}
        case ResourceType.GROUP:
            return {}


def _check_brokers(image: ClusterImage, name: str, changed: Mapping[str, str], broker: BrokerConfig) -> None:
    """Raises KafkaError for what cannot change while brokers run, or what contradicts the settings of a topic."""
    known = known_settings()
    for setting in changed:
        if target := stands_for(setting):
            message = f"Cannot update these configs dynamically: {setting}; it stands for {target}"
            raise KafkaError(ErrorCode.INVALID_REQUEST, message)
        if setting not in known:
            raise KafkaError(ErrorCode.INVALID_CONFIG, unknown_setting(setting))
    fixed = [setting for setting in changed if not known[setting].dynamic]
    if fixed:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST,
            f"Cannot update these configs dynamically: {', '.join(fixed)}; set them where the broker is started",
        )
    everyone, own = layers(image, broker.node_id)
    try:
        config = broker.overlaid(changed, own) if name == EVERY_BROKER else broker.overlaid(everyone, changed)
    except InvalidSetting as error:
        raise KafkaError(ErrorCode.INVALID_REQUEST, str(error)) from None
    for topic in image.configured(ResourceType.TOPIC):
        try:
            LogConfig.parse(image.config(ResourceType.TOPIC, topic), config.log_defaults)
        except KafkaError as error:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST, f"The topic {topic} does not go with it: {error.message}"
            ) from None


def _apply(values: dict[str, str], alteration: Alteration, lists: Mapping[str, str]) -> None:
    name, operation, value = alteration.name, alteration.operation, alteration.value
    if operation is Operation.DELETE:
        # What does not exist is gone already, as in Kafka: MirrorMaker deletes whatever has its default at the source.
        values.pop(name, None)
        return
    if value is None:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Null value not supported for the setting {name}")
    if operation is Operation.SET:
        values[name] = value
        return
    if name not in lists:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Can't {operation.name} to {name}: its type is not a list")
    items = [item for item in values.get(name, lists[name]).split(",") if item]
    given = [item.strip() for item in value.split(",") if item.strip()]
    if operation is Operation.APPEND:
        items += [item for item in given if item not in items]
    else:
        items = [item for item in items if item not in given]
    values[name] = ",".join(items)
