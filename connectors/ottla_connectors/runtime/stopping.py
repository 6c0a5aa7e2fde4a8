"""A task that is told to stop ends the step it is at: a commit that is under way is a commit, and is counted as one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

STOP_WITHIN_S = 6.0
"""So long a step may go on after its task was cancelled. With `CLOSE_WITHIN_S` that is less than the ten seconds after
which containers are killed."""
CLOSE_WITHIN_S = 3.0
"""So long a client is waited for that is to be closed."""

_T = TypeVar("_T")


async def see_through(step: Coroutine[Any, Any, _T]) -> _T:
    """What the step returns or raises, also to a task that is cancelled meanwhile, however often.

    Such a task is cancelled where it next waits for something, which must not be in here again. Only where the step
    does not end within `STOP_WITHIN_S` of being cancelled, it is cancelled itself, and CancelledError raised here.
    """
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(step)
    stop_at: float | None = None
    while not running.done():
        try:
            await asyncio.wait({running}, timeout=None if stop_at is None else stop_at - loop.time())
        except asyncio.CancelledError:
            stop_at = loop.time() + STOP_WITHIN_S if stop_at is None else stop_at
        if stop_at is not None and loop.time() >= stop_at:
            running.cancel()
            raise asyncio.CancelledError
    if stop_at is not None and (task := asyncio.current_task()) is not None:
        # The same request again, as far as those who count requests can tell.
        task.uncancel()
        task.cancel()
    return running.result()
