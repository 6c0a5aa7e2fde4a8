"""What a worker does about what fails: it goes back to the last commit, and makes anew what came after it.

Nothing has to be undone on disk, since uncommitted state never gets there: tasks and caches are thrown away.

| failed | then |
|---|---|
| a commit, an output, a service that a codec needs | `go_back`: the last commit, after a backoff |
| state that a broker would refuse | `narrow`: the last commit, and fewer events at once, until one is alone |
| the membership or the producer, which others took for gone | `come_back`: without tasks, as a new member |
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from ottla.cluster.member import Member
from ottla.errors import Unavailable
from ottla.serdes.requests import Pending
from ottla.task.refusals import Refusals, StateRefused
from ottla.topology.topology import TaskId, Topology
from ottla.transport.contract import Transport, limits_of
from ottla.transport.errors import (
    DeliveryError,
    MemberFencedError,
    ProducerFencedError,
    RecordRefusedError,
    TransactionAbortedError,
    TransportError,
)
from ottla.worker.commits import Commits
from ottla.worker.destinations import Destinations
from ottla.worker.metrics import WorkerMetrics
from ottla.worker.outbox import Outbox
from ottla.worker.pace import Pace
from ottla.worker.processing import Processing
from ottla.worker.takeover import Takeover
from ottla.worker.workload import Workload

log = logging.getLogger("ottla.worker")

_FAILED_COMMITS = 5
_FIRST_BACKOFF_S = 0.1
_REPLACED_WITHIN_S = 3.0
"""So soon a member hears that another took its place: with its next heartbeat."""
_REPLACED_POLL_S = 0.02


class Recovery:
    """Makes anew what failed, until it has failed too often in a row."""

    def __init__(
        self,
        topology: Topology,
        transport: Transport,
        workload: Workload,
        takeover: Takeover,
        processing: Processing,
        commits: Commits,
        outbox: Outbox,
        destinations: Destinations,
        refusals: Refusals,
        pace: Pace,
        metrics: WorkerMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._topology = topology
        self._transport = transport
        self._workload = workload
        self._takeover = takeover
        self._processing = processing
        self._commits = commits
        self._outbox = outbox
        self._destinations = destinations
        self._refusals = refusals
        self._pace = pace
        self._metrics = metrics
        self._now_ms = now_ms
        self._failed_commits = 0

    def succeeded(self) -> None:
        """A commit is done: what fails from now on has not failed before."""
        self._failed_commits = 0

    async def go_back(self, error: TransportError | Unavailable) -> None:
        """Makes all that was done since the last commit anew, after a backoff.

        Raises a `TransportError` when that has failed too often; what is `Unavailable` is waited for.
        """
        if isinstance(error, Pending):
            try:
                await asyncio.to_thread(error.fetch)
            except Unavailable as away:
                error = away
            else:
                await self.undo()
                return
        self._failed_commits += 1
        self._metrics.aborts.inc()
        if self._failed_commits > _FAILED_COMMITS and isinstance(error, TransportError):
            raise error
        log.warning("going back to the last commit: %s", error)
        await self.undo()
        if isinstance(error, RecordRefusedError):
            await self._learn_limits()
        await asyncio.sleep(_FIRST_BACKOFF_S * 2 ** min(self._failed_commits, _FAILED_COMMITS))

    async def narrow(self, refused: StateRefused) -> None:
        """Goes back to the last commit, to find what it is that writes state which cannot be stored.

        Raises what is wrong with the state if it is neither an event nor a punctuator.
        """
        level = logging.DEBUG if self._refusals.is_searching(refused.task) else logging.WARNING
        self._refusals.narrow(refused)
        self._metrics.aborts.inc()
        among = f"the event at fault among {refused.events}" if refused.events else "what is at fault"
        log.log(level, "going back to the last commit to find %s: %s", among, refused)
        await self.undo()

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

    async def undo(self) -> None:
        """Makes all that was done since the last commit undone: tasks begin anew there, or are taken over once more if
        it is not known which commit was the last."""
        await self.abort()
        if self._commits.is_unknown:
            await self._takeover.cancel()
            await self.drop_all()
        else:
            await self._workload.begin_anew()

    async def come_back(self, error: ProducerFencedError | MemberFencedError, member: Member) -> None:
        """Begins anew with nothing, after others took this worker for gone: it slept, or was cut off.

        Raises `FatalTransportError` if there is another worker with its id, and the error if this does not help.
        """
        self._failed_commits += 1
        if self._failed_commits > _FAILED_COMMITS:
            raise error
        log.warning("joining the group again: %s", error)
        await self._takeover.cancel()
        await self._end_commit()
        await self.drop_all()
        if isinstance(error, MemberFencedError) or await self._is_replaced(member):
            member.cut_off()
            await self._transport.rejoin()
        await self._transport.renew()
        self._outbox.aborted()
        self._processing.forget()
        member.begin_anew()

    async def _is_replaced(self, member: Member) -> bool:
        """Whether the group has another member in this one's place."""
        until = time.monotonic() + _REPLACED_WITHIN_S
        while time.monotonic() < until:
            try:
                member.take(await self._transport.poll(self._pace.poll_messages, _REPLACED_POLL_S))
            except MemberFencedError:
                return True
            except ProducerFencedError:
                # What a commit has said a poll may say again: it is why this is asked.
                await asyncio.sleep(_REPLACED_POLL_S)
        return False

    async def abort(self) -> None:
        """Aborts what was produced since the last commit; the tasks are left as they are."""
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

    async def drop_all(self) -> None:
        """As `drop`, of all tasks; they are taken over anew if they are still this worker's."""
        await self.drop(self._workload.tasks)
        self._workload.granted = None

    async def drop(self, task_ids: Iterable[TaskId]) -> None:
        """Ends tasks as they are."""
        await self._workload.drop(task_ids)
        if not self._workload.tasks:
            self._commits.forget()
