"""Every client family takes the broker for a real one: create a topic, produce, consume in a group, commit, resume."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable
from typing import Protocol
from uuid import uuid4

import aiokafka
import aiokafka.admin
import confluent_kafka
import confluent_kafka.admin
import kafka
import kafka.admin
import pytest

TIMEOUT_S = 30


class Client(Protocol):
    """One client family at work on one broker."""

    def create_topic(self, topic: str, partitions: int) -> None: ...

    def produce(self, topic: str, values: list[bytes]) -> None:
        """Produces the values in order, all with the same key, and waits for their acknowledgement."""

    def consume(self, topic: str, group: str, count: int) -> list[bytes]:
        """Joins the group, reads `count` values from where the group stands, commits, and leaves."""


class ConfluentKafka:
    def __init__(self, address: str) -> None:
        self.config: dict[str, str | int | float | bool] = {"bootstrap.servers": address}

    def create_topic(self, topic: str, partitions: int) -> None:
        admin = confluent_kafka.admin.AdminClient(self.config)
        admin.create_topics([confluent_kafka.admin.NewTopic(topic, partitions, 1)])[topic].result(TIMEOUT_S)

    def produce(self, topic: str, values: list[bytes]) -> None:
        producer = confluent_kafka.Producer(self.config)
        for value in values:
            producer.produce(topic, value, key=b"key")
        assert producer.flush(TIMEOUT_S) == 0

    def consume(self, topic: str, group: str, count: int) -> list[bytes]:
        consumer = confluent_kafka.Consumer(
            {**self.config, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
        )
        consumer.subscribe([topic])
        try:
            messages = consumer.consume(count, timeout=TIMEOUT_S)
            consumer.commit(message=messages[-1], asynchronous=False)
            return [message.value() for message in messages]
        finally:
            consumer.close()


class AioKafka:
    def __init__(self, address: str) -> None:
        self.address = address

    def create_topic(self, topic: str, partitions: int) -> None:
        async def create() -> None:
            admin = aiokafka.admin.AIOKafkaAdminClient(bootstrap_servers=self.address)
            await admin.start()
            try:
                await admin.create_topics([aiokafka.admin.NewTopic(topic, partitions, 1)])
            finally:
                await admin.close()

        asyncio.run(create())

    def produce(self, topic: str, values: list[bytes]) -> None:
        async def produce() -> None:
            async with aiokafka.AIOKafkaProducer(bootstrap_servers=self.address) as producer:
                for value in values:
                    await producer.send_and_wait(topic, value, key=b"key")

        asyncio.run(produce())

    def consume(self, topic: str, group: str, count: int) -> list[bytes]:
        async def consume() -> list[bytes]:
            async with aiokafka.AIOKafkaConsumer(
                topic,
                bootstrap_servers=self.address,
                group_id=group,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
            ) as consumer:
                values = [(await asyncio.wait_for(consumer.getone(), TIMEOUT_S)).value for _ in range(count)]
                await consumer.commit()
                return values

        return asyncio.run(consume())


class KafkaPython:
    def __init__(self, address: str) -> None:
        self.address = address

    def create_topic(self, topic: str, partitions: int) -> None:
        admin = kafka.admin.KafkaAdminClient(bootstrap_servers=self.address)
        try:
            admin.create_topics([kafka.admin.NewTopic(topic, partitions, 1)])
        finally:
            admin.close()

    def produce(self, topic: str, values: list[bytes]) -> None:
        producer = kafka.KafkaProducer(bootstrap_servers=self.address)
        try:
            sent = [producer.send(topic, value, key=b"key") for value in values]
            for future in sent:
                future.get(TIMEOUT_S)
        finally:
            producer.close()

    def consume(self, topic: str, group: str, count: int) -> list[bytes]:
        consumer = kafka.KafkaConsumer(
            topic,
            bootstrap_servers=self.address,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            consumer_timeout_ms=TIMEOUT_S * 1000,
        )
        try:
            values = [next(consumer).value for _ in range(count)]
            consumer.commit()
            return values
        finally:
            consumer.close()


class Kcat:
    """Debian's kcat. It has no command that creates a topic: asking for its metadata does."""

    def __init__(self, address: str) -> None:
        self.command = [shutil.which("kcat") or pytest.fail("kcat is missing: run tests/compat/install"), "-b", address]

    def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = [*self.command, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def create_topic(self, topic: str, partitions: int) -> None:  # noqa: ARG002 - the broker's num.partitions counts
        self.run("-P", "-t", topic, stdin=b"")
        assert topic in self.run("-L", "-t", topic, "-X", "allow.auto.create.topics=true").decode()

    def produce(self, topic: str, values: list[bytes]) -> None:
        self.run("-P", "-t", topic, "-k", "key", stdin=b"\n".join(values))

    def consume(self, topic: str, group: str, count: int) -> list[bytes]:
        earliest = ("-X", "auto.offset.reset=earliest")
        return self.run("-G", group, topic, "-c", str(count), *earliest).splitlines()


@pytest.mark.parametrize("family", [ConfluentKafka, AioKafka, KafkaPython, Kcat])
def test_a_client_creates_produces_consumes_commits_and_resumes(
    broker_address: str, family: Callable[[str], Client]
) -> None:
    client, topic, group = family(broker_address), f"topic-{uuid4()}", f"group-{uuid4()}"
    values = [f"value {index}".encode() for index in range(100)]
    client.create_topic(topic, 3)
    client.produce(topic, values)

    before = client.consume(topic, group, 40)
    after = client.consume(topic, group, 60)

    assert before == values[:40]
    assert after == values[40:], "the group did not resume where it had committed"
