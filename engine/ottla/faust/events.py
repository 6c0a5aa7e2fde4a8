"""Events as Faust apps see them: times in seconds, headers as a dict, and the message that they came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import ottla
from ottla.event import SAME
from ottla.transport.contract import Headers

HeadersArg = Mapping[str, Any] | list[tuple[str, Any]] | None


class TP(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Message(NamedTuple):
    """Where an event came from. `timestamp` is in seconds."""

    topic: str
    partition: int
    offset: int
    timestamp: float
    headers: dict[str, bytes | None]
    key: Any
    value: Any

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)


class Event:
    """An event with its context."""

    __slots__ = ("_event", "app", "headers", "key", "value")

    def __init__(self, app: Any, event: ottla.Event[Any]) -> None:
        self.app = app
        self.key = event.key
        self.value = event.value
        self.headers: dict[str, bytes | None] = dict(event.headers)
        self._event = event

    @property
    def message(self) -> Message:
        at = self._event
        return Message(at.topic, at.partition, at.offset, at.timestamp / 1000, self.headers, at.key, at.value)

    async def send(self, channel: Any, key: Any = SAME, value: Any = SAME, *, headers: HeadersArg = SAME) -> None:
        """Sends the event on to a topic, agent or channel, with its key, value, headers and time; what is given takes
        their place."""
        await self.app.destination(channel).send(
            key=self.key if key is SAME else key,
            value=self.value if value is SAME else value,
            timestamp=self._event.timestamp,
            headers=self._event.headers if headers is SAME else headers_of(headers),
        )

    forward = send

    def ack(self) -> bool:
        """Nothing: an event is acknowledged with the commit after the agent asked for the next one."""
        return True

    def __repr__(self) -> str:
        return f"<Event: k={self.key!r} v={self.value!r}>"


def headers_of(headers: HeadersArg) -> Headers:
    """Headers as Kafka has them. Texts are written in UTF-8."""
    if not headers:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


def milliseconds(timestamp: float | None) -> int | None:
    """A time of Faust's, in seconds, as Ottla has it."""
    return None if timestamp is None else round(timestamp * 1000)
