"""What the controller decides about topics."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla_broker.cluster.image import ResourceType
from ottla_broker.cluster.placement import place_replicas
from ottla_broker.cluster.topics import (
    MAX_PARTITIONS_PER_REQUEST,
    NewTopic,
    TopicDefaults,
    create_partitions,
    delete_topic,
    validate_name,
)
from ottla_broker.log.config import LogConfig
from ottla_wire.errors import ErrorCode, KafkaError


def refusal(call: Any, *arguments: Any, **keywords: Any) -> tuple[ErrorCode, str]:
    with pytest.raises(KafkaError) as error:
        call(*arguments, **keywords)
    return error.value.code, error.value.message


@pytest.mark.parametrize("name", ["a", "a.b-c_D9", "x" * 249, "..."])
def test_legal_names(name: str) -> None:
    validate_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 250, "a b", "a/b", "ä", "a\n"])
def test_illegal_names(name: str) -> None:
    code, message = refusal(validate_name, name)
    assert code is ErrorCode.INVALID_TOPIC_EXCEPTION
    assert message.startswith("Topic name is invalid: ")


def test_a_topic_is_created_with_leader_isr_and_epochs(cluster: Any) -> None:
    created = cluster.create("t", partitions=2)
    assert (created.partitions, created.replication_factor) == (2, 1)
    for index in range(2):
        partition = cluster.image.partition("t", index)
        assert partition is not None
        assert (partition.replicas, partition.isr, partition.leader) == ((1,), (1,), 1)
        assert (partition.leader_epoch, partition.partition_epoch) == (0, 0)
    assert cluster.image.partition("t", 2) is None
    assert cluster.image.partition("t", -1) is None


def test_what_is_left_open_comes_from_the_defaults(cluster: Any) -> None:
    defaults = TopicDefaults(partitions=3, replication_factor=1, config=LogConfig(retention_ms=5))
    created = cluster.create("t", defaults)
    assert created.partitions == 3
    assert created.config.retention_ms == 5


def test_settings_are_kept_as_they_were_given(cluster: Any) -> None:
    created = cluster.create("t", config={"retention.ms": "1000", "cleanup.policy": "compact"})
    assert created.config.retention_ms == 1000
    assert created.config.compact
    assert cluster.image.config(ResourceType.TOPIC, "t") == {"retention.ms": "1000", "cleanup.policy": "compact"}


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (NewTopic("exists"), ErrorCode.TOPIC_ALREADY_EXISTS),
        (NewTopic("a_b"), ErrorCode.INVALID_TOPIC_EXCEPTION),  # collides with a.b in metrics
        (NewTopic("t", partitions=0), ErrorCode.INVALID_PARTITIONS),
        (NewTopic("t", partitions=-2), ErrorCode.INVALID_PARTITIONS),
        (NewTopic("t", partitions=MAX_PARTITIONS_PER_REQUEST + 1), ErrorCode.INVALID_PARTITIONS),
        (NewTopic("t", replication_factor=0), ErrorCode.INVALID_REPLICATION_FACTOR),
        (NewTopic("t", replication_factor=2), ErrorCode.INVALID_REPLICATION_FACTOR),
        (NewTopic("t", config={"no.such": "1"}), ErrorCode.INVALID_CONFIG),
        (NewTopic("t", config={"retention.ms": "soon"}), ErrorCode.INVALID_CONFIG),
        (NewTopic("t", config={"retention.ms": None}), ErrorCode.INVALID_CONFIG),
        (NewTopic("t", partitions=1, assignments={0: [1]}), ErrorCode.INVALID_REQUEST),
        (NewTopic("t", assignments={1: [1]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (NewTopic("t", assignments={0: [2]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (NewTopic("t", assignments={0: []}), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (NewTopic("t", assignments={0: [1, 1]}), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
    ],
)
def test_a_topic_that_cannot_be_is_refused(cluster: Any, topic: NewTopic, code: ErrorCode) -> None:
    cluster.create("exists")
    cluster.create("a.b")
    before = cluster.image.offset
    values = {name: getattr(topic, name) for name in ("partitions", "replication_factor", "assignments", "config")}
    assert refusal(cluster.create, topic.name, **values)[0] is code
    assert cluster.image.offset == before


def test_an_unknown_setting_is_named(cluster: Any) -> None:
    _, message = refusal(cluster.create, "t", config={"retention.m": "1"})
    assert "retention.m" in message
    assert "retention.ms" in message


def test_replicas_may_be_assigned_by_hand(new_cluster: Any) -> None:
    cluster = new_cluster(1, 2, 3)
    cluster.create("t", assignments={0: [3, 1], 1: [2, 3]})
    assert [partition.replicas for partition in cluster.image.topics["t"].partitions] == [(3, 1), (2, 3)]
    assert [partition.leader for partition in cluster.image.topics["t"].partitions] == [3, 2]


def test_partitions_of_a_topic_have_as_many_replicas_each(new_cluster: Any) -> None:
    cluster = new_cluster(1, 2, 3)
    code, _ = refusal(cluster.create, "t", assignments={0: [3, 1], 1: [2]})
    assert code is ErrorCode.INVALID_REPLICA_ASSIGNMENT


def test_a_deleted_topic_leaves_nothing_and_its_name_is_free(cluster: Any) -> None:
    cluster.create("t", config={"retention.ms": "1000"})
    topic = cluster.image.topics["t"]
    cluster.replay(delete_topic(topic))
    assert not cluster.image.topics
    assert not cluster.image.topics_by_id
    assert not cluster.image.config(ResourceType.TOPIC, "t")
    cluster.create("t")
    assert cluster.image.topics["t"].id != topic.id


def test_partitions_are_added_behind_those_that_exist(cluster: Any) -> None:
    cluster.create("t", partitions=2)
    cluster.replay(create_partitions(cluster.image, cluster.image.topics["t"], 5, None))
    assert [partition.index for partition in cluster.image.topics["t"].partitions] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("count", "assignments", "code"),
    [
        (2, None, ErrorCode.INVALID_PARTITIONS),
        (1, None, ErrorCode.INVALID_PARTITIONS),
        (4, [[1]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (3, [[9]], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (MAX_PARTITIONS_PER_REQUEST + 3, None, ErrorCode.INVALID_PARTITIONS),
    ],
)
def test_partitions_that_cannot_be_added(
    cluster: Any, count: int, assignments: list[list[int]] | None, code: ErrorCode
) -> None:
    cluster.create("t", partitions=2)
    topic = cluster.image.topics["t"]
    assert refusal(create_partitions, cluster.image, topic, count, assignments)[0] is code


@given(
    brokers=st.integers(1, 7),
    partitions=st.integers(1, 40),
    first=st.integers(0, 100),
    data=st.data(),
)
def test_replicas_are_distinct_and_leaders_are_spread_evenly(
    brokers: int, partitions: int, first: int, data: st.DataObject
) -> None:
    factor = data.draw(st.integers(1, brokers))
    ids = list(range(10, 10 + brokers))
    placed = place_replicas(ids, partitions, factor, first=first)
    assert len(placed) == partitions
    assert all(len(set(nodes)) == factor and set(nodes) <= set(ids) for nodes in placed)
    leaders = [nodes[0] for nodes in placed]
    counts = [leaders.count(node) for node in ids]
    assert max(counts) - min(counts) <= 1
