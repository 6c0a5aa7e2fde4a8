"""The driver of an app: poll, give the tasks their messages, produce what they made of them, commit.

    poll -> AssignedTask.take -> Task.process -> Transport.produce ──┐
     ^                                                               │ every commit interval, or when a cache is full
     └── Task.committed <- Transport.commit <- Task.changes <────────┘

One event loop runs all tasks of a worker, and nothing in it is done per event. A task that awaits (an agent that asks a
database) lets the others go on, but a commit is one for all: it begins when every task has finished the batch it is at,
and they go on while the broker takes it (`commits.py`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ottla.agents.replies import Replies
from ottla.cluster.member import Member
from ottla.cluster.records import control_topic
from ottla.cluster.standby import Standbys
from ottla.config import AppConfig
from ottla.errors import Unavailable
from ottla.jobs import Jobs, WorkerState
from ottla.outlet import Outlet
from ottla.state.changelog import Phase, RestoreProgress, StateProgress
from ottla.state.store import Stores
from ottla.task.processor import check_size
from ottla.task.refusals import Refusals, StateRefused
from ottla.topology.topology import Plan, Topology
from ottla.transport.contract import Membership, OutputRecord, TopicPartition, Transport
from ottla.transport.errors import (
    DeliveryError,
    MemberFencedError,
    ProducerFencedError,
    TransactionAbortedError,
)
from ottla.worker.assignment import TaskMaker
from ottla.worker.bounded import BoundedRun
from ottla.worker.commits import Commits
from ottla.worker.destinations import Destinations
from ottla.worker.global_tables import GlobalTables
from ottla.worker.handover import Handover
from ottla.worker.insight import Insight
from ottla.worker.leader import Lead
from ottla.worker.lost_records import LostRecords
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.outbox import Outbox
from ottla.worker.pace import Pace
from ottla.worker.processing import TICK_S, Processing
from ottla.worker.provisioning import prepare_codecs, provision_topics
from ottla.worker.purging import Purge
from ottla.worker.questions import Questions
from ottla.worker.recovery import Recovery
from ottla.worker.services import Services
from ottla.worker.takeover import Takeover
from ottla.worker.topic_watch import TopicWatch
from ottla.worker.upgrades import check_stores
from ottla.worker.watchdog import Watchdog
from ottla.worker.workload import Workload

log = logging.getLogger("ottla.worker")

_IDLE_POLL_S = 0.25
_BUSY_WAIT_S = 0.02
_COMMITTING_POLL_S = 0.005
"""No poll waits for longer while a commit is under way, since the commit may need the consumer, or may be done."""
_FINISH_TIMEOUT_S = 10.0
_RECOVERABLE = TransactionAbortedError, DeliveryError, Unavailable
_FENCED = ProducerFencedError, MemberFencedError


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
        self.outdated = False
        """Whether it stopped because it should read other topics by now: another worker is to begin in its place."""
        self.insight: Insight | None = None
        """What there is to see of this worker, once it knows its tasks."""
        self._address = address
        self.metrics = metrics if metrics is not None else WorkerMetrics(config.app_id)
        self._topology = topology
        self._config = config
        self._transport = transport
        self._progress = progress
        self._clock = clock
        self._globals = GlobalTables(topology.global_tables, stores, config.errors)
        self._destinations = Destinations(transport)
        self._refusals = Refusals()
        self._replies = Replies(transport, config.app_id)
        counts = self._destinations.partition_counts
        self._outbox = Outbox(self._now_ms, self._replies, self._check_record, counts)
        questions = Questions(self._outbox, lambda where: self._workload.owner_of(where))
        self._maker = TaskMaker(topology, config, stores, self._globals.tables, counts, self._refusals, questions)
        self._standbys = Standbys(transport, self._maker.open_stores, partial(self._restored, True))
        self._lost = LostRecords(config, transport, self.metrics, lambda: self._topic_watch)
        self._takeover = Takeover(
            self._maker,
            transport,
            self._standbys,
            self.metrics,
            progress,
            self._now_ms,
            partial(self._restored, False),
            self._lost,
        )
        lead = Lead(transport.worker_id, transport.members, clock)
        self._services = Services(jobs or Jobs(), self._outbox, lead, clock, fail=config.errors.on_error == "fail")
        self._has_jobs = bool(jobs)
        self._purge = Purge(topology, transport)
        self._workload = Workload(config.app_id, self._maker, transport, self._services, self.metrics)
        self._commits = Commits(config, self._workload, self._outbox, transport, self.metrics, self._now_ms)
        self._pace = Pace(config.commit_interval_ms)
        self._processing = Processing(
            self._workload, self._commits, self._outbox, questions, transport, self.metrics, self._pace, self._now_ms
        )
        self._bounded: BoundedRun | None = None
        if until_end:
            self._bounded = BoundedRun(topology, self._workload, self._processing, self._commits, transport)
        self._recovery = Recovery(
            topology,
            transport,
            self._workload,
            self._takeover,
            self._processing,
            self._commits,
            self._outbox,
            self._destinations,
            self._refusals,
            self._pace,
            self.metrics,
            self._now_ms,
        )
        self._member: Member
        self._handover: Handover
        self._topic_watch: TopicWatch | None = None
        self._watchdog = Watchdog()
        self._stopping = False
        # Bounds the turn that is under way when the worker is to end.
        self._patience: asyncio.Timeout | None = None

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
            if await self._work_until_stopped():
                await self._finish()
        finally:
            await self._services.stop(_FINISH_TIMEOUT_S)
            if self._topic_watch is not None:
                await self._topic_watch.stop()
            await self._purge.stop()
            await self._takeover.cancel()
            await self._commits.end()
            await self._recovery.drop(self._workload.tasks)
            await self._services.told(_FINISH_TIMEOUT_S)
            await self._standbys.close()
            await self._globals.close()
            await self._replies.close()
            self._outbox.close()
            await self._transport.stop(leave=not self.outdated)
        return WorkerSummary(self._processing.events, time.monotonic() - began)

    @property
    def outlet(self) -> Outlet:
        """Where code that runs in this worker beside its tasks sends to."""
        return self._outbox

    def stop(self) -> None:
        """Asks the worker to end: it finishes the batches it is at, commits and returns, within a bound."""
        if self._stopping:
            return
        self._stopping = True
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + _FINISH_TIMEOUT_S)

    async def _begin(self) -> None:
        await self._transport.start()
        await prepare_codecs(self._topology, lambda: self._stopping)
        plan = await provision_topics(self._topology, self._transport)
        await check_stores(self._topology, self._transport, now_ms=self._now_ms())
        self._member = self._make_member(plan)
        self._handover = Handover(
            self._member,
            self._maker,
            self._workload,
            self._takeover,
            self._standbys,
            self._processing,
            self._recovery,
        )
        self._topic_watch = TopicWatch(self._topology, plan, self._transport)
        self.insight = Insight(
            self._topology, plan, self._member, self._workload.tasks, self._standbys, self._globals, self._workload.lags
        )
        await self._globals.start(self._transport, self._progress, lambda: self._stopping)
        await self._services.begin()
        # The inputs are subscribed to although it is not the group that assigns them: brokers expire committed
        # offsets of topics that a group's members do not subscribe to.
        control = control_topic(self._config.app_id).name
        await self._transport.subscribe([control, *self._topology.input_topics], self)
        self._services.entered("joining")

    async def _work_until_stopped(self) -> bool:
        """Begins, then turn after turn. Returns whether the last one ended by itself, and not because the broker was
        silent."""
        doing = "answer while the worker began"
        try:
            async with asyncio.timeout(_FINISH_TIMEOUT_S if self._stopping else None) as self._patience:
                await self._begin()
                doing = "take the last commit"
                while not self._finished():
                    try:
                        await self._turn()
                    except _RECOVERABLE as error:
                        await self._recovery.go_back(error)
                    except StateRefused as refused:
                        await self._recovery.narrow(refused)
                    except _FENCED as error:
                        await self._recovery.come_back(error, self._member)
        except TimeoutError:
            if self._patience is None or not self._patience.expired():
                raise
            if self._workload.is_busy:
                log.warning("an agent did not finish within %g s; its batch will be processed again", _FINISH_TIMEOUT_S)
            else:
                log.warning("the broker did not %s within %g s", doing, _FINISH_TIMEOUT_S)
            return False
        finally:
            self._patience = None
        return True

    # -- what the transport tells

    async def joined(self, partitions: Sequence[TopicPartition], membership: Membership) -> None:
        self._member.joined(partitions, membership)

    async def lost(self) -> None:
        log.warning("the group went on without this worker; its %d tasks go to others", len(self._workload.tasks))
        self._member.lost()
        await self._takeover.cancel()
        await self._commits.give_up()
        await self._recovery.abort()
        await self._recovery.drop_all()

    # -- one turn

    def _finished(self) -> bool:
        if self._stopping:
            # To come to the end of its batch, an agent may have to get an answer of another.
            return not self._workload.is_busy
        return (
            self._bounded is not None
            and self._member.is_placed
            and self._workload.granted == self._member.grants
            and self._workload.tasks.keys() == self._member.grants.keys()
            and self._commits.is_settled
            and all(task.ended for task in self._workload.tasks.values())
        )

    async def _turn(self) -> None:
        workload, processing, watch = self._workload, self._processing, self._topic_watch
        polled = await self._transport.poll(self._pace.poll_messages, self._poll_timeout_s())
        self._services.check()
        self._globals.check()
        if watch is not None and watch.check() and self._bounded is None:
            self.outdated = True
            self.stop()
        self._watchdog.look(workload.tasks.values())
        self._standbys.check()
        self._member.take(polled)
        if (restored := self._takeover.finished()) is not None:
            workload.add(restored)
            if restored.starts:
                self._commits.note()
        workload.rest(self._member.view.pauses)
        await workload.hand_out(polled)
        workload.read_from(await self._lost.positions(polled.missing, workload.owners, workload.committed))
        if self._commits.finished():
            self._recovery.succeeded()
        processing.finishing = self._stopping or self._handover.is_waiting
        processing.start()
        await processing.collect(_BUSY_WAIT_S)
        await processing.produce()
        workload.hold_back(polled)
        if self._bounded is not None and not workload.is_busy:
            await self._bounded.end_tasks()
        if self._commits.may_begin and await self._member.may_commit():
            await self._processing.begin_commit(self._member.membership)
        if await self._member.verify() and (watch is None or await watch.has_compared(self._member.view.topics)):
            await self._handover.follow()
        await workload.measure_lag(time.monotonic())
        self._purge.purge(workload.committed, time.monotonic())
        self._services.entered(self._state)

    def _restored(self, standby: bool, where: TopicPartition, phase: Phase, offset: int, end: int) -> None:
        """Tells how far state is that is read from a changelog."""
        store = self._maker.stores_by_changelog[where.topic]
        self._services.restored(StateProgress(store, where.partition, phase, offset, end, standby))

    @property
    def _state(self) -> WorkerState:
        if self._stopping:
            return "stopping"
        if self._member.membership is None:
            return "joining"
        return "restoring" if self._takeover.under_way else "running"

    def _poll_timeout_s(self) -> float:
        workload = self._workload
        if workload.is_busy or (any(task.has_work for task in workload.tasks.values()) and self._processing.may_start):
            return 0.0
        if self._commits.is_under_way:
            return _COMMITTING_POLL_S
        if self._takeover.under_way or self._member.membership is None:
            return _BUSY_WAIT_S
        idle_s = TICK_S if self._has_jobs or workload.is_timed else _IDLE_POLL_S
        return min(self._commits.due_in_s, idle_s) if self._commits.is_pending else idle_s

    def _check_record(self, record: OutputRecord) -> None:
        check_size(record, self._config.max_record_bytes)
        self._refusals.check(record, self._now_ms())

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _make_member(self, plan: Plan) -> Member:
        control = TopicPartition(control_topic(self._config.app_id).name, 0)
        changelogs = {task: found for task in plan.tasks if (found := self._maker.changelogs(task))}
        return Member(
            self._transport,
            control,
            plan.tasks,
            changelogs,
            copying=self._config.copying,
            address=self._address,
            tags=self._config.tags,
            offsets=lambda: self._maker.offsets(changelogs),
            topic_ids=lambda: {} if self._topic_watch is None else self._topic_watch.ids,
            now_ms=self._now_ms,
        )

    async def _finish(self) -> None:
        """The last commit. What cannot be committed any more is processed again by whoever comes next."""
        self._services.entered("stopping")
        await self._services.stop(_FINISH_TIMEOUT_S)
        try:
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                if await self._member.may_commit():
                    await self._processing.settle(self._member.membership)
                    await self._recovery.drop(self._workload.tasks)
                    if not self.outdated:
                        await self._member.leave()
        except TimeoutError:
            log.warning("the broker did not take the last commit within %g s", _FINISH_TIMEOUT_S)
        except (*_RECOVERABLE, *_FENCED, StateRefused) as error:
            log.warning("the last commit failed, its events will be processed again: %s", error)
