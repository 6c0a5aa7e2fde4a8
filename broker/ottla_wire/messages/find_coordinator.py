"""FindCoordinator (API key 10): the broker that coordinates groups or transactions; many at once from 4 on."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct, between, since, until


class FindCoordinatorRequest(Message, key=10, versions="0-6", flexible="3+"):
    """Names groups (key type 0) or transactional ids (1)."""

    key: str = until("0-3", default="")
    key_type: Int8 = since("1+", default=0)
    coordinator_keys: list[str] = since("4+", factory=list)


class Coordinator(Struct):
    """The coordinator of one key."""

    key: str
    node_id: Int32
    host: str
    port: Int32
    error_code: Int16 = 0
    error_message: str | None = None


class FindCoordinatorResponse(Message, key=10, versions="0-6", flexible="3+"):
    """The coordinators, by key."""

    throttle_time_ms: Int32 = since("1+", default=0, ignorable=True)
    error_code: Int16 = until("0-3", default=0)
    error_message: str | None = between("1-3", default=None, ignorable=True)
    node_id: Int32 = until("0-3", default=0)
    host: str = until("0-3", default="")
    port: Int32 = until("0-3", default=0)
    coordinators: list[Coordinator] = since("4+", factory=list)
