"""Transactions that a broker has left open for good, ended as an operator would end them (KIP-664).

A coordinator of Apache Kafka that starts with a decided transaction writes its markers at once. Where it does not know
a partition's leader yet, it takes the partition for deleted, and leaves its marker out (KAFKA-20734). Nobody who reads
only what is committed can pass there any more, until `transaction abort` writes one. If the transaction was committed,
it then lacks what it had in that partition: results, or the group's offsets, which are the older ones again.
"""

import time

from ottla_apps.cli.errors import CommandError
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.transactions import abort, find_hanging
from ottla_apps.cli.wire_client import WireClient

OPEN_FOR_S = 15.0
"""No transaction of the workers takes so long."""

_TIMEOUT_S = 10.0


class HangingTransactions:
    """Those that are open in a partition while their coordinator knows of none there, look after look."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._address = host, int(port)
        # Since when each was seen, by where it is open, its producer and its first offset. One look alone may have
        # asked the partition before a transaction's end and the coordinator after it.
        self._since: dict[tuple[Partition, int, int], float] = {}

    def abort(self) -> list[Partition]:
        """Aborts those that were seen for so long, and returns where. A broker that does not answer is asked again."""
        try:
            with WireClient([self._address], _TIMEOUT_S) as wire:
                return self._abort(wire)
        except CommandError:
            return []

    def _abort(self, wire: WireClient) -> list[Partition]:
        partitions = [
            Partition(topic.name, partition.partition_index)
            for topic in wire.metadata(None).topics
            if topic.name is not None
            for partition in topic.partitions
            if partition.leader_id >= 0
        ]
        found = {
            (producer.partition, producer.producer_id, producer.transaction_start_offset): producer
            for producer in find_hanging(wire, partitions, round(time.time() * 1000), 0)
        }
        now = time.monotonic()
        self._since = {place: self._since.get(place, now) for place in found}
        hanging = [producer for place, producer in found.items() if now - self._since[place] >= OPEN_FOR_S]
        for producer in hanging:
            abort(wire, producer)
        return [producer.partition for producer in hanging]
