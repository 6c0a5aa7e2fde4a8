"""DescribeClientQuotas (API key 48): lists quotas of users, clients and addresses (KIP-546)."""

from ottla_wire.message import Float64, Int8, Int16, Int32, Message, Struct


class ComponentData(Struct):
    """What one part of an entity has to be: a name, the default, or anything."""

    entity_type: str
    match_type: Int8
    match: str | None


class DescribeClientQuotasRequest(Message, key=48, versions="0-1", flexible="1+"):
    """A filter for entities, all of it, or any of its parts."""

    components: list[ComponentData]
    strict: bool


class EntityData(Struct):
    """One part of an entity, such as its user; a null name is the default entity."""

    entity_type: str
    entity_name: str | None


class ValueData(Struct):
    """A quota and its value."""

    key: str
    value: Float64


class EntryData(Struct):
    """An entity and its quotas."""

    entity: list[EntityData]
    values: list[ValueData]


class DescribeClientQuotasResponse(Message, key=48, versions="0-1", flexible="1+"):
    """The matching entities."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
    entries: list[EntryData] | None
