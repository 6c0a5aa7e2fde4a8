"""Which worker runs which task, and who keeps copies of its state. Pure: the same facts give the same placement.

In the order of their weight:

1. **A task goes where its state is.** A worker that would have to read much of the changelog first does not get the
   task while another is caught up: it warms up a copy, and gets the task when that is done (KIP-441).
2. **Workers have equally many tasks**, give or take one.
3. **A task stays where it is.** Of several placements that are as good, it is the one that moves the fewest.

Copies go where no other of the task is, as far as the workers' tags say: to another zone, another cluster (KIP-708).
Only then it matters that they are spread evenly, and that those which are there stay.

"Caught up" is a lag of at most `Copying.acceptable_lag` changelog records, as in Kafka Streams
(`acceptable.recovery.lag`); at most `Copying.max_warmups` copies are made at a time (`max.warmup.replicas`), since they
cost the broker reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from ottla.topology.topology import TaskId


@dataclass(frozen=True, slots=True)
class Copying:
    """On how many other workers copies of state are kept up; with how many records to read a worker may have a task at
    once; and how many copies are made at a time where it may not.
    """

    standbys: int = 0
    acceptable_lag: int = 10_000
    max_warmups: int = 2


@dataclass(frozen=True, slots=True)
class Placement:
    """The worker that should run each task, and those that should keep copies of its state."""

    active: Mapping[TaskId, str]
    standby: Mapping[TaskId, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Situation:
    """What a placement is made from.

    `lags` has, for each worker, the records it would have to read before it could run each stateful task. `owners` are
    the workers that have the tasks now, if they are still there, `leaving` the tasks that their owners have been asked
    to let go of, `copies` the workers that keep copies. `tags` say where each worker is: its zone, its cluster.
    """

    tasks: Sequence[TaskId]
    stateful: Collection[TaskId]
    lags: Mapping[str, Mapping[TaskId, int]]
    owners: Mapping[TaskId, str]
    copies: Mapping[TaskId, Collection[str]]
    copying: Copying
    tags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    leaving: Collection[TaskId] = ()

    def shared_tags(self, worker: str, holders: Collection[str]) -> int:
        """In how many of the tags that there are a worker says the same as one of the others, or nothing."""
        own = self.tags.get(worker, {})
        names = {name for tags in self.tags.values() for name in tags}
        taken = {name: {self.tags.get(holder, {}).get(name) for holder in holders} for name in names}
        return sum(own.get(name) is None or own[name] in taken[name] for name in names)

    def lag(self, worker: str, task: TaskId) -> int:
        return self.lags[worker].get(task, 0) if task in self.stateful else 0


def place(situation: Situation) -> Placement:
    """The placement of all tasks. There must be a worker."""
    aims = _balanced(situation)
    active: dict[TaskId, str] = {}
    warmups: dict[TaskId, str] = {}
    for task in situation.tasks:
        aim, owner = aims[task], situation.owners.get(task)
        holder = _best_holder(situation, task, owner)
        if aim == holder or situation.lag(aim, task) <= situation.copying.acceptable_lag or holder is None:
            active[task] = aim
        else:
            active[task] = holder
            if len(warmups) < situation.copying.max_warmups:
                warmups[task] = aim
    return Placement(active, _standbys(situation, active, warmups))


def _best_holder(situation: Situation, task: TaskId, owner: str | None) -> str | None:
    """The worker that has the task or could take it at once: its owner, or who has more of its state if the owner lost
    it.
    """
    if owner is not None and situation.lag(owner, task) <= situation.copying.acceptable_lag:
        return owner
    lag, worker = min((situation.lag(worker, task), worker) for worker in situation.lags)
    return worker if lag <= situation.copying.acceptable_lag else owner


def _balanced(situation: Situation) -> dict[TaskId, str]:
    """Equally many tasks for each worker: owners keep what they may, the others go where their state is."""
    workers = sorted(situation.lags)
    share, more = divmod(len(situation.tasks), len(workers))
    owned: dict[str, list[TaskId]] = {worker: [] for worker in workers}
    for task in situation.tasks:
        if (owner := situation.owners.get(task)) is not None:
            owned[owner].append(task)
    aims: dict[TaskId, str] = {}
    load: Counter[str] = Counter()
    parts: Counter[tuple[str, int]] = Counter()

    def give(task: TaskId, worker: str) -> None:
        aims[task] = worker
        load[worker] += 1
        parts[worker, task.subtopology] += 1

    def best_elsewhere(task: TaskId, owner: str) -> int:
        return min((situation.lag(worker, task) for worker in workers if worker != owner), default=0)

    for worker in sorted(workers, key=lambda each: (-len(owned[each]), each)):
        keeps = share
        if more and len(owned[worker]) > share:
            keeps, more = share + 1, more - 1
        # What is on its way is given away first, or others would have to follow it; then what others have a copy of;
        # then the tasks of which this worker has the most siblings.
        for task in sorted(
            owned[worker],
            key=lambda each: (each in situation.leaving, -best_elsewhere(each, worker), each.partition, each),
        ):
            if load[worker] < keeps:
                give(task, worker)
    for task in situation.tasks:
        if task not in aims:
            room = [each for each in workers if load[each] < share or (more and load[each] == share)]
            chosen = min(
                room, key=lambda each: (situation.lag(each, task), parts[each, task.subtopology], load[each], each)
            )
            if load[chosen] == share:
                more -= 1
            give(task, chosen)
    return aims


def _standbys(
    situation: Situation, active: Mapping[TaskId, str], warmups: Mapping[TaskId, str]
) -> dict[TaskId, tuple[str, ...]]:
    """Copies on workers other than the one that runs the task; those that are there already stay."""
    workers = sorted(situation.lags)
    copies = min(situation.copying.standbys, len(workers) - 1)
    stateful = [task for task in situation.tasks if task in situation.stateful]
    bound = ceil(len(stateful) * copies / len(workers))
    load: Counter[str] = Counter()
    chosen: dict[TaskId, tuple[str, ...]] = {}
    for task in stateful:
        kept = situation.copies.get(task, ())
        found: list[str] = []
        for _ in range(copies):
            holders = [active[task], *found]
            near = {worker: situation.shared_tags(worker, holders) for worker in workers if worker not in holders}
            found.append(
                min(
                    near,
                    key=lambda each: (
                        near[each],
                        load[each] >= bound,
                        each not in kept,
                        situation.lag(each, task),
                        load[each],
                        each,
                    ),
                )
            )
        load.update(found)
        warming = warmups.get(task)
        if warming is not None and warming not in found:
            found.append(warming)
        if found:
            chosen[task] = tuple(found)
    return chosen
