"""A thread that makes blocking calls for the event loop, one after another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
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
        """Makes the call on the thread and returns what it returned. From the event loop only.

        Who is cancelled before the call's turn has it not made.
        """
        loop = asyncio.get_running_loop()
        # With a concurrent.futures.Future in between, each poll would cost half as much again.
        made: asyncio.Future[T] = loop.create_future()

        def make() -> None:
            if made.cancelled():
                return
            try:
                result = call(*arguments)
            except BaseException as failure:
                _tell(loop, made, made.set_exception, failure)
            else:
                _tell(loop, made, made.set_result, result)

        self._calls.put(make)
        return await made

    def hand_over(self, call: Callable[[], None]) -> None:
        """Has the call made, and waits for nothing. It must not raise."""
        self._calls.put(call)

    def dismiss(self) -> None:
        """Ends the thread after the calls that were handed over, and waits for nothing."""
        self.hand_over(self._end)

    def wait_for(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
        """Runs the coroutine on the event loop and makes calls until it is done. On this thread only."""
        awaited = asyncio.run_coroutine_threadsafe(coroutine, loop)
        awaited.add_done_callback(lambda _: self._calls.put(None))
        self._make_calls(awaited.done)
        return awaited.result()

    async def stop(self) -> None:
        """Ends the thread after the calls that were handed over.

        Who is cancelled meanwhile leaves it as it is. Nothing else waits for it either, as a thread that joins it would
        when the interpreter exits.
        """
        await self.run(self._end)
        self._thread.join()

    def _end(self) -> None:
        self._stopping = True

    def _make_calls(self, finished: Callable[[], bool]) -> None:
        while not finished():
            call = self._calls.get()
            if call is not None:
                call()


def _tell(
    loop: asyncio.AbstractEventLoop, made: asyncio.Future[T], settle: Callable[[Any], None], outcome: object
) -> None:
    def tell() -> None:
        if not made.done():
            settle(outcome)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(tell)
