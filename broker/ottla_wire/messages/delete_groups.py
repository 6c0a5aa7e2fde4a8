"""DeleteGroups (API key 42): removes groups without members, and their offsets (KIP-229)."""

from ottla_wire.message import Int16, Int32, Message, Struct


class DeleteGroupsRequest(Message, key=42, versions="0-2", flexible="2+"):
    """Names the groups to remove."""

    groups_names: list[str]


class DeletableGroupResult(Struct):
    """How it went for one group."""

    group_id: str
    error_code: Int16 = 0


class DeleteGroupsResponse(Message, key=42, versions="0-2", flexible="2+"):
    """How it went, by group."""

    throttle_time_ms: Int32 = 0
    results: list[DeletableGroupResult]
