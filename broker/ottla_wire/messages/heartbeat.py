"""Heartbeat (API key 12): a member of a classic group is still there."""

from ottla_wire.message import Int16, Int32, Message, since


class HeartbeatRequest(Message, key=12, versions="0-4", flexible="4+"):
    """Keeps a member's session alive."""

    group_id: str
    generation_id: Int32
    member_id: str
    group_instance_id: str | None = since("3+", default=None)


class HeartbeatResponse(Message, key=12, versions="0-4", flexible="4+"):
    """Whether the member may go on, or has to rejoin."""

    throttle_time_ms: Int32 = since("1+", default=0, ignorable=True)
    error_code: Int16 = 0
