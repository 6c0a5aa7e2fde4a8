"""The tasks that a worker has at work: which they are, what they read, and how far that is committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from functools import partial

from ottla.errors import StateError
from ottla.pausing import Pauses
from ottla.serdes.requests import with_answers
from ottla.topology.topology import TaskId
from ottla.transport.contract import Polled, TopicPartition, Transport
from ottla.worker.assignment import AssignedTask, TaskMaker
from ottla.worker.leader import LEADER_STORE
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.services import Services
from ottla.worker.takeover import Restored

log = logging.getLogger("ottla.worker")

_ENDED_WITHIN_S = 10.0
"""So long a task that goes may take to end what its agents do when they are ended."""
_BUFFERED_HIGH = 20_000
_BUFFERED_LOW = 10_000
_LAG_INTERVAL_S = 10.0


class Workload:
    """Tasks come restored (`add`) and go as they are (`drop`); what they did since the last commit is then left to
    whoever has them next.

    `tasks` are those at work, `owners` says which of them reads an input partition, `committed` has the committed
    offset of each. `lags` is how many offsets each input held after that when it was last measured. `granted` are the
    tasks that this worker was given and has acted on, each with the number of the assignment that gave it; None
    before it has acted on any.
    """

    def __init__(
        self, app_id: str, maker: TaskMaker, transport: Transport, services: Services, metrics: WorkerMetrics
    ) -> None:
        self.tasks: dict[TaskId, AssignedTask] = {}
        self.owners: dict[TopicPartition, AssignedTask] = {}
        self.committed: dict[TopicPartition, int] = {}
        self._starts: dict[TopicPartition, int] = {}
        self.lags: dict[TopicPartition, int] = {}
        self.granted: Mapping[TaskId, int] | None = None
        self._lag_at = 0.0
        self._app_id = app_id
        self._maker = maker
        self._transport = transport
        self._services = services
        self._metrics = metrics

    @property
    def is_busy(self) -> bool:
        """Whether a task is in the middle of a batch."""
        return any(task.running is not None for task in self.tasks.values())

    @property
    def is_timed(self) -> bool:
        """Whether a task must be told the time when no events come."""
        return any(
            (task.task.timed or task.idling.wakes_at is not None) and not task.at_rest for task in self.tasks.values()
        )

    # -- tasks come and go

    def add(self, restored: Restored) -> None:
        """Takes restored tasks up, and reads their inputs."""
        self.tasks |= restored.tasks
        self.committed |= restored.committed
        self._starts |= restored.starts
        self.begin(restored.tasks)
        self._services.assigned(_inputs(restored.tasks.values()))

    def begin(self, task_ids: Iterable[TaskId]) -> None:
        """Reads the inputs of tasks from the committed offsets on."""
        inputs = {where: self.tasks[task_id] for task_id in task_ids for where in self.tasks[task_id].inputs}
        self.owners |= inputs
        for where, task in inputs.items():
            if where in self._starts and where not in self.committed:
                # Committed soon, so that nothing is left out if the worker ends before it has read anything.
                task.task.positions.setdefault(where, self._starts[where])
        self._transport.start_reading(
            {where: self.committed.get(where, self._starts.get(where, 0)) for where in inputs}
        )
        self._metrics.tasks.set(len(self.tasks))
        self._services.ready(None if self._leader is None else self._leader.caches[LEADER_STORE])

    def read_from(self, positions: Mapping[TopicPartition, int]) -> None:
        """Reads partitions on from elsewhere: what was to be read next is not there."""
        if not positions:
            return
        self._transport.stop_reading(positions)
        self._transport.start_reading(positions)
        for where, position in positions.items():
            if (owner := self.owners.get(where)) is not None:
                owner.paused.discard(where.topic)
                if owner.running is None and not owner.task.buffered(where.topic):
                    # Nothing that was read before waits for its commit, so the next one may be of this offset.
                    owner.task.positions[where] = position

    async def drop(self, task_ids: Iterable[TaskId]) -> None:
        """Ends tasks as they are; what they did since the last commit is not committed here."""
        dropped = [self.tasks.pop(task_id) for task_id in list(task_ids)]
        for task in dropped:
            if LEADER_STORE in task.caches:
                self._services.follow()
            self._transport.stop_reading(task.inputs)
            for where in task.inputs:
                del self.owners[where]
                self.committed.pop(where, None)
                self._starts.pop(where, None)
        try:
            await asyncio.gather(*map(_end, dropped))
        finally:
            for task in dropped:
                try:
                    task.settle()
                except StateError:
                    # The stores tell of it when they are closed. What is not on disk is in the changelog.
                    log.debug("the stores of task %s are left as they were written before", task.task.id)
                task.close_stores()
        self._services.revoked(_inputs(dropped))
        self._metrics.tasks.set(len(self.tasks))
        self._metrics.lag.clear()
        self.lags.clear()

    async def begin_anew(self) -> None:
        """Makes all tasks as they were after the last commit; they read from there. Agents hold state of their own, so
        nothing is left of the tasks but their stores."""
        await asyncio.gather(*map(_end, self.tasks.values()))
        for task in self.tasks.values():
            task.settle()
        self.tasks |= {task_id: self._maker.make(task_id, task.stores) for task_id, task in self.tasks.items()}
        self._transport.stop_reading(list(self.owners))
        self.begin(self.tasks)

    @property
    def _leader(self) -> AssignedTask | None:
        """The task whose holder is the leader, if this worker holds it."""
        return next((task for task in self.tasks.values() if LEADER_STORE in task.caches), None)

    def rest(self, pauses: Pauses) -> None:
        """Lets those tasks rest that are paused, and no others."""
        for task_id, task in self.tasks.items():
            at_rest = pauses.hold(task.subtopology)
            if at_rest != task.at_rest:
                log.info("task %s %s", task_id, "is paused" if at_rest else "goes on")
                task.at_rest = at_rest

    def owner_of(self, where: TopicPartition) -> TaskId | None:
        """Which of the tasks reads an input partition."""
        return None if (owner := self.owners.get(where)) is None else owner.task.id

    # -- their input

    async def hand_out(self, polled: Polled) -> None:
        """Gives each task what a poll brought for it. Raises `Unavailable` if it cannot be decoded now."""
        for where in polled.messages.keys() | polled.ends.keys():
            if (owner := self.owners.get(where)) is not None:
                await with_answers(partial(owner.take, where, polled))

    def hold_back(self, polled: Polled) -> None:
        """Pauses inputs of which much is buffered, because another input of their task or a slow agent holds them:
        there was more in what was polled. Those of which little is left go on."""
        for where in polled.messages:
            owner = self.owners.get(where)
            if (
                owner is not None
                and where.topic not in owner.paused
                and owner.task.buffered(where.topic) > _BUFFERED_HIGH
            ):
                owner.paused.add(where.topic)
                self._transport.pause([where])
        for task in self.tasks.values():
            for topic in [each for each in task.paused if task.task.buffered(each) < _BUFFERED_LOW]:
                task.paused.discard(topic)
                self._transport.resume([TopicPartition(topic, task.task.id.partition)])

    async def measure_lag(self, now_s: float) -> None:
        """Takes down, if it is time, how far behind the inputs' ends the commits are. `now_s` never goes back."""
        if now_s < self._lag_at:
            return
        self._lag_at = now_s + _LAG_INTERVAL_S
        ends = await self._transport.known_ends(self.owners)
        for where, end in ends.items():
            self.lags[where] = lag = end - self.committed.get(where, 0)
            self._metrics.lag.labels(self._app_id, where.topic, where.partition).set(lag)


def _inputs(tasks: Iterable[AssignedTask]) -> list[TopicPartition]:
    """What the tasks read, but for the leader's, which has no events."""
    return [where for task in tasks if LEADER_STORE not in task.caches for where in task.inputs]


async def _end(task: AssignedTask) -> None:
    """Ends what a task is at, and its agents. One that does not end, since an agent waits while it is ended, is left to
    itself after a while: nothing that it does counts any more."""
    ending = asyncio.create_task(_close(task))
    try:
        done, _ = await asyncio.wait([ending], timeout=_ENDED_WITHIN_S)
    finally:
        ending.cancel()
    if done:
        ending.result()
    else:
        log.warning(
            "an agent of task %s did not end within %g s after it was told to, at %s; the worker goes on without it",
            task.task.id,
            _ENDED_WITHIN_S,
            task.task.place,
        )


async def _close(task: AssignedTask) -> None:
    if task.running is not None:
        task.running.cancel()
        # What it raised is of no interest any more.
        await asyncio.gather(task.running, return_exceptions=True)
    await task.task.close()
