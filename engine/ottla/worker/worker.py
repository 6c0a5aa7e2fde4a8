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
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from ottla.serdes.requests import Pending
from ottla.state.changelog import Phase, RestoreProgress, StateProgress
from ottla.state.store import Stores
from ottla.task.processor import check_size
from ottla.task.refusals import Refusals, StateRefused
from ottla.topology.topology import Plan, TaskId, Topology
from ottla.transport.contract import Membership, OutputRecord, TopicPartition, Transport, limits_of
from ottla.transport.errors import (
    DeliveryError,
    MemberFencedError,
    ProducerFencedError,
    RecordRefusedError,
    TransactionAbortedError,
    TransportError,
)
from ottla.worker.assignment import TaskMaker
from ottla.worker.commits import Commits
from ottla.worker.destinations import Destinations
from ottla.worker.endings import Endings
from ottla.worker.global_tables import GlobalTables
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
        self._endings = Endings(topology.subtopologies) if until_end else None
        self._workload = Workload(config.app_id, self._maker, transport, self._services, self.metrics)
        self._commits = Commits(config, self._workload, self._outbox, transport, self.metrics, self._now_ms)
        self._pace = Pace(config.commit_interval_ms)
        self._processing = Processing(
            self._workload, self._commits, self._outbox, questions, transport, self.metrics, self._pace, self._now_ms
        )
        self._member: Member
        self._topic_watch: TopicWatch | None = None
        self._compared = False
        self._watchdog = Watchdog()
        # The tasks that this worker was given and has acted on, each with the number of the assignment that gave it.
        self._granted: Mapping[TaskId, int] | None = None
        self._stopping = False
        # Bounds the turn that is under way when the worker is to end.
        self._patience: asyncio.Timeout | None = None
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
            if await self._work_until_stopped():
                await self._finish()
        finally:
            if self._topic_watch is not None:
                await self._topic_watch.stop()
            await self._purge.stop()
            await self._takeover.cancel()
            await self._commits.end()
            await self._drop(self._workload.tasks)
            await self._tell_the_end()
            await self._standbys.close()
            await self._globals.close()
            await self._replies.close()
            await self._transport.stop(leave=not self.outdated)
        return WorkerSummary(self._processing.events, time.monotonic() - began)

    @property
    def outlet(self) -> Outlet:
        """Where code that runs in this worker beside its tasks sends to."""
        return self._outbox

    def stop(self) -> None:
        """Asks the worker to end: it finishes the batches it is at, commits and returns, within a bound."""
        self._stopping = True
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time() + _FINISH_TIMEOUT_S)

    async def _begin(self) -> None:
        await self._transport.start()
        await prepare_codecs(self._topology, lambda: self._stopping)
        plan = await provision_topics(self._topology, self._transport)
        await check_stores(self._topology, self._transport, now_ms=self._now_ms())
        self._member = self._make_member(plan)
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
                    except (TransactionAbortedError, DeliveryError, Unavailable) as error:
                        await self._go_back(error)
                    except StateRefused as refused:
                        await self._narrow(refused)
                    except (ProducerFencedError, MemberFencedError) as error:
                        await self._come_back(error)
        except TimeoutError:
            if self._patience is None or not self._patience.expired():
                raise
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
        await self._abort()
        await self._drop_all()

    # -- one turn

    def _finished(self) -> bool:
        if self._stopping:
            return True
        return (
            self._endings is not None
            and self._member.is_placed
            and self._granted == self._member.grants
            and not self._takeover.under_way
            and self._commits.is_settled
            and all(task.ended for task in self._workload.tasks.values())
        )

    async def _turn(self) -> None:
        workload, processing = self._workload, self._processing
        polled = await self._transport.poll(self._pace.poll_messages, self._poll_timeout_s())
        self._services.check()
        self._globals.check()
        if self._topic_watch is not None and self._topic_watch.check() and self._endings is None:
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
            self._failed_commits = 0
        processing.start()
        await processing.collect(_BUSY_WAIT_S)
        await processing.produce()
        workload.hold_back(polled)
        if self._endings is not None and not workload.is_busy:
            await self._end_tasks(self._endings)
        if self._may_begin_commit and await self._member.may_commit():
            await self._begin_commit()
        if await self._member.verify() and await self._knows_its_topics():
            await self._follow_assignment()
        if time.monotonic() >= self._lag_at:
            self._lag_at = time.monotonic() + _LAG_INTERVAL_S
            await workload.measure_lag()
        self._purge.purge(workload.committed, time.monotonic())
        self._services.entered(self._state)

    async def _knows_its_topics(self) -> bool:
        """Whether it was seen which topics are not those that earlier workers had. Raises `TopologyError` if it must
        not begin with those."""
        if not self._compared and self._topic_watch is not None:
            try:
                await self._topic_watch.compare(self._member.view.topics)
                self._compared = True
            except TransportError as error:
                log.info("the state of the topics is not known just now: %s", error)
        return self._compared

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

    @property
    def _may_begin_commit(self) -> bool:
        return not self._commits.is_under_way and self._commits.is_due and not self._workload.is_busy

    async def _settle(self) -> None:
        """Commits all that was done, and waits for it. No task may be busy."""
        await self._commits.wait()
        await self._begin_commit()
        await self._commits.wait()
        self._failed_commits = 0

    async def _begin_commit(self) -> None:
        # What the events led to must be on its way before it may be said that they were processed.
        await self._processing.produce()
        self._commits.begin(self._member.membership)

    # -- what fails is made anew

    async def _go_back(self, error: TransportError | Unavailable) -> None:
        """Makes all that was done since the last commit anew, after a backoff.

        Raises a `TransportError` when that has failed too often; what is `Unavailable` is waited for.
        """
        if isinstance(error, Pending):
            try:
                await asyncio.to_thread(error.fetch)
            except Unavailable as away:
                error = away
            else:
                await self._undo()
                return
        self._failed_commits += 1
        self.metrics.aborts.inc()
        if self._failed_commits > _FAILED_COMMITS and isinstance(error, TransportError):
            raise error
        log.warning("going back to the last commit: %s", error)
        await self._undo()
        if isinstance(error, RecordRefusedError):
            await self._learn_limits()
        await asyncio.sleep(_FIRST_BACKOFF_S * 2 ** min(self._failed_commits, _FAILED_COMMITS))

    async def _narrow(self, refused: StateRefused) -> None:
        """Goes back to the last commit, to find what it is that writes state which cannot be stored.

        Raises what is wrong with the state if it is neither an event nor a punctuator.
        """
        level = logging.DEBUG if self._refusals.is_searching(refused.task) else logging.WARNING
        self._refusals.narrow(refused)
        self.metrics.aborts.inc()
        among = f"the event at fault among {refused.events}" if refused.events else "what is at fault"
        log.log(level, "going back to the last commit to find %s: %s", among, refused)
        await self._undo()

    async def _learn_limits(self) -> None:
        topology = self._topology
        topics = {spec.name for spec in (*topology.topics, *topology.repartitions, topology.dead_letter)}
        topics |= {spec.changelog for part in topology.subtopologies for spec in part.stores if spec.logged}
        topics.update(self._destinations.topics)
        try:
            configs = await self._transport.configs(topics)
            limits = {topic: limits_of(config) for topic, config in configs.items()}
            # A batch of several records may have been too large, and none of them.
            await self._transport.batch_at_most(min(each.max_bytes for each in limits.values()))
            self._refusals.learn(limits, self._now_ms())
        except TransportError as error:
            log.warning("it cannot be told which event is at fault: %s", error)

    async def _undo(self) -> None:
        """Makes all that was done since the last commit undone: tasks begin anew there, or are taken over once more if
        it is not known which commit was the last."""
        await self._abort()
        if self._commits.is_unknown:
            await self._takeover.cancel()
            await self._drop_all()
        else:
            await self._workload.begin_anew()

    async def _come_back(self, error: ProducerFencedError | MemberFencedError) -> None:
        """Begins anew with nothing, after others took this worker for gone: it slept, or was cut off.

        Raises `FatalTransportError` if there is another worker with its id, and the error if this does not help.
        """
        self._failed_commits += 1
        if self._failed_commits > _FAILED_COMMITS:
            raise error
        log.warning("joining the group again: %s", error)
        await self._takeover.cancel()
        await self._end_commit()
        await self._drop_all()
        if isinstance(error, MemberFencedError) or await self._is_replaced():
            self._member.cut_off()
            await self._transport.rejoin()
        await self._transport.renew()
        self._outbox.aborted()
        self._processing.forget()
        self._member.begin_anew()

    async def _is_replaced(self) -> bool:
        """Whether the group has another member in this one's place."""
        until = time.monotonic() + _REPLACED_WITHIN_S
        while time.monotonic() < until:
            try:
                self._member.take(await self._transport.poll(self._pace.poll_messages, _BUSY_WAIT_S))
            except MemberFencedError:
                return True
            except ProducerFencedError:
                # What a commit has said a poll may say again: it is why this is asked.
                await asyncio.sleep(_BUSY_WAIT_S)
        return False

    async def _abort(self) -> None:
        await self._end_commit()
        await self._transport.abort()
        self._outbox.aborted()
        self._processing.forget()
        self._commits.forget()

    async def _end_commit(self) -> None:
        """Waits for the commit under way. One that fails leaves everything as it was before, which is what its caller
        is about to see to; a producer that is fenced says so again."""
        try:
            await self._commits.wait()
        except (TransactionAbortedError, DeliveryError, ProducerFencedError, MemberFencedError) as error:
            log.info("a commit failed meanwhile: %s", error)

    # -- tasks come and go

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

    async def _follow_assignment(self) -> None:
        """Lets go of the tasks that are to be others', takes those that are to be this worker's, and says so."""
        member = self._member
        grants = member.grants
        if grants != self._granted:
            had = self._granted or {}
            await self._let_go({task for task, since in had.items() if grants.get(task) != since})
            if had or grants:
                log.info("assigned %d tasks: %s", len(grants), " ".join(map(str, sorted(grants))))
            self._granted = grants
            await self._takeover.begin(set(grants) - self._workload.tasks.keys())
            self._workload.begin(())
        copies = member.copies - grants.keys()
        if copies != self._standbys.tasks:
            await self._standbys.keep(copies)
        member.acted(frozenset(self._maker.stateful(self._workload.tasks) | self._standbys.warm))
        if member.has_news and not self._workload.is_busy and await member.may_commit():
            await self._settle()
            await member.speak()

    async def _let_go(self, tasks: set[TaskId]) -> None:
        """Ends tasks: after a last commit if they were asked for, without if they were given away meanwhile."""
        await self._takeover.cancel()
        running = tasks & self._workload.tasks.keys()
        if not running:
            return
        if not tasks <= self._member.asked_back():
            log.warning("tasks went to others while the group did not hear of this worker; going back")
            await self._drop(running)
            await self._undo()
            return
        try:
            if await self._processing.quiesce(_FINISH_TIMEOUT_S):
                await self._settle()
            else:
                await self._undo()
        except (TransactionAbortedError, DeliveryError, Unavailable) as error:
            log.warning("the last commit of tasks failed, their events go to other workers: %s", error)
            await self._undo()
        await self._drop(running & self._workload.tasks.keys())

    async def _drop_all(self) -> None:
        await self._drop(self._workload.tasks)
        self._granted = None

    async def _drop(self, task_ids: Iterable[TaskId]) -> None:
        await self._workload.drop(task_ids)
        if not self._workload.tasks:
            self._commits.forget()

    async def _finish(self) -> None:
        """The last commit. What cannot be committed any more is processed again by whoever comes next."""
        self._services.entered("stopping")
        await self._stop_services()
        try:
            if not await self._processing.quiesce(_FINISH_TIMEOUT_S):
                log.warning("an agent did not finish within %g s; its batch will be processed again", _FINISH_TIMEOUT_S)
                return
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                if await self._member.may_commit():
                    await self._settle()
                    await self._drop(self._workload.tasks)
                    if not self.outdated:
                        await self._member.leave()
        except TimeoutError:
            log.warning("the broker did not take the last commit within %g s", _FINISH_TIMEOUT_S)
        except (TransactionAbortedError, DeliveryError, StateRefused, Unavailable) as error:
            log.warning("the last commit failed, its events will be processed again: %s", error)

    async def _tell_the_end(self) -> None:
        try:
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                await self._services.told()
        except TimeoutError:
            log.warning("what the app does when tasks go did not finish within %g s", _FINISH_TIMEOUT_S)

    async def _stop_services(self) -> None:
        try:
            async with asyncio.timeout(_FINISH_TIMEOUT_S):
                await self._services.stop()
        except TimeoutError:
            log.warning("what the app does at its end did not finish within %g s", _FINISH_TIMEOUT_S)
        await self._processing.produce()

    # -- the end of a bounded run

    async def _end_tasks(self, endings: Endings) -> None:
        """Ends the tasks that are at the end of their input, and asks for the ends that can be known now."""
        tasks = self._workload.tasks.values()
        if self._commits.is_settled and (unknown := endings.unknown(tasks)):
            ranges = await self._transport.offset_ranges(unknown)
            endings.learn({where: each.end for where, each in ranges.items()})
        for task in [task for task in tasks if not (task.ended or task.at_rest) and endings.reached(task)]:
            await task.task.end_of_input()
            if endings.told(task):
                task.ended = True
                self._transport.pause(task.inputs)
            self._processing.take(task)
            self._commits.note(at_once=True)
        await self._processing.produce()
