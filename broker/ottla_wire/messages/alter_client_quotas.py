"""AlterClientQuotas, API key 49."""

from ottla_wire.message import Float64, Int16, Int32, Message, Struct


class EntityData(Struct):
    entity_type: str
    entity_name: str | None


class OpData(Struct):
    key: str
    value: Float64
    remove: bool


class EntryData(Struct):
    entity: list[EntityData]
    ops: list[OpData]


class AlterClientQuotasRequest(Message, key=49, versions="0-1", flexible="1+"):
    entries: list[EntryData]
    validate_only: bool


class ResponseEntryData(Struct):
    error_code: Int16 = 0
    error_message: str | None = None
    entity: list[EntityData]


class AlterClientQuotasResponse(Message, key=49, versions="0-1", flexible="1+"):
    throttle_time_ms: Int32 = 0
    entries: list[ResponseEntryData]
