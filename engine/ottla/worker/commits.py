"""A worker's commits: outputs, changelogs and positions of all its tasks together, then the state in their stores.

Taking what is to be committed is a matter of a moment, in which no task is in the middle of a batch:

    note ──> pending ──begin──> under way ──finished──> in the stores
               ^                    │
               └── what is done meanwhile is of the next commit

Then processing goes on, while the broker takes the commit. At least once, what the tasks make meanwhile is produced as
ever. Exactly once it is not, since it would become part of the transaction that is being committed: it is held back
until the next one can begin (`holds_output`). One commit is under way at a time; the next waits for it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from ottla.config import AppConfig
from ottla.state.changes import Changes
from ottla.task.processor import TaskCounts
from ottla.transport.contract import Membership, TopicPartition, Transport
from ottla.transport.errors import OffsetsUnknownError
from ottla.worker.assignment import AssignedTask
from ottla.worker.failures import FailureLog
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.outbox import Outbox
from ottla.worker.workload import Workload


@dataclass(frozen=True, slots=True)
class _Cut:
    """What one commit is of: the state that was written, the offsets that go with it, one that was committed before,
    and what the tasks had done, as of one moment."""

    tasks: Sequence[AssignedTask]
    counts: Sequence[TaskCounts]
    changes: Sequence[tuple[TopicPartition, Changes]]
    now_ms: int
    offsets: dict[TopicPartition, int]
    before: dict[TopicPartition, int]
    began: float


class Commits:
    """Knows whether anything is to be committed and when, and commits it.

    `is_pending` says that something was processed or written that no commit has taken yet.
    """

    def __init__(
        self,
        config: AppConfig,
        workload: Workload,
        outbox: Outbox,
        transport: Transport,
        metrics: WorkerMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self.is_pending = False
        self.is_unknown = False
        """Whether the last commit may have taken place or not (`OffsetsUnknownError`): nothing more may be written
        before the group was asked which offsets are committed, and the state restored that goes with them."""
        self._exactly_once = config.processing_guarantee == "exactly_once"
        self._interval_s = config.commit_interval_ms / 1000
        self._workload = workload
        self._outbox = outbox
        self._transport = transport
        self._metrics = metrics
        self._failures = FailureLog(config.dead_letter_topic)
        self._now_ms = now_ms
        # Whether records were written since the last commit, and when the next one is due (monotonic seconds).
        self._wrote = False
        self._due_at = 0.0
        self._cut: _Cut | None = None
        self._committing: asyncio.Task[Mapping[TopicPartition, int]] | None = None

    # -- when

    def note(self, *, wrote: bool = False, at_once: bool = False) -> None:
        """Something was processed, or records were written too: a commit is due an interval after the first of it,
        unless it is to come at once."""
        self._wrote = self._wrote or wrote
        if not self.is_pending:
            self.is_pending = True
            self._due_at = time.monotonic() + self._interval_s
        if at_once:
            self._due_at = 0.0

    def forget(self) -> None:
        """What was done since the last commit was undone."""
        self.is_pending = self._wrote = False

    @property
    def is_under_way(self) -> bool:
        return self._cut is not None

    @property
    def is_settled(self) -> bool:
        """Whether all that was done is committed."""
        return not self.is_pending and not self.is_under_way

    @property
    def holds_output(self) -> bool:
        """Whether nothing may be produced now: it would be part of the commit that is under way."""
        return self._exactly_once and self.is_under_way

    @property
    def due_in_s(self) -> float:
        """In how many seconds what is pending is to be committed."""
        return max(self._due_at - time.monotonic(), 0.0)

    @property
    def is_due(self) -> bool:
        return self.is_pending and (time.monotonic() >= self._due_at or self.is_full)

    @property
    def may_begin(self) -> bool:
        """Whether one is due, and nothing keeps it from beginning now."""
        return self.is_due and not self.is_under_way and not self._workload.is_busy

    @property
    def is_full(self) -> bool:
        """Whether so much is uncommitted that nothing more should be processed before a commit."""
        return any(task.caches and task.cache_is_full for task in self._workload.tasks.values())

    # -- how

    def begin(self, membership: Membership | None) -> None:
        """Takes all that is pending for a commit. No task may be busy, and no commit under way.

        Raises what `Task.changes` does.
        """
        if not self.is_pending:
            return
        workload, tasks = self._workload, list(self._workload.tasks.values())
        began = time.perf_counter()
        changes = [changelog for task in tasks for changelog in task.task.changes().items()]
        offsets = {where: offset for task in tasks for where, offset in task.task.offsets.items()}
        moved = {where: offset for where, offset in offsets.items() if workload.committed.get(where) != offset}
        if (self._wrote or changes) and not moved and workload.owners:
            # What timers and the leader wrote comes with no offset. One makes the group check the membership (KIP-447).
            where = next(iter(workload.owners))
            moved[where] = workload.committed.get(where, 0)
        self._metrics.changes.inc(sum(len(of_store) for _, of_store in changes))
        self.forget()
        self.is_unknown = False
        # One that is committed is enough to ask the group with.
        before = dict(islice(workload.committed.items(), 1))
        counts = [replace(task.task.counts) for task in tasks]
        self._cut = _Cut(tasks, counts, changes, self._now_ms(), moved, before, began)
        self._committing = asyncio.create_task(self._commit(self._cut, membership))

    async def _commit(self, cut: _Cut, membership: Membership | None) -> Mapping[TopicPartition, int]:
        if not self._exactly_once:
            # State must never say that a window was emitted, or an event counted, while the output is still on its way.
            await self._transport.flush()
            # That may have taken long. If others have the tasks by now, what they restored must stay what they build
            # on: a change that comes later is found behind theirs by whoever restores next.
            if cut.changes:
                await self._transport.confirm(cut.before)
        for changelog, changes in cut.changes:
            await self._transport.produce_changes(changelog, changes, cut.now_ms)
        return await self._transport.commit(cut.offsets, membership)

    def finished(self) -> bool:
        """Puts the state of a commit that is done into the stores. Returns whether there was one.

        Raises what `Transport.commit` does: then nothing of it is in the stores.
        """
        if self._cut is None or self._committing is None or not self._committing.done():
            return False
        cut, committing = self._cut, self._committing
        self._cut = self._committing = None
        try:
            written = committing.result()
        except OffsetsUnknownError:
            self.is_unknown = True
            raise
        read = self._workload.committed
        read |= cut.offsets
        for task, counts in zip(cut.tasks, cut.counts, strict=True):
            task.committed(written, read)
            self._metrics.count(task.counted, counts)
            self._failures.note(task.counted, counts, task.task.take_failures())
            task.counted = counts
        self._outbox.committed()
        self._failures.tell(time.monotonic())
        self._metrics.commit_seconds.observe(time.perf_counter() - cut.began)
        return True

    async def wait(self) -> None:
        """Waits for the commit under way, and then does as `finished`."""
        if self._committing is not None:
            await asyncio.wait([self._committing])
            self.finished()

    async def give_up(self) -> None:
        """The group went on without this worker. At least once, the commit under way writes nothing more; whether it
        took place is not known. Exactly once it cannot take place any more, and says so when it is waited for."""
        if not self._exactly_once:
            await self._cancel()

    async def end(self) -> None:
        """Ends with the worker. A commit under way is given up: whether it took place is not known."""
        self._failures.tell(math.inf)
        await self._cancel()

    async def _cancel(self) -> None:
        self._cut = None
        committing, self._committing = self._committing, None
        if committing is not None:
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
