"""What a step of the topology becomes in a task: a processor, and the context that all processors of a task share.

A processor receives batches and hands batches on to the next ones; it awaits only what a user's agent awaits.
Everything that leaves the task (outputs, dead letters, counts) goes through the `TaskContext`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import astuple, dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ottla.deadletters import (
    ErrorPolicy,
    Failure,
    FailureKind,
    StepPolicy,
    dead_letters,
    describe_error,
    describe_origin,
)
from ottla.errors import EncodeError, NotInTask, ProcessingFailed, RecordTooLarge, Unavailable
from ottla.escapes import raised_at
from ottla.event import Event, event_at
from ottla.outlet import Outlet
from ottla.state.cache import StoreCache
from ottla.state.global_store import GlobalStore
from ottla.task.batch import Batch
from ottla.task.origins import KeptMessage
from ottla.task.refusals import Refusals, StateRefused
from ottla.task.storable import check_entry
from ottla.task.unacked import Unacked
from ottla.transport.contract import Message, OutputRecord, TopicPartition

if TYPE_CHECKING:
    from ottla.topology.topology import TaskId

MAX_RECORD_BYTES = 1_000_000
"""What librdkafka sends at most in one record, as long as `message.max.bytes` is not set."""

Cause = tuple[str, type[BaseException]]
"""Where events fail and on what: the name of a step, and the error's type."""
_MOST_CAUSES = 5


@dataclass(slots=True)
class TaskCounts:
    """What a task did with the events it was given, since it was made."""

    processed: int = 0
    dead_lettered: int = 0
    skipped: int = 0
    retried: int = 0
    null_key_dropped: int = 0
    null_value_dropped: int = 0
    late_dropped: int = 0
    windows_closed: int = 0

    @classmethod
    def total(cls, counts: Iterable[TaskCounts]) -> TaskCounts:
        """The sum over several tasks."""
        rows = [astuple(each) for each in counts]
        return cls(*(sum(column) for column in zip(*rows, strict=True)))


PartitionCounts = Callable[[Collection[str]], Awaitable[Mapping[str, int]]]
"""Tells how many partitions each of the topics has that exist."""


class Cursor(Protocol):
    """The event that an agent or operator is at: a row of its current batch."""

    @property
    def batch(self) -> Batch: ...
    @property
    def row(self) -> int: ...


class Written(NamedTuple):
    """A write to a table that stays: what the key had and has, and the time and message of the event that made it."""

    key: Any
    old: Any
    new: Any
    timestamp: int
    origin: Message | None


class Follower(Protocol):
    """Is told what was written to a table."""

    async def tell(self, written: Sequence[Written]) -> None: ...


class Asks(Protocol):
    """How an agent asks another in the middle of an event: by an outlet, and while it waits, saying for what."""

    @property
    def outlet(self) -> Outlet: ...
    def waiting(self, task: TaskId, where: TopicPartition) -> AbstractContextManager[None]:
        """Raises `NotInTask` if the answer would never come."""
        ...


class Answerer(Protocol):
    """Is told of an event that will not come to it: a step before it failed."""

    def refused(self, batch: Batch, row: int, error: BaseException) -> None: ...


@dataclass(slots=True)
class Place:
    """A cursor that stands still."""

    batch: Batch
    row: int


