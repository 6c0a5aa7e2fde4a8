"""Events as Faust apps see them: times in seconds, headers as a dict, and the message that they came in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

import ottla
from ottla.errors import TopologyError
from ottla.event import SAME
from ottla.faust.missing import MESSAGE, refusal
from ottla.task.processor import current
from ottla.transport.contract import Headers, TopicPartition

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

    def __getattr__(self, name: str) -> Any:
        if name in MESSAGE:
            raise TopologyError(refusal("message", name, MESSAGE))
        raise AttributeError(f"Ottla's Faust facade has no message.{name}")


class Sent:
    """What sending gives. It may be awaited, as in Faust, and has nothing to tell: what was sent is written with the
    commit."""

    def __await__(self) -> Generator[None, None, None]:
        return
        yield


class Acked:
    """What acknowledging gives: true, and to be awaited or not."""

    def __await__(self) -> Generator[None, None, bool]:
        yield from ()
        return True


class Event:
    """An event with its context."""

    __slots__ = ("_event", "_release", "acked", "app", "headers", "key", "value")

    def __init__(self, app: Any, event: ottla.Event[Any]) -> None:
        self.app = app
        self.key = event.key
        self.value = event.value
        self.headers: dict[str, bytes | None] = dict(event.headers)
        self._event = event
        self._release: Callable[[], None] | None = None
        self.acked = False
        """Whether `ack` was called."""

    @property
    def message(self) -> Message:
        at = self._event
        return Message(at.topic, at.partition, at.offset, at.timestamp / 1000, self.headers, at.key, at.value)

    @property
    def time_ms(self) -> int:
        """Its time in milliseconds, as Ottla has it."""
        return self._event.timestamp

    async def __aenter__(self) -> Event:
        return self

    async def __aexit__(self, *_: object) -> None:
        """As `ack`."""

    async def send(
        self,
        channel: Any,
        key: Any = SAME,
        value: Any = SAME,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = SAME,
        schema: Any = None,
        key_serializer: Any = None,
        value_serializer: Any = None,
        callback: Any = None,
        force: bool = False,
    ) -> Sent:
        """Sends the event on to a topic, agent or channel, with its key, value, headers and time; what is given takes
        their place."""
        sent: Sent = await self.app.send(
            channel,
            self.key if key is SAME else key,
            self.value if value is SAME else value,
            partition,
            self._event.timestamp / 1000 if timestamp is None else timestamp,
            self._event.headers if headers is SAME else headers,
            schema,
            key_serializer,
            value_serializer,
            callback,
            force=force,
        )
        return sent

    forward = send

    def hold(self) -> None:
        """Waits for `ack`: until then no commit goes beyond the event."""
        where, offset, unacked = self.message.tp, self._event.offset, current.get().unacked
        unacked.hold(TopicPartition(*where), offset)
        self._release = lambda: unacked.release(TopicPartition(*where), offset)

    def ack(self) -> Acked:
        """Acknowledges an event of `stream.noack()`. Any other is acknowledged with the commit after the agent asked
        for the next one."""
        release, self._release, self.acked = self._release, None, True
        if release is not None:
            release()
        return Acked()

    def __repr__(self) -> str:
        return f"<Event: k={self.key!r} v={self.value!r}>"


def check_callback(callback: Any) -> None:
    """Raises `TopologyError` for a function that is to be called when an event was sent."""
    if callback is not None:
        raise TopologyError(
            "send(callback=) is not part of Ottla's Faust facade: what is sent is written with the commit of the event "
            "at hand, and nothing of the event counts before"
        )


def headers_of(headers: HeadersArg) -> Headers:
    """Headers as Kafka has them. Texts are written in UTF-8."""
    if not headers:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


def merge_headers(target: dict[str, Any] | list[tuple[str, Any]], source: Mapping[str, Any]) -> None:
    """Adds headers to others. Texts are written in UTF-8."""
    (target.update if isinstance(target, dict) else target.extend)(headers_of(source))


def milliseconds(timestamp: float | None) -> int | None:
    """A time of Faust's, in seconds, as Ottla has it."""
    return None if timestamp is None else round(timestamp * 1000)
