"""What a cluster refuses, and one that is not there, in one sentence each."""

import asyncio
import logging
import re
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from ottla.transport import kafka_reach
from ottla.transport.contract import OutputRecord, TopicLimits, TopicSpec, limits_of
from ottla.transport.errors import RecordRefusedError, TransportError
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_reach import wait_for_broker
from ottla.transport.kafka_settings import KafkaSettings


async def start(bootstrap: str, **settings: Any) -> None:
    transport = KafkaTransport(KafkaSettings(bootstrap, "app", "w0", connect_timeout_s=0.5, **settings))
    try:
        await transport.start()
    finally:
        await transport.stop()


def test_a_broker_that_is_not_there_is_named_with_the_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(TransportError, match=rf"^no Kafka broker answers at 127.0.0.1:{port} \(Connection refused\)$"):
        asyncio.run(start(f"127.0.0.1:{port}"))


def test_an_option_that_librdkafka_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(TransportError, match=r'No such configuration property: "fetch\.wait"'):
        asyncio.run(start("127.0.0.1:1", options={"fetch.wait": 1}))


@pytest.mark.parametrize("exactly_once", [True, False])
def test_a_value_that_is_larger_than_its_topic_takes_is_told_with_what_to_do(
    ottla_broker: str, unique: Callable[[str], str], exactly_once: bool
) -> None:
    async def send() -> None:
        topic = unique("small")
        transport = KafkaTransport(KafkaSettings(ottla_broker, unique("app"), "w0", exactly_once))
        try:
            await transport.start()
            await transport.create_topics([TopicSpec(topic, 1, {"max.message.bytes": "1000"})])
            await transport.produce([OutputRecord(topic, b"k", bytes(2_000), 0)])
            await transport.commit({})
        finally:
            await transport.stop()

    with pytest.raises(
        RecordRefusedError, match=r"raise the topic's max\.message\.bytes, or set message\.max\.bytes in broker"
    ):
        asyncio.run(send())


@pytest.mark.parametrize("exactly_once", [True, False])
def test_a_time_that_is_too_far_in_the_future_is_told_with_what_to_do(
    ottla_broker: str, unique: Callable[[str], str], exactly_once: bool
) -> None:
    async def send() -> None:
        topic = unique("soon")
        transport = KafkaTransport(KafkaSettings(ottla_broker, unique("app"), "w0", exactly_once))
        try:
            await transport.start()
            await transport.create_topics([TopicSpec(topic, 1)])
            await transport.produce([OutputRecord(topic, b"k", b"v", 4_102_444_800_000)])
            await transport.commit({})
        finally:
            await transport.stop()

    with pytest.raises(RecordRefusedError, match=r"message\.timestamp\.after\.max\.ms says otherwise: raise that"):
        asyncio.run(send())


def test_why_a_transaction_failed_is_told_when_it_is_written_on(
    ottla_broker: str, unique: Callable[[str], str]
) -> None:
    async def send() -> None:
        topic = unique("soon")
        transport = KafkaTransport(KafkaSettings(ottla_broker, unique("app"), "w0"))
        try:
            await transport.start()
            await transport.create_topics([TopicSpec(topic, 1)])
            await transport.produce([OutputRecord(topic, b"k", b"v", 4_102_444_800_000)])
            for _ in range(500):
                await asyncio.sleep(0.01)
                await transport.produce([OutputRecord(topic, b"k", b"v", int(time.time() * 1000))])
        finally:
            await transport.stop()

    with pytest.raises(RecordRefusedError, match=r"^the transaction failed: .* for soon-.*Invalid timestamp"):
        asyncio.run(send())


def test_the_limits_of_topics_are_told(ottla_broker: str, unique: Callable[[str], str]) -> None:
    async def ask() -> tuple[dict[str, TopicLimits], str]:
        topic = unique("limited")
        transport = KafkaTransport(KafkaSettings(ottla_broker, unique("app"), "w0"))
        try:
            await transport.start()
            config = {"message.timestamp.before.max.ms": "7", "cleanup.policy": "compact,delete"}
            await transport.create_topics([TopicSpec(topic, 1, config)])
            configs = await transport.configs([topic, unique("unknown")])
            return {name: limits_of(config) for name, config in configs.items()}, topic
        finally:
            await transport.stop()

    limits, topic = asyncio.run(ask())
    assert limits == {topic: TopicLimits(7, 3_600_000, needs_key=True, max_bytes=1_048_588)}


def test_a_broker_that_does_not_answer_is_waited_for_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kafka_reach, "_SAID_EVERY_S", 0.1)
    monkeypatch.setattr(kafka_reach, "_LOOKS_FOR_S", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        away = rf"no Kafka broker answers at 127.0.0.1:{port} \(Connection refused\)"
        with (
            caplog.at_level(logging.WARNING),
            pytest.raises(TransportError, match=rf"^{away}, nor did one within 1 s$"),
        ):
            wait_for_broker(KafkaSettings(f"127.0.0.1:{port}", "app", "w0"), 1.0)
    assert re.match(rf"{away}; waiting for \d s more", caplog.messages[-1])


def test_a_broker_that_comes_is_all_that_is_waited_for(ottla_broker: str) -> None:
    host, port = ottla_broker.rsplit(":", 1)
    with socket.socket() as taken, ThreadPoolExecutor() as threads:
        taken.bind((host, 0))
        address = taken.getsockname()
        waiting = threads.submit(wait_for_broker, KafkaSettings(f"{host}:{address[1]}", "app", "w0"), 100.0)
        time.sleep(0.3)
        assert not waiting.done()
        taken.listen()
        # Whatever answers there sends the client to the broker
        taken.settimeout(100)
        with taken.accept()[0] as client, socket.create_connection((host, int(port))) as broker:
            client.settimeout(0.1)
            broker.settimeout(0.1)
            while not waiting.done():
                for source, sink in ((client, broker), (broker, client)):
                    with suppress(TimeoutError):
                        sink.sendall(source.recv(65_536))
    assert waiting.result() is None
