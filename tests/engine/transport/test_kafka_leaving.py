"""A member that ends before it has heard what the group gave it."""

import subprocess
import sys
from collections.abc import Callable

import pytest

MEMBER = """
import asyncio
import sys

from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from ottla.transport.contract import TopicSpec
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings


class Listener:
    async def joined(self, partitions): ...

    async def lost(self): ...


async def main(bootstrap, app, leave):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    transport = KafkaTransport(KafkaSettings(bootstrap, app, "w0", exactly_once=False))
    await transport.start()
    await transport.create_topics([TopicSpec(app, 2)])
    await transport.subscribe([app], Listener())
    while admin.describe_consumer_groups([app])[app].result().state != ConsumerGroupState.STABLE:
        await asyncio.sleep(0.05)
    await transport.stop(leave=leave)


asyncio.run(main(*sys.argv[1:3], sys.argv[3] == "True"))
"""


@pytest.mark.parametrize("leave", [True, False])
def test_a_member_ends_that_was_not_polled_since_it_was_given_partitions(
    ottla_broker: str, unique: Callable[[str], str], leave: bool
) -> None:
    """In a process of its own: librdkafka would wait within a call that holds the interpreter's lock, for ever."""
    command = [sys.executable, "-c", MEMBER, ottla_broker, unique("app"), str(leave)]
    subprocess.run(command, check=True, timeout=30)
