"""Elections: who leads a partition when somebody asks for it."""

from typing import Any

import pytest

from ottla_broker.cluster.elections import ElectionType, elect_leader
from ottla_broker.cluster.image import PartitionState
from ottla_broker.cluster.records import PartitionChangeRecord, RegisterBrokerRecord
from ottla_wire.errors import ErrorCode, KafkaError

PREFERRED, UNCLEAN = ElectionType.PREFERRED, ElectionType.UNCLEAN


@pytest.fixture
def three(new_cluster: Any) -> Any:
    """Brokers 1, 2 and 3, and a topic whose partition they hold in this order."""
    cluster = new_cluster(1, 2, 3)
    cluster.create("t", assignments={0: (1, 2, 3)})
    return cluster


def change(cluster: Any, **fields: Any) -> None:
    topic_id = cluster.image.topics["t"].id
    cluster.replay([PartitionChangeRecord(partition_id=0, topic_id=topic_id, **{"leader": -2, **fields})])


def stop(cluster: Any, broker_id: int) -> None:
    node = cluster.image.brokers[broker_id]
    cluster.replay(
        [
            RegisterBrokerRecord(
                broker_id=broker_id,
                incarnation_id=node.incarnation_id,
                broker_epoch=node.epoch,
                end_points=list(node.endpoints),
                features=[],
                rack=None,
                fenced=True,
            )
        ]
    )


def elect(cluster: Any, kind: ElectionType) -> PartitionState:
    cluster.replay([elect_leader(cluster.image, "t", 0, kind)])
    state: PartitionState = cluster.image.partition("t", 0)
    return state


def refusal(cluster: Any, kind: ElectionType, topic: str = "t", index: int = 0) -> ErrorCode:
    with pytest.raises(KafkaError) as error:
        elect_leader(cluster.image, topic, index, kind)
    return error.value.code


def test_46_where_the_preferred_replica_leads_no_election_is_needed(three: Any) -> None:
    assert refusal(three, PREFERRED) is ErrorCode.ELECTION_NOT_NEEDED
    assert refusal(three, UNCLEAN) is ErrorCode.ELECTION_NOT_NEEDED


def test_the_preferred_replica_leads_again_in_a_new_epoch(three: Any) -> None:
    change(three, leader=2)
    state = elect(three, PREFERRED)
    assert (state.leader, state.leader_epoch, state.isr) == (1, 2, (1, 2, 3))


def test_a_preferred_replica_that_is_not_in_sync_or_not_there_does_not_lead(three: Any) -> None:
    change(three, leader=2, isr=[2, 3])
    assert refusal(three, PREFERRED) is ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
    change(three, isr=[1, 2, 3])
    stop(three, 1)
    assert refusal(three, PREFERRED) is ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE


def test_an_unclean_election_takes_one_that_is_in_sync_if_there_is_one(three: Any) -> None:
    stop(three, 1)
    state = elect(three, UNCLEAN)
    assert (state.leader, state.isr) == (2, (1, 2, 3))


def test_an_unclean_election_gives_up_what_only_others_have(three: Any) -> None:
    change(three, isr=[1])
    stop(three, 1)
    stop(three, 2)
    state = elect(three, UNCLEAN)
    assert (state.leader, state.isr) == (3, (3,))
    stop(three, 3)
    assert refusal(three, UNCLEAN) is ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE


def test_what_does_not_exist_has_no_elections(three: Any) -> None:
    assert refusal(three, PREFERRED, "u") is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert refusal(three, PREFERRED, "t", 1) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
