"""Streams that are iterated outside agents: `async for order in orders.stream()` in a task.

Such a stream is read by a consumer group of its own, `APP-TOPIC-stream`, with a client of its own, at least once: an
event is done when the code asks for the next one, and what the code sends meanwhile is written before the offsets are
committed. Workers share the partitions. The worker's own commits do not wait for it, nor does it for them.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import ottla
from ottla.agents.replies import Replies
from ottla.errors import DecodeError
from ottla.outlet import Outlet, current_outlet, outlet
from ottla.transport.contract import Membership, Message, OutputRecord, TopicPartition, Transport
from ottla.transport.errors import DeliveryError, MemberFencedError, TransactionAbortedError
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings
from ottla.worker.embedded import serving

if TYPE_CHECKING:
    from ottla.faust.app import App

log = logging.getLogger("ottla.faust")

_MOST_AHEAD = 500
"""How many events are read at a time."""
_POLL_S = 1.0
_JOINING_POLL_S = 0.05


class Lists(list[Any]):
    """Several values, and their events."""

    def __init__(self, events: list[ottla.Event[Any]]) -> None:
        super().__init__(event.value for event in events)
        self.events = events


class Reading:
    """Topics as they are read: the place of `ottla.Stream` in the streams of the facade, the group's listener, and
    the outlet of the code that iterates."""

    def __init__(
        self, transport: Transport, topics: Sequence[ottla.Topic[Any, Any]], commit_s: float, onward: Outlet
    ) -> None:
        self._transport = transport
        self._topics = {topic.name: topic for topic in topics}
        self._commit_s = commit_s
        self._onward = onward
        self._assigned: set[TopicPartition] = set()
        self._membership: Membership | None = None
        self._joined = False
        # What was read and not given yet, the next offsets of what was given, and of that which is done.
        self._ahead: deque[tuple[TopicPartition, Message]] = deque()
        self._reads: set[TopicPartition] = set()
        self._given: dict[TopicPartition, int] = {}
        self._done: dict[TopicPartition, int] = {}
        self._wrote = self._ended = False
        self._committed_at = time.monotonic()

    async def begin(self) -> None:
        """Joins the group."""
        await self._transport.start()
        await self._transport.subscribe(list(self._topics), self)

    async def end(self) -> None:
        """Commits what is done, and leaves the group."""
        await self._commit()
        self._ended = True
        await self._transport.stop()

    # -- what a stream asks for

    async def events(self) -> AsyncIterator[ottla.Event[Any]]:
        while True:
            event = await self._next(None)
            assert event is not None, "there is no bound"
            yield event
            await self._settle()

    async def items(self) -> AsyncIterator[tuple[Any, Any]]:
        async for event in self.events():
            yield event.key, event.value

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for event in self.events():
            yield event.value

    async def take(self, most: int, within: Any) -> AsyncIterator[Lists]:
        """Lists of so many, or of what came within that time of the first."""
        seconds = within.total_seconds() if hasattr(within, "total_seconds") else within
        while True:
            events = [await self._next(None)]
            until = time.monotonic() + seconds
            while len(events) < most and (event := await self._next(until)) is not None:
                events.append(event)
            yield Lists([event for event in events if event is not None])
            await self._settle()

    async def _next(self, until: float | None) -> ottla.Event[Any] | None:
        """The next event; None if there is none by that time."""
        while not self._ahead:
            # Who has no partitions yet is to look for them at once when the group has formed.
            longest = _POLL_S if self._reads else _JOINING_POLL_S
            remaining = longest if until is None else min(until - time.monotonic(), longest)
            if remaining <= 0:
                return None
            await self._read(remaining)
        where, message = self._ahead.popleft()
        topic = self._topics[where.topic]
        event = _decoded(topic, message)
        self._given[where] = message.offset() + 1
        return event

    async def _settle(self) -> None:
        """What was given is done."""
        self._done.update(self._given)
        self._given.clear()
        if time.monotonic() - self._committed_at >= self._commit_s:
            await self._commit()

    # -- the group

    async def joined(self, partitions: Sequence[TopicPartition], membership: Membership) -> None:
        self._assigned, self._membership, self._joined = set(partitions), membership, True

    async def lost(self) -> None:
        self._assigned, self._membership, self._joined = set(), None, True

    async def _read(self, timeout_s: float) -> None:
        try:
            polled = await self._transport.poll(_MOST_AHEAD, timeout_s)
        except MemberFencedError:
            await self.lost()
            await self._follow()
            await self._transport.rejoin()
            return
        if self._joined:
            await self._follow()
        if polled.missing:
            self._transport.start_reading(await self._starts(polled.missing))
        for where, messages in polled.messages.items():
            if where in self._reads:
                self._ahead += ((where, message) for message in messages)
        if time.monotonic() - self._committed_at >= self._commit_s:
            await self._commit()

    async def _follow(self) -> None:
        """Reads what is this worker's by now."""
        self._joined = False
        if gone := self._reads - self._assigned:
            self._transport.stop_reading(gone)
            self._ahead = deque((where, message) for where, message in self._ahead if where not in gone)
            for where in gone:
                self._given.pop(where, None)
                self._done.pop(where, None)
        new = self._assigned - self._reads
        self._reads = set(self._assigned)
        await self._start(new)

    async def _start(self, partitions: Collection[TopicPartition]) -> None:
        """Reads partitions from what is committed of them on."""
        if partitions:
            committed = await self._transport.committed(partitions)
            others = [where for where in partitions if where not in committed]
            self._transport.start_reading({**await self._starts(others), **committed})

    async def _starts(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Where reading begins that nothing was committed of."""
        latest = [where for where in partitions if self._topics[where.topic].start == "latest"]
        ranges = await self._transport.offset_ranges(partitions) if partitions else {}
        return {where: found.end if where in latest else found.start for where, found in ranges.items()}

    async def _commit(self) -> None:
        self._committed_at = time.monotonic()
        done, self._done = self._done, {}
        if not (done or self._wrote):
            return
        self._wrote = False
        try:
            await self._transport.commit(done, self._membership)
        except (DeliveryError, TransactionAbortedError) as error:
            log.warning("a stream of %s goes back to its last commit: %s", ", ".join(self._topics), error)
            await self._transport.abort()
            self._ahead.clear()
            self._given.clear()
            await self._start(self._reads)

    # -- what the code sends

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def check(self, records: Iterable[OutputRecord]) -> None:
        self._onward.check(records)

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        return await self._onward.partition_counts(topics)

    async def send(self, records: Sequence[OutputRecord]) -> None:
        """Written with the next commit at the latest. When the stream has ended it goes where it did before."""
        if self._ended:
            await self._onward.send(records)
            return
        self.check(records)
        self._wrote = True
        await self._transport.produce(records)

    async def request(self, records: Sequence[OutputRecord]) -> None:
        await self._onward.request(records)

    async def replies(self) -> Replies:
        return await self._onward.replies()


@asynccontextmanager
async def reading(app: App, topics: Sequence[ottla.Topic[Any, Any]]) -> AsyncIterator[Reading]:
    """Reads topics while the block lasts. Raises `NotInTask` where no worker or client runs."""
    onward = current_outlet(f"the stream of {', '.join(topic.name for topic in topics)}")
    async with AsyncExitStack() as held:
        group = f"{app.conf.app_id}-{'-'.join(topic.name for topic in topics)}-stream"
        transport = transport_of(app, group, held)
        found = Reading(transport, topics, app.conf.broker_commit_interval, onward)
        await found.begin()
        held.push_async_callback(found.end)
        token = outlet.set(found)
        try:
            yield found
        finally:
            # Where the loop closes the stream, it is not in the context of the code that iterated.
            with suppress(ValueError):
                outlet.reset(token)


def transport_of(app: App, group: str, held: AsyncExitStack) -> Transport:
    """A client of its own for a group."""
    config = app.ottla.config
    bootstrap = held.enter_context(serving(config.broker))
    worker_id = f"stream-{uuid.uuid4().hex[:12]}"
    return KafkaTransport(KafkaSettings(bootstrap, group, worker_id, exactly_once=False, options=config.broker_options))


def _decoded(topic: ottla.Topic[Any, Any], message: Message) -> ottla.Event[Any]:
    """The event of a message. Raises `DecodeError`."""
    key, value = message.key(), message.value()
    try:
        return ottla.Event(
            None if key is None else topic.key_codec.decode(key),
            None if value is None else topic.value_codec.decode(value),
            message.timestamp()[1],
            message.headers() or [],
            message.topic(),
            message.partition(),
            message.offset(),
        )
    except Exception as error:
        where = f"{message.topic()}/{message.partition()} at {message.offset()}"
        raise DecodeError(f"the event of {where} cannot be read: {type(error).__name__}: {error}") from error
