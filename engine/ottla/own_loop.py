"""An event loop for code that is not async, wherever it is called: the one of `app.test()`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class OwnLoop:
    """Runs coroutines to their ends, one after another, on a loop that is its own: as `asyncio.Runner`, and also where
    another loop runs, in an async test or a notebook. That one stands still meanwhile."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancels what still runs on the loop, and closes it."""
        _alone(self._runner.close)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Returns what the coroutine returns, or raises what it raises."""
        return _alone(lambda: self._runner.run(coroutine))


def _alone(function: Callable[[], T]) -> T:
    """Calls the function where no loop runs: a thread has one at most."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return function()
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(function).result()