@dataclass(slots=True)
class TaskContext:
    """What the processors of one task share.

    `sleep` is how a retry waits: the worker passes `asyncio.sleep`, tests one that moves their clock. `cursor` is set
    while an agent runs, `called_for` while an operator calls a function for each row of a batch; `awaiting` is the
    cursor of the agent that awaited something last. `journal` holds what the agent's current batch did, as (row, how to
    take it back), so that an event whose processing raised leaves no trace. `now_ms` is the wall clock as it was last
    told, and `elapsed_ms` what waits that no event ends go by: it is never set, and tells nothing but how much later it
    is (-1 before it was told). `global_tables` belong to the worker; no task writes them. `policy` is the
    app's, `step_policies` what single steps do otherwise. A record of more than `max_record_bytes` is not sent, nor is
    one of which `refusals` says that its topic does not take it. `partition` is the task's, that of all its inputs.
    `partition_counts` tells of topics that steps choose while they run how many partitions those have that exist.
    `failures` has a sentence about the first event that failed of each cause, since they were taken.
    `asks` is how agents ask in the middle of an event, None where they cannot.
    `unacked` are the events that an agent acknowledges itself.
    `followers` are told what is written to tables, by their stores, and `answerers` what a step before them rejected,
    by the names of those steps.
    """

    task: TaskId
    stores: Mapping[str, StoreCache]
    policy: ErrorPolicy
    dead_letter_topic: str
    sleep: Callable[[float], Awaitable[None]]
    outputs: list[OutputRecord] = field(default_factory=list)
    counts: TaskCounts = field(default_factory=TaskCounts)
    failures: dict[Cause, str] = field(default_factory=dict)
    cursor: Cursor | None = None
    awaiting: Cursor | None = None
    called_for: Cursor | None = None
    journal: list[tuple[int, StoreCache | None, Any, Any]] = field(default_factory=list)
    now_ms: int = 0
    elapsed_ms: int = -1
    partition: int = 0
    global_tables: Mapping[str, GlobalStore] = field(default_factory=dict)
    step_policies: Mapping[str, StepPolicy] = field(default_factory=dict)
    max_record_bytes: int = MAX_RECORD_BYTES
    partition_counts: PartitionCounts = field(kw_only=True)
    refusals: Refusals = field(default_factory=Refusals)
    followers: dict[str, Follower] = field(default_factory=dict)
    answerers: dict[str, list[Answerer]] = field(default_factory=dict)
    asks: Asks | None = None
    unacked: Unacked = field(default_factory=Unacked)
    _shared: dict[str, Any] = field(default_factory=dict)

    def shared(self, store: str, make: Callable[[StoreCache], Any]) -> Any:
        """What several steps of the task have in common over one store: made when the first of them asks."""
        if store not in self._shared:
            self._shared[store] = make(self.stores[store])
        return self._shared[store]

    def policy_at(self, step: str) -> ErrorPolicy:
        """What becomes of the events that a step fails on."""
        return self.policy.at(self.step_policies.get(step))

    def reject(
        self,
        step: str,
        error: BaseException,
        batch: Batch,
        row: int,
        *,
        kind: FailureKind | None = None,
        before: str | None = None,
    ) -> None:
        """Does with a failed event what the policy says: dead letter, skip, or `ProcessingFailed`.

        It goes no further than the step, or than `before` if it did not come that far. Without `kind` the event failed
        at being processed, or for an `EncodeError` at being written. One that failed because something was
        `Unavailable` is not at fault: that is raised on.
        """
        if isinstance(error, Unavailable):
            raise error
        if kind is None:
            kind = "production" if isinstance(error, EncodeError) else "processing"
        decision = self.policy_at(step).decide(kind, lambda: _failure(kind, step, error, batch, row))
        if decision == "fail":
            raise ProcessingFailed(_sentence(step, error, batch, row) + raised_at(error)) from error
        cause = step, type(error)
        if cause not in self.failures and len(self.failures) < _MOST_CAUSES:
            self.failures[cause] = _sentence(step, error, batch, row)
        for answerer in self.answerers.get(before or step, ()):
            answerer.refused(batch, row, error)
        if decision == "skip":
            self.counts.skipped += 1
            return
        letters = dead_letters(
            self.dead_letter_topic,
            kind,
            step,
            error,
            batch,
            row,
            now_ms=self.now_ms,
            max_bytes=self.largest(self.dead_letter_topic),
            takes_time=self.takes_time,
        )
        self.counts.dead_lettered += len(letters)
        self.outputs += letters

    def now(self) -> int | None:
        """The time of the event at hand: the one an agent is at, or for which an operator calls its function."""
        at = self.cursor if self.cursor is not None else self.called_for
        return None if at is None or not at.batch.timestamps else at.batch.timestamps[max(at.row, 0)]

    def event_time(self) -> int:
        """The time of the event that an agent is processing. Raises `NotInTask` between events."""
        if self.cursor is None or not self.cursor.batch.timestamps:
            raise NotInTask("no event is being processed, so there is no time to take: give timestamp=")
        return self.cursor.batch.timestamps[max(self.cursor.row, 0)]

    def event(self) -> Event[Any] | None:
        """The event at hand, if there is one: see `now`."""
        at = self.cursor if self.cursor is not None else self.called_for
        return event_at(at.batch, at.row) if at is not None and 0 <= at.row < len(at.batch) else None

    def emit(self, record: OutputRecord) -> None:
        """Adds a record that a user's code sent to the task's outputs. Raises `RecordTooLarge` and `RecordRefused`."""
        self.check(record)
        if self.cursor is not None:
            self.journal.append((self.cursor.row, None, record, None))
        self.outputs.append(record)

    def check(self, record: OutputRecord) -> None:
        """Raises `RecordTooLarge` or `RecordRefused` for a record that cannot be written."""
        check_size(record, self.max_record_bytes)
        self.refusals.check(record, self.now_ms)

    def largest(self, topic: str) -> int:
        """How many bytes the key and value of a record for the topic may have, as far as is known."""
        return min(self.max_record_bytes, self.refusals.largest(topic, self.now_ms))

    def takes_time(self, topic: str, timestamp_ms: int) -> bool:
        """Whether a topic takes records of this time, as far as is known."""
        return self.refusals.takes_time(topic, timestamp_ms, self.now_ms)

    # -- looking closely, after state could not be written

    @property
    def looks_closely(self) -> bool:
        """Whether what each event writes to tables is to be looked at before it stays."""
        return self.refusals.looks_closely(self.task)

    def parts(self, batch: Batch) -> Iterable[Batch]:
        """The batch, or if it is to be looked at closely each of its events."""
        return (batch.slice(row, row + 1) for row in range(len(batch))) if self.looks_closely else (batch,)

    def check_written(self) -> None:
        """Raises an `EncodeError` if what was written to tables, and can be taken back, cannot be stored."""
        for _, store, key, _ in self.journal:
            if store is not None:
                check_entry(store, key, self.largest(store.spec.changelog))

    def take_back_unstorable(self, step: str, error: EncodeError, batch: Batch, row: int) -> None:
        """Undoes what the only event at hand did, of which `check_written` said that it cannot be stored.

        Raises `StateRefused` where a value was changed in place: what it was is known only at the last commit.
        """
        written = {(store, key) for _, store, key, _ in self.journal if store is not None}
        while self.journal:
            self.take_back(self.journal[-1][0])
        try:
            for store, key in written:
                check_entry(store, key, self.largest(store.spec.changelog))
        except EncodeError:
            origin = batch.origins[row]
            # What an earlier commit holds cannot be rejected in its turn; then the next commit will fail.
            if origin is None or isinstance(origin, KeptMessage):
                return
            where = TopicPartition(origin.topic(), origin.partition())
            raise StateRefused(error, self.task, step, 1, where, origin.offset(), proven=True) from error

    async def settle(self, batch: Batch) -> None:
        """What was done for the batch stays: who follows a table that was written is told, in the order of the writes,
        and how to take it back is forgotten."""
        if not self.followers:
            self.journal.clear()
            return
        journal = list(self.journal)
        self.journal.clear()
        writes: list[tuple[str, Written]] = []
        newer: dict[tuple[str, Any], Any] = {}
        for row, store, key, before in reversed(journal):
            if store is not None and (name := store.spec.name) in self.followers:
                new = newer[name, key] if (name, key) in newer else store.stored(key)
                newer[name, key] = before
                last = min(row, len(batch) - 1)
                origin = batch.origins[last] if batch.values else None
                timestamp = batch.timestamps[last] if batch.values else self.now_ms
                writes.append((name, Written(key, before, new, timestamp, origin)))
        for name, group in groupby(reversed(writes), itemgetter(0)):
            await self.followers[name].tell([written for _, written in group])

    def take_back(self, row: int, *, shared: bool = False) -> None:
        """Undoes the table writes and sends of the row, the newest first.

        Where instances of an agent share the batch, others may have written since. What they wrote stays: the value
        from before this row becomes what is restored if they fail in their turn.
        """
        journal = self.journal
        others: list[tuple[int, StoreCache | None, Any, Any]] = []
        while journal and (shared or journal[-1][0] == row):
            entry = journal.pop()
            of_row, store, key, before = entry
            if of_row != row:
                others.append(entry)
            elif store is None:
                _remove(self.outputs, key)
            elif (later := _oldest(others, store, key)) is not None:
                others[later] = others[later][0], store, key, before
            else:
                store.take_back(key, before)
        journal += reversed(others)


