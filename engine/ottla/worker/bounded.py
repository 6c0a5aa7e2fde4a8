"""A worker that runs until the end of its input: its tasks end as `Endings` says that they may."""

from __future__ import annotations

from ottla.topology.topology import Topology
from ottla.transport.contract import Transport
from ottla.worker.commits import Commits
from ottla.worker.endings import Endings
from ottla.worker.processing import Processing
from ottla.worker.workload import Workload


class BoundedRun:
    """Ends the tasks of a `workload`."""

    def __init__(
        self, topology: Topology, workload: Workload, processing: Processing, commits: Commits, transport: Transport
    ) -> None:
        self._endings = Endings(topology.subtopologies)
        self._workload = workload
        self._processing = processing
        self._commits = commits
        self._transport = transport

    async def end_tasks(self) -> None:
        """Ends the tasks that are at the end of their input, and asks for the ends that can be known now. None may be
        busy."""
        tasks = self._workload.tasks.values()
        if self._commits.is_settled and (unknown := self._endings.unknown(tasks)):
            ranges = await self._transport.offset_ranges(unknown)
            self._endings.learn({where: each.end for where, each in ranges.items()})
        for task in [task for task in tasks if not (task.ended or task.at_rest) and self._endings.reached(task)]:
            await task.task.end_of_input()
            if self._endings.told(task):
                task.ended = True
                self._transport.pause(task.inputs)
            self._processing.take(task)
            self._commits.note(at_once=True)
        await self._processing.produce()
