"""A broker in memory, and the transport that meets it: the worker's tests run on it, and it keeps the contract of
Kafka's.

`MemoryBroker` is what outlives a worker: topics, a group's offsets and members, transactional ids. As on Kafka,
records of a transaction become visible at its commit, which takes one more offset in each partition for its marker; a
newer producer of a transactional id fences the older; members are static, and a generation begins when all of them
have joined again, which they do when they poll.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ottla.transport.contract import (
    TIMESTAMP_CREATE_TIME,
    Follower,
    GroupListener,
    Headers,
    Membership,
    Message,
    OffsetRange,
    OutputRecord,
    Polled,
    TopicPartition,
    TopicSpec,
    TopicState,
    limits_of,
)
from ottla.transport.errors import (
    DeliveryError,
    FatalTransportError,
    MemberFencedError,
    ProducerFencedError,
    RecordRefusedError,
    TransactionAbortedError,
    TransportError,
)
from ottla.transport.partitioner import partition_for_key

_READ_BATCH = 1_000


class MemoryMessage:
    """A `Message` of a memory broker."""

    __slots__ = ("_offset", "_partition", "_record")

    def __init__(self, record: OutputRecord, partition: int, offset: int) -> None:
        self._record = record
        self._partition = partition
        self._offset = offset

    def topic(self) -> str:
        return self._record.topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._record.key

    def value(self) -> bytes | None:
        return self._record.value

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, self._record.timestamp_ms

    def headers(self) -> Headers | None:
        return self._record.headers

    def __repr__(self) -> str:
        return f"<{self.topic()}[{self._partition}]@{self._offset} {self.key()!r}: {self.value()!r}>"


@dataclass(slots=True)
class _Partition:
    """A log: the message at each offset, None where a transaction's marker is."""

    entries: list[Message | None] = field(default_factory=list)
    start: int = 0

    def messages(self, start: int, end: int) -> list[Message]:
        return [entry for entry in self.entries[start:end] if entry is not None]


@dataclass(slots=True)
class _Group:
    """A consumer group. While it rebalances, `rejoined` are the members that the next generation has already."""

    members: dict[str, MemoryTransport] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    generation: int = 0
    rebalancing: bool = False
    rejoined: set[str] = field(default_factory=set)

    def rebalance(self) -> None:
        self.rebalancing = True
        self.rejoined.clear()

    def rejoin(self, worker_id: str) -> bool:
        """The member takes part in the next generation. Returns whether that began."""
        self.rejoined.add(worker_id)
        if self.rejoined < self.members.keys():
            return False
        self.rebalancing = False
        self.generation += 1
        return True


