"""An event loop for code that is not async, wherever it is called: the one of `app.test()`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from ottla.errors import OttlaError

T = TypeVar("T")


class OwnLoop:
    """Runs coroutines to their ends, one after another, on a loop that is its own: as `asyncio.Runner`, and also where
    another loop runs, in an async test or a notebook. That one stands still meanwhile."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancels what still runs on the loop, and closes it."""
        self.closed = True
        _alone(self._runner.close)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Returns what the coroutine returns, or raises what it raises, and `OttlaError` when it is closed."""
        if self.closed:
            coroutine.close()
            raise OttlaError("this driver is closed: use it within `with app.test() as driver:`, or before close()")
        return _alone(lambda: self._runner.run(coroutine))


def _alone(function: Callable[[], T]) -> T:
    """Calls the function where no loop runs: a thread has one at most."""
    if not _loop_runs():
        return function()
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(function).result()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
