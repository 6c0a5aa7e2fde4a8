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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ottla.agents.replies import Replies
from ottla.cluster.member import Member
from ottla.cluster.records import control_topic
from ottla.cluster.standby import Standbys
from ottla.config import AppConfig
from ottla.errors import Unavailable
from ottla.jobs import Jobs
from ottla.outlet import Outlet
from ottla.state.changelog import RestoreProgress
from ottla.state.store import Stores
from ottla.topology.topology import Plan, TaskId, Topology
from ottla.transport.contract import TopicPartition, Transport
from ottla.transport.errors import DeliveryError, ProducerFencedError, TransactionAbortedError, TransportError
from ottla.worker.assignment import AssignedTask, TaskMaker
from ottla.worker.endings import Endings
from ottla.worker.global_tables import GlobalTables
from ottla.worker.growth import Growth
from ottla.worker.insight import Insight
from ottla.worker.leader import LEADER_STORE
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.outbox import Outbox
from ottla.worker.pace import Pace
from ottla.worker.provisioning import prepare_codecs, provision_topics
from ottla.worker.purging import Purge
from ottla.worker.services import Services
from ottla.worker.takeover import Takeover
from ottla.worker.upgrades import check_stores
from ottla.worker.watchdog import Watchdog

log = logging.getLogger("ottla.worker")

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
_REPLACED_WITHIN_S = 3.0
"""So soon a member hears that another took its place: with its next heartbeat."""


@dataclass(frozen=True, slots=True)
class WorkerSummary:
    """What a worker did from its start to its end."""

    events: int
    seconds: float


