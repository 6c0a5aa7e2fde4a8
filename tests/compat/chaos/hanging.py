"""Transactions that a broker has left open for good, ended as an operator would end them (KIP-664).

A coordinator of Apache Kafka that starts with a decided transaction writes its markers at once. Where it does not know
a partition's leader yet, it takes the partition for deleted, and leaves its marker out. Nobody who reads only what is
committed can pass there any more, until `transaction abort` writes one.
"""

import time

from ottla_apps.cli.errors import CommandError
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.transactions import abort, find_hanging
from ottla_apps.cli.wire_client import WireClient

OPEN_FOR_S = 15.0
"""No transaction of the workers takes so long."""

_TIMEOUT_S = 10.0


def abort_hanging(address: str) -> list[Partition]:
    """Aborts those that are open in a partition while their coordinator knows of none there. Returns where.

    A broker that does not answer just now is to be asked again: nothing is aborted then.
    """
    host, _, port = address.rpartition(":")
    try:
        with WireClient([(host, int(port))], _TIMEOUT_S) as wire:
            partitions = [
                Partition(topic.name, partition.partition_index)
                for topic in wire.metadata(None).topics
                if topic.name is not None
                for partition in topic.partitions
                if partition.leader_id >= 0
            ]
            hanging = find_hanging(wire, partitions, round(time.time() * 1000), round(OPEN_FOR_S * 1000))
            for producer in hanging:
                abort(wire, producer)
            return [producer.partition for producer in hanging]
    except CommandError:
        return []
