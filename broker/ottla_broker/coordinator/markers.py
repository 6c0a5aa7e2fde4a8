"""Writing the markers that end transactions into the partitions that took part."""

from typing import TYPE_CHECKING, NamedTuple

from ottla_broker.cluster.topics import CONSUMER_OFFSETS
from ottla_broker.coordinator.transaction import Partition
from ottla_broker.log.producers import Origin
from ottla_wire.control_records import build_end_txn_marker

if TYPE_CHECKING:
    from ottla_broker.broker import Broker


class EndOfTransaction(NamedTuple):
    """How a producer's transaction ended, and in which epoch of which coordinator that was decided."""

    producer_id: int
    producer_epoch: int
    committed: bool
    coordinator_epoch: int


def write_marker(broker: "Broker", partition: Partition, end: EndOfTransaction) -> None:
    """Append the marker to a partition that this node leads; whoever waits to read it, committed, looks again.

    In a partition of `__consumer_offsets` the transaction's offsets take effect with it. Raises the KafkaError of
    `Broker.partition` and `Broker.append`, among them TRANSACTION_COORDINATOR_FENCED for an old coordinator.
    """
    topic, index = partition
    log = broker.partition(topic, index)
    marker = build_end_txn_marker(
        commit=end.committed,
        producer_id=end.producer_id,
        producer_epoch=end.producer_epoch,
        coordinator_epoch=end.coordinator_epoch,
        timestamp=broker.clock(),
    )
    if topic == CONSUMER_OFFSETS:
        broker.groups.append_marker(index, marker, end.producer_id, end.committed)
    else:
        broker.append(log, marker, origin=Origin.COORDINATOR)
    # The last stable offset has moved, perhaps past much more than these few bytes.
    broker.waits.wake(topic, index)
