"""The leader of an app's workers: the one that holds the only partition of the topic `APP-leader`.

The topic stays empty; its task goes to one worker at a time, as any other. It has a store, in which the leader's cron
jobs note what they have dealt with.

A worker that slept, or was cut off, holds that task for as long as it has not heard that another has it. What it sends
is refused then, but what else its jobs do is not: so the group is asked before they run (`Lead`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from ottla.serdes import RAW, TEXT
from ottla.state.format import StoreFormat
from ottla.state.store import StoreSpec
from ottla.task.operators import Source
from ottla.topic import Topic
from ottla.topology.topology import Step
from ottla.transport.contract import TopicSpec
from ottla.transport.errors import TransportError

log = logging.getLogger("ottla.worker")

_HOLDS_S = 1.0
"""For so long an answer holds: a small part of the time for which a group waits for a member that is silent."""

_AGAIN_S = 0.25

LEADER_STORE = "_leader"


def leader_step(app_id: str) -> tuple[Step, TopicSpec]:
    """The source whose task makes its holder the leader, and its topic."""
    topic = Topic(f"{app_id}-leader", RAW, RAW, partitions=1, internal=True)
    store = StoreSpec(
        LEADER_STORE,
        f"{app_id}-{LEADER_STORE}-changelog",
        TEXT.encode,
        TEXT.decode,
        _encode,
        _decode,
        format=StoreFormat("cron jobs", TEXT.name),
    )
    name = f"topic.{topic.name}"
    step = Step(name, "leader", lambda context: Source(context, name, topic), stores=(store,), source=topic.name)
    return step, topic.spec


class Lead:
    """Whether this worker, which holds the leader's task, surely still does: the group counts it among its members.

    `members` asks the group; `clock` gives seconds since the epoch, which go on while a machine sleeps.
    """

    def __init__(
        self, worker_id: str, members: Callable[[], Awaitable[set[str]]], clock: Callable[[], float] = time.time
    ) -> None:
        self._worker_id = worker_id
        self._members = members
        self._clock = clock
        self._confirmed_at = -_HOLDS_S, -_HOLDS_S

    async def confirmed(self, job: str) -> None:
        """Returns when the group has this worker as a member, or had it within the last second.

        It may never: whoever leads no more is to be cancelled.
        """
        waiting = False
        while not self._holds():
            asked_at = self._now()
            try:
                if self._worker_id in await self._members():
                    self._confirmed_at = asked_at
                    return
            except TransportError as error:
                log.debug("the members of the group are not known: %s", error)
            if not waiting:
                waiting = True
                log.warning("%s is due, and waits: the group does not confirm that this worker leads", job)
            await asyncio.sleep(_AGAIN_S)

    def _holds(self) -> bool:
        return all(0 <= now - then < _HOLDS_S for now, then in zip(self._now(), self._confirmed_at, strict=True))

    def _now(self) -> tuple[float, float]:
        return time.monotonic(), self._clock()


def _encode(time_ms: int) -> bytes:
    return b"%d" % time_ms


def _decode(data: bytes) -> int:
    return int(data)
