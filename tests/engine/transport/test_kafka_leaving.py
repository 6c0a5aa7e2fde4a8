"""Members that end before they have heard what their group gave them, and such as their group has given up."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest
from kafka.admin import KafkaAdminClient, MemberToRemove

from ottla.transport.contract import TopicSpec
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings

from .bench import DEADLINE_S, Listener

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
    subprocess.run(command, check=True, timeout=100)


def test_a_member_without_partitions_is_told_that_its_group_gave_it_up(
    ottla_broker: str, unique: Callable[[str], str]
) -> None:
    """librdkafka tells it nothing, since there is nothing to revoke."""
    app_id = unique("app")

    async def member(worker_id: str) -> tuple[KafkaTransport, Listener]:
        options = {"heartbeat.interval.ms": 300}
        settings = KafkaSettings(ottla_broker, app_id, worker_id, exactly_once=False, options=options)
        transport = KafkaTransport(settings)
        await transport.start()
        await transport.create_topics([TopicSpec(app_id, 1)])
        return transport, Listener(transport)

    async def scenario() -> None:
        first, second = members = [await member("w0"), await member("w1")]
        try:
            for transport, listener in members:
                await transport.subscribe([app_id], listener)
            while (
                not all(listener.memberships for _, listener in members) or first[1].partitions == second[1].partitions
            ):
                await asyncio.gather(*(transport.poll(1, 0.05) for transport, _ in members))
            told = {bool(listener.partitions): listener for _, listener in members}
            idle = told[False]
            admin = KafkaAdminClient(bootstrap_servers=ottla_broker)
            admin.remove_group_members(app_id, [MemberToRemove(group_instance_id=idle.transport.worker_id)])
            admin.close()
            generations = len(idle.memberships)
            while len(idle.memberships) == generations or not idle.losses:
                await asyncio.gather(*(transport.poll(1, 0.05) for transport, _ in members))
            assert (idle.losses, told[True].losses) == (1, 0)
        finally:
            for transport, _ in members:
                await transport.stop()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE_S))
