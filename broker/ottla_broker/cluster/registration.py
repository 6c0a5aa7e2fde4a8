"""What the controller decides about brokers: who belongs to the cluster, what they all can do, which ids they hand out.

Pure: image in, records out.
"""

import uuid

import msgspec

from ottla_broker.cluster.features import SUPPORTED_FEATURES
from ottla_broker.cluster.image import ClusterImage
from ottla_broker.cluster.records import (
    BrokerEndpoint,
    BrokerFeature,
    FeatureLevelRecord,
    MetadataRecord,
    PartitionChangeRecord,
    ProducerIdsRecord,
    RegisterBrokerRecord,
    UnregisterBrokerRecord,
)
from ottla_wire.errors import ErrorCode, KafkaError

# As many as Apache Kafka hands to a broker at a time (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
PRODUCER_ID_BLOCK = 1000


class Registration(msgspec.Struct, frozen=True):
    """How a broker introduces itself when it starts."""

    broker_id: int
    incarnation_id: uuid.UUID
    endpoints: list[BrokerEndpoint]
    rack: str | None
    clean_shutdown: bool


def register_broker(image: ClusterImage, broker: Registration) -> list[MetadataRecord]:
    """The records that let a broker join, or come back.

    After an unclean shutdown its logs may have lost records that clients have seen. It then leads its partitions in a
    new leader epoch, by which clients find out that the log was cut (KIP-320).
    """
    records: list[MetadataRecord] = [
        FeatureLevelRecord(name=name, feature_level=feature.highest)
        for name, feature in SUPPORTED_FEATURES.items()
        if name not in image.features
    ]
    records.append(
        RegisterBrokerRecord(
            broker_id=broker.broker_id,
            incarnation_id=broker.incarnation_id,
            broker_epoch=image.offset + 1,
            end_points=broker.endpoints,
            features=[
                BrokerFeature(name=name, min_supported_version=feature.lowest, max_supported_version=feature.highest)
                for name, feature in SUPPORTED_FEATURES.items()
            ],
            rack=broker.rack,
            fenced=False,
        )
    )
    if not broker.clean_shutdown:
        records += [
            PartitionChangeRecord(partition_id=partition.index, topic_id=topic.id, leader=broker.broker_id)
            for topic in image.topics.values()
            for partition in topic.partitions
            if partition.leader == broker.broker_id
        ]
    return records


def unregister_broker(image: ClusterImage, broker_id: int) -> list[MetadataRecord]:
    """The records that take a broker out of the cluster. Raises KafkaError if it is not part of it, or is running.

    Apache Kafka unregisters a running broker too, which leaves clients without it and the broker without a cluster.
    """
    broker = image.brokers.get(broker_id)
    if broker is None:
        raise KafkaError(ErrorCode.BROKER_ID_NOT_REGISTERED, f"Broker ID {broker_id} is not currently registered")
    if not broker.fenced:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"Broker {broker_id} is running; stop it before it is taken out of the cluster"
        )
    return [UnregisterBrokerRecord(broker_id=broker_id, broker_epoch=broker.epoch)]


def allocate_producer_ids(image: ClusterImage, broker_id: int) -> tuple[list[MetadataRecord], range]:
    """Give a broker a block of producer ids."""
    first = image.next_producer_id
    following = first + PRODUCER_ID_BLOCK
    broker = image.brokers[broker_id]
    record = ProducerIdsRecord(broker_id=broker_id, broker_epoch=broker.epoch, next_producer_id=following)
    return [record], range(first, following)
