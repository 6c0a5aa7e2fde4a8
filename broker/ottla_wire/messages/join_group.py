"""JoinGroup (API key 11): joins a classic group and takes part in its rebalance.

From version 4 on a new member is sent back with its id (KIP-394); from 5 on members can be static (KIP-345).
"""

from ottla_wire.message import Int16, Int32, Message, Struct, field, since


class JoinGroupRequestProtocol(Struct):
    """A protocol that the member supports, with its metadata; in the order of preference."""

    name: str
    metadata: bytes


class JoinGroupRequest(Message, key=11, versions="0-9", flexible="6+"):
    """Joins a group, or rejoins it."""

    group_id: str
    session_timeout_ms: Int32
    rebalance_timeout_ms: Int32 = since("1+", default=-1, ignorable=True)
    member_id: str
    group_instance_id: str | None = since("5+", default=None)
    protocol_type: str
    protocols: list[JoinGroupRequestProtocol]
    reason: str | None = since("8+", default=None, ignorable=True)


class JoinGroupResponseMember(Struct):
    """A member, as the leader gets to see it."""

    member_id: str
    group_instance_id: str | None = since("5+", default=None, ignorable=True)
    metadata: bytes


class JoinGroupResponse(Message, key=11, versions="0-9", flexible="6+"):
    """The generation, the protocol chosen, and for the leader all members."""

    throttle_time_ms: Int32 = since("2+", default=0, ignorable=True)
    error_code: Int16 = 0
    generation_id: Int32 = -1
    protocol_type: str | None = since("7+", default=None, ignorable=True)
    protocol_name: str | None = field(nullable="7+")
    leader: str
    skip_assignment: bool = since("9+", default=False)
    member_id: str
    members: list[JoinGroupResponseMember]
