"""Channels of a Faust app: streams within the process, in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import ottla
from ottla.faust.channel_streams import ChannelStream
from ottla.faust.events import Event, HeadersArg, Sent, check_callback, headers_of, milliseconds
from ottla.faust.missing import CHANNEL, Lacking


class Channel(Lacking):
    """A channel. Made by `App.channel`. What is sent to it is there at once, whatever becomes of the agent's event."""

    _lacks = CHANNEL
    _called = "channel"

    def __init__(self, app: Any, declared: ottla.Channel[Any], maxsize: int) -> None:
        self.app = app
        self.declared = declared
        self.maxsize = maxsize

    def __repr__(self) -> str:
        return f"<Channel: {self.declared!r}>"

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,  # noqa: ARG002 - it has none
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Any = None,  # noqa: ARG002 - nothing is written
        key_serializer: Any = None,  # noqa: ARG002
        value_serializer: Any = None,  # noqa: ARG002
        callback: Any = None,
        force: bool = False,  # noqa: ARG002 - see Topic.send
    ) -> Sent:
        """Adds an event; waits while the channel is full. `timestamp` is in seconds."""
        check_callback(callback)
        await self.declared.send(key=key, value=value, timestamp=milliseconds(timestamp), headers=headers_of(headers))
        return Sent()

    async def put(self, value: Any) -> None:
        """Adds a value, or an event."""
        if isinstance(value, Event):
            await self.send(key=value.key, value=value.value, timestamp=value.message.timestamp, headers=value.headers)
        else:
            await self.send(value=value)

    async def get(self, *, timeout: float | timedelta | None = None) -> Event:  # noqa: ASYNC109 - Faust's name
        """Takes the next event; waits while there is none. Raises `TimeoutError` after so many seconds."""
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        async with asyncio.timeout(seconds):
            return Event(self.app, await self.declared.get())

    def empty(self) -> bool:
        return self.declared.empty()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            yield await self.get()

    def stream(self) -> ChannelStream:
        """The values, for who is no agent of the channel: each goes to one of those that take them."""
        return ChannelStream(self.app, self.declared)

    async def maybe_declare(self) -> None:
        """Nothing: a channel is there."""

    declare = maybe_declare
