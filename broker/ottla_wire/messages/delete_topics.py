"""DeleteTopics (API key 20): deletes topics by name, from version 6 on also by id (KIP-516)."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Message, Struct, field, since, until


class DeleteTopicState(Struct):
    """A topic, given by name or by id."""

    name: str | None = None
    topic_id: UUID


class DeleteTopicsRequest(Message, key=20, versions="1-6", flexible="4+"):
    """Deletes topics."""

    topics: list[DeleteTopicState] = since("6+", factory=list)
    topic_names: list[str] = until("0-5", factory=list, ignorable=True)
    timeout_ms: Int32


class DeletableTopicResult(Struct):
    """How it went for one topic."""

    name: str | None = field(nullable="6+")
    topic_id: UUID = since("6+", default=UUID(int=0), ignorable=True)
    error_code: Int16 = 0
    error_message: str | None = since("5+", default=None, ignorable=True)


class DeleteTopicsResponse(Message, key=20, versions="1-6", flexible="4+"):
    """How it went, by topic."""

    throttle_time_ms: Int32 = 0
    responses: list[DeletableTopicResult]
