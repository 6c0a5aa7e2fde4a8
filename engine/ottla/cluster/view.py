"""What the control topic says, and what the leader makes of it. Pure: records in, the next assignment out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from ottla.cluster.placement import Copying, Placement, Situation, place
from ottla.cluster.records import (
    ASSIGNMENT_KEY,
    TOPICS_KEY,
    Assignment,
    Grant,
    Report,
    decode_assignment,
    decode_report,
    decode_topics,
    reporting_worker,
    task_id,
)
from ottla.pausing import PAUSE_PREFIX, Pauses
from ottla.topology.topology import TaskId
from ottla.transport.contract import Message, OffsetRange


class ClusterView:
    """The newest record of each key. `position` is the offset up to which the topic was read."""

    def __init__(self) -> None:
        self.position = 0
        self.reports: dict[str, Report] = {}
        self.assignment = Assignment()
        self.topics: dict[str, str] = {}
        self.pauses = Pauses()

    def take(self, messages: Sequence[Message]) -> None:
        """The next messages of the control topic."""
        for message in messages:
            self.position = message.offset() + 1
            key, value = message.key() or b"", message.value()
            if key == ASSIGNMENT_KEY and value is not None:
                self.assignment = decode_assignment(value)
            elif key == TOPICS_KEY and value is not None:
                self.topics = decode_topics(value)
            elif key.startswith(PAUSE_PREFIX):
                self.pauses.take(key, value)
            elif (worker := reporting_worker(key)) is not None:
                if value is None:
                    self.reports.pop(worker, None)
                else:
                    self.reports[worker] = decode_report(value)

    def granted_to(self, worker: str) -> dict[TaskId, int]:
        """The tasks that are this worker's, each with the number of the assignment that gave it."""
        active = self.assignment.active
        return {task_id(task): grant.since for task, grant in active.items() if grant.worker == worker}

    def asked_back_from(self, worker: str) -> set[TaskId]:
        """The tasks that this worker is asked to let go of."""
        return {task_id(task) for task, grant in self.assignment.releasing.items() if grant.worker == worker}

    def copied_by(self, worker: str) -> set[TaskId]:
        """The tasks of whose state this worker keeps a copy."""
        return {task_id(task) for task, workers in self.assignment.standby.items() if worker in workers}


def next_assignment(
    view: ClusterView,
    live: Collection[str],
    tasks: Sequence[TaskId],
    changelogs: Mapping[TaskId, OffsetRange],
    copying: Copying,
) -> Assignment | None:
    """The assignment that should follow, or None when the one in force will do.

    `live` are the members of the group, `tasks` those of the topology, `changelogs` the sums of the start and end
    offsets of the changelogs of each stateful task. Members that have not reported yet get nothing, but keep what they
    have.

    A task changes hands in two steps: it is taken from the one, and given to the other when the first has said that it
    let go, or is no member any more and so cannot commit any more.
    """
    assignment = view.assignment
    workers = {worker: report for worker, report in view.reports.items() if worker in live}
    if not workers:
        return None
    holders: dict[TaskId, Grant] = {}
    for task in tasks:
        name = str(task)
        if (granted := assignment.active.get(name)) is not None and granted.worker in live:
            holders[task] = granted
        elif (asked := assignment.releasing.get(name)) is not None and asked.worker in live:
            report = workers.get(asked.worker)
            if report is None or report.seen < asked.since:
                holders[task] = asked
    placement = place(
        Situation(
            tasks,
            changelogs.keys(),
            {worker: _lags(report, changelogs) for worker, report in workers.items()},
            {task: grant.worker for task, grant in holders.items() if grant.worker in workers},
            {task_id(task): copies for task, copies in assignment.standby.items()},
            copying,
            {worker: report.tags for worker, report in workers.items()},
            {task for task in holders if str(task) in assignment.releasing},
        )
    )
    following = _steps_to(placement, assignment, holders, sorted(workers))
    return None if following is assignment else following


def _steps_to(
    placement: Placement, assignment: Assignment, holders: Mapping[TaskId, Grant], workers: list[str]
) -> Assignment:
    number = assignment.number + 1
    active: dict[str, Grant] = {}
    releasing: dict[str, Grant] = {}
    for task, worker in placement.active.items():
        name, holder = str(task), holders.get(task)
        if holder is None:
            active[name] = Grant(worker, number)
        elif name in assignment.releasing:
            releasing[name] = holder
        elif holder.worker == worker:
            active[name] = holder
        else:
            releasing[name] = Grant(holder.worker, number)
    standby = {str(task): list(workers) for task, workers in placement.standby.items()}
    for task, worker in placement.active.items():
        # Whoever is to have a task that is on its way keeps the copy of its state that it has, to go on with it.
        if (name := str(task)) in releasing and worker in assignment.standby.get(name, ()):
            standby.setdefault(name, []).append(worker)
    following = Assignment(
        number=assignment.number, workers=workers, active=active, standby=standby, releasing=releasing
    )
    return assignment if following == assignment else msgspec.structs.replace(following, number=number)


def _lags(report: Report, changelogs: Mapping[TaskId, OffsetRange]) -> dict[TaskId, int]:
    warm = set(report.warm)
    lags = {}
    for task, changelog in changelogs.items():
        name = str(task)
        have = max(report.offsets.get(name, changelog.start), changelog.start)
        lags[task] = 0 if name in warm else max(changelog.end - have, 0)
    return lags
