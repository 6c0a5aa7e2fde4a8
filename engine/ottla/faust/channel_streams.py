"""The stream of a channel, iterated outside agents: `async for value in channel.stream()`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import ottla
from ottla.errors import TopologyError
from ottla.faust.noted import passing
from ottla.faust.reading import Lists
from ottla.faust.streams import Stream
from ottla.time import Duration, duration_ms


class Taking:
    """A channel as it is read: in the place of `ottla.Stream` in the streams of the facade."""

    def __init__(self, channel: ottla.Channel[Any]) -> None:
        self._channel = channel

    async def events(self) -> AsyncIterator[ottla.Event[Any]]:
        while True:
            yield await self._channel.get()

    async def items(self) -> AsyncIterator[tuple[Any, Any]]:
        async for event in self.events():
            yield event.key, event.value

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for event in self.events():
            yield event.value

    async def take(self, most: int, within: Duration) -> AsyncIterator[Lists]:
        """Lists of so many, or of what came within that time of the first."""
        seconds = duration_ms(within, "take(within=)") / 1000
        while True:
            events = [await self._channel.get()]
            try:
                async with asyncio.timeout(seconds):
                    while len(events) < most:
                        events.append(await self._channel.get())
            except TimeoutError:
                pass
            yield Lists(events)


class ChannelStream(Stream[Any]):
    """The stream of a channel. What only a topology does is refused."""

    def __init__(self, app: Any, channel: ottla.Channel[Any]) -> None:
        super().__init__(app, Taking(channel))

    def filter(self, fun: Callable[[Any], Any]) -> ChannelStream:
        """The values for which a function, async or not, is true."""
        self.add_processor(passing(fun))
        return self

    def combine(self, *_: Any, **__: Any) -> Any:
        raise TopologyError("the stream of a channel is iterated, filtered, or taken by lists; the rest needs a topic")

    group_by = through = echo = noack = combine
