"""A worker's commits: outputs, changelogs and positions of all its tasks together, then the state in their stores."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ottla.config import AppConfig
from ottla.transport.contract import Membership, TopicPartition, Transport
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.outbox import Outbox
from ottla.worker.workload import Workload


class Commits:
    """Knows whether anything is to be committed and when, and commits it.

    `is_pending` says that something was processed or written since the last commit.
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
        self._config = config
        self._workload = workload
        self._outbox = outbox
        self._transport = transport
        self._metrics = metrics
        self._now_ms = now_ms
        # Whether records were written since the last commit, and when the next one is due (monotonic seconds).
        self._wrote = False
        self._due_at = 0.0

    def note(self, *, wrote: bool = False, at_once: bool = False) -> None:
        """Something was processed, or records were written too: a commit is due an interval after the first of it,
        unless it is to come at once."""
        self._wrote = self._wrote or wrote
        if not self.is_pending:
            self.is_pending = True
            self._due_at = time.monotonic() + self._config.commit_interval_ms / 1000
        if at_once:
            self._due_at = 0.0

    def forget(self) -> None:
        """What was done since the last commit was undone."""
        self.is_pending = self._wrote = False

    @property
    def due_in_s(self) -> float:
        """In how many seconds what is pending is to be committed."""
        return max(self._due_at - time.monotonic(), 0.0)

    @property
    def is_due(self) -> bool:
        return self.is_pending and (
            time.monotonic() >= self._due_at or any(task.cache_is_full for task in self._workload.tasks.values())
        )

    async def settle(self, membership: Membership | None) -> None:
        """Outputs, changelogs and positions in one commit, then the state in the stores. No task may be busy.

        Raises what `Transport.commit` does; then nothing of it is in the stores.
        """
        if not self.is_pending:
            return
        began = time.perf_counter()
        workload = self._workload
        if self._config.processing_guarantee == "at_least_once":
            # State must never say that a window was emitted, or an event counted, while the output is still on its way.
            await self._transport.flush()
        now_ms = self._now_ms()
        offsets: dict[TopicPartition, int] = {}
        for task in workload.tasks.values():
            changes = task.task.changes(now_ms)
            await self._transport.produce(changes)
            self._wrote = self._wrote or bool(changes)
            self._metrics.changes.inc(len(changes))
            offsets |= task.task.positions
        moved = {where: offset for where, offset in offsets.items() if workload.committed.get(where) != offset}
        if self._wrote and not moved and workload.owners:
            # What timers and the leader wrote comes with no offset. One makes the group check the membership (KIP-447).
            where = next(iter(workload.owners))
            moved[where] = workload.committed.get(where, 0)
        written = await self._transport.commit(moved, membership)
        workload.committed |= moved
        for task in workload.tasks.values():
            task.task.committed(written, workload.committed)
            counts = replace(task.task.counts)
            self._metrics.count(task.counted, counts)
            task.counted = counts
        self._outbox.committed()
        self.forget()
        self._metrics.commit_seconds.observe(time.perf_counter() - began)
