"""How many messages a poll takes. Pure."""

from __future__ import annotations

FIRST_POLL_MESSAGES = 1_000
_MAX_POLL_MESSAGES = 4_000
"""What they are decoded into is gone through step by step, each time from the first to the last: of more events it does
not stay in a processor's caches from one step to the next."""


class Pace:
    """Polls so much at once as is processed in half a commit interval: large batches, but no late commits."""

    def __init__(self, commit_interval_ms: int) -> None:
        self.poll_messages = FIRST_POLL_MESSAGES
        self._target_s = commit_interval_ms / 2_000

    def finished(self, events: int, seconds: float) -> None:
        """What a poll brought was processed in this time."""
        if seconds > self._target_s:
            self.poll_messages = max(int(self.poll_messages * self._target_s / seconds), 1)
        elif events >= self.poll_messages // 2:
            self.poll_messages = min(self.poll_messages * 2, _MAX_POLL_MESSAGES)

    def unfinished(self) -> None:
        """What a poll brought takes long."""
        self.poll_messages = max(self.poll_messages // 2, 1)
