"""How fast connections may come (max.connection.creation.rate). Pure."""

from math import ceil

BURST_MS = 1_000
"""What may come at once: as many connections as the rate allows for this time."""


class ConnectionRate:
    """When the next connection is to be served, by the generic cell rate algorithm (ITU-T I.371)."""

    __slots__ = ("_due_ms",)

    def __init__(self) -> None:
        self._due_ms = 0.0

    def delay_ms(self, now_ms: int, per_second: int) -> int:
        """Count a connection; how long it has to wait until it is served, for the rate to be kept."""
        self._due_ms = max(self._due_ms, now_ms) + 1_000 / per_second
        return max(0, ceil(self._due_ms - now_ms - BURST_MS))
