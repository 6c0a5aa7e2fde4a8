"""Events that come one by one are through at once, whatever is waited for where there are many."""

import asyncio
import time
import uuid
from datetime import timedelta

import pytest

import ottla
from ottla.state.memory import MemoryStores
from ottla.transport import kafka_producer
from ottla.transport.contract import OutputRecord
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings
from ottla.worker.worker import Worker

from ..real_broker import RealBroker

LINGER_MS = 900_000
"""As long as librdkafka waits at most: a machine may be as slow as it likes, and is not as slow as that."""
SOON_S = 200.0


@pytest.mark.timeout(700)
def test_a_lone_event_waits_neither_for_others_nor_for_a_commit(
    ottla_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a machine that is very busy the client's threads may not see a push that is over after a moment.
    monkeypatch.setattr(kafka_producer, "_PUSH_S", 10.0)
    run = uuid.uuid4().hex[:8]
    source, sink = f"source-{run}", f"sink-{run}"
    app = ottla.App(
        f"relay-{run}", processing_guarantee="at_least_once", commit_interval=timedelta(milliseconds=LINGER_MS)
    )
    app.stream(app.topic(source, value=str, partitions=1)).to(app.topic(sink, value=str, partitions=1))
    address = ottla_broker.removeprefix("kafka://")
    options = {"linger.ms": LINGER_MS, "delivery.timeout.ms": 2 * LINGER_MS}
    settings = KafkaSettings(address, app.id, "w0", exactly_once=False, options=options)
    worker = Worker(app.topology, app.config, KafkaTransport(settings), MemoryStores())

    def exchange() -> None:
        broker = RealBroker(address)
        while not {source, sink} <= broker.topics.keys():
            time.sleep(0.01)
        for number in range(3):
            broker.append([OutputRecord(source, b"k", b"%d" % number, 1_000)])
            sent_at = time.monotonic()
            while len(broker.messages(sink)) == number:
                assert time.monotonic() - sent_at < SOON_S

    async def scenario() -> None:
        running = asyncio.create_task(worker.run())
        try:
            await asyncio.to_thread(exchange)
        finally:
            worker.stop()
            await running

    asyncio.run(scenario())