def _oldest(entries: list[tuple[int, StoreCache | None, Any, Any]], store: StoreCache, key: Any) -> int | None:
    """Where the oldest write of that key is among entries that go from new to old."""
    found = (place for place in reversed(range(len(entries))) if entries[place][1:3] == (store, key))
    return next(found, None)


def _remove(records: list[OutputRecord], record: OutputRecord) -> None:
    """Removes that very record, which is among the last."""
    for place in reversed(range(len(records))):
        if records[place] is record:
            del records[place]
            return


def check_size(record: OutputRecord, most: int) -> None:
    """Raises `RecordTooLarge` for a record of more bytes."""
    size = len(record.key or b"") + len(record.value or b"")
    if size > most:
        raise RecordTooLarge(
            f"a record of {size} bytes for topic {record.topic!r} is larger than {most}, which is message.max.bytes: "
            "raise it in broker_options, and max.message.bytes of the topic, or make the value smaller"
        )


def _sentence(step: str, error: BaseException, batch: Batch, row: int) -> str:
    return f"{step} failed on {describe_origin(batch, row)}: {describe_error(error)}"


def _failure(kind: FailureKind, step: str, error: BaseException, batch: Batch, row: int) -> Failure:
    origin = batch.origins[row]
    raw_key, raw_value = (None, None) if origin is None else (origin.key(), origin.value())
    return Failure(kind, step, error, event_at(batch, row), raw_key, raw_value)


current: ContextVar[TaskContext] = ContextVar("ottla.task")
"""The context of the task that is running."""


class Processor:
    """A step at work in one task. `answerer` owes answers for the events that come to it. One that is `singly` hands on
    each event to all next steps before the next event: those meet again."""

    def __init__(self) -> None:
        self.children: list[Processor] = []
        self.answerer: Answerer | None = None
        self.singly = False

    async def receive(self, batch: Batch) -> None:
        """Takes a batch, never an empty one. Returns when its events are dealt with."""
        raise NotImplementedError

    async def advance(self) -> None:
        """Time went on to the context's `elapsed_ms`: hands on what waited for that."""

    async def end_of_input(self) -> None:
        """No batch will follow: hands on whatever is held back. Called in the order of the steps."""

    async def close(self) -> None:
        """The task ends here, perhaps before its input: frees what is held, hands nothing on."""

    async def forward(self, batch: Batch) -> None:
        """Hands a batch to the next steps."""
        if not batch.values:
            return
        for part in batch.events() if self.singly and len(self.children) > 1 else (batch,):
            for child in self.children:
                await child.receive(part)
