"""AlterClientQuotas (API key 49): sets and removes quotas of users, clients and addresses (KIP-546)."""

from ottla_wire.message import Float64, Int16, Int32, Message, Struct


class EntityData(Struct):
    """One part of an entity, such as its user; a null name is the default entity."""

    entity_type: str
    entity_name: str | None


class OpData(Struct):
    """A quota to set or remove."""

    key: str
    value: Float64
    remove: bool


class EntryData(Struct):
    """The changes for one entity."""

    entity: list[EntityData]
    ops: list[OpData]


class AlterClientQuotasRequest(Message, key=49, versions="0-1", flexible="1+"):
    """Changes quotas, or only checks that they could be changed."""

    entries: list[EntryData]
    validate_only: bool


class ResponseEntryData(Struct):
    """How it went for one entity."""

    error_code: Int16 = 0
    error_message: str | None = None
    entity: list[EntityData]


class AlterClientQuotasResponse(Message, key=49, versions="0-1", flexible="1+"):
    """How it went, by entity."""

    throttle_time_ms: Int32 = 0
    entries: list[ResponseEntryData]
