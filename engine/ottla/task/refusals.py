"""What the broker has refused of late, so that the next attempt knows which event is at fault.

A commit is refused as a whole: nobody says which record it was. So the worker asks for the limits of the topics that
it writes, goes back to its last commit, and for a while the steps hold every record against them while it is known what
it was made of. Events that break no limit cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from ottla.errors import RecordRefused
from ottla.transport.contract import OutputRecord, TopicLimits

_HELD_MS = 60_000
"""Limits can be raised: after so long they are forgotten, and learnt anew from the next refusal."""

_CLOCKS_DIFFER_MS = 300_000


class Refusals:
    """Shared by the tasks of a worker. `now_ms` is the worker's clock."""

    def __init__(self) -> None:
        self._limits: Mapping[str, TopicLimits] = {}
        self._until_ms = 0
        self._slack_ms = 0

    def learn(self, limits: Mapping[str, TopicLimits], now_ms: int) -> None:
        """A record was refused; these are the limits of the topics that may have done so.

        If that happens although limits are known, the broker's clock is another than the worker's: some minutes less
        are then taken for too far.
        """
        self._slack_ms = _CLOCKS_DIFFER_MS if self._holds(now_ms) else 0
        self._limits, self._until_ms = limits, now_ms + _HELD_MS

    def concern(self, topic: str, now_ms: int) -> bool:
        """Whether records for the topic are to be checked."""
        return bool(self._limits) and self._holds(now_ms) and topic in self._limits

    def takes_time(self, topic: str, timestamp_ms: int, now_ms: int) -> bool:
        """Whether the topic takes a record of this time, as far as is known."""
        if not self.concern(topic, now_ms):
            return True
        limits = self._limits[topic]
        ahead_ms = timestamp_ms - now_ms
        return self._slack_ms - limits.before_ms <= ahead_ms <= limits.after_ms - self._slack_ms

    def check(self, record: OutputRecord, now_ms: int) -> None:
        """Raises `RecordRefused` for a record that its topic refuses."""
        topic = record.topic
        if not self.takes_time(topic, record.timestamp_ms, now_ms):
            seconds = (record.timestamp_ms - now_ms) / 1000
            side, setting = ("ahead of", "after") if seconds > 0 else ("behind", "before")
            raise RecordRefused(
                f"topic {topic!r} refuses a record whose time is {abs(seconds):.0f} s {side} the clock: raise its "
                f"message.timestamp.{setting}.max.ms"
            )
        if record.key is None and self.concern(topic, now_ms) and self._limits[topic].needs_key:
            raise RecordRefused(f"topic {topic!r} is compacted, and refuses a record without a key")

    def _holds(self, now_ms: int) -> bool:
        return now_ms < self._until_ms
