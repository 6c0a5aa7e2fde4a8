"""The driver of an app: poll, give the tasks their messages, produce what they made of them, commit.

    poll -> AssignedTask.take -> Task.process -> Transport.produce ──┐
     ^                                                               │ every commit interval, or when a cache is full
     └── Task.committed <- Transport.commit <- Task.changes <────────┘

One event loop runs all tasks of a worker, and nothing in it is done per event. A task that awaits (an agent that asks a
database) lets the others go on, but a commit is one for all: it waits until every task has finished the batch it is at.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ottla.app import AppConfig
from ottla.assignment import AssignedTask, TaskMaker
from ottla.endings import Endings
from ottla.errors import Unavailable
from ottla.global_tables import GlobalTables
from ottla.jobs import Jobs
from ottla.leader import LEADER_STORE
from ottla.metrics import WorkerMetrics
from ottla.outbox import Outbox
from ottla.provisioning import provision_topics
from ottla.replies import Replies
from ottla.services import Services
from ottla.state.changelog import RestoreProgress, restore
from ottla.state.store import KeyValueStore, Stores
from ottla.topology import TaskId, Topology
from ottla.transport.contract import TopicPartition, Transport
from ottla.transport.errors import DeliveryError, TransactionAbortedError, TransportError

log = logging.getLogger("ottla.worker")

_MAX_POLL_MESSAGES = 10_000
_FIRST_POLL_MESSAGES = 1_000
_IDLE_POLL_S = 0.25
_TICK_S = 0.1
"""How often tasks that look at the clock are told the time, and the outbox is looked into, when no events come."""
_BUSY_WAIT_S = 0.02
_BUFFERED_HIGH = 20_000
_BUFFERED_LOW = 10_000
_FAILED_COMMITS = 5
_FIRST_BACKOFF_S = 0.1
_FINISH_TIMEOUT_S = 10.0
_LAG_INTERVAL_S = 10.0


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """What a worker did from its start to its end."""

    events: int
    seconds: float


class Worker:
    """Runs an app's tasks on one transport until it is stopped, or until the end of the input if that was asked for.

    It is the transport's assignment listener. `clock` gives seconds since the epoch. One worker per event loop and
    transport; `run` may be called once.
    """

    def __init__(
        self,
        topology: Topology,
        config: AppConfig,
        transport: Transport,
        stores: Stores,
        *,
        until_end: bool = False,
        metrics: WorkerMetrics | None = None,
        progress: RestoreProgress | None = None,
        jobs: Jobs | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.metrics = metrics if metrics is not None else WorkerMetrics(config.app_id)
        self._topology = topology
        self._config = config
        self._transport = transport
        self._progress = progress
        self._clock = clock
        self._globals = GlobalTables(topology.global_tables, stores)
        self._maker = TaskMaker(topology, config, stores, self._globals.tables)
        self._replies = Replies(transport, config.app_id)
        self._outbox = Outbox(self._now_ms, self._replies)
        self._services = Services(jobs or Jobs(), self._outbox, clock, fail=config.errors.on_error == "fail")
        self._has_jobs = bool(jobs)
        self._endings = Endings(topology.subtopologies) if until_end else None
        self._tasks: dict[TaskId, AssignedTask] = {}
        self._owners: dict[TopicPartition, AssignedTask] = {}
        self._restoring: asyncio.Task[None] | None = None
        self._stopping = False
        self._assigned_once = False
        self._poll_messages = _FIRST_POLL_MESSAGES
        self._events = 0
        # Whether something was processed since the last commit, and when the next one is due (monotonic seconds).
        self._uncommitted = False
        self._commit_at = 0.0
        self._committed: dict[TopicPartition, int] = {}
        self._failed_commits = 0
        self._lag_at = 0.0

    async def run(self) -> WorkerSummary:
        """Returns when the worker was stopped, or has come to the end of the input; all it did is committed then.

        Raises `TransportError` for a broker that cannot be reached or refuses, `TopologyError` and `ConfigError` for
        topics that are not as declared or schemas that are refused, and `ProcessingFailed` when an event failed and the
        policy is to fail.
        """
        began = time.monotonic()
        try:
            await self._transport.start()
            await self._prepare_codecs()
            await provision_topics(self._topology, self._transport)
            await self._globals.start(self._transport, self._progress, lambda: self._stopping)
            await self._services.begin()
            await self._transport.subscribe(self._topology.input_topics, self)
            while not self._finished():
                try:
                    await self._turn()
                except (TransactionAbortedError, DeliveryError, Unavailable) as error:
                    await self._go_back(error)
            await self._finish()
        finally:
            await self._drop_tasks()
            await self._globals.close()
            await self._transport.stop()
        return WorkerSummary(self._events, time.monotonic() - began)

    def stop(self) -> None:
        """Asks the worker to end: it finishes the batches it is at, commits and returns, within a bound."""
        self._stopping = True

    async def _prepare_codecs(self) -> None:
        """Lets the codecs of what is written make sure that they can write it; what they need is waited for."""
        for prepare in self._topology.preparations:
            attempts = 0
            while not self._stopping:
                try:
                    await asyncio.to_thread(prepare)
                    break
                except Unavailable as error:
                    attempts += 1
                    log.warning("before the first event: %s", error)
                    await asyncio.sleep(_FIRST_BACKOFF_S * 2 ** min(attempts, _FAILED_COMMITS))

    # -- what the transport tells

    async def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        task_ids = self._maker.task_ids(partitions)
        log.info("assigned %d tasks: %s", len(task_ids), " ".join(map(str, task_ids)))
        self._assigned_once = True
        self._restoring = asyncio.create_task(self._restore(task_ids))

    async def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        log.info("%d partitions are revoked", len(partitions))
        await self._stop_restoring()
        try:
            if await self._quiesce():
                await self._settle()
            else:
                await self._abort()
        except (TransactionAbortedError, DeliveryError, Unavailable) as error:
            log.warning("the last commit before a rebalance failed, its events go to other workers: %s", error)
            await self._abort()
        await self._drop_tasks()

    async def lost(self, partitions: Sequence[TopicPartition]) -> None:
        log.warning("%d partitions went to other workers before this one could commit", len(partitions))
        await self._drop_tasks()
        await self._abort()

    # -- one turn

    def _finished(self) -> bool:
        if self._stopping:
            return True
        return (
            self._endings is not None
            and self._assigned_once
            and self._restoring is None
            and not self._uncommitted
            and all(task.ended for task in self._tasks.values())
        )

    async def _turn(self) -> None:
        polled = await self._transport.poll(self._poll_messages, self._poll_timeout_s())
        self._services.check()
        self._start_restored()
        self._globals.check()
        for where in polled.messages.keys() | polled.ends.keys():
            if (owner := self._owners.get(where)) is not None:
                owner.take(where, polled)
        if not self._commit_is_due():
            self._start_processing()
        await self._collect(_BUSY_WAIT_S)
        await self._send_outbox()
        self._hold_back()
        if self._endings is not None and not self._is_busy():
            await self._end_tasks(self._endings)
        if self._commit_is_due() and not self._is_busy():
            await self._settle()
        if time.monotonic() >= self._lag_at:
            await self._measure_lag()

    def _poll_timeout_s(self) -> float:
        if self._is_busy() or any(task.changed for task in self._tasks.values()):
            return 0.0
        if self._restoring is not None or not self._assigned_once:
            return _BUSY_WAIT_S
        idle_s = _TICK_S if self._has_jobs or any(task.task.timed for task in self._tasks.values()) else _IDLE_POLL_S
        if self._uncommitted:
            return min(max(self._commit_at - time.monotonic(), 0.0), idle_s)
        return idle_s

    @property
    def _leader(self) -> AssignedTask | None:
        """The task whose holder is the leader, if this worker holds it."""
        return next((task for task in self._tasks.values() if LEADER_STORE in task.caches), None)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _is_busy(self) -> bool:
        return any(task.running is not None for task in self._tasks.values())

    def _start_processing(self) -> None:
        now = time.monotonic()
        for task in self._tasks.values():
            ticks = task.task.timed and now >= task.tick_at and not task.ended
            if task.running is None and (task.changed or ticks):
                task.changed = False
                task.tick_at = now + _TICK_S
                task.running = asyncio.create_task(self._work(task))

    async def _work(self, task: AssignedTask) -> int:
        await task.task.advance(self._now_ms())
        return await task.task.process(task.caught_up)

    async def _collect(self, timeout_s: float) -> None:
        """Waits a while for the tasks that are processing, and produces what the finished ones made."""
        running = {task.running: task for task in self._tasks.values() if task.running is not None}
        if not running:
            return
        began = time.perf_counter()
        done, _ = await asyncio.wait(running, timeout=timeout_s)
        events = 0
        for finished in done:
            task = running[finished]
            task.running = None
            events += finished.result()
            await self._produce(task)
            if task.has_changes:
                self._note_uncommitted()
        if events:
            self._events += events
            self.metrics.events.inc(events)
            self._note_uncommitted()
        if len(done) == len(running):
            self._adapt(events, time.perf_counter() - began)
        elif not done:
            self._poll_messages = max(self._poll_messages // 2, 1)

    async def _produce(self, task: AssignedTask) -> None:
        records = task.task.drain()
        if records:
            await self._transport.produce(records)
            self.metrics.produced.inc(len(records))
            self._note_uncommitted()

    async def _send_outbox(self) -> None:
        """Produces what timers and other code outside the tasks have sent."""
        if self._outbox.has_waiting:
            records = self._outbox.take()
            await self._transport.produce(records)
            self.metrics.produced.inc(len(records))
            self._note_uncommitted()

    def _adapt(self, events: int, seconds: float) -> None:
        """Polls so much at once as is processed in half a commit interval: large batches, but no late commits."""
        target_s = self._config.commit_interval_ms / 2_000
        if seconds > target_s:
            self._poll_messages = max(int(self._poll_messages * target_s / seconds), 1)
        elif events >= self._poll_messages // 2:
            self._poll_messages = min(self._poll_messages * 2, _MAX_POLL_MESSAGES)

    def _hold_back(self) -> None:
        """Pauses inputs of which much is buffered, because another input of their task or a slow agent holds them."""
        for task in self._tasks.values():
            for topic, buffered in task.task.buffered.items():
                where = TopicPartition(topic, task.task.id.partition)
                if buffered > _BUFFERED_HIGH and topic not in task.paused:
                    task.paused.add(topic)
                    self._transport.pause([where])
                elif buffered < _BUFFERED_LOW and topic in task.paused:
                    task.paused.discard(topic)
                    self._transport.resume([where])

    # -- committing

    def _note_uncommitted(self) -> None:
        if not self._uncommitted:
            self._uncommitted = True
            self._commit_at = time.monotonic() + self._config.commit_interval_ms / 1000

    def _commit_is_due(self) -> bool:
        return self._uncommitted and (
            time.monotonic() >= self._commit_at or any(task.cache_is_full for task in self._tasks.values())
        )

    async def _settle(self) -> None:
        """Outputs, changelogs and positions in one commit, then the state in the stores."""
        if not self._uncommitted:
            return
        began = time.perf_counter()
        if self._config.processing_guarantee == "at_least_once":
            # State must never say that a window was emitted, or an event counted, while the output is still on its way.
            await self._transport.flush()
        now_ms = self._now_ms()
        offsets: dict[TopicPartition, int] = {}
        for task in self._tasks.values():
            changes = task.task.changes(now_ms)
            await self._transport.produce(changes)
            self.metrics.changes.inc(len(changes))
            offsets |= task.task.positions
        moved = {where: offset for where, offset in offsets.items() if self._committed.get(where) != offset}
        if self._leader is not None:
            # Its topic is empty. The offset makes the group check that this worker is still its owner (KIP-447).
            moved |= dict.fromkeys(self._leader.inputs, 0)
        written = await self._transport.commit(moved)
        for task in self._tasks.values():
            task.task.committed(written)
        self._outbox.committed()
        self._committed |= moved
        self._uncommitted = False
        self._failed_commits = 0
        self.metrics.commit_seconds.observe(time.perf_counter() - began)

    async def _go_back(self, error: TransportError | Unavailable) -> None:
        """Makes all that was done since the last commit anew, after a backoff.

        Raises a `TransportError` when that has failed too often; what is `Unavailable` is waited for.
        """
        self._failed_commits += 1
        self.metrics.aborts.inc()
        if self._failed_commits > _FAILED_COMMITS and isinstance(error, TransportError):
            raise error
        log.warning("going back to the last commit: %s", error)
        await self._abort()
        for task_id, task in self._tasks.items():
            await _cancel(task.running)
            self._tasks[task_id] = await self._maker.remake(task)
        await self._transport.rewind()
        self._uncommitted = False
        self._begin_tasks()
        await asyncio.sleep(_FIRST_BACKOFF_S * 2 ** min(self._failed_commits, _FAILED_COMMITS))

    async def _abort(self) -> None:
        await self._transport.abort()
        self._outbox.aborted()

    # -- tasks come and go

    async def _restore(self, task_ids: Sequence[TaskId]) -> None:
        began = time.perf_counter()
        opened: dict[TaskId, dict[TopicPartition, KeyValueStore]] = {}
        try:
            for task_id in task_ids:
                opened[task_id] = self._maker.open_stores(task_id)
            stores = {where: store for each in opened.values() for where, store in each.items()}
            if stores:
                records = await restore(self._transport, stores, self._progress)
                self.metrics.restored.inc(records)
                self.metrics.restore_seconds.observe(time.perf_counter() - began)
            tasks = {task_id: self._maker.make(task_id, opened[task_id]) for task_id in task_ids}
            self._committed = await self._transport.committed(
                [where for task in tasks.values() for where in task.inputs]
            )
            self._tasks = tasks
        except BaseException:
            for each in opened.values():
                for store in each.values():
                    store.close()
            raise

    def _start_restored(self) -> None:
        if self._restoring is not None and self._restoring.done():
            restoring, self._restoring = self._restoring, None
            restoring.result()
            self._begin_tasks()

    def _begin_tasks(self) -> None:
        """Reads the inputs of new tasks from the committed offsets on."""
        self._owners = {where: task for task in self._tasks.values() for where in task.inputs}
        self.metrics.tasks.set(len(self._tasks))
        self._transport.resume(self._owners)
        self._services.ready(None if self._leader is None else self._leader.caches[LEADER_STORE])

    async def _stop_restoring(self) -> None:
        restoring, self._restoring = self._restoring, None
        await _cancel(restoring)

    async def _drop_tasks(self) -> None:
        """Ends all tasks as they are; what they did since the last commit is not committed here."""
        await self._stop_restoring()
        self._services.follow()
        for task in self._tasks.values():
            await _cancel(task.running)
            await task.task.close()
            task.close_stores()
        self._tasks.clear()
        self._owners.clear()
        self._committed.clear()
        self._uncommitted = False
        self.metrics.tasks.set(0)
        self.metrics.lag.clear()

    async def _quiesce(self) -> bool:
        """Waits, within a bound, until no task is in the middle of a batch. Returns whether that is so."""
        deadline = time.monotonic() + _FINISH_TIMEOUT_S
        while self._is_busy() and (remaining := deadline - time.monotonic()) > 0:
            await self._collect(remaining)
        return not self._is_busy()

    async def _finish(self) -> None:
        """The last commit. What cannot be committed any more is processed again by whoever comes next."""
        await self._stop_services()
        try:
            if not await self._quiesce():
                log.warning("an agent did not finish within %g s; its batch will be processed again", _FINISH_TIMEOUT_S)
                return
            await self._settle()
        except (TransactionAbortedError, DeliveryError, Unavailable) as error:
            log.warning("the last commit failed, its events will be processed again: %s", error)

    async def _stop_services(self) -> None:
        try:
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                await self._services.stop()
        except TimeoutError:
            log.warning("what the app does at its end did not finish within %g s", _FINISH_TIMEOUT_S)
        await self._send_outbox()

    # -- the end of a bounded run

    async def _end_tasks(self, endings: Endings) -> None:
        """Ends the tasks that are at the end of their input, and asks for the ends that can be known now."""
        if not self._uncommitted and (unknown := endings.unknown(self._tasks.values())):
            ranges = await self._transport.offset_ranges(unknown)
            endings.learn({where: each.end for where, each in ranges.items()})
        for task in self._tasks.values():
            if not task.ended and endings.reached(task):
                await task.task.end_of_input()
                task.ended = True
                self._transport.pause(task.inputs)
                await self._produce(task)
                self._uncommitted, self._commit_at = True, 0.0

    async def _measure_lag(self) -> None:
        self._lag_at = time.monotonic() + _LAG_INTERVAL_S
        ends = await self._transport.known_ends(self._owners)
        for where, end in ends.items():
            lag = end - self._committed.get(where, 0)
            self.metrics.lag.labels(self._config.app_id, where.topic, where.partition).set(lag)


async def _cancel(task: asyncio.Task[Any] | None) -> None:
    """Cancels a task that may be done, and waits until it is. What it raised is of no interest any more."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
