"""What the controller decides about brokers, and what it hands out to them."""

from typing import Any

import pytest

from ottla_broker.cluster.features import SUPPORTED_FEATURES
from ottla_broker.cluster.records import RegisterBrokerRecord
from ottla_broker.cluster.registration import PRODUCER_ID_BLOCK, allocate_producer_ids, unregister_broker
from ottla_wire.errors import ErrorCode, KafkaError


def test_the_first_broker_finalizes_the_features(cluster: Any) -> None:
    assert cluster.image.features == {name: levels.highest for name, levels in SUPPORTED_FEATURES.items()}


def test_a_broker_that_comes_back_has_a_newer_epoch(cluster: Any) -> None:
    before = cluster.image.brokers[1]
    cluster.register(1)
    after = cluster.image.brokers[1]
    assert after.epoch > before.epoch
    assert cluster.image.live_brokers == [1]


def test_endpoints_are_found_by_listener(cluster: Any) -> None:
    broker = cluster.image.brokers[1]
    assert broker.endpoint("PLAINTEXT").host == "host1"
    assert broker.endpoint("SSL") is None


def test_a_clean_restart_keeps_leader_epochs(cluster: Any) -> None:
    cluster.create("t", partitions=2)
    cluster.register(1, clean=True)
    assert [partition.leader_epoch for partition in cluster.image.topics["t"].partitions] == [0, 0]


def test_after_an_unclean_restart_partitions_are_led_in_a_new_epoch(cluster: Any) -> None:
    cluster.create("t", partitions=2)
    cluster.register(1, clean=False)
    partitions = cluster.image.topics["t"].partitions
    assert [(partition.leader, partition.leader_epoch, partition.partition_epoch) for partition in partitions] == [
        (1, 1, 1),
        (1, 1, 1),
    ]


def test_an_unclean_restart_concerns_only_what_the_broker_leads(new_cluster: Any) -> None:
    cluster = new_cluster(1, 2)
    cluster.create("t", assignments={0: [1, 2], 1: [2, 1]})
    cluster.register(2, clean=False)
    assert [partition.leader_epoch for partition in cluster.image.topics["t"].partitions] == [0, 1]


def test_blocks_of_producer_ids_never_overlap(new_cluster: Any) -> None:
    cluster = new_cluster(1, 2)
    given: list[int] = []
    for broker_id in (1, 2, 1):
        records, block = allocate_producer_ids(cluster.image, broker_id)
        cluster.replay(records)
        assert len(block) == PRODUCER_ID_BLOCK
        given += block
    assert len(set(given)) == len(given)


def test_a_broker_that_is_gone_is_taken_out_of_the_cluster(new_cluster: Any) -> None:
    cluster = new_cluster(1, 2)
    node = cluster.image.brokers[2]
    cluster.replay(
        [
            RegisterBrokerRecord(
                broker_id=2,
                incarnation_id=node.incarnation_id,
                broker_epoch=node.epoch,
                end_points=list(node.endpoints),
                features=[],
                rack=None,
                fenced=True,
            )
        ]
    )
    cluster.replay(unregister_broker(cluster.image, 2))
    assert list(cluster.image.brokers) == [1]


@pytest.mark.parametrize(
    ("broker_id", "code"), [(7, ErrorCode.BROKER_ID_NOT_REGISTERED), (1, ErrorCode.INVALID_REQUEST)]
)
def test_a_broker_that_runs_or_was_never_there_is_not(cluster: Any, broker_id: int, code: ErrorCode) -> None:
    with pytest.raises(KafkaError) as error:
        unregister_broker(cluster.image, broker_id)
    assert error.value.code is code
