"""What the engine asks of a broker: messages in, records out, and a commit that joins both.

The worker drives a `Transport`; `kafka.py` implements it over confluent-kafka and `memory.py` in memory. One test
suite (`tests/engine/transport`) holds both to this contract.

A transport belongs to one event loop. It never raises into the loop from another thread, and it never buffers without
a bound.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

Headers = list[tuple[str, bytes | None]]

TIMESTAMP_NOT_AVAILABLE, TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME = 0, 1, 2


class Message(Protocol):
    """A record that was read. `confluent_kafka.Message` has these methods, so that nothing is wrapped on the way to
    a task.
    """

    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def timestamp(self) -> tuple[int, int]:
        """The timestamp's type (0 none, 1 create time, 2 log append time) and the timestamp in milliseconds."""
        ...

    def headers(self) -> Headers | None: ...


class TopicPartition(NamedTuple):
    topic: str
    partition: int


class OutputRecord(Struct, gc=False):
    """A record to be written. Without a partition, murmur2 of the key chooses it, as Java's clients do."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers | None = None
    partition: int | None = None


class OffsetRange(NamedTuple):
    """What a partition holds: `start` (log start offset) <= offset < `end` (high watermark)."""

    start: int
    end: int


class TopicState(NamedTuple):
    """A topic as it is now. Its `id` is that of no other topic, nor of one that was made anew under its name (KIP-516);
    None where the broker gives none.
    """

    partitions: int
    id: str | None


class TopicLimits(NamedTuple):
    """What a topic refuses of records: times that are further before or after its broker's clock, where it is compacted
    those without a key, and those that make a batch of more than `max_bytes`, after compression.
    """

    before_ms: int
    after_ms: int
    needs_key: bool
    max_bytes: int


_ALWAYS = "9223372036854775807"
ANY_TIME: Mapping[str, str] = {
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": _ALWAYS,
    "message.timestamp.after.max.ms": _ALWAYS,
}
"""The config of a topic of the app's own, whose records keep the time they are given, whatever it is. A broker's
defaults may differ: Kafka 4 refuses what is an hour ahead of its clock (KIP-1030), an event's time or a worker's."""


PASSED_ON: Mapping[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "segment.bytes": "52428800",
    **ANY_TIME,
}
"""The config of a topic through which the app's events go on to other tasks. What was processed is deleted by its
workers, and nothing by time; a broker gives back the room of whole segments, so that they are small, as Kafka Streams'.
"""


def limits_of(config: Mapping[str, str | None]) -> TopicLimits:
    """The limits that a topic's config sets; where it is silent, as it is of times before Kafka 3.6, none."""
    return TopicLimits(
        int(config.get("message.timestamp.before.max.ms") or _ALWAYS),
        int(config.get("message.timestamp.after.max.ms") or _ALWAYS),
        "compact" in (config.get("cleanup.policy") or ""),
        int(config.get("max.message.bytes") or _ALWAYS),
    )


@dataclass(frozen=True)
class TopicSpec:
    """A topic the app needs. It is created when it is missing and `partitions` is given; otherwise it must exist.

    With `partitions_if_missing` it is created with so many, and taken with any number that it has.
    """

    name: str
    partitions: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    partitions_if_missing: int | None = None


@dataclass(slots=True)
class Polled:
    """What one poll brought: the messages of each partition in offset order, and the partitions read to their end.

    `ends` holds, for each partition whose end was reached after these messages, the next offset that will be written
    there; control records may put it beyond the last message's offset + 1. `missing` has the offset that was to be read
    next of each partition where it is not there, deleted or beyond the end: of those nothing is read until reading is
    started anew.
    """

    messages: dict[TopicPartition, list[Message]] = field(default_factory=dict)
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    missing: dict[TopicPartition, int] = field(default_factory=dict)


Membership = bytes
"""A worker's place in a generation of its group, as the broker knows it. Opaque; equal ones are the same."""


class GroupListener(Protocol):
    """Who is told how the consumer group goes on. The calls come while `Transport.poll` is awaited, one after another.

    The group's own assignment of partitions elects: the control topic's only partition makes its holder the leader.
    What a worker reads is its own business (`start_reading`).
    """

    async def joined(self, partitions: Sequence[TopicPartition], membership: Membership) -> None:
        """A generation of the group began; in it, these partitions are this worker's. Must not take long.

        `membership` is that of this very generation: the group may have gone on while the call was on its way.
        """

    async def lost(self) -> None:
        """The group went on without this worker: nothing that is not committed can be."""


class Follower(Protocol):
    """Reads partitions outside the group for as long as it is wanted: how copies of state are kept."""

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        """Reads these partitions too, from these offsets on, or from the log start offset if they are not there."""

    def remove(self, partitions: Collection[TopicPartition]) -> None:
        """Reads these partitions no more: a poll that is under way brings nothing of them either."""

    async def poll(self, timeout_s: float) -> Polled:
        """Committed messages that came, and the ends that were reached. Waits while there are none.

        A wait that is given up may go on for its time, and `close` waits for it.
        """
        ...

    async def close(self) -> None: ...


