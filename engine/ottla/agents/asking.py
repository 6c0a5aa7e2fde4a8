"""Asking an agent: a request to its topic, and the answer that comes back, with Faust's words for it.

    ask      one request, one answer               map, kvmap     many, and the answers as they arrive
    cast     no answer                             join, kvjoin   many, and the answers in the order of the requests

Requests can be made wherever an answer can be waited for: in the app's timers, cron jobs and tasks, in a channel's
agent, and under `async with app.client()`. In an agent only at least once, where they are sent at once and stay sent,
whatever becomes of the event at hand; exactly once the answer comes with a commit, and commits wait for agents. An
agent names another as the one who gets the answer instead (`reply_to=`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, Generic, TypeVar

from ottla.agents.answers import REPLY_AGENT, REPLY_ERROR, REPLY_ID, REPLY_PARTITION, REPLY_TO
from ottla.errors import AgentFailed, NoAnswer, NotInTask, TopologyError
from ottla.outlet import Outlet, current_outlet
from ottla.serdes import Codec
from ottla.task.processor import Asks, TaskContext, current
from ottla.time import Duration, duration_ms
from ottla.topic import Topic
from ottla.transport.contract import Headers, Message, OutputRecord, TopicPartition
from ottla.transport.partitioner import partition_for_key

V = TypeVar("V")
R = TypeVar("R")
T = TypeVar("T")

_AT_ONCE = 1_000
"""How many requests of one `map` or `join` wait for their answers at a time."""


class Asking(Generic[V, R]):
    """The part of an `Agent` by which it is asked."""

    name: str
    answer_codec: Codec[Any]

    def inbox(self, doing: str) -> Topic[Any, V]:
        raise NotImplementedError

    async def ask(
        self,
        value: V | None = None,
        *,
        key: Any = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
        within: Duration = 30.0,
    ) -> R | None:
        """Sends an event to the agent and returns the first thing it yields for it; None if it yields nothing.

        The answer is there when what the agent did has been committed. Raises `NoAnswer` when it does not come within
        `within`, `AgentFailed` when the agent failed on the event, `NotInTask` where nothing can be waited for.
        """
        topic = self.inbox("asked of")
        context = current.get(None)
        out = current_outlet(f"asking agent {self.name!r}") if context is None else self._asks_in(context).outlet
        replies = await out.replies()
        request = await replies.expect()
        now_ms = out.now_ms if context is None else context.event_time
        time = now_ms() if timestamp is None else timestamp
        asked: Headers = [
            *(headers or ()),
            (REPLY_AGENT, self.name.encode()),
            (REPLY_TO, request.reply_to.topic.encode()),
            (REPLY_PARTITION, b"%d" % request.reply_to.partition),
            (REPLY_ID, request.id),
        ]
        seconds = duration_ms(within, "ask(within)") / 1000
        try:
            async with asyncio.timeout(seconds):
                record = await topic.record(key, value, time, asked, partition, out.partition_counts)
                if context is None:
                    await out.request([record])
                    answer = await request.answer
                else:
                    record = await _placed(record, out)
                    where = TopicPartition(record.topic, record.partition or 0)
                    with self._asks_in(context).waiting(context.task, where):
                        await out.request([record])
                        answer = await request.answer
        except NoAnswer:
            raise
        except TimeoutError:
            raise NoAnswer(f"agent {self.name!r} did not answer within {seconds:g} s") from None
        finally:
            replies.forget(request)
        return self._answer(answer)

    def _asks_in(self, context: TaskContext) -> Asks:
        if context.asks is None:
            raise NotInTask(
                f"agent {self.name!r} cannot be asked from within an agent under exactly_once: the answer comes with a "
                "commit, which waits for that agent; use send(reply_to=another_agent), ask from a timer, a task or a "
                'client, or run the app with processing_guarantee="at_least_once"'
            )
        return context.asks

    async def map(
        self, values: AsyncIterable[V] | Iterable[V], key: Any = None, *, within: Duration = 30.0
    ) -> AsyncIterator[R | None]:
        """Asks with each value, under one key, and yields the answers as they arrive."""
        async for answer in self.kvmap(_under(key, values), within=within):
            yield answer

    async def kvmap(
        self, items: AsyncIterable[tuple[Any, V]] | Iterable[tuple[Any, V]], *, within: Duration = 30.0
    ) -> AsyncIterator[R | None]:
        """Asks with each (key, value) pair, and yields the answers as they arrive. Raises for the first that fails."""
        async for _, answer in self._ask_all(items, within):
            yield answer

    async def join(
        self, values: AsyncIterable[V] | Iterable[V], key: Any = None, *, within: Duration = 30.0
    ) -> list[R | None]:
        """Asks with each value, under one key, and returns the answers in the order of the values."""
        return await self.kvjoin(_under(key, values), within=within)

    async def kvjoin(
        self, items: AsyncIterable[tuple[Any, V]] | Iterable[tuple[Any, V]], *, within: Duration = 30.0
    ) -> list[R | None]:
        """Asks with each (key, value) pair, and returns the answers in the order of the pairs."""
        answers = {number: answer async for number, answer in self._ask_all(items, within)}
        return [answers[number] for number in sorted(answers)]

    async def _ask_all(
        self, items: AsyncIterable[tuple[Any, V]] | Iterable[tuple[Any, V]], within: Duration
    ) -> AsyncIterator[tuple[int, R | None]]:
        waiting: set[asyncio.Task[tuple[int, R | None]]] = set()
        number = 0
        context = current.get(None)
        time = None if context is None else context.event_time()
        try:
            async for key, value in _each(items):
                waiting.add(asyncio.create_task(self._ask_numbered(number, key, value, time, within)))
                number += 1
                if len(waiting) >= _AT_ONCE:
                    done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                    for each in done:
                        yield each.result()
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    yield each.result()
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _ask_numbered(
        self, number: int, key: Any, value: V, time: int | None, within: Duration
    ) -> tuple[int, R | None]:
        return number, await self.ask(value, key=key, timestamp=time, within=within)

    def _answer(self, message: Message) -> R | None:
        failure = next((value for name, value in message.headers() or () if name == REPLY_ERROR), None)
        if failure is not None:
            raise AgentFailed(f"agent {self.name!r} failed: {failure.decode(errors='replace')}")
        data = message.value()
        answer: R | None = None if data is None else self.answer_codec.decode(data)
        return answer


def reply_headers(agent: str, reply_to: object) -> Headers:
    """The headers of an event for an agent whose answer another gets: a topic, an agent, or a topic's name."""
    match reply_to:
        case str():
            name = reply_to
        case Topic():
            name = reply_to.name
        case Asking():
            name = reply_to.inbox("answered to").name
        case _:
            raise TopologyError(f"reply_to={reply_to!r} must be a topic, an agent, or the name of a topic")
    return [(REPLY_AGENT, agent.encode()), (REPLY_TO, name.encode())]


async def _placed(record: OutputRecord, out: Outlet) -> OutputRecord:
    """The record with its partition, so that it is known who reads it."""
    count = (await out.partition_counts([record.topic])).get(record.topic, 1)
    if record.partition is None:
        key = record.key
        record.partition = random.randrange(count) if key is None else partition_for_key(key, count)
    return record


async def _each(items: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


async def _under(key: Any, values: AsyncIterable[V] | Iterable[V]) -> AsyncIterator[tuple[Any, V]]:
    async for value in _each(values):
        yield key, value
