"""Taking tasks over: their stores are restored while the worker goes on with the tasks that it has."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from ottla.cluster.standby import Standbys, TaskStores
from ottla.state.changelog import RestoreProgress, Told, restore
from ottla.topology.topology import TaskId
from ottla.transport.contract import TopicPartition, Transport
from ottla.worker.assignment import AssignedTask, TaskMaker
from ottla.worker.lost_records import LostRecords
from ottla.worker.metrics import WorkerMetrics


@dataclass(frozen=True, slots=True)
class Restored:
    """Tasks that can begin, the committed offsets of their inputs, and where others are to be read from: those that
    have none, or one that their topic does not reach any more.

    Those without either are read from their beginning.
    """

    tasks: dict[TaskId, AssignedTask]
    committed: dict[TopicPartition, int]
    starts: dict[TopicPartition, int]


class Takeover:
    """One takeover at a time, of any number of tasks; given up, it loses nothing of what was restored."""

    def __init__(
        self,
        maker: TaskMaker,
        transport: Transport,
        standbys: Standbys,
        metrics: WorkerMetrics,
        progress: RestoreProgress | None,
        now_ms: Callable[[], int],
        told: Told,
        lost: LostRecords,
    ) -> None:
        self._maker = maker
        self._transport = transport
        self._standbys = standbys
        self._metrics = metrics
        self._progress = progress
        self._now_ms = now_ms
        self._told = told
        self._lost = lost
        self._restoring: asyncio.Task[Restored] | None = None
        # The stores of the tasks that are being taken over.
        self._opened: dict[TaskId, TaskStores] = {}

    @property
    def under_way(self) -> bool:
        return self._restoring is not None

    async def begin(self, task_ids: Collection[TaskId]) -> None:
        """Takes these tasks over, and no others any more."""
        await self.cancel()
        if task_ids:
            # At once: copies that are not wanted any more are closed soon.
            self._opened = {task_id: copy for task_id in task_ids if (copy := self._standbys.hand_over(task_id))}
            self._restoring = asyncio.create_task(self._restore(sorted(task_ids)))

    def finished(self) -> Restored | None:
        """What was taken over, once. Raises what restoring raised."""
        if self._restoring is None or not self._restoring.done():
            return None
        restoring, self._restoring = self._restoring, None
        if restoring.cancelled() or restoring.exception() is not None:
            self._close()
        return restoring.result()

    async def cancel(self) -> None:
        """Gives up what is not finished."""
        restoring, self._restoring = self._restoring, None
        if restoring is None:
            return
        restoring.cancel()
        await asyncio.gather(restoring, return_exceptions=True)
        if not restoring.cancelled() and restoring.exception() is None:
            for task in restoring.result().tasks.values():
                await task.task.close()
        self._close()

    def _close(self) -> None:
        for each in self._opened.values():
            for store in each.values():
                store.close()

    async def _starts(self, fresh: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Where inputs without a committed offset begin, of those that do not at their beginning."""
        asked: dict[Literal["latest"] | int, list[TopicPartition]] = {}
        for where in fresh:
            if (start := self._maker.starts.get(where.topic)) is not None:
                asked.setdefault(start, []).append(where)
        now_ms = self._now_ms()
        found: dict[TopicPartition, int] = {}
        for start, partitions in asked.items():
            at = max(now_ms - start, 0) if isinstance(start, int) else start
            found |= await self._transport.offsets_at(partitions, at)
        return found

    async def _restore(self, task_ids: list[TaskId]) -> Restored:
        began = time.perf_counter()
        opened = self._opened
        # The offsets first: when they are known, no transaction with them is pending, and all that was ever committed
        # with them is in the changelogs.
        inputs = [where for task_id in task_ids for where in self._maker.inputs(task_id)]
        committed = await self._transport.committed(inputs)
        elsewhere = await self._lost.starts(committed)
        for task_id in task_ids:
            if task_id not in opened:
                opened[task_id] = self._maker.open_stores(task_id)
        stores = {where: store for each in opened.values() for where, store in each.items()}
        if stores:
            records = await restore(self._transport, stores, self._progress, self._told)
            self._metrics.restored.inc(records)
            self._metrics.restore_seconds.observe(time.perf_counter() - began)
        for task_id in task_ids:
            opened[task_id] |= self._maker.open_local(task_id, committed)
        starts = await self._starts([where for where in inputs if where not in committed]) | elsewhere
        committed = {where: offset for where, offset in committed.items() if where not in elsewhere}
        tasks = {task_id: self._maker.make(task_id, opened[task_id]) for task_id in task_ids}
        return Restored(tasks, committed, starts)
