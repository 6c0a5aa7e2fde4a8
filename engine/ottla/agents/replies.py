"""Where the answers to a process's requests arrive: one partition of the topic `APP-replies`.

Every process that asks chooses one of the topic's partitions, reads it from its end on, and picks out the answers to
its own requests. So asking leaves nothing behind in the cluster, whoever comes and goes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from typing import NamedTuple

from ottla.agents.answers import REPLY_ID, replies_topic
from ottla.errors import NoAnswer, OttlaError
from ottla.transport.contract import Message, TopicPartition, Transport

log = logging.getLogger("ottla.agents.replies")

_MOST_REQUESTS = 100_000
_POLL_S = 0.25
_CLOSED = "no answer comes any more: the worker or client that asked has ended"


class Request(NamedTuple):
    """A request that waits for its answer."""

    id: bytes
    reply_to: TopicPartition
    answer: asyncio.Future[Message]


class Replies:
    """The requests of one process that wait for their answers. Reading begins with the first request."""

    def __init__(self, transport: Transport, app_id: str) -> None:
        self._transport = transport
        self._topic = replies_topic(app_id)
        self._where = TopicPartition(self._topic.name, 0)
        self._waiting: dict[bytes, asyncio.Future[Message]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._is_closed = False

    async def expect(self) -> Request:
        """A new request: `forget` it when its answer came or is waited for no more. Raises `OttlaError` when too many
        wait, and `NoAnswer` once closed."""
        async with self._starting:
            if self._is_closed:
                raise NoAnswer(_CLOSED)
            if self._reading is None or self._reading.done():
                await self._start()
        if len(self._waiting) >= _MOST_REQUESTS:
            raise OttlaError(f"{_MOST_REQUESTS} requests wait for their answers already")
        request = Request(uuid.uuid4().hex.encode(), self._where, asyncio.get_running_loop().create_future())
        self._waiting[request.id] = request.answer
        return request

    def forget(self, request: Request) -> None:
        self._waiting.pop(request.id, None)
        request.answer.cancel()

    def deliver(self, message: Message) -> None:
        """Settles the request that a record of the topic answers, if it is one of ours and the first answer to it."""
        request_id = next((value for name, value in message.headers() or () if name == REPLY_ID), None)
        answer = None if request_id is None else self._waiting.get(request_id)
        if answer is not None and not answer.done():
            answer.set_result(message)

    async def close(self) -> None:
        """Reads no more. Whoever waits for an answer gets `NoAnswer`."""
        self._is_closed = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(NoAnswer(_CLOSED))
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _start(self) -> None:
        counts = await self._transport.partition_counts([self._topic.name])
        if not counts:
            await self._transport.create_topics([self._topic])
            counts = await self._transport.partition_counts([self._topic.name])
        self._where = TopicPartition(self._topic.name, random.randrange(counts[self._topic.name]))
        ends = await self._transport.offset_ranges([self._where])
        self._reading = asyncio.create_task(self._read(ends[self._where].end))

    async def _read(self, start: int) -> None:
        follower = self._transport.follower()
        try:
            follower.add({self._where: start})
            while True:
                for messages in (await follower.poll(_POLL_S)).messages.values():
                    for message in messages:
                        self.deliver(message)
        except Exception as error:
            log.exception("answers can be read no more")
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(error)
        finally:
            await follower.close()