class Transport(Protocol):
    """A broker as the worker sees it. Every coroutine raises `TransportError` or one of its kinds."""

    @property
    def worker_id(self) -> str: ...

    async def start(self) -> None:
        """Connects and, when exactly once, fences every earlier producer of the same id. Bounded in time."""

    async def stop(self, *, leave: bool = True) -> None:
        """Leaves the group and closes; what is not committed is aborted.

        One that does not leave is expected back as the member that it is, and has its place until then.
        """

    async def topics(self) -> dict[str, int]:
        """Every topic that there is, with its partition count."""
        ...

    async def partition_counts(self, topics: Iterable[str]) -> dict[str, int]:
        """The partition count of each topic that exists."""
        ...

    async def topic_states(self, topics: Iterable[str]) -> dict[str, TopicState]:
        """Each topic that exists, as it is now."""
        ...

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Creates the topics and waits until they can be used. A topic that exists already is no error."""

    async def subscribe(self, topics: Sequence[str], listener: GroupListener) -> None:
        """Joins the consumer group of the app, whose topics these are."""

    async def rejoin(self) -> None:
        """Joins the group anew after a `MemberFencedError`, with the same topics and listener; nothing is read then.

        Waits until the member in its place is gone, for a session timeout. Raises `FatalTransportError` if that stays:
        another worker with this one's id is alive.
        """

    async def membership(self) -> Membership:
        """This worker's place in the group's newest generation that it knows of."""
        ...

    async def members(self) -> set[str]:
        """The worker ids of the group's members."""
        ...

    async def fence(self, worker_id: str) -> None:
        """Exactly once: what a worker has open is aborted, and it commits no more until it is started anew."""

    async def poll(self, max_messages: int, timeout_s: float) -> Polled:
        """Waits until there are messages or the time is over, then takes what is there, `max_messages` at most.

        Only committed messages are delivered.
        """
        ...

    def start_reading(self, positions: Mapping[TopicPartition, int]) -> None:
        """Polls bring messages of these partitions too, from these offsets on; of those that have them not,
        `Polled.missing` tells.
        """

    def stop_reading(self, partitions: Collection[TopicPartition]) -> None:
        """Polls bring no messages of these partitions any more, until reading is started anew."""

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """No messages of these partitions are polled until they are resumed, or reading is started anew."""

    def resume(self, partitions: Iterable[TopicPartition]) -> None: ...

    async def produce(self, records: Sequence[OutputRecord]) -> None:
        """Hands records to the producer. Waits for room when its queue is full; delivery is settled by `commit`.

        At least once it may be called while a `flush` or `commit` is under way, which does not wait for these records.
        """

    async def produce_changes(
        self, where: TopicPartition, changes: Sequence[tuple[bytes, bytes | None]], timestamp_ms: int
    ) -> None:
        """As `produce`, for the records of one partition, as keys and values: those of a changelog at a commit."""

    def push(self) -> None:
        """Says that nothing more will be produced for a moment: what was is to be sent now, not with what may follow.

        Does not wait. Of use at least once only: a transaction is seen when it is committed.
        """

    async def flush(self) -> None:
        """Waits until every record produced so far is written. Raises `DeliveryError` (at least once) for one that is
        not.
        """

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> None:
        """At least once: makes sure that the group has this member, and will for half a session timeout at least.

        If it has not taken a commit for so long it is asked, by committing these offsets, which are committed, once
        more. Raises `DeliveryError` if it has gone on without this member, `MemberFencedError` with another in its
        place.
        """

    async def commit(
        self, offsets: Mapping[TopicPartition, int], membership: Membership | None = None
    ) -> dict[TopicPartition, int]:
        """Settles every record produced since the last commit together with the next offsets to read.

        Exactly once: in one transaction, which the group refuses if there are offsets and this `membership`, or without
        one the newest, is over (KIP-447). At least once: all records are acknowledged before the offsets are stored.
        Returns, for each partition that a record was addressed to by number, the offset after the last such record.
        Raises `TransactionAbortedError` or `DeliveryError` when nothing was committed (both in one, a
        `RecordRefusedError`, if a record is the reason), `OffsetsUnknownError` when all records were acknowledged but
        not the offsets, and `FatalTransportError` when nothing can be.
        """
        ...

    async def abort(self) -> None:
        """Drops what was produced since the last commit. At least once, records that are on their way stay written.

        A producer that was fenced has nothing to drop any more; the next commit says so.
        """

    async def renew(self) -> None:
        """Begins with nothing produced. Exactly once with a new producer, after a `ProducerFencedError`, which fences
        the others of its id.
        """

    async def batch_at_most(self, size: int) -> None:
        """From now on no batch of several records has more bytes than this. To be called when nothing is produced that
        is not committed or aborted.
        """

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The group's committed offset of each partition that has one, when no transaction is pending there."""
        ...

    async def offset_ranges(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetRange]: ...

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], where: Literal["latest"] | int
    ) -> dict[TopicPartition, int]:
        """The end of each partition, or the offset of its first record from a time (milliseconds) on; without one, the
        end."""
        ...

    async def configs(self, topics: Iterable[str]) -> dict[str, Mapping[str, str | None]]:
        """The config of each topic that exists, by Kafka's names: all of it, or what was set."""
        ...

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        """Deletes what lies before these offsets. Raises `TransportError` if the cluster refuses."""

    async def known_ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The end of each partition that is read, as the last fetch told it: no request is made."""
        ...

    def read(
        self, ranges: Mapping[TopicPartition, OffsetRange]
    ) -> AsyncGenerator[dict[TopicPartition, list[Message]], None]:
        """Reads the committed messages with start <= offset < end of all these partitions at once, outside the group.

        For restoring state. Ends when every partition was read to its end, for which it waits until transactions that
        are open there are decided; batches are bounded.
        """
        ...

    def follower(self) -> Follower:
        """A new reader outside the group."""
        ...