class Worker:
    """Runs an app's tasks on one transport until it is stopped, or until the end of the input if that was asked for.

    It is the transport's group listener. `address` is where it can be queried over HTTP, and
    `clock` gives seconds since the epoch. One worker per event loop and
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
        address: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.insight: Insight | None = None
        """What there is to see of this worker, once it knows its tasks."""
        self._address = address
        self._lags: dict[TopicPartition, int] = {}
        self.metrics = metrics if metrics is not None else WorkerMetrics(config.app_id)
        self._topology = topology
        self._config = config
        self._transport = transport
        self._progress = progress
        self._clock = clock
        self._globals = GlobalTables(topology.global_tables, stores)
        self._maker = TaskMaker(topology, config, stores, self._globals.tables)
        self._replies = Replies(transport, config.app_id)
        self._standbys = Standbys(transport, self._maker.open_stores)
        self._takeover = Takeover(self._maker, transport, self._standbys, self.metrics, progress)
        self._outbox = Outbox(self._now_ms, self._replies)
        self._services = Services(jobs or Jobs(), self._outbox, clock, fail=config.errors.on_error == "fail")
        self._has_jobs = bool(jobs)
        self._purge = Purge(topology, transport)
        self._endings = Endings(topology.subtopologies) if until_end else None
        self._tasks: dict[TaskId, AssignedTask] = {}
        self._owners: dict[TopicPartition, AssignedTask] = {}
        self._member: Member
        self._growth: Growth | None = None
        self._watchdog = Watchdog()
        # The tasks that this worker was given and has acted on, each with the number of the assignment that gave it.
        self._granted: dict[TaskId, int] | None = None
        self._stopping = False
        # Bounds the turn that is under way when the worker is to end.
        self._patience: asyncio.Timeout | None = None
        self._pace = Pace(config.commit_interval_ms)
        self._events = 0
        # Whether something was processed since the last commit, whether records were written, and when the next one is
        # due (monotonic seconds).
        self._uncommitted = False
        self._wrote = False
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
        with self._watchdog:
            return await self._run()

    async def _run(self) -> WorkerSummary:
        began = time.monotonic()
        for warning in self._topology.warnings:
            log.warning("%s", warning)
        try:
            await self._transport.start()
            await prepare_codecs(self._topology, lambda: self._stopping)
            plan = await provision_topics(self._topology, self._transport)
            await check_stores(self._topology, self._transport, now_ms=self._now_ms())
            self._member = self._make_member(plan)
            self._growth = Growth(self._topology, plan, self._transport)
            self.insight = Insight(
                self._topology, plan, self._member, self._tasks, self._standbys, self._globals, self._lags
            )
            await self._globals.start(self._transport, self._progress, lambda: self._stopping)
            await self._services.begin()
            # The inputs are subscribed to although it is not the group that assigns them: brokers expire committed
            # offsets of topics that a group's members do not subscribe to.
            control = control_topic(self._config.app_id).name
            await self._transport.subscribe([control, *self._topology.input_topics], self)
            if await self._work_until_stopped():
                await self._finish()
        finally:
            if self._growth is not None:
                await self._growth.stop()
            await self._takeover.cancel()
            await self._drop(self._tasks)
            await self._standbys.close()
            await self._globals.close()
            await self._replies.close()
            await self._transport.stop()
        return WorkerSummary(self._events, time.monotonic() - began)

    @property
    def outlet(self) -> Outlet:
        """Where code that runs in this worker beside its tasks sends to."""
        return self._outbox

    def stop(self) -> None:
        """Asks the worker to end: it finishes the batches it is at, commits and returns, within a bound."""
        self._stopping = True
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + _FINISH_TIMEOUT_S)

    async def _work_until_stopped(self) -> bool:
        """Turn after turn. Returns whether the last one ended by itself, and not because the broker was silent."""
        try:
            async with asyncio.timeout(None) as self._patience:
                while not self._finished():
                    try:
                        await self._turn()
                    except (TransactionAbortedError, DeliveryError, Unavailable) as error:
                        await self._go_back(error)
                    except ProducerFencedError as error:
                        await self._come_back(error)
        except TimeoutError:
            if self._patience is None or not self._patience.expired():
                raise
            log.warning("the broker did not take the last commit within %g s", _FINISH_TIMEOUT_S)
            return False
        finally:
            self._patience = None
        return True

    # -- what the transport tells

    async def joined(self, partitions: Sequence[TopicPartition]) -> None:
        await self._member.joined(partitions)

    async def lost(self) -> None:
        log.warning("the group went on without this worker; its %d tasks go to others", len(self._tasks))
        self._member.lost()
        await self._takeover.cancel()
        await self._drop(self._tasks)
        self._granted = None
        await self._abort()

    # -- one turn

    def _finished(self) -> bool:
        if self._stopping:
            return True
        return (
            self._endings is not None
            and self._member.is_placed
            and self._granted == self._member.grants()
            and not self._takeover.under_way
            and not self._uncommitted
            and all(task.ended for task in self._tasks.values())
        )

    async def _turn(self) -> None:
        polled = await self._transport.poll(self._pace.poll_messages, self._poll_timeout_s())
        self._services.check()
        self._globals.check()
        if self._growth is not None:
            self._growth.check()
        self._watchdog.look(self._tasks.values())
        self._standbys.check()
        self._member.take(polled)
        self._start_restored()
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
        if self._commit_is_due() and not self._is_busy() and await self._member.may_commit():
            await self._settle()
        if await self._member.verify():
            await self._follow_assignment()
        if time.monotonic() >= self._lag_at:
            await self._measure_lag()
        await self._purge.purge(self._committed, time.monotonic())

    def _poll_timeout_s(self) -> float:
        if self._is_busy() or any(task.changed for task in self._tasks.values()):
            return 0.0
        if self._takeover.under_way or self._member.membership is None:
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
                task.began_at = now
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
            self._pace.finished(events, time.perf_counter() - began)
        elif not done:
            self._pace.unfinished()

    async def _produce(self, task: AssignedTask) -> None:
        records = task.task.drain()
        if records:
            await self._transport.produce(records)
            self.metrics.produced.inc(len(records))
            self._wrote = True
            self._note_uncommitted()

    async def _send_outbox(self) -> None:
        """Produces what timers and other code outside the tasks have sent."""
        if self._outbox.has_waiting:
            records = self._outbox.take()
            await self._transport.produce(records)
            self.metrics.produced.inc(len(records))
            self._wrote = True
            self._note_uncommitted()

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
            self._wrote = self._wrote or bool(changes)
            self.metrics.changes.inc(len(changes))
            offsets |= task.task.positions
        moved = {where: offset for where, offset in offsets.items() if self._committed.get(where) != offset}
        if self._wrote and not moved and self._owners:
            # What timers and the leader wrote comes with no offset. One makes the group check the membership (KIP-447).
            where = next(iter(self._owners))
            moved[where] = self._committed.get(where, 0)
        written = await self._transport.commit(moved, self._member.membership)
        for task in self._tasks.values():
            task.task.committed(written)
        self._outbox.committed()
        self._committed |= moved
        self._uncommitted = self._wrote = False
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
        await self._undo()
        await asyncio.sleep(_FIRST_BACKOFF_S * 2 ** min(self._failed_commits, _FAILED_COMMITS))

    async def _undo(self) -> None:
        """Makes all that was done since the last commit undone: tasks begin anew there."""
        await self._abort()
        for task_id, task in self._tasks.items():
            await _cancel(task.running)
            self._tasks[task_id] = await self._maker.remake(task)
        self._transport.stop_reading(list(self._owners))
        self._uncommitted = self._wrote = False
        self._begin(self._tasks)

    async def _come_back(self, error: ProducerFencedError) -> None:
        """Begins anew with nothing, after others took this worker for gone: it slept, or was cut off.

        Raises `FatalTransportError` if there is another worker with its id.
        """
        log.warning("joining the group again: %s", error)
        await self._takeover.cancel()
        await self._drop(self._tasks)
        self._granted = None
        until = time.monotonic() + _REPLACED_WITHIN_S
        while time.monotonic() < until:
            self._member.take(await self._transport.poll(self._pace.poll_messages, _BUSY_WAIT_S))
        await self._transport.renew()
        self._outbox.aborted()
        await self._member.begin_anew()

    async def _abort(self) -> None:
        await self._transport.abort()
        self._outbox.aborted()

    # -- tasks come and go

    def _make_member(self, plan: Plan) -> Member:
        control = TopicPartition(control_topic(self._config.app_id).name, 0)
        changelogs = {task: found for task in plan.tasks if (found := self._maker.changelogs(task))}
        return Member(
            self._transport,
            control,
            plan.tasks,
            changelogs,
            standbys=self._config.standbys,
            address=self._address,
            offsets=lambda: self._maker.offsets(changelogs),
            now_ms=self._now_ms,
        )

    async def _follow_assignment(self) -> None:
        """Lets go of the tasks that are to be others', takes those that are to be this worker's, and says so."""
        member = self._member
        grants = member.grants()
        if grants != self._granted:
            had = self._granted or {}
            await self._let_go({task for task, since in had.items() if grants.get(task) != since})
            if had or grants:
                log.info("assigned %d tasks: %s", len(grants), " ".join(map(str, sorted(grants))))
            self._granted = grants
            await self._takeover.begin(set(grants) - self._tasks.keys())
            self._begin(())
        copies = member.copies() - grants.keys()
        if copies != self._standbys.tasks:
            await self._standbys.keep(copies)
        member.acted(self._maker.stateful(self._tasks) | self._standbys.warm)
        if member.has_news and not self._is_busy() and await member.may_commit():
            await self._settle()
            await member.speak()

    async def _let_go(self, tasks: set[TaskId]) -> None:
        """Ends tasks: after a last commit if they were asked for, without if they were given away meanwhile."""
        await self._takeover.cancel()
        running = tasks & self._tasks.keys()
        if not running:
            return
        if not tasks <= self._member.asked_back():
            log.warning("tasks went to others while the group did not hear of this worker; going back")
            await self._drop(running)
            await self._undo()
            return
        try:
            if await self._quiesce():
                await self._settle()
            else:
                await self._undo()
        except (TransactionAbortedError, DeliveryError, Unavailable) as error:
            log.warning("the last commit of tasks failed, their events go to other workers: %s", error)
            await self._undo()
        await self._drop(running)

    def _start_restored(self) -> None:
        if (restored := self._takeover.finished()) is not None:
            self._tasks |= restored.tasks
            self._committed |= restored.committed
            self._begin(restored.tasks)

    def _begin(self, tasks: Iterable[TaskId]) -> None:
        """Reads the inputs of tasks from the committed offsets on."""
        inputs = {where: self._tasks[task_id] for task_id in tasks for where in self._tasks[task_id].inputs}
        self._owners |= inputs
        self._transport.start_reading({where: self._committed.get(where, 0) for where in inputs})
        self.metrics.tasks.set(len(self._tasks))
        self._services.ready(None if self._leader is None else self._leader.caches[LEADER_STORE])

    async def _drop(self, task_ids: Iterable[TaskId]) -> None:
        """Ends tasks as they are; what they did since the last commit is not committed here."""
        for task_id in list(task_ids):
            task = self._tasks.pop(task_id)
            if LEADER_STORE in task.caches:
                self._services.follow()
            await _cancel(task.running)
            await task.task.close()
            task.close_stores()
            inputs = task.inputs
            self._transport.stop_reading(inputs)
            for where in inputs:
                del self._owners[where]
                self._committed.pop(where, None)
        if not self._tasks:
            self._uncommitted = False
        self.metrics.tasks.set(len(self._tasks))
        self.metrics.lag.clear()
        self._lags.clear()

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
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                if await self._member.may_commit():
                    await self._settle()
                    await self._drop(self._tasks)
                    await self._member.leave()
        except TimeoutError:
            log.warning("the broker did not take the last commit within %g s", _FINISH_TIMEOUT_S)
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
        for task in [task for task in self._tasks.values() if not task.ended and endings.reached(task)]:
            await task.task.end_of_input()
            if endings.told(task):
                task.ended = True
                self._transport.pause(task.inputs)
            await self._produce(task)
            self._uncommitted, self._commit_at = True, 0.0

    async def _measure_lag(self) -> None:
        self._lag_at = time.monotonic() + _LAG_INTERVAL_S
        ends = await self._transport.known_ends(self._owners)
        for where, end in ends.items():
            self._lags[where] = lag = end - self._committed.get(where, 0)
            self.metrics.lag.labels(self._config.app_id, where.topic, where.partition).set(lag)


async def _cancel(task: asyncio.Task[Any] | None) -> None:
    """Cancels a task that may be done, and waits until it is. What it raised is of no interest any more."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
