"""Copies of the state of tasks that other workers run, kept up with their changelogs: standby replicas.

A copy is a store like any other, exact for the changelog offset it has: only committed changes are read. When the task
comes to this worker, its stores are handed over open, and restoring reads only what is missing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import cast

from ottla.state.changelog import Told, missing_ranges
from ottla.state.store import KeyValueStore
from ottla.topology.topology import TaskId
from ottla.transport.contract import Follower, Polled, TopicPartition, Transport

log = logging.getLogger("ottla.worker")

_POLL_S = 0.25

TaskStores = dict[TopicPartition, KeyValueStore]


class Standbys:
    """The copies that a worker keeps. `open_stores` opens those of a task, each by its changelog partition; `told`
    hears how far they are."""

    def __init__(
        self, transport: Transport, open_stores: Callable[[TaskId], TaskStores], told: Told = lambda *_: None
    ) -> None:
        self._transport = transport
        self._open_stores = open_stores
        self._told = told
        self._ends: dict[TopicPartition, int] = {}
        self._copies: dict[TaskId, TaskStores] = {}
        self._behind: dict[TaskId, set[TopicPartition]] = {}
        self._follower: Follower | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def tasks(self) -> set[TaskId]:
        return set(self._copies)

    @property
    def warm(self) -> set[TaskId]:
        """The tasks whose copy has caught up with its changelogs, and is kept up with them."""
        return {task for task, behind in self._behind.items() if not behind}

    def stores(self, task: TaskId) -> TaskStores | None:
        """The stores of a copy, to be read."""
        return self._copies.get(task)

    async def keep(self, tasks: Collection[TaskId]) -> None:
        """Keeps copies for exactly these tasks from now on."""
        for task in self._copies.keys() - set(tasks):
            for store in self.hand_over(task).values():
                store.close()
        added = {task: self._open_stores(task) for task in tasks if task not in self._copies}
        if not added:
            return
        self._copies |= added
        self._behind |= {task: set(stores) for task, stores in added.items()}
        stores = {where: store for each in added.values() for where, store in each.items()}
        missing = await missing_ranges(self._transport, stores)
        if self._follower is None:
            self._follower = self._transport.follower()
        for where, (start, end) in missing.items():
            self._ends[where] = end
            self._told(where, "begun", start, end)
        self._follower.add({where: lacking.start for where, lacking in missing.items()})
        if self._following is None:
            self._following = asyncio.create_task(self._follow(self._follower))
        log.info("keeping copies of the state of %s", " ".join(map(str, sorted(self._copies))))

    def hand_over(self, task: TaskId) -> TaskStores:
        """Gives up a copy and returns its stores, open; none if there is no copy."""
        stores = self._copies.pop(task, {})
        self._behind.pop(task, None)
        if stores and self._follower is not None:
            self._follower.remove(list(stores))
        for where, store in stores.items():
            if (end := self._ends.pop(where, None)) is not None:
                self._told(where, "ended", store.offset or 0, end)
        return stores

    def check(self) -> None:
        """Raises what following raised."""
        if self._following is not None and self._following.done():
            self._following.result()

    async def close(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        for task in list(self._copies):
            for store in self.hand_over(task).values():
                store.close()
        if self._follower is not None:
            await self._follower.close()
            self._follower = None

    async def _follow(self, follower: Follower) -> None:
        while True:
            self._apply(await follower.poll(_POLL_S))

    def _apply(self, polled: Polled) -> None:
        for task, stores in self._copies.items():
            for where, store in stores.items():
                if messages := polled.messages.get(where):
                    # A changelog record has a key: it is one of a store's.
                    changes = [(cast(bytes, each.key()), each.value()) for each in messages]
                    keep = store.restore if where in self._behind[task] else store.write_batch
                    keep(changes, messages[-1].offset() + 1)
                    self._told(where, "advanced", messages[-1].offset() + 1, self._ends[where])
                if (end := polled.ends.get(where)) is not None:
                    self._behind[task].discard(where)
                    if end > (store.offset or 0):  # what is left are control records
                        store.write_batch([], end)
