"""Records that wait for nothing."""

import asyncio
import time
from collections.abc import Callable

import pytest

from ottla.transport.calls import CallThread
from ottla.transport.contract import OutputRecord, TopicPartition, TopicSpec
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_producer import KafkaProducer
from ottla.transport.kafka_settings import KafkaSettings

LINGER_MS = 20_000


def test_what_is_pushed_does_not_wait_for_more(ottla_broker: str, unique: Callable[[str], str]) -> None:
    async def scenario() -> None:
        app, topic = unique("app"), unique("topic")
        options = {"linger.ms": LINGER_MS, "delivery.timeout.ms": 2 * LINGER_MS}
        transport = KafkaTransport(KafkaSettings(ottla_broker, app, "w0", exactly_once=False, options=options))
        await transport.start()
        try:
            await transport.create_topics([TopicSpec(topic, 1)])
            where = TopicPartition(topic, 0)
            began = time.monotonic()
            await transport.produce([OutputRecord(topic, b"k", b"v", 1_000)])
            while (await transport.offset_ranges([where]))[where].end == 0:
                transport.push()
            assert time.monotonic() - began < LINGER_MS / 2_000
        finally:
            await transport.stop()

    asyncio.run(scenario())


class FlushedClient:
    """A client of which only the flushes matter; `when_flushed` is called at the very end of each."""

    def __init__(self, when_flushed: Callable[[], None]) -> None:
        self.flushes = 0
        self._when_flushed = when_flushed

    def flush(self, _timeout_s: float) -> int:
        self.flushes += 1
        self._when_flushed()
        return 0


def test_what_is_pushed_when_a_push_is_just_over_is_pushed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        calls = CallThread("producer")

        def push_once_more() -> None:
            if client.flushes == 1:
                producer.push()
                producer.push()

        client = FlushedClient(push_once_more)
        monkeypatch.setattr(KafkaProducer, "_make_client", lambda _: client)
        producer = KafkaProducer(KafkaSettings("127.0.0.1:1", "app", "w0", exactly_once=False), {}, calls)
        producer.push()
        await calls.run(lambda: None)  # behind the first push
        await calls.run(lambda: None)  # and behind those made meanwhile, of which one is enough
        assert client.flushes == 2
        await calls.stop()

    asyncio.run(scenario())
