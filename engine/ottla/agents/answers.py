"""Answers to `agent.ask`: which events of a batch are requests, and the records that answer them.

A request is an event with two headers, a reply topic and the request's id. Its answer is the first thing that the agent
yields for it, null if it yields nothing, or the error with which it failed; a record in the reply topic, with the id in
a header. It is part of the task's outputs, so it is there when what the request did has been committed.

    ottla.reply.to      the topic for the answer             on requests
    ottla.reply.id      which request                        on requests and answers
    ottla.reply.error   the error's type and text            on answers, in the place of a value
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Any, NamedTuple

from ottla.deadletters import describe_error
from ottla.errors import EncodeError
from ottla.serdes import Codec
from ottla.task.batch import Batch
from ottla.task.origins import JoinedMessages
from ottla.task.processor import TaskContext
from ottla.transport.contract import Headers, Message, OutputRecord, TopicSpec

_PARTITIONS = 8
_RETENTION_MS = 3_600_000

REPLY_AGENT = "ottla.reply.agent"
REPLY_TO = "ottla.reply.to"
REPLY_PARTITION = "ottla.reply.partition"
REPLY_ID = "ottla.reply.id"
REPLY_ERROR = "ottla.reply.error"


_headers = methodcaller("headers")


def replies_topic(app_id: str) -> TopicSpec:
    """The topic through which an app's agents answer: `APP-replies`. It is there before the first request."""
    return TopicSpec(f"{app_id}-replies", _PARTITIONS, {"retention.ms": str(_RETENTION_MS)})


class _Request(NamedTuple):
    topic: str
    partition: int | None
    id: bytes | None
    place: int
    """Which of the events that were joined to one."""


class Answers:
    """Answers the requests among the events of one agent in one task.

    `topics` are those that can be answered to: a request that names another is none, since a record for a topic that
    does not exist would fail the transaction. With `each`, events are joined to lists for which the agent gives lists
    of results: each request gets its own.
    """

    def __init__(
        self,
        context: TaskContext,
        agent: str,
        codec: Codec[Any],
        topics: Mapping[str, int | None],
        *,
        each: bool = False,
    ) -> None:
        self._context = context
        self._topics = topics
        self._agent = agent.encode()
        self._codec = codec
        self._each = each
        self._batch = Batch([], [], [], [])
        self._requests: dict[int, list[_Request]] = {}

    def begin(self, batch: Batch) -> None:
        """Looks for the requests of a batch. Those of the one before that were not answered yet get none."""
        self._batch = batch
        self._requests = {}
        # Most messages have no headers: a look at all of them at once, in C, is what a batch without requests costs.
        if not _may_have_headers(batch.origins):
            return
        for row, origin in enumerate(batch.origins):
            if origin is not None and (requests := self._requests_of(origin)):
                self._requests[row] = requests

    def failed(self, row: int, error: BaseException) -> None:
        """Answers with the error."""
        for request in self._requests.pop(row, ()):
            reason = describe_error(error).encode(errors="replace")
            self._answer(request, self._batch, row, None, [(REPLY_ERROR, reason)])

    def refused(self, batch: Batch, row: int, error: BaseException) -> None:
        """Answers with the error with which an event failed before it came to the agent, if it is a request to it."""
        origin = batch.origins[row]
        reason = describe_error(error).encode(errors="replace")
        for request in () if origin is None else self._requests_of(origin):
            self._answer(request, batch, row, None, [(REPLY_ERROR, reason)])

    def done(self, rows: Sequence[int], values: Sequence[Any]) -> None:
        """All of the batch is processed, and these are the results."""
        if not self._requests:
            return
        requests, self._requests = self._requests, {}
        first = dict(zip(reversed(rows), reversed(values), strict=True))
        for row, asked in requests.items():
            result = first.get(row)
            for request in asked:
                value = result[request.place] if self._each and result is not None else result
                try:
                    encoded = None if value is None else self._codec.encode(value)
                except Exception as error:
                    failure = EncodeError(f"{value!r:.200} cannot be an answer ({self._codec.name}): {error}")
                    reason = describe_error(failure).encode(errors="replace")
                    self._answer(request, self._batch, row, None, [(REPLY_ERROR, reason)])
                else:
                    self._answer(request, self._batch, row, encoded, [])

    def _answer(self, request: _Request, batch: Batch, row: int, value: bytes | None, headers: Headers) -> None:
        if request.id is not None:
            headers = [(REPLY_ID, request.id), *headers]
        origin, time = batch.origins[row], batch.timestamps[row]
        if not self._context.takes_time(request.topic, time):
            time = self._context.now_ms
        key = None if origin is None else origin.key()
        self._context.outputs.append(OutputRecord(request.topic, key, value, time, headers, request.partition))

    def _requests_of(self, origin: Message) -> list[_Request]:
        messages = origin.messages if isinstance(origin, JoinedMessages) else (origin,)
        if not _may_have_headers(messages):
            return []
        found = []
        for place, message in enumerate(messages):
            headers = None if message is None else message.headers()
            named = dict(headers) if headers else {}
            if named.get(REPLY_AGENT) != self._agent:
                continue
            topic = (named.get(REPLY_TO) or b"").decode(errors="replace")
            if topic in self._topics:
                partition = _partition(named.get(REPLY_PARTITION), self._topics[topic])
                found.append(_Request(topic, partition, named.get(REPLY_ID), place))
        return found


def _partition(given: bytes | None, count: int | None) -> int | None:
    """The partition that a request names, if the topic is known to have it; else the answer's key chooses one."""
    return int(given) if given is not None and given.isdigit() and count is not None and int(given) < count else None


def _may_have_headers(origins: Sequence[Message | None]) -> bool:
    """Whether a message may have headers; of events that no one message made it is not seen."""
    try:
        return any(map(_headers, origins)) or bool(origins and type(origins[0]) is JoinedMessages)
    except AttributeError:
        return True
