"""SIGTERM and SIGINT: the first asks a worker to stop, a second one ends it without its last commit.

The handlers are Python's own, which the main thread calls whatever it is at, and not those of the event loop: a
function that holds the loop up (an endless loop, a driver that blocks) must not keep its worker from hearing that it
is to end.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SAME_SIGNAL_S = 1.0
"""Ctrl-C may come twice: from the terminal, and from the program that started this one."""


class CutShort(KeyboardInterrupt):
    """A worker was told for the second time to end, and its event loop has not heard of the first."""


class Signals:
    """What the signals that a worker is sent mean. `stop` and `cut_short` are called on the loop, `told` at once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stop: Callable[[], None],
        cut_short: Callable[[], object],
        told: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._stop = stop
        self._cut_short = cut_short
        self._told = told
        self._told_at: float | None = None
        self._waiting = False
        self.at_once = False
        """Whether the worker is to end without its last commit."""

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """A signal has come. Raises `CutShort` in what the main thread is at, if the loop has not come round
        since the signal before."""
        if self._told_at is None:
            self._told_at = time.monotonic()
            self._told()
            self._tell(self._stop)
        elif time.monotonic() - self._told_at >= SAME_SIGNAL_S:
            self.at_once = True
            if self._waiting:
                raise CutShort
            self._tell(self._cut_short)

    def _tell(self, what: Callable[[], object]) -> None:
        def heard() -> None:
            self._waiting = False
            what()

        self._waiting = True
        self._loop.call_soon_threadsafe(heard)


@contextmanager
def heeded(signals: Signals) -> Iterator[None]:
    """SIGTERM and SIGINT go to these meanwhile. For the main thread only."""
    before = {number: signal.signal(number, signals.handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
