"""The broker: what every handler gets, and the two operations on partitions that all of them share.

`Broker` owns no logic of its own. It holds the parts (metadata, logs, coordinators, parked requests), finds partitions
for handlers and appends to them: the one place where an append advances the high watermark and wakes who waits for it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ottla_wire.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from ottla_broker.cluster.image import ClusterImage
    from ottla_broker.cluster.metadata_log import Controller
    from ottla_broker.config import BrokerConfig
    from ottla_broker.coordinator.groups import GroupCoordinator
    from ottla_broker.coordinator.transactions import TransactionCoordinator
    from ottla_broker.log.manager import LogManager
    from ottla_broker.log.partition import Appended, Origin, PartitionLog
    from ottla_broker.waits import Waits

CONSUMER_OFFSETS = "__consumer_offsets"
TRANSACTION_STATE = "__transaction_state"


class Broker:
    """One node, from the handlers' point of view."""

    config: "BrokerConfig"
    image: "ClusterImage"
    controller: "Controller"
    logs: "LogManager"
    groups: "GroupCoordinator"
    transactions: "TransactionCoordinator"
    waits: "Waits"
    clock: Callable[[], int]
    node_id: int
    cluster_id: str

    def partition(self, topic: str, index: int) -> "PartitionLog":
        """The log of a partition that this node leads.

        Raises KafkaError UNKNOWN_TOPIC_OR_PARTITION, or NOT_LEADER_OR_FOLLOWER when another node leads it.
        """
        state = self.image.partition(topic, index)
        if state is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"topic {topic!r} has no partition {index}")
        log = self.logs.get(topic, index)
        if log is None or state.leader != self.node_id:
            raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, f"{topic}-{index} is led by node {state.leader}")
        return log

    def append(
        self, log: "PartitionLog", data: "bytearray | bytes | memoryview", *, origin: "Origin | None" = None
    ) -> "Appended":
        """Append batches to a partition, advance its high watermark, and wake the fetches that wait for it.

        On one node a record is replicated as soon as it is appended; the write is durable as the topic's flush
        settings say. Raises the KafkaError that `PartitionLog.append` raises.
        """
        raise NotImplementedError

    async def ensure_internal_topic(self, topic: str) -> int:
        """Create `__consumer_offsets` or `__transaction_state` if it does not exist; its number of partitions."""
        raise NotImplementedError

    async def allocate_producer_ids(self) -> range:
        """A block of producer ids that no other transaction coordinator will ever hand out."""
        raise NotImplementedError
