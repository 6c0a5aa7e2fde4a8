"""`agent.test_context()`: an agent in a test, given one event after another.

Faust runs the agent alone, on the test's event loop. Here the whole app runs in memory (`app.ottla.test()`), on a loop
of its own in a thread: agents that read what this one sends, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import ottla
from ottla.faust.events import Event, HeadersArg, headers_of

if TYPE_CHECKING:
    from ottla.faust.agents import Agent
    from ottla.testing import Driver

T = TypeVar("T")


class AgentTest:
    """An agent under test: `async with agent.test_context() as agent`.

    `results` has what the agent yielded, or what it was given if it yields nothing, by numbers from 0 on: for an agent
    that yields once for each event, `results[event.message.offset]`. Its other names are the agent's.
    """

    def __init__(self, agent: Agent, on_error: Callable[[Agent, BaseException], Any] | None) -> None:
        self.results: dict[int, Any] = {}
        self.sent_offset = 0
        self.processed_offset = 0
        self.agent = agent
        self._on_error = on_error
        self._error: BaseException | None = None
        self._thread = ThreadPoolExecutor(1, "ottla-agent-test")
        self._driver: Driver

    def __getattr__(self, name: str) -> Any:
        return getattr(self.agent, name)

    async def __aenter__(self) -> Self:
        self.agent.observer = self
        self._driver = await self._call(lambda: self.agent.app.ottla.test(now=int(time.time() * 1000)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._call(self._driver.close)
        self._thread.shutdown()
        self.agent.observer = None

    async def put(
        self,
        value: Any = None,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        *,
        reply_to: Any = None,
        wait: bool = True,
    ) -> Event:
        """Gives the agent an event, and waits until it has dealt with it. Raises what the agent raises."""
        at_s = time.time() if timestamp is None else timestamp
        offset, self.sent_offset = self.sent_offset, self.sent_offset + 1

        async def send() -> None:
            await self.agent.send(
                key=key, value=value, partition=partition, timestamp=at_s, headers=headers, reply_to=reply_to
            )

        sending: Callable[[], Any] = send
        await self._call(lambda: self._driver.call(sending))
        if wait:
            await self._call(self._driver.run)
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if not self.agent.yields:
                self.yielded(value)
        given = ottla.Event(
            key, value, round(at_s * 1000), headers_of(headers), self.agent.reads, partition or 0, offset
        )
        return Event(self.agent.app, given)

    def yielded(self, value: Any) -> None:
        """The agent has yielded a value."""
        self.results[self.processed_offset] = value
        self.processed_offset += 1

    def failed(self, agent: Agent, error: BaseException) -> Any:
        """The agent has raised."""
        self._error = error
        return None if self._on_error is None else self._on_error(agent, error)

    async def _call(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)
