"""RemoveRaftVoter (API key 81): a controller ceases to be a voter of the metadata quorum (KIP-853)."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Message


class RemoveRaftVoterRequest(Message, key=81, versions="0", flexible="0+"):
    """Asks the quorum's leader to remove a voter."""

    cluster_id: str | None
    voter_id: Int32
    voter_directory_id: UUID


class RemoveRaftVoterResponse(Message, key=81, versions="0", flexible="0+"):
    """Whether the voter was removed."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
