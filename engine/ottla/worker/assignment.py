"""The tasks that a worker was assigned, as it holds them: each with its stores, and with what is known of its
inputs.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ottla.config import AppConfig
from ottla.state.budget import CacheBudget
from ottla.state.cache import StoreCache, open_cache
from ottla.state.global_store import GlobalStore
from ottla.state.store import KeyValueStore, Stores
from ottla.task.processor import PartitionCounts, TaskCounts
from ottla.task.refusals import Refusals
from ottla.task.task import Task
from ottla.topology.topology import Subtopology, TaskId, Topology
from ottla.transport.contract import Polled, TopicPartition
from ottla.worker.idling import Idling
from ottla.worker.questions import Questions

log = logging.getLogger("ottla.worker")


@dataclass(slots=True)
class AssignedTask:
    """A task at work.

    `caught_up` are the inputs that were read to their end, `paused` those of which too much is buffered, `seen` has the
    next offset of each input as far as polls told. `running` is the processing under way, which began at `began_at`
    (monotonic seconds); `counted` is what it had done with its events at the last commit. `changed` says that there is
    something new since then, `tick_at` when it is to be told the time at the latest. A task may be `told_end`: that its
    input has ended. One that `ended` takes nothing any more; one that is `at_rest` was paused. `written` is of a commit
    that ended while it was in the middle of a batch. `idling` is how it waits for inputs that are empty.
    """

    task: Task
    subtopology: Subtopology
    stores: dict[TopicPartition, KeyValueStore]
    caches: dict[str, StoreCache]
    caught_up: set[str] = field(default_factory=set)
    seen: dict[TopicPartition, int] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    running: asyncio.Task[int] | None = None
    began_at: float = 0.0
    changed: bool = False
    tick_at: float = 0.0
    told_end: bool = False
    ended: bool = False
    at_rest: bool = False
    counted: TaskCounts = field(default_factory=TaskCounts)
    written: tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]] | None = None
    idling: Idling = field(default_factory=Idling)

    @property
    def inputs(self) -> list[TopicPartition]:
        partition = self.task.id.partition
        return [TopicPartition(topic, partition) for topic in self.subtopology.inputs_at(partition)]

    @property
    def has_changes(self) -> bool:
        """Whether state was written, or an event acknowledged by hand, since the last commit."""
        return self.task.acknowledged or any(cache.dirty_count for cache in self.caches.values())

    @property
    def cache_is_full(self) -> bool:
        """Whether so many keys are uncommitted that a commit must not wait any longer."""
        return any(cache.dirty_count >= cache.capacity for cache in self.caches.values())

    def take(self, where: TopicPartition, polled: Polled) -> None:
        """Hands the task what a poll brought for one of its inputs."""
        if self.ended:
            return
        if messages := polled.messages.get(where):
            self.task.add(where.topic, messages)
            self.caught_up.discard(where.topic)
            self.seen[where] = messages[-1].offset() + 1
        if (end := polled.ends.get(where)) is not None:
            self.caught_up.add(where.topic)
            self.seen[where] = end
        self.changed = True

    @property
    def has_work(self) -> bool:
        """Whether there is something new that it may process now."""
        return self.changed and not self.at_rest and not self.task.is_held

    def committed(self, written: Mapping[TopicPartition, int], read: Mapping[TopicPartition, int]) -> None:
        """A commit is done (`Task.committed`): what it had of the task's state goes to the stores as soon as the task
        is between two batches."""
        self.written = written, read
        if self.running is None:
            self.settle()

    def settle(self) -> None:
        """The task is between two batches."""
        if self.written is not None:
            self.task.committed(*self.written)
            self.written = None

    def close_stores(self) -> None:
        for store in self.stores.values():
            store.close()


class TaskMaker:
    """Makes the tasks of a worker: first their stores, to be restored, then the tasks themselves."""

    def __init__(
        self,
        topology: Topology,
        config: AppConfig,
        stores: Stores,
        global_tables: Mapping[str, GlobalStore],
        partition_counts: PartitionCounts,
        refusals: Refusals,
        questions: Questions,
    ) -> None:
        self._topology = topology
        self._stateful = {part.index for part in topology.subtopologies if part.logged_stores}
        self._config = config
        self._stores = stores
        self._global_tables = global_tables
        self._partition_counts = partition_counts
        self._refusals = refusals
        # Under exactly once an answer would come with a commit, which waits for whoever asks.
        self._asks = None if config.processing_guarantee == "exactly_once" else questions
        self._budget = CacheBudget(config.state_cache_bytes)

    @property
    def stores_by_changelog(self) -> Mapping[str, str]:
        """The names of the stores, by the topics that they are restored from."""
        return {spec.changelog: spec.name for part in self._topology.subtopologies for spec in part.logged_stores}

    @property
    def starts(self) -> Mapping[str, Literal["latest"] | int]:
        """Where topics are read from that are not from their beginning."""
        return self._topology.starts

    def inputs(self, task_id: TaskId) -> list[TopicPartition]:
        """The partitions that the task reads."""
        part = self._topology.subtopologies[task_id.subtopology]
        return [TopicPartition(topic, task_id.partition) for topic in part.inputs_at(task_id.partition)]

    def changelogs(self, task_id: TaskId) -> list[TopicPartition]:
        """The changelog partitions of the task's stores."""
        part = self._topology.subtopologies[task_id.subtopology]
        return [TopicPartition(spec.changelog, task_id.partition) for spec in part.logged_stores]

    def stateful(self, task_ids: Iterable[TaskId]) -> set[TaskId]:
        """Those of the tasks whose state can be moved."""
        return {task_id for task_id in task_ids if task_id.subtopology in self._stateful}

    def offsets(self, task_ids: Iterable[TaskId]) -> dict[TaskId, int]:
        """The sum of the changelog offsets at which the state of each task is, if there is any here."""
        found = {}
        for task_id in task_ids:
            part = self._topology.subtopologies[task_id.subtopology]
            offsets = [self._stores.offset(str(task_id), spec.name) for spec in part.logged_stores]
            if any(offset is not None for offset in offsets):
                found[task_id] = sum(offset or 0 for offset in offsets)
        return found

    def open_stores(self, task_id: TaskId) -> dict[TopicPartition, KeyValueStore]:
        """The task's stores as they are on disk, each by its changelog partition; not those that have none."""
        part = self._topology.subtopologies[task_id.subtopology]
        return {
            TopicPartition(spec.changelog, task_id.partition): spec.open(self._stores, str(task_id))
            for spec in part.logged_stores
        }

    def open_local(
        self, task_id: TaskId, committed: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, KeyValueStore]:
        """The task's stores that have no changelog, by where that would be: as they were at the last commit, or empty
        if others had the task since."""
        part = self._topology.subtopologies[task_id.subtopology]
        position = sum(committed.get(where, 0) for where in self.inputs(task_id))
        opened = {}
        for spec in part.local_stores:
            store = opened[TopicPartition(spec.changelog, task_id.partition)] = spec.open(self._stores, str(task_id))
            clear_unless_at(store, position, f"{spec.name!r} of task {task_id}")
        return opened

    def make(self, task_id: TaskId, stores: dict[TopicPartition, KeyValueStore]) -> AssignedTask:
        """The task on its restored stores, with nothing processed yet."""
        part, config = self._topology.subtopologies[task_id.subtopology], self._config
        caches = {
            spec.name: open_cache(spec, stores[TopicPartition(spec.changelog, task_id.partition)], budget=self._budget)
            for spec in part.stores
        }
        task = Task(
            part,
            task_id,
            caches,
            policy=config.errors,
            max_record_bytes=config.max_record_bytes,
            dead_letter_topic=config.dead_letter_topic,
            sleep=_sleep_with_jitter,
            global_tables=self._global_tables,
            partition_counts=self._partition_counts,
            refusals=self._refusals,
            asks=self._asks,
        )
        return AssignedTask(task, part, stores, caches, idling=Idling(config.max_task_idle_ms / 1000))


def clear_unless_at(store: KeyValueStore, position: int, what: str) -> None:
    """Empties a store without a changelog that is not what it was at the last commit."""
    if store.offset != position:
        if store.offset is not None or position:
            log.warning("the state of %s begins empty: it has no changelog, and what is here is not the newest", what)
        store.clear()


async def _sleep_with_jitter(seconds: float) -> None:
    """Sleeps between half that time and all of it, so that tasks that failed together do not try again together."""
    await asyncio.sleep(seconds * random.uniform(0.5, 1.0))