class MemoryBroker:
    """Topics, groups and transactional ids, for any number of `MemoryTransport`s on one event loop."""

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        self.topics: dict[str, list[_Partition]] = {}
        self.configs: dict[str, Mapping[str, str]] = {}
        self.topic_ids: dict[str, str] = {}
        self.groups: defaultdict[str, _Group] = defaultdict(_Group)
        self.producer_epochs: defaultdict[str, int] = defaultdict(int)
        self._topics_made = 0
        self._failures: list[tuple[str, Exception]] = []
        self._changed = asyncio.Event()
        for name, partitions in (topics or {}).items():
            self.create_topic(TopicSpec(name, partitions))

    def create_topic(self, spec: TopicSpec) -> None:
        if spec.name not in self.topics:
            self.topics[spec.name] = [_Partition() for _ in range(spec.partitions or 1)]
            self.configs[spec.name] = spec.config
            self._topics_made += 1
            self.topic_ids[spec.name] = str(self._topics_made)

    def delete_topic(self, topic: str) -> None:
        del self.topics[topic], self.configs[topic], self.topic_ids[topic]

    def add_partitions(self, topic: str, count: int) -> None:
        """Lets the topic grow to `count` partitions."""
        logs = self.topics[topic]
        logs += [_Partition() for _ in range(count - len(logs))]

    def append(self, records: Iterable[OutputRecord], *, transaction: bool = False) -> dict[TopicPartition, int]:
        """Writes records, and returns what `Transport.commit` does: offsets of the records addressed by number.

        In a transaction each partition gets a marker as well. Raises `TransportError` for a topic or partition that
        does not exist; then nothing is written.
        """
        placed = [(self._place(record), record) for record in records]
        addressed = {}
        for where, record in placed:
            entries = self.partition(where).entries
            entries.append(MemoryMessage(record, where.partition, len(entries)))
            if record.partition is not None:
                addressed[where] = len(entries)
        if transaction:
            for where in {where for where, _ in placed}:
                self.partition(where).entries.append(None)
        self.wake()
        return addressed

    def messages(self, topic: str) -> list[Message]:
        """All that a read_committed reader would find in the topic, partition by partition."""
        return [message for log in self.topics.get(topic, ()) for message in log.messages(log.start, len(log.entries))]

    def delete_records_before(self, where: TopicPartition, offset: int) -> None:
        """Moves the log start offset."""
        self.partition(where).start = offset

    def fail_next_commits(self, topic: str, *failures: Exception) -> None:
        """The next commits with offsets of this topic, by any transport, raise these and commit nothing."""
        self._failures += [(topic, failure) for failure in failures]

    def expire(self, app_id: str, worker_id: str) -> None:
        """The session of a member times out: the group goes on without it."""
        group = self.groups[app_id]
        del group.members[worker_id]
        group.rebalance()
        self.wake()

    def partition(self, where: TopicPartition) -> _Partition:
        logs = self.topics.get(where.topic)
        if logs is None or not 0 <= where.partition < len(logs):
            raise TransportError(f"partition {where.topic}[{where.partition}] does not exist")
        return logs[where.partition]

    def wake(self) -> None:
        """Something changed: every poll that waits looks again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def refuse(self, records: Iterable[OutputRecord]) -> None:
        """Raises `RecordRefusedError` if a topic's config forbids one of them: its time, or that it has no key."""
        now_ms = int(time.time() * 1000)
        for record in records:
            limits = limits_of(self.configs.get(record.topic, {}))
            if not -limits.before_ms <= record.timestamp_ms - now_ms <= limits.after_ms:
                raise RecordRefusedError(f"topic {record.topic!r} refuses the time {record.timestamp_ms}")
            if len(record.key or b"") + len(record.value or b"") > limits.max_bytes:
                raise RecordRefusedError(f"topic {record.topic!r} takes no record of this size")
            if limits.needs_key and record.key is None:
                raise RecordRefusedError(f"topic {record.topic!r} takes no record without a key")

    def take_failure(self, offsets: Iterable[TopicPartition]) -> Exception | None:
        """The failure that a commit of these offsets is to raise."""
        if self._failures and any(where.topic == self._failures[0][0] for where in offsets):
            return self._failures.pop(0)[1]
        return None

    def _place(self, record: OutputRecord) -> TopicPartition:
        partition = record.partition
        if partition is None:
            count = len(self.topics.get(record.topic, ())) or 1
            partition = 0 if record.key is None else partition_for_key(record.key, count)
        where = TopicPartition(record.topic, partition)
        self.partition(where)
        return where


