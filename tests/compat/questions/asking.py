"""Questions that are put to both brokers, and answers in a form in which they can be compared.

A question is a function that asks one broker in one version of an API, on a connection of its own::

    @question(HeartbeatRequest)
    def a_heartbeat_of_an_unknown_member(ask: Ask) -> None:
        ask(HeartbeatRequest(group_id=ask.name("group"), generation_id=1, member_id="nobody"))

What `ask` returns is on record as part of the answer; what `ask.quietly` returns is not. The function's name is the
question's, by which docs/compatibility.md refers to it.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from crc32c import crc32c

from ottla_wire.errors import ErrorCode
from ottla_wire.message import Message, VersionRange
from ottla_wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from ottla_wire.messages.describe_groups import DescribeGroupsRequest
from ottla_wire.messages.describe_transactions import DescribeTransactionsRequest
from ottla_wire.messages.find_coordinator import FindCoordinatorRequest
from ottla_wire.messages.init_producer_id import InitProducerIdRequest
from ottla_wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.records import NewRecord, build_batch

from ..answers import BASE_MS, comparable
from ..wire import Connection

DEADLINE_S = 100
CLOSED = "the connection was closed"
LONG_ANSWER = 100  # bytes


@dataclass(frozen=True)
class Question:
    """A question, the API that it is about, and in which of its versions it makes sense."""

    name: str
    api_key: int
    versions: VersionRange
    put: Callable[["Ask"], None]


QUESTIONS: dict[str, Question] = {}


def question(request: type[Message], versions: str | None = None) -> Callable[[Callable[["Ask"], None]], Question]:
    """Make a question about an API out of the decorated function; in all its versions unless told otherwise."""

    def add(put: Callable[["Ask"], None]) -> Question:
        name = put.__name__
        assert name not in QUESTIONS, f"there are two questions {name}"
        range_ = VersionRange.parse(versions) if versions else request.versions
        QUESTIONS[name] = Question(name, request.api_key, range_, put)
        return QUESTIONS[name]

    return add


@dataclass(frozen=True)
class Topic:
    """A topic that exists."""

    name: str
    id: uuid.UUID


@dataclass
class Ask:
    """A broker as a question meets it; what it answers is collected in `answers`."""

    connection: Connection
    question: str
    version: int
    answers: list[Any] = field(default_factory=list)
    begun: list[tuple[int, int]] = field(default_factory=list)
    first_epoch: int = 0  # of the consumer groups that it asks about

    def __call__(self, request: Message, version: int | None = None) -> Any:
        """Ask in the version that is being tried unless told otherwise. The response, None if there is none."""
        try:
            response = self.connection.ask(request, self.version if version is None else version)
        except ConnectionError:
            self.answers.append(CLOSED)
            return None
        self.answers.append(comparable(response))
        return response

    def until(self, holds: Callable[[Any], object], request: Message, version: int) -> Any:
        """Ask until something holds of the answer, which then is on record: brokers follow their controller."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds(response := self.quietly(request, version)):
            assert time.monotonic() < deadline, response
            time.sleep(0.005)
        self.answers.append(comparable(response))
        return response

    def unanswered(self, request: Message) -> None:
        """Ask something that gets no response."""
        self.connection.send(request, self.version)

    def raw(self, api_key: int, version: int, body: bytes, *, tags: bytes = b"\0") -> None:
        """Send, on a connection of its own, a request that need not be one; the answer is the response's body."""
        with Connection(self.connection.address) as connection:
            try:
                answer = connection.exchange(api_key, version, body, tags=tags)
                self.answers.append(answer.hex() if len(answer) < LONG_ANSWER else "all that is served")
            except ConnectionError:
                self.answers.append(CLOSED)

    def quietly(self, request: Message, version: int | None = None) -> Any:
        """Ask something that is not part of the answer, in the highest version or in the given one."""
        return self.connection.ask(request, request.versions.highest if version is None else version)

    @contextmanager
    def beside(self) -> Iterator["Ask"]:
        """Someone else, on another connection, who asks in the same version; `begin` and `finish` ask for them."""
        with Connection(self.connection.address) as connection:
            yield Ask(connection, self.question, self.version, self.answers)

    def begin(self, request: Message, version: int | None = None) -> None:
        """Ask something whose answer waits for others; `finish` takes it."""
        self.begun.append((request.api_key, self.version if version is None else version))
        self.connection.send(request, self.begun[-1][1])

    def finish(self) -> Any:
        """The response to what was begun."""
        response = self.connection.receive(*self.begun.pop(0))
        self.answers.append(comparable(response))
        return response

    def name(self, kind: str) -> str:
        """A name that only this question uses, in this version; the same with both brokers."""
        return f"{kind}.{self.question}.{self.version}"

    def topic(self, partitions: int = 1, *, kind: str = "topic", **settings: str) -> Topic:
        """A new topic, once it has leaders."""
        name = self.name(kind)
        configs = [CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in settings.items()]
        created = self.quietly(
            CreateTopicsRequest(
                topics=[
                    CreatableTopic(
                        name=name, num_partitions=partitions, replication_factor=1, assignments=[], configs=configs
                    )
                ]
            )
        )
        assert created.topics[0].error_code == ErrorCode.NONE, created
        self._await_leaders(name, partitions)
        (described,) = self.quietly(MetadataRequest(topics=[MetadataRequestTopic(name=name)])).topics
        return Topic(name, described.topic_id)

    def _await_leaders(self, topic: str, partitions: int) -> None:
        """Metadata may name leaders that do not know it yet."""
        asked = [ListOffsetsPartition(partition_index=index, timestamp=-1) for index in range(partitions)]
        request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=asked)])
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            (answered,) = self.quietly(request).topics
            if all(partition.error_code == ErrorCode.NONE for partition in answered.partitions):
                return
            time.sleep(0.005)
        raise AssertionError(f"{topic} has no leader: {answered}")

    def filled_topic(self, *values: bytes, partitions: int = 1, kind: str = "topic") -> Topic:
        """A new topic with one batch of records in partition 0, one millisecond apart."""
        topic = self.topic(partitions, kind=kind)
        response = self.quietly(produce(topic, batch(*values or (b"a", b"b", b"c"))))
        assert response.responses[0].partition_responses[0].error_code == ErrorCode.NONE, response
        return topic

    def coordinator(self, key: str, kind: int = 0) -> None:
        """Wait until the coordinator of a group (0) or transactional id (1) is there and has loaded its log."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = self.quietly(FindCoordinatorRequest(key_type=kind, coordinator_keys=[key])).coordinators[0]
            if found.error_code == ErrorCode.NONE:
                if kind == 0:
                    found = self.quietly(DescribeGroupsRequest(groups=[key])).groups[0]
                else:
                    found = self.transaction(key)
            if found.error_code not in _NOT_YET:
                return
            time.sleep(0.02)
        raise AssertionError(f"{key} has no coordinator: {found}")

    def transaction(self, transactional_id: str) -> Any:
        """A transaction as its coordinator sees it."""
        return self.quietly(DescribeTransactionsRequest(transactional_ids=[transactional_id])).transaction_states[0]

    def producer_ids(self) -> None:
        """Wait until the broker has producer ids to give away."""
        deadline = time.monotonic() + DEADLINE_S
        request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=1000)
        while (code := self.quietly(request).error_code) == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
            assert time.monotonic() < deadline, code
            time.sleep(0.005)

    def await_end(self, transactional_id: str) -> None:
        """Wait until the markers of a transaction are written."""
        deadline = time.monotonic() + DEADLINE_S
        while (state := self.transaction(transactional_id).transaction_state).startswith("Prepare"):
            assert time.monotonic() < deadline, f"{transactional_id} is still in {state}"
            time.sleep(0.005)


_NOT_YET = (
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_COORDINATOR,
)


def batch(*values: bytes | None, key: bytes | None = b"key", **options: Any) -> bytearray:
    """One record batch with the values, one millisecond apart."""
    return build_batch([NewRecord(key, value, BASE_MS + number) for number, value in enumerate(values)], **options)


def sealed(data: bytearray) -> bytearray:
    """A batch that was changed, with the checksum that fits it again."""
    data[17:21] = crc32c(memoryview(data)[21:]).to_bytes(4, "big")
    return data


def produce(
    topic: Topic, data: bytes | bytearray | None, *, index: int = 0, acks: int = -1, transactional_id: str | None = None
) -> ProduceRequest:
    """A request that fits every version: by name and by id."""
    return ProduceRequest(
        transactional_id=transactional_id,
        acks=acks,
        timeout_ms=10_000,
        topic_data=[
            TopicProduceData(
                name=topic.name, topic_id=topic.id, partition_data=[PartitionProduceData(index=index, records=data)]
            )
        ],
    )
