"""Acting on the assignment: tasks come, tasks go, copies are kept, and the others hear of it."""

from __future__ import annotations

import logging
import time

from ottla.cluster.member import Member
from ottla.cluster.standby import Standbys
from ottla.errors import Unavailable
from ottla.topology.topology import TaskId
from ottla.transport.errors import DeliveryError, TransactionAbortedError
from ottla.worker.assignment import TaskMaker
from ottla.worker.processing import Processing
from ottla.worker.recovery import Recovery
from ottla.worker.takeover import Takeover
from ottla.worker.workload import Workload

log = logging.getLogger("ottla.worker")

_LAST_BATCH_S = 10.0
"""So long the batch at hand may take of a task that another worker is to have."""


class Handover:
    """Does what the `member` was granted. Call `follow` turn after turn, once the membership counts."""

    def __init__(
        self,
        member: Member,
        maker: TaskMaker,
        workload: Workload,
        takeover: Takeover,
        standbys: Standbys,
        processing: Processing,
        recovery: Recovery,
    ) -> None:
        self._member = member
        self._maker = maker
        self._workload = workload
        self._takeover = takeover
        self._standbys = standbys
        self._processing = processing
        self._recovery = recovery
        # How long tasks that are asked back may take (monotonic seconds), while they do.
        self._until: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether tasks that are to go have to come to the end of their batch first: none should begin another."""
        return self._until is not None

    async def follow(self) -> None:
        """Lets go of the tasks that are to be others', takes those that are to be this worker's, and says so."""
        member = self._member
        grants = member.grants
        had = self._workload.granted or {}
        going = {task for task, since in had.items() if grants.get(task) != since}
        if self._waits_for(going):
            return
        missing = grants.keys() - self._workload.tasks.keys()
        # Given up, or failed, with an error after which the worker goes on
        is_lost = bool(missing) and not self._takeover.under_way
        if grants != self._workload.granted or is_lost:
            await self._let_go(going)
            if had or grants:
                log.info("assigned %d tasks: %s", len(grants), " ".join(map(str, sorted(grants))))
            self._workload.granted = grants
            await self._takeover.begin(set(grants) - self._workload.tasks.keys())
            self._workload.begin(())
        copies = member.copies - grants.keys()
        if copies != self._standbys.tasks:
            await self._standbys.keep(copies)
        member.acted(frozenset(self._maker.stateful(self._workload.tasks) | self._standbys.warm))
        if member.has_news and not self._workload.is_busy and await member.may_commit():
            await self._settle()
            await member.speak()

    def _waits_for(self, going: set[TaskId]) -> bool:
        """Whether tasks that are asked back are at work, and have time to come to the end of it. The worker goes on
        meanwhile: an agent may wait for the answer of another."""
        is_asked = going <= self._member.asked_back() and not going.isdisjoint(self._workload.tasks)
        if not (is_asked and self._workload.is_busy):
            self._until = None
            return False
        if self._until is None:
            self._until = time.monotonic() + _LAST_BATCH_S
        return time.monotonic() < self._until

    async def _let_go(self, tasks: set[TaskId]) -> None:
        """Ends tasks: after a last commit if they were asked for, without if they were given away meanwhile."""
        await self._takeover.cancel()
        running = tasks & self._workload.tasks.keys()
        if not running:
            return
        if not tasks <= self._member.asked_back():
            log.warning("tasks went to others while the group did not hear of this worker; going back")
            await self._recovery.undo()
            await self._recovery.drop(running & self._workload.tasks.keys())
            return
        try:
            if self._workload.is_busy:
                log.warning("an agent did not finish within %g s; its batch goes to another worker", _LAST_BATCH_S)
                await self._recovery.undo()
            else:
                await self._settle()
        except (TransactionAbortedError, DeliveryError, Unavailable) as error:
            log.warning("the last commit of tasks failed, their events go to other workers: %s", error)
            await self._recovery.undo()
        await self._recovery.drop(running & self._workload.tasks.keys())

    async def _settle(self) -> None:
        await self._processing.settle(self._member.membership)
        self._recovery.succeeded()
