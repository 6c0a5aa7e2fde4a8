"""What a worker shows of itself: the tasks and copies it has, their committed state, and where the others' are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from ottla.cluster.member import Member
from ottla.cluster.standby import Standbys
from ottla.state.cache import StoreCache, open_cache
from ottla.state.store import KeyValueStore, Part, StoreSpec
from ottla.task.processor import TaskContext
from ottla.topology.topology import Plan, Subtopology, TaskId, Topology
from ottla.transport.contract import TopicPartition
from ottla.worker.assignment import AssignedTask
from ottla.worker.global_tables import GlobalTables


class TaskStatus(Struct):
    """A task or copy on this worker. `lag` is what its inputs hold after the last commit, as last measured."""

    task: str
    role: str
    inputs: list[str]
    lag: int | None


class WorkerStatus(Struct):
    """A worker as the control topic knows it: its tasks and the copies it keeps."""

    worker: str
    address: str | None
    active: list[str]
    standby: list[str]


class PartStatus(Struct):
    """A part of a table: the worker that runs its task, if one does now, and those that keep copies."""

    part: int
    worker: str | None
    standby: list[str]


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a part of a table can be read: the address of the worker that runs its task, and those of copies."""

    owner: str | None
    copies: tuple[str, ...]


class Insight:
    """Reads a worker's own objects, on its event loop; changes nothing."""

    def __init__(
        self,
        topology: Topology,
        plan: Plan,
        member: Member,
        tasks: Mapping[TaskId, AssignedTask],
        standbys: Standbys,
        global_tables: GlobalTables,
        lags: Mapping[TopicPartition, int],
    ) -> None:
        self.topology = topology
        self._plan = plan
        self._member = member
        self._tasks = tasks
        self._standbys = standbys
        self._globals = global_tables
        self._lags = lags

    @property
    def worker_id(self) -> str:
        return self._member.id

    @property
    def not_ready(self) -> str | None:
        """Why this worker does not do all that it should yet; None when it does."""
        if self._member.membership is None:
            return "not a member of the group, or not sure to be one"
        missing = self._member.grants.keys() - self._tasks.keys()
        if missing:
            return f"restoring the state of {' '.join(map(str, sorted(missing)))}"
        if self._member.id not in self._member.view.assignment.workers:
            return "waiting for tasks"
        return None

    def tasks(self) -> list[TaskStatus]:
        running = [
            TaskStatus(
                str(task_id),
                "paused" if task.at_rest else "active",
                list(task.subtopology.inputs_at(task_id.partition)),
                sum(self._lags[where] for where in task.inputs) if self._lags.keys() >= set(task.inputs) else None,
            )
            for task_id, task in sorted(self._tasks.items())
        ]
        restoring = self._member.grants.keys() - self._tasks.keys()
        found = {"restoring": restoring, "standby": self._standbys.tasks}
        return running + [
            TaskStatus(str(task_id), role, list(self._part(task_id).inputs_at(task_id.partition)), None)
            for role, task_ids in found.items()
            for task_id in sorted(task_ids)
        ]

    def workers(self) -> list[WorkerStatus]:
        view = self._member.view
        return [
            WorkerStatus(
                worker,
                view.reports[worker].address if worker in view.reports else None,
                sorted(map(str, view.granted_to(worker))),
                sorted(map(str, view.copied_by(worker))),
            )
            for worker in view.assignment.workers
        ]

    # -- tables

    def parts(self, store: str) -> list[PartStatus]:
        """Who has each part of a table; nothing for a global table, which every worker has."""
        found, assignment = self._holder(store), self._member.view.assignment
        if found is None:
            return []
        tasks = [task_id for task_id in self._plan.tasks if task_id.subtopology == found.index]
        return [
            PartStatus(
                task_id.partition,
                None if (grant := assignment.active.get(str(task_id))) is None else grant.worker,
                list(assignment.standby.get(str(task_id), ())),
            )
            for task_id in tasks
        ]

    def inputs_of(self, store: str) -> Sequence[str]:
        """The topics whose events write the table that this store is of; empty for a global table."""
        found = self._holder(store)
        return () if found is None else found.inputs

    def partitions(self, store: str) -> int:
        """How many parts the table has. A global table has one, which every worker holds."""
        found = self._holder(store)
        return 1 if found is None else sum(1 for task in self._plan.tasks if task.subtopology == found.index)

    def committed(self, spec: StoreSpec, partition: int, *, stale: bool) -> Part | None:
        """A part of a table as it was last committed, if this worker runs its task, or with `stale` keeps a copy."""
        found = self._holder(spec.name)
        if found is None:
            return self._globals.tables.get(spec.name)
        store = self._store(TaskId(found.index, partition), spec, stale=stale)
        return None if store is None else open_cache(spec, store)

    def held(self, spec: StoreSpec) -> list[Part]:
        """The parts of a table that this worker has, as they were last committed."""
        parts = (self.committed(spec, number, stale=False) for number in range(self.partitions(spec.name)))
        return [part for part in parts if part is not None]

    def task_of(self, store: str, partition: int) -> TaskId:
        """The task that writes a part of a table."""
        found = self._holder(store)
        assert found is not None, "a global table is everywhere"
        return TaskId(found.index, partition)

    def readers_of(self, topic: str) -> list[TaskId]:
        """The tasks that read a topic, by its partitions: those of the first agents that do."""
        parts = self.topology.subtopologies
        found = next((part.index for part in parts if topic in part.inputs), None)
        tasks = (task for task in self._plan.tasks if task.subtopology == found)
        return [task for task in tasks if topic in self._part(task).inputs_at(task.partition)]

    def context(self, task_id: TaskId) -> TaskContext | None:
        """What functions see tables through, with the committed state of a task; None if it is not here."""
        task = self._tasks.get(task_id)
        return None if task is None else task.task.reading(self._committed_stores(task))

    def whereabouts(self, task_id: TaskId) -> Whereabouts:
        """Where else the state of a task can be read."""
        task, view = str(task_id), self._member.view
        grant = view.assignment.active.get(task)
        workers = [*([] if grant is None else [grant.worker]), *view.assignment.standby.get(task, [])]
        addresses = {
            worker: report.address
            for worker in workers
            if worker != self._member.id and (report := view.reports.get(worker)) is not None
        }
        copies = [address for address in addresses.values() if address is not None]
        return Whereabouts(None if grant is None else addresses.get(grant.worker), tuple(copies))

    def _committed_stores(self, task: AssignedTask) -> dict[str, StoreCache]:
        return {
            spec.name: open_cache(spec, task.stores[TopicPartition(spec.changelog, task.task.id.partition)])
            for spec in task.subtopology.stores
        }

    def _store(self, task_id: TaskId, spec: StoreSpec, *, stale: bool) -> KeyValueStore | None:
        task = self._tasks.get(task_id)
        stores = task.stores if task is not None else self._standbys.stores(task_id) if stale else None
        return None if stores is None else stores.get(TopicPartition(spec.changelog, task_id.partition))

    def _holder(self, store: str) -> Subtopology | None:
        for part in self.topology.subtopologies:
            if any(spec.name == store for spec in part.stores):
                return part
        return None

    def _part(self, task_id: TaskId) -> Subtopology:
        return self.topology.subtopologies[task_id.subtopology]
