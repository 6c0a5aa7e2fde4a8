"""AddRaftVoter (API key 80): a controller becomes a voter of the metadata quorum (KIP-853)."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Message, Struct, Uint16, since


class Listener(Struct):
    """An endpoint at which the voter can be reached."""

    name: str
    host: str
    port: Uint16


class AddRaftVoterRequest(Message, key=80, versions="0-1", flexible="0+"):
    """Asks the quorum's leader to add a voter."""

    cluster_id: str | None
    timeout_ms: Int32
    voter_id: Int32
    voter_directory_id: UUID
    listeners: list[Listener]
    ack_when_committed: bool = since("1+", default=True)


class AddRaftVoterResponse(Message, key=80, versions="0-1", flexible="0+"):
    """Whether the voter was added."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
