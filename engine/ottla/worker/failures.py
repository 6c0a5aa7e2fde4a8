"""What the log says of events that failed: the first of each cause at once, then from time to time how many more."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ottla.task.processor import Cause, TaskCounts

log = logging.getLogger("ottla.worker")

_EVERY_S = 10.0


class FailureLog:
    """One worker's. Whoever looks at its log sees that events do not come through, and for each step and type of error
    one reason; the dead letters have each."""

    def __init__(self, dead_letter_topic: str) -> None:
        self._topic = dead_letter_topic
        self._counts = TaskCounts()
        self._firsts: dict[Cause, str] = {}
        self._next_s = 0.0

    def note(self, before: TaskCounts, now: TaskCounts, failures: Mapping[Cause, str]) -> None:
        """Takes note of what a task committed. `failures` are sentences about the first events that failed on the
        way."""
        self._counts.dead_lettered += now.dead_lettered - before.dead_lettered
        self._counts.skipped += now.skipped - before.skipped
        self._firsts = {**failures, **self._firsts}

    def tell(self, now_s: float) -> None:
        """Says what there is to say, if it is time. `now_s` never goes back."""
        letters, skipped = self._counts.dead_lettered, self._counts.skipped
        if not letters + skipped or now_s < self._next_s:
            return
        where = [f"{letters} in {self._topic!r}"] * bool(letters) + [f"{skipped} skipped"] * bool(skipped)
        *others, last = self._firsts.values() or ["events failed"]
        for each in others:
            log.warning("%s", each)
        log.warning("%s; failed events: %s", last, ", ".join(where))
        self._counts, self._firsts = TaskCounts(), {}
        self._next_s = now_s + _EVERY_S
