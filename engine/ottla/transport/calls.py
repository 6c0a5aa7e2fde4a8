"""A thread that makes blocking calls for the event loop, one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class CallThread:
    """Makes calls in the order in which they were handed over.

    A call may itself wait for the event loop (`wait_for`): meanwhile the thread makes the calls that the loop hands
    over. That is how a rebalance callback, which runs inside a consumer call, lets the loop commit with that same
    consumer: confluent-kafka blocks every other thread that tries.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stopping = False
        # A daemon: an interpreter that exits on an error must not wait for a broker.
        self._thread = Thread(target=self._make_calls, args=(lambda: self._stopping,), name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """Makes the call on the thread and returns what it returned. From the event loop only."""
        return await asyncio.wrap_future(self.submit(call, *arguments))

    def submit(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        """Hands the call over without waiting. A call whose future is cancelled before its turn is not made."""
        future: Future[T] = Future()

        def make() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call(*arguments))
            except BaseException as failure:
                future.set_exception(failure)

        self._calls.put(make)
        return future

    def wait_for(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
        """Runs the coroutine on the event loop and makes calls until it is done. On this thread only."""
        awaited = asyncio.run_coroutine_threadsafe(coroutine, loop)
        awaited.add_done_callback(lambda _: self._calls.put(None))
        self._make_calls(awaited.done)
        return awaited.result()

    async def stop(self) -> None:
        """Ends the thread after the calls that were handed over."""
        self._calls.put(self._end)
        await asyncio.to_thread(self._thread.join)

    def _end(self) -> None:
        self._stopping = True

    def _make_calls(self, finished: Callable[[], bool]) -> None:
        while not finished():
            call = self._calls.get()
            if call is not None:
                call()
