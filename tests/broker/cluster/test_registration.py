"""What the controller decides about brokers, and what it hands out to them."""

from typing import Any

from ottla_broker.cluster.registration import PRODUCER_ID_BLOCK, SUPPORTED_FEATURES, allocate_producer_ids


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
