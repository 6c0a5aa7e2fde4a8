"""RemoveRaftVoter, API key 81."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Message


class RemoveRaftVoterRequest(Message, key=81, versions="0", flexible="0+"):
    cluster_id: str | None
    voter_id: Int32
    voter_directory_id: UUID


class RemoveRaftVoterResponse(Message, key=81, versions="0", flexible="0+"):
    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
