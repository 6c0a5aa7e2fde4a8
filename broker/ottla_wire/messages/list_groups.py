"""ListGroups (API key 16): the groups that a broker coordinates."""

from ottla_wire.message import Int16, Int32, Message, Struct, since


class ListGroupsRequest(Message, key=16, versions="0-5", flexible="3+"):
    """Filters by state (KIP-518) and by type (KIP-848); empty matches all."""

    states_filter: list[str] = since("4+", factory=list)
    types_filter: list[str] = since("5+", factory=list)


class ListedGroup(Struct):
    """A group, its protocol type, state and type."""

    group_id: str
    protocol_type: str
    group_state: str = since("4+", default="", ignorable=True)
    group_type: str = since("5+", default="", ignorable=True)


class ListGroupsResponse(Message, key=16, versions="0-5", flexible="3+"):
    """The groups that the broker coordinates."""

    throttle_time_ms: Int32 = since("1+", default=0, ignorable=True)
    error_code: Int16 = 0
    groups: list[ListedGroup]