class MemoryTransport:
    """A `Transport` to a `MemoryBroker`. A worker that was killed is one whose transport is simply no longer used."""

    def __init__(self, broker: MemoryBroker, app_id: str, worker_id: str, *, exactly_once: bool = True) -> None:
        self._broker = broker
        self._group = broker.groups[app_id]
        self._app_id = app_id
        self._worker_id = worker_id
        self._transactional_id = f"{app_id}-{worker_id}"
        self._exactly_once = exactly_once
        self._epoch = 0
        self._topics: list[str] = []
        self._listener: GroupListener | None = None
        self._generation = 0
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._missing: set[TopicPartition] = set()
        self._told_ends: dict[TopicPartition, int] = {}
        self._produced: list[OutputRecord] = []
        self._written: dict[TopicPartition, int] = {}

    @property
    def worker_id(self) -> str:
        return self._worker_id

    async def start(self) -> None:
        self._broker.producer_epochs[self._transactional_id] += 1
        self._epoch = self._broker.producer_epochs[self._transactional_id]

    async def stop(self, *, leave: bool = True) -> None:
        self._produced.clear()
        if leave and self._group.members.get(self._worker_id) is self:
            del self._group.members[self._worker_id]
            self._group.rebalance()
            self._broker.wake()

    async def topics(self) -> dict[str, int]:
        return {topic: len(partitions) for topic, partitions in self._broker.topics.items()}

    async def partition_counts(self, topics: Iterable[str]) -> dict[str, int]:
        return {topic: len(self._broker.topics[topic]) for topic in topics if topic in self._broker.topics}

    async def topic_states(self, topics: Iterable[str]) -> dict[str, TopicState]:
        broker = self._broker
        return {
            topic: TopicState(len(broker.topics[topic]), broker.topic_ids[topic])
            for topic in topics
            if topic in broker.topics
        }

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        for spec in specs:
            self._broker.create_topic(spec)

    async def subscribe(self, topics: Sequence[str], listener: GroupListener) -> None:
        self._topics, self._listener = list(topics), listener
        known = self._worker_id in self._group.members
        self._group.members[self._worker_id] = self
        if not known or self._group.rebalancing:
            # A static member that comes back before its session timed out is in the generation that there is (KIP-345).
            self._group.rebalance()
        self._broker.wake()

    async def rejoin(self) -> None:
        if self._group.members.get(self._worker_id, self) is not self:
            raise FatalTransportError(f"another worker with the worker id {self._worker_id} is running")
        self._positions.clear()
        self._paused.clear()
        self._missing.clear()
        self._told_ends.clear()
        self._generation = 0
        if self._listener is not None:
            await self.subscribe(self._topics, self._listener)

    async def membership(self) -> Membership:
        return self._membership(self._generation)

    def _membership(self, generation: int) -> Membership:
        return f"{self._worker_id} {id(self)} {generation}".encode()

    async def fence(self, worker_id: str) -> None:
        self._broker.producer_epochs[f"{self._app_id}-{worker_id}"] += 1

    async def members(self) -> set[str]:
        return set(self._group.members)

    async def poll(self, max_messages: int, timeout_s: float) -> Polled:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            await self._follow_group()
            polled = self._take(max_messages)
            remaining = deadline - asyncio.get_running_loop().time()
            if polled.messages or polled.ends or polled.missing or remaining <= 0:
                return polled
            await self._broker.wait(remaining)

    def start_reading(self, positions: Mapping[TopicPartition, int]) -> None:
        for where, position in positions.items():
            self._positions[where] = position
            self._missing.discard(where)
            self._told_ends.pop(where, None)
            self._paused.discard(where)

    def stop_reading(self, partitions: Collection[TopicPartition]) -> None:
        for where in partitions:
            del self._positions[where]
            self._missing.discard(where)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused.update(where for where in partitions if where in self._positions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused.difference_update(partitions)

    async def produce(self, records: Sequence[OutputRecord]) -> None:
        if self._exactly_once:
            self._produced += records
        else:
            self._broker.refuse(records)
            self._written |= self._broker.append(records)

    async def produce_changes(
        self, where: TopicPartition, changes: Sequence[tuple[bytes, bytes | None]], timestamp_ms: int
    ) -> None:
        await self.produce([OutputRecord(where.topic, *each, timestamp_ms, None, where.partition) for each in changes])

    def push(self) -> None:
        """What is produced is written at once, or with its transaction."""

    async def flush(self) -> None:
        """What is produced is written at once, or with its transaction."""

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._group.members.get(self._worker_id) is not self:
            raise DeliveryError("the group has gone on without this worker")
        self._group.offsets.update(offsets)

    async def commit(
        self, offsets: Mapping[TopicPartition, int], membership: Membership | None = None
    ) -> dict[TopicPartition, int]:
        if self._exactly_once and self._epoch != self._broker.producer_epochs[self._transactional_id]:
            raise ProducerFencedError(f"another worker with the worker id {self._worker_id} is running")
        if (failure := self._broker.take_failure(offsets)) is not None:
            raise failure
        if offsets and membership is not None and not self._is_member(membership):
            raise TransactionAbortedError("the generation of the group is over")
        if self._produced:
            self._broker.refuse(self._produced)
            self._written = self._broker.append(self._produced, transaction=True)
            self._produced.clear()
        self._group.offsets.update(offsets)
        written, self._written = self._written, {}
        return written

    async def abort(self) -> None:
        self._produced.clear()
        self._written.clear()

    async def renew(self) -> None:
        await self.abort()
        await self.start()

    async def batch_at_most(self, size: int) -> None:
        """There are no batches."""

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {where: self._group.offsets[where] for where in partitions if where in self._group.offsets}

    async def offset_ranges(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
        logs = {where: self._broker.partition(where) for where in partitions}
        return {where: OffsetRange(log.start, len(log.entries)) for where, log in logs.items()}

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], where: Literal["latest"] | int
    ) -> dict[TopicPartition, int]:
        return {each: self._offset_at(self._broker.partition(each), where) for each in partitions}

    def _offset_at(self, log: _Partition, where: Literal["latest"] | int) -> int:
        if not isinstance(where, int):
            return len(log.entries)
        found = (each.offset() for each in log.messages(log.start, len(log.entries)) if each.timestamp()[1] >= where)
        return next(found, len(log.entries))

    async def configs(self, topics: Iterable[str]) -> dict[str, Mapping[str, str | None]]:
        return {topic: self._broker.configs[topic] for topic in topics if topic in self._broker.configs}

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        for where, offset in before.items():
            if offset > len(self._broker.partition(where).entries):
                raise TransportError(f"deleting records of {where.topic}[{where.partition}]: {offset} is out of range")
            self._broker.delete_records_before(where, max(offset, self._broker.partition(where).start))

    async def known_ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {where: len(self._broker.partition(where).entries) for where in partitions}

    async def read(
        self, ranges: Mapping[TopicPartition, OffsetRange]
    ) -> AsyncGenerator[dict[TopicPartition, list[Message]], None]:
        for where, (start, end) in ranges.items():
            for position in range(start, end, _READ_BATCH):
                await asyncio.sleep(0)
                if messages := self._broker.partition(where).messages(position, min(position + _READ_BATCH, end)):
                    yield {where: messages}

    def follower(self) -> Follower:
        return MemoryFollower(self._broker)

    def _is_member(self, membership: Membership) -> bool:
        group = self._group
        return group.members.get(self._worker_id) is self and membership == self._membership(group.generation)

    async def _follow_group(self) -> None:
        """Takes part in the group's next generation, and tells that it began."""
        group, listener = self._group, self._listener
        if listener is None:
            return
        member = group.members.get(self._worker_id)
        if member is None:
            await listener.lost()
            group.members[self._worker_id] = self
            group.rebalance()
        elif member is not self:
            raise MemberFencedError(f"another worker with the worker id {self._worker_id} is running")
        if group.rebalancing and group.rejoin(self._worker_id):
            self._broker.wake()
        if self._generation != group.generation and not group.rebalancing:
            self._generation = group.generation
            await listener.joined(self._share(), self._membership(self._generation))

    def _share(self) -> list[TopicPartition]:
        members = sorted(self._group.members)
        share = []
        for topic in self._topics:
            partitions = len(self._broker.topics.get(topic, ()))
            each, more = divmod(partitions, len(members))
            place = members.index(self._worker_id)
            first = place * each + min(place, more)
            share += [TopicPartition(topic, first + number) for number in range(each + (place < more))]
        return share

    def _take(self, max_messages: int) -> Polled:
        missing = {}
        for where in self._positions.keys() - self._paused - self._missing:
            log, position = self._broker.partition(where), self._positions[where]
            if not log.start <= position <= len(log.entries):
                missing[where] = position
        self._missing.update(missing)
        idle = self._paused | self._missing
        polled = _next_messages(self._broker, self._positions, self._told_ends, idle, max_messages)
        polled.missing = missing
        return polled


