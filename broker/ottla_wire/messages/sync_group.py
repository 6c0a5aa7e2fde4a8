"""SyncGroup (API key 14): the leader hands out the assignments of a classic group, the others wait for theirs."""

from ottla_wire.message import Int16, Int32, Message, Struct, since


class SyncGroupRequestAssignment(Struct):
    """The assignment of one member, in the client's own format."""

    member_id: str
    assignment: bytes


class SyncGroupRequest(Message, key=14, versions="0-5", flexible="4+"):
    """Asks for the member's assignment; from the leader it brings everyone's."""

    group_id: str
    generation_id: Int32
    member_id: str
    group_instance_id: str | None = since("3+", default=None)
    protocol_type: str | None = since("5+", default=None, ignorable=True)
    protocol_name: str | None = since("5+", default=None, ignorable=True)
    assignments: list[SyncGroupRequestAssignment]


class SyncGroupResponse(Message, key=14, versions="0-5", flexible="4+"):
    """The member's assignment."""

    throttle_time_ms: Int32 = since("1+", default=0, ignorable=True)
    error_code: Int16 = 0
    protocol_type: str | None = since("5+", default=None, ignorable=True)
    protocol_name: str | None = since("5+", default=None, ignorable=True)
    assignment: bytes
