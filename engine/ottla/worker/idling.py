"""How long a task waits for what is yet to be written to an input (`max.task.idle.ms`, KIP-353 and KIP-695).

A task takes the events of its inputs by their time, so an input that has none holds the others back until it is known
that all of it was read. Who writes there may be late: the longer a task waits, the more often its inputs meet in order.
"""

from __future__ import annotations

from collections.abc import Collection

from ottla.task.task import Task


class Idling:
    """One task's. `wakes_at` is when (monotonic seconds) it is to go on, if it waits."""

    def __init__(self, most_s: float = 0.0) -> None:
        self.wakes_at: float | None = None
        self._most_s = most_s
        # The inputs that were read to their end and processed, and when that was seen first.
        self._since: dict[str, float] = {}

    def may_pass(self, task: Task, caught_up: Collection[str], now_s: float) -> Collection[str]:
        """Those of the inputs read to their end that do not hold the others back.

        One that has waited in vain does not do so again before something comes. One that has something may be empty
        after the next batch, and is to be asked about again then.
        """
        if not self._most_s:
            return caught_up
        empty = {topic for topic in caught_up if not task.buffered(topic)}
        self._since = {topic: self._since.get(topic, now_s) for topic in empty}
        waited = {topic for topic in empty if now_s >= self._since[topic] + self._most_s}
        is_held = empty != waited and not task.is_drained
        self.wakes_at = min(self._since[topic] for topic in empty - waited) + self._most_s if is_held else None
        return waited