class MemoryFollower:
    """A `Follower` of a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._positions: dict[TopicPartition, int] = {}
        self._told_ends: dict[TopicPartition, int] = {}

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions |= positions

    def remove(self, partitions: Collection[TopicPartition]) -> None:
        for where in partitions:
            del self._positions[where]
            self._told_ends.pop(where, None)

    async def poll(self, timeout_s: float) -> Polled:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            polled = _next_messages(self._broker, self._positions, self._told_ends, (), _READ_BATCH)
            remaining = deadline - asyncio.get_running_loop().time()
            if polled.messages or polled.ends or remaining <= 0:
                return polled
            await self._broker.wait(remaining)

    async def close(self) -> None:
        self._positions.clear()


def _next_messages(
    broker: MemoryBroker,
    positions: dict[TopicPartition, int],
    told_ends: dict[TopicPartition, int],
    paused: Collection[TopicPartition],
    max_messages: int,
) -> Polled:
    """What there is after these positions, which it moves; ends are told once."""
    polled = Polled()
    for where, position in positions.items():
        if where in paused:
            continue
        log = broker.partition(where)
        position = max(position, log.start)
        end = min(position + max_messages, len(log.entries))
        if messages := log.messages(position, end):
            polled.messages[where] = messages
            max_messages -= len(messages)
        positions[where] = end
        if end == len(log.entries) and told_ends.get(where) != end:
            polled.ends[where] = told_ends[where] = end
        if max_messages <= 0:
            break
    return polled
