"""A coordinator without I/O: cores are driven over a log that is a list, with a clock that is a number.

`Driver` does what the runtime does, in the same order, but nothing by itself: tests move the clock, refuse appends, and
recover a second core from the bytes in the log at any moment.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pytest

from ottla_broker.cluster.image import ClusterImage, ResourceType
from ottla_broker.cluster.records import ConfigRecord, PartitionRecord, RemoveTopicRecord, TopicRecord
from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator import group_records, transaction_records
from ottla_broker.coordinator.classic_protocol import Joiner
from ottla_broker.coordinator.consumer_messages import Sender
from ottla_broker.coordinator.decision import Decision, Ticket
from ottla_broker.coordinator.group_core import GroupCore
from ottla_broker.coordinator.groups import RECORD_TYPES
from ottla_broker.coordinator.partitions import by_topic
from ottla_broker.coordinator.records import RecordCodec
from ottla_broker.coordinator.regexes import matching
from ottla_broker.coordinator.timers import Timers
from ottla_broker.coordinator.transaction_core import TransactionCore
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, TopicPartitions
from ottla_wire.messages.heartbeat import HeartbeatRequest
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from ottla_wire.messages.leave_group import MemberIdentity
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

Core = TypeVar("Core")


class Call(Ticket[Any]):
    """A request and what has become of it."""

    __slots__ = ("answer", "answered")

    def __init__(self) -> None:
        self.answered = False
        self.answer: Any = None

    @property
    def code(self) -> ErrorCode:
        """The error of the answer, wherever that is."""
        assert self.answered, "the request still waits"
        if isinstance(self.answer, KafkaError):
            return self.answer.code
        return ErrorCode(getattr(self.answer, "error_code", 0))


@dataclass
class Entry:
    """What the log holds: a record, or with `committed` a marker."""

    producer_id: int
    key: bytes = b""
    value: bytes | None = None
    committed: bool | None = None


@dataclass
class Driver(Generic[Core]):
    new_core: Callable[[Timers[Any]], Core]
    codec: RecordCodec
    now_ms: int = 1_000_000
    log: list[Entry | None] = field(default_factory=list)
    """By offset; None is what compaction has removed."""
    refusing: ErrorCode | None = None
    timers: Timers[Any] = field(default_factory=Timers)
    on_change: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.core: Any = self.new_core(self.timers)
        self.core.loaded(self.now_ms)

    def submit(self, decide: Callable[[Any, Call, int], Decision]) -> Call:
        call = Call()
        try:
            decision = decide(self.core, call, self.now_ms)
        except KafkaError as error:
            self._give(call, error)
        else:
            self.carry_out(decision)
        return call

    def carry_out(self, decision: Decision) -> None:
        if decision.records and self.refusing is not None:
            for call in (*(call for call, _ in decision.answers), *decision.deferred):
                self._give(call, KafkaError(self.refusing))
            if decision.otherwise is not None:
                self.carry_out(decision.otherwise(self.now_ms))
            return
        producer_id = -1 if decision.producer is None else decision.producer.id
        for record in decision.records:
            self.core.replay(record, len(self.log), producer_id)
            self.log.append(Entry(producer_id, *self.codec.encode(record)))
        following = None if decision.then is None else decision.then()
        for call, reply in decision.answers:
            self._give(call, reply)
        if following is not None:
            self.carry_out(following)
        self.on_change()

    def marker(self, producer_id: int, committed: bool) -> None:
        """The end of a transaction arrives in this partition."""
        self.log.append(Entry(producer_id, committed=committed))
        self.core.replay_marker(producer_id, committed)

    def advance(self, milliseconds: int) -> None:
        """Let time pass; deadlines come due in order, each at its own time."""
        end_ms = self.now_ms + milliseconds
        while (deadline_ms := self.timers.next_deadline()) is not None and deadline_ms <= end_ms:
            self.now_ms = max(self.now_ms, deadline_ms)
            timer = self.timers.pop_due(self.now_ms)
            self.carry_out(self.core.expire(timer, self.now_ms))
        self.now_ms = end_ms

    def recovered(self, entries: int | None = None) -> Any:
        """A core made from the first entries of the log, as after a crash."""
        core: Any = self.new_core(Timers())
        for offset, entry in enumerate(self.log[:entries]):
            if entry is None:
                continue
            if entry.committed is not None:
                core.replay_marker(entry.producer_id, entry.committed)
            else:
                core.replay(self.codec.decode(entry.key, entry.value), offset, entry.producer_id)
        return core

    def compact(self, end: int, *, late: bool) -> None:
        """Compact the log up to `end`, or to the first transaction that is open there.

        What goes only after its delete horizon, tombstones and markers without records, goes if it is so `late`.
        """
        aborted: set[int] = set()
        open_since: dict[int, list[int]] = {}
        for offset, entry in enumerate(self.log):
            if entry is None or entry.producer_id < 0:
                continue
            if entry.committed is None:
                open_since.setdefault(entry.producer_id, []).append(offset)
            else:
                written = open_since.pop(entry.producer_id, [])
                aborted.update(() if entry.committed else written)
        end = min([end, *(offsets[0] for offsets in open_since.values())])
        last = {
            entry.key: offset
            for offset, entry in enumerate(self.log[:end])
            if entry is not None and entry.committed is None and offset not in aborted
        }
        written_by: set[int] = set()
        for offset, entry in enumerate(self.log[:end]):
            if entry is None:
                continue
            if entry.committed is not None:
                stays = entry.producer_id in written_by or not late
                written_by.discard(entry.producer_id)
            else:
                stays = last.get(entry.key) == offset and (entry.value is not None or not late)
                if stays and entry.producer_id >= 0:
                    written_by.add(entry.producer_id)
            if not stays:
                self.log[offset] = None

    def restart(self) -> None:
        """Crash and start again: what is not in the log is gone. Some of the log may have been compacted by then."""
        match len(self.log) % 4:
            case 1:
                self.compact(len(self.log) // 2, late=True)
            case 2:
                self.compact(len(self.log), late=False)
            case 3:
                self.compact(len(self.log), late=True)
        self.core = self.recovered()
        self.timers = self.core._timers
        self.core.loaded(self.now_ms)
        self.on_change()

    @staticmethod
    def _give(call: Any, reply: Any) -> None:
        assert not call.answered, "a request is answered once"
        call.answered, call.answer = True, reply


class GroupDriver(Driver[GroupCore]):
    """Speaks for the members of one group, named "group"; `image` says which topics there are."""

    image: ClusterImage
    matches_regexes = True
    _members = 0

    def topic(self, name: str, partitions: int) -> uuid.UUID:
        """Make a topic, or give it more partitions."""
        state = self.image.topics.get(name)
        topic_id = uuid.UUID(int=1000 + self.image.offset) if state is None else state.id
        if state is None:
            self.image.replay(TopicRecord(name=name, topic_id=topic_id), self.image.offset + 1)
        for index in range(0 if state is None else len(state.partitions), partitions):
            record = PartitionRecord(
                partition_id=index,
                topic_id=topic_id,
                replicas=[1],
                isr=[1],
                removing_replicas=[],
                adding_replicas=[],
                leader=1,
                leader_epoch=0,
                partition_epoch=0,
            )
            self.image.replay(record, self.image.offset + 1)
        return topic_id

    def delete_topic(self, name: str) -> None:
        record = RemoveTopicRecord(topic_id=self.image.topics[name].id)
        self.image.replay(record, self.image.offset + 1)

    def configure(self, name: str, value: str | None) -> None:
        """Set one setting of the group."""
        record = ConfigRecord(resource_type=ResourceType.GROUP, resource_name="group", name=name, value=value)
        self.image.replay(record, self.image.offset + 1)

    def match_regexes(self) -> None:
        """Does at once what the driver of the broker does in a thread."""
        if self.matches_regexes:
            for resolution in self.core.consumers.take_unresolved():
                found = {regex: matching(regex, self.image.topics) for regex in resolution.regexes}
                self.carry_out(self.core.consumers.resolved(resolution, found, self.now_ms))

    def consumer(self, member_id: str, topics: Iterable[str] = ("topic",), **options: Any) -> "Consumer":
        return Consumer(self, member_id, topics, **options)

    def settle(self, *consumers: "Consumer", rounds: int = 6) -> None:
        """Heartbeats of everyone, often enough for all to have what they are to have."""
        for _ in range(rounds):
            self.advance(1_000)
            for consumer in consumers:
                consumer.heartbeat()

    def join(
        self,
        member_id: str = "",
        *,
        instance: str | None = None,
        protocols: dict[str, bytes] | None = None,
        version: int = 9,
        session_timeout_ms: int = 10_000,
        rebalance_timeout_ms: int = 60_000,
        protocol_type: str = "consumer",
    ) -> Call:
        self._members += 1
        request = JoinGroupRequest(
            group_id="group",
            session_timeout_ms=session_timeout_ms,
            rebalance_timeout_ms=rebalance_timeout_ms,
            member_id=member_id,
            group_instance_id=instance,
            protocol_type=protocol_type,
            protocols=[
                JoinGroupRequestProtocol(name=name, metadata=metadata)
                for name, metadata in (protocols or {"range": b""}).items()
            ],
        )
        joiner = Joiner("client", "/127.0.0.1", f"member-{self._members}", version >= 4, version >= 9)
        return self.submit(lambda core, call, now_ms: core.join(request, joiner, call, now_ms))

    def enter(self, **options: Any) -> Call:
        """Join as a new dynamic member does from version 4 on: once for an id, and once with it."""
        first = self.join(**options)
        assert first.code is ErrorCode.MEMBER_ID_REQUIRED
        return self.join(first.answer.member_id, **options)

    def sync(self, joined: Any, assignments: dict[str, bytes] | None = None, *, instance: str | None = None) -> Call:
        request = SyncGroupRequest(
            group_id="group",
            generation_id=joined.generation_id,
            member_id=joined.member_id,
            group_instance_id=instance,
            protocol_type=joined.protocol_type,
            protocol_name=joined.protocol_name,
            assignments=[
                SyncGroupRequestAssignment(member_id=member_id, assignment=assignment)
                for member_id, assignment in (assignments or {}).items()
            ],
        )
        return self.submit(lambda core, call, now_ms: core.sync(request, call, now_ms))

    def heartbeat(self, joined: Any, *, instance: str | None = None) -> ErrorCode:
        request = HeartbeatRequest(
            group_id="group",
            generation_id=joined.generation_id,
            member_id=joined.member_id,
            group_instance_id=instance,
        )
        try:
            return ErrorCode(self.core.heartbeat(request, self.now_ms).error_code)
        except KafkaError as error:
            return error.code

    def leave(self, member_id: str, *, instance: str | None = None) -> Call:
        members = [MemberIdentity(member_id=member_id, group_instance_id=instance)]
        return self.submit(lambda core, call, now_ms: core.leave("group", members, call, now_ms))

    def stable(self, members: int, **options: Any) -> list[Any]:
        """A stable group with so many members; the answers to their last JoinGroup, the leader's first."""
        calls = [self.enter(**options)]
        for _ in range(members - 1):
            joining = self.enter(**options)
            calls = [self.join(call.answer.member_id, **options) for call in calls] + [joining]
        joined = sorted((call.answer for call in calls), key=lambda answer: answer.member_id != answer.leader)
        assert len({answer.generation_id for answer in joined}) == 1
        assignment = {answer.member_id: b"partitions of " + answer.member_id.encode() for answer in joined}
        for answer in joined:
            assert self.sync(answer, assignment if answer.member_id == answer.leader else None).code is ErrorCode.NONE
        return joined

    @property
    def group(self) -> Any:
        return self.core.groups["group"]


