"""Pausing an app, or a part of it (KIP-834): `await app.pause()`, `await app.resume()`.

It is said in the app's control topic, so that all its workers follow, those that start later included, until it is
resumed. A paused worker stays a member of its group, keeps its tasks with their state, and commits what it has done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ottla.errors import TopologyError
from ottla.outlet import current_outlet
from ottla.task.processor import current
from ottla.transport.contract import OutputRecord

if TYPE_CHECKING:
    from ottla.topology.topology import Subtopology, Topology

PAUSE_PREFIX = b"pause/"
"""How the keys of the records begin that say what is paused; the rest is a step's name, or nothing for the app."""

_PAUSED = b'{"paused":true}'


class Pauses:
    """What of an app is paused, as the records of its control topic say."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def take(self, key: bytes, value: bytes | None) -> None:
        """A record whose key begins with `PAUSE_PREFIX`."""
        name = key.removeprefix(PAUSE_PREFIX).decode()
        if value is None:
            self._names.discard(name)
        else:
            self._names.add(name)

    def hold(self, part: Subtopology) -> bool:
        """Whether the tasks of a sub-topology are at rest: the app is paused, or one of its steps."""
        return bool(self._names) and ("" in self._names or any(step.name in self._names for step in part.steps))


class Pausable:
    """What an app has of this."""

    @property
    def id(self) -> str:
        raise NotImplementedError

    @property
    def topology(self) -> Topology:
        raise NotImplementedError

    async def pause(self, *steps: str) -> None:
        """Stops processing and punctuators, on all workers, until `resume`. Batches that were begun are finished.

        With names of steps (an agent's, a table's) it is only the sub-topologies that these are in. Timers, cron jobs,
        background tasks and pages go on, and so do copies of state and global tables. Can be called wherever a topic
        can be sent to, by an agent too; it holds once that is committed. Raises `TopologyError` for a step that the app
        has not.
        """
        await self._say(steps, _PAUSED)

    async def resume(self, *steps: str) -> None:
        """Takes back what `pause` with the same names said: the tasks go on where they were."""
        await self._say(steps, None)

    async def _say(self, steps: Sequence[str], value: bytes | None) -> None:
        from ottla.cluster.records import control_topic  # Its package knows topologies, and they what pauses.

        known = {step.name for part in self.topology.subtopologies for step in part.steps}
        for step in steps:
            if step not in known:
                raise TopologyError(f"there is no step {step!r} to pause; there is {', '.join(sorted(known))}")
        keys = [PAUSE_PREFIX + name.encode() for name in steps or ("",)]
        topic, context = control_topic(self.id).name, current.get(None)
        if context is not None:
            for key in keys:
                context.emit(OutputRecord(topic, key, value, context.now_ms, None, 0))
            return
        out = current_outlet("pausing the app")
        await out.send([OutputRecord(topic, key, value, out.now_ms(), None, 0) for key in keys])
