"""LeaveGroup (API key 13): members leave a classic group; several from version 3 on (KIP-345)."""

from ottla_wire.message import Int16, Int32, Message, Struct, since, until


class MemberIdentity(Struct):
    """A member that leaves, by member id or by group instance id."""

    member_id: str
    group_instance_id: str | None = None
    reason: str | None = since("5+", default=None, ignorable=True)


class LeaveGroupRequest(Message, key=13, versions="0-5", flexible="4+"):
    """Names the members that leave."""

    group_id: str
    member_id: str = until("0-2", default="")
    members: list[MemberIdentity] = since("3+", factory=list)


class MemberResponse(Struct):
    """How it went for one member."""

    member_id: str
    group_instance_id: str | None
    error_code: Int16 = 0


class LeaveGroupResponse(Message, key=13, versions="0-5", flexible="4+"):
    """How it went, by member."""

    throttle_time_ms: Int32 = since("1+", default=0, ignorable=True)
    error_code: Int16 = 0
    members: list[MemberResponse] = since("3+", factory=list)
