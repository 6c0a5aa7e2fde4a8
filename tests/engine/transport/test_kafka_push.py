"""Records that wait for nothing."""

import asyncio
import time
from collections.abc import Callable

from ottla.transport.contract import OutputRecord, TopicPartition, TopicSpec
from ottla.transport.kafka import KafkaTransport
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
