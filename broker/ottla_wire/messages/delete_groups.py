"""DeleteGroups, API key 42."""

from ottla_wire.message import Int16, Int32, Message, Struct


class DeleteGroupsRequest(Message, key=42, versions="0-2", flexible="2+"):
    groups_names: list[str]


class DeletableGroupResult(Struct):
    group_id: str
    error_code: Int16 = 0


class DeleteGroupsResponse(Message, key=42, versions="0-2", flexible="2+"):
    throttle_time_ms: Int32 = 0
    results: list[DeletableGroupResult]
