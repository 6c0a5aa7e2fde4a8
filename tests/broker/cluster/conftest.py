"""An image that decisions are replayed into, as the metadata log does it."""

import itertools
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.cluster.records import BrokerEndpoint, MetadataRecord, decode_record, encode_record
from ottla_broker.cluster.registration import Registration, register_broker
from ottla_broker.cluster.topics import CreatedTopic, NewTopic, TopicDefaults, create_topic
from ottla_broker.log.config import LogConfig

DEFAULTS = TopicDefaults(partitions=1, replication_factor=1, config=LogConfig())


class Cluster:
    """Decides and replays; every record passes through its encoding on the way."""

    def __init__(self) -> None:
        self.image = ClusterImage()
        self._ids = itertools.count(100)

    def replay(self, records: Iterable[MetadataRecord]) -> None:
        for record in records:
            self.image.replay(decode_record(encode_record(record)), self.image.offset + 1)

    def register(self, *broker_ids: int, clean: bool = True) -> None:
        for broker_id in broker_ids:
            endpoint = BrokerEndpoint(name="PLAINTEXT", host=f"host{broker_id}", port=9092, security_protocol=0)
            self.replay(
                register_broker(self.image, Registration(broker_id, uuid.UUID(int=broker_id), [endpoint], None, clean))
            )

    def create(self, name: str, defaults: TopicDefaults = DEFAULTS, **values: Any) -> CreatedTopic:
        records, created = create_topic(self.image, NewTopic(name, **values), defaults, uuid.UUID(int=next(self._ids)))
        self.replay(records)
        return created


@pytest.fixture
def cluster() -> Cluster:
    """One broker, number 1."""
    cluster = Cluster()
    cluster.register(1)
    return cluster


@pytest.fixture
def new_cluster() -> Callable[..., Cluster]:
    """`new_cluster(1, 2, 3)`: brokers of these numbers."""

    def make(*broker_ids: int) -> Cluster:
        cluster = Cluster()
        cluster.register(*broker_ids)
        return cluster

    return make
