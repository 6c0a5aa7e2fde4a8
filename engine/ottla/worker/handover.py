"""Acting on the assignment: tasks come, tasks go, copies are kept, and the others hear of it."""

from __future__ import annotations

import logging

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

    async def follow(self) -> None:
        """Lets go of the tasks that are to be others', takes those that are to be this worker's, and says so."""
        member = self._member
        grants = member.grants
        if grants != self._workload.granted:
            had = self._workload.granted or {}
            await self._let_go({task for task, since in had.items() if grants.get(task) != since})
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
            if await self._processing.quiesce(_LAST_BATCH_S):
                await self._settle()
            else:
                await self._recovery.undo()
        except (TransactionAbortedError, DeliveryError, Unavailable) as error:
            log.warning("the last commit of tasks failed, their events go to other workers: %s", error)
            await self._recovery.undo()
        await self._recovery.drop(running & self._workload.tasks.keys())

    async def _settle(self) -> None:
        await self._processing.settle(self._member.membership)
        self._recovery.succeeded()
