"""What the log says of events that failed: the first at once, then from time to time how many more."""

from __future__ import annotations

import logging

from ottla.task.processor import TaskCounts

log = logging.getLogger("ottla.worker")

_EVERY_S = 10.0


class FailureLog:
    """One worker's. Whoever looks at its log sees that events do not come through, and one reason; the dead letters
    have each."""

    def __init__(self, dead_letter_topic: str) -> None:
        self._topic = dead_letter_topic
        self._counts = TaskCounts()
        self._first: str | None = None
        self._next_s = 0.0

    def note(self, before: TaskCounts, now: TaskCounts, failure: str | None) -> None:
        """Takes note of what a task committed. `failure` is a sentence about the first event that failed on the way."""
        self._counts.dead_lettered += now.dead_lettered - before.dead_lettered
        self._counts.skipped += now.skipped - before.skipped
        self._first = self._first or failure

    def tell(self, now_s: float) -> None:
        """Says what there is to say, if it is time. `now_s` never goes back."""
        letters, skipped = self._counts.dead_lettered, self._counts.skipped
        if not letters + skipped or now_s < self._next_s:
            return
        where = [f"{letters} in {self._topic!r}"] * bool(letters) + [f"{skipped} skipped"] * bool(skipped)
        log.warning("%s; failed events: %s", self._first or "events failed", ", ".join(where))
        self._counts, self._first = TaskCounts(), None
        self._next_s = now_s + _EVERY_S