class Consumer:
    """A client of the consumer protocol: it gives up partitions as soon as it is told to, and says so when it speaks
    next."""

    def __init__(
        self,
        driver: GroupDriver,
        member_id: str,
        topics: Iterable[str],
        *,
        regex: str | None = None,
        instance: str | None = None,
        assignor: str | None = None,
        rebalance_timeout_ms: int = 60_000,
    ) -> None:
        self.driver = driver
        self.member_id = member_id
        self.topics = list(topics)
        self.regex = regex
        self.instance = instance
        self.assignor = assignor
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.epoch = 0
        self.uses: set[tuple[uuid.UUID, int]] = set()
        self.has_news = False
        self.given: set[tuple[uuid.UUID, int]] | None = None
        """What the last answer gave; None if it said nothing about that."""

    def request(self, *, full: bool = False, **changes: Any) -> ConsumerGroupHeartbeatRequest:
        request = ConsumerGroupHeartbeatRequest(
            group_id="group", member_id=self.member_id, member_epoch=self.epoch, instance_id=self.instance
        )
        if self.epoch == 0 or full:
            request.rebalance_timeout_ms = self.rebalance_timeout_ms
            request.subscribed_topic_names = self.topics
            request.subscribed_topic_regex = self.regex
            request.server_assignor = self.assignor
        if self.epoch == 0 or full or self.has_news:
            request.topic_partitions = [
                TopicPartitions(topic_id=topic_id, partitions=indexes)
                for topic_id, indexes in by_topic(self.uses).items()
            ]
        for name, value in changes.items():
            setattr(request, name, value)
        return request

    def send(self, request: ConsumerGroupHeartbeatRequest) -> Call:
        sender = Sender("client", "/127.0.0.1", f"made-for-{self.member_id}")
        return self.driver.submit(lambda core, call, now_ms: core.consumers.heartbeat(request, sender, call, now_ms))

    def heartbeat(self, *, lost: bool = False, **changes: Any) -> Call:
        """One heartbeat, the answer of which may get lost."""
        call = self.send(self.request(**changes))
        if not lost:
            self.take(call)
        return call

    def take(self, call: Call) -> None:
        if call.code in (ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.UNKNOWN_MEMBER_ID):
            self.forget()
        if call.code is not ErrorCode.NONE:
            return
        self.epoch, self.has_news = call.answer.member_epoch, False
        assignment = call.answer.assignment
        self.given = None
        if assignment is not None:
            self.given = {(t.topic_id, index) for t in assignment.topic_partitions for index in t.partitions}
            self.has_news = self.given != self.uses
            self.uses = self.given

    def forget(self) -> None:
        """Begin anew, without partitions."""
        self.epoch, self.uses, self.has_news = 0, set(), False

    def leave(self, epoch: int = -1) -> Call:
        call = self.send(self.request(member_epoch=epoch))
        self.forget()
        return call

    @property
    def indexes(self) -> list[int]:
        return sorted(index for _, index in self.uses)


@pytest.fixture
def groups() -> Callable[..., GroupDriver]:
    """Makes a driver of group coordination with the settings given; no initial rebalance delay by default."""

    def make(**settings: Any) -> GroupDriver:
        config = BrokerConfig(**{"group_initial_rebalance_delay_ms": 0, **settings})
        image = ClusterImage()
        driver = GroupDriver(
            lambda timers: GroupCore(0, config, timers, image),
            RecordCodec(RECORD_TYPES, group_records.offset_value_version),
        )
        driver.image = image
        driver.on_change = driver.match_regexes
        return driver

    return make


@pytest.fixture
def transactions() -> Callable[..., Driver[TransactionCore]]:
    """Makes a driver of transaction coordination with the settings given."""

    def make(**settings: Any) -> Driver[TransactionCore]:
        config = BrokerConfig(**settings)
        return Driver(lambda timers: TransactionCore(0, config, timers), RecordCodec(transaction_records.RECORD_TYPES))

    return make
