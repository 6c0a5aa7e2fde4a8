"""Restarts of a failed task: with backoff, a bounded number of times in a row."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from ottla_connectors.errors import ConnectorError

_log = logging.getLogger(__name__)


class Backoff(msgspec.Struct, frozen=True):
    """Delays of `first_s`, twice that, and so on up to `longest_s`, for `restarts` failures in a row.

    A task that ran for `longest_s` before it failed counts as well again, and the row begins anew.
    """

    restarts: int = 8
    first_s: float = 1.0
    longest_s: float = 60.0

    def delay_s(self, failures: int) -> float | None:
        """How long to wait after the last of so many failures in a row; None to give up."""
        return None if failures > self.restarts else min(self.first_s * 2.0 ** (failures - 1), self.longest_s)


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    backoff: Backoff,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Calls `run` until it returns. Raises its error once that is not retriable or the backoff gives up."""
    failures = 0
    while True:
        began = clock()
        try:
            return await run()
        except ConnectorError as error:
            failures = 1 if clock() - began >= backoff.longest_s else failures + 1
            delay = backoff.delay_s(failures) if error.retriable else None
            if delay is None:
                raise
            _log.warning("connector %s failed, restart %d in %.0f s: %s", name, failures, delay, error)
            await sleep(delay)
