"""DescribeGroups (API key 15): shows groups of the classic protocol."""

from ottla_wire.message import Int16, Int32, Message, Struct, since


class DescribeGroupsRequest(Message, key=15, versions="0-6", flexible="5+"):
    """Names the groups to describe."""

    groups: list[str]
    include_authorized_operations: bool = since("3+", default=False)


class DescribedGroupMember(Struct):
    """A member, with its subscription and assignment as the client wrote them."""

    member_id: str
    group_instance_id: str | None = since("4+", default=None, ignorable=True)
    client_id: str
    client_host: str
    member_metadata: bytes
    member_assignment: bytes


class DescribedGroup(Struct):
    """The state of one group."""

    error_code: Int16 = 0
    error_message: str | None = since("6+", default=None)
    group_id: str
    group_state: str
    protocol_type: str
    protocol_data: str
    members: list[DescribedGroupMember]
    authorized_operations: Int32 = since("3+", default=-(2**31))


class DescribeGroupsResponse(Message, key=15, versions="0-6", flexible="5+"):
    """The groups asked for, each with an error of its own."""

    throttle_time_ms: Int32 = since("1+", default=0, ignorable=True)
    groups: list[DescribedGroup]
