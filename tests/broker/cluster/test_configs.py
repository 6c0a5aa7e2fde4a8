"""What the controller decides about settings."""

from typing import Any

import pytest

from ottla_broker.cluster import group_configs
from ottla_broker.cluster.configs import Alteration, Operation, alter, replacing
from ottla_broker.cluster.group_configs import GroupConfig
from ottla_broker.cluster.image import ResourceType
from ottla_broker.config import BrokerConfig
from ottla_wire.errors import ErrorCode, KafkaError

TOPIC = ResourceType.TOPIC


def change(cluster: Any, *alterations: Alteration, kind: ResourceType = TOPIC, name: str = "t") -> dict[str, str]:
    cluster.replay(alter(cluster.image, kind, name, alterations, BrokerConfig()))
    return dict(cluster.image.config(kind, name))


def test_a_setting_is_set_changed_and_deleted(cluster: Any) -> None:
    cluster.create("t")
    assert change(cluster, Alteration("retention.ms", Operation.SET, "1")) == {"retention.ms": "1"}
    assert change(cluster, Alteration("retention.ms", Operation.SET, "2")) == {"retention.ms": "2"}
    assert change(cluster, Alteration("retention.ms", Operation.DELETE)) == {}


def test_what_does_not_change_is_not_written(cluster: Any) -> None:
    cluster.create("t", config={"retention.ms": "1"})
    assert alter(cluster.image, TOPIC, "t", [Alteration("retention.ms", Operation.SET, "1")], BrokerConfig()) == []
    assert alter(cluster.image, TOPIC, "t", [Alteration("segment.ms", Operation.DELETE)], BrokerConfig()) == []


def test_lists_grow_from_their_default_and_shrink(cluster: Any) -> None:
    cluster.create("t")
    appended = change(cluster, Alteration("cleanup.policy", Operation.APPEND, "compact"))
    assert appended == {"cleanup.policy": "delete,compact"}
    assert change(cluster, Alteration("cleanup.policy", Operation.SUBTRACT, "delete")) == {"cleanup.policy": "compact"}


@pytest.mark.parametrize(
    ("alterations", "code"),
    [
        ([Alteration("no.such", Operation.SET, "1")], ErrorCode.INVALID_CONFIG),
        ([Alteration("no.such", Operation.DELETE)], ErrorCode.INVALID_CONFIG),
        ([Alteration("retention.ms", Operation.SET, "soon")], ErrorCode.INVALID_CONFIG),
        ([Alteration("retention.ms", Operation.APPEND, "1")], ErrorCode.INVALID_CONFIG),
        ([Alteration("retention.ms", Operation.SET)], ErrorCode.INVALID_REQUEST),
        ([Alteration("retention.ms", Operation.SET, "1")] * 2, ErrorCode.INVALID_REQUEST),
        (
            [
                Alteration("min.compaction.lag.ms", Operation.SET, "2"),
                Alteration("max.compaction.lag.ms", Operation.SET, "1"),
            ],
            ErrorCode.INVALID_CONFIG,
        ),
    ],
)
def test_a_change_that_does_not_fit_changes_nothing(
    cluster: Any, alterations: list[Alteration], code: ErrorCode
) -> None:
    cluster.create("t")
    with pytest.raises(KafkaError) as error:
        change(cluster, Alteration("segment.ms", Operation.SET, "7"), *alterations)
    assert error.value.code is code
    assert cluster.image.config(TOPIC, "t") == {}


def test_an_unknown_topic_has_no_settings(cluster: Any) -> None:
    with pytest.raises(KafkaError) as error:
        change(cluster, Alteration("retention.ms", Operation.SET, "1"))
    assert error.value.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_brokers_settings_are_fixed(cluster: Any) -> None:
    with pytest.raises(KafkaError) as error:
        change(cluster, Alteration("num.partitions", Operation.SET, "1"), kind=ResourceType.BROKER, name="1")
    assert error.value.code is ErrorCode.INVALID_REQUEST


def test_replacing_sets_what_is_wanted_and_deletes_the_rest(cluster: Any) -> None:
    cluster.create("t", config={"retention.ms": "1", "segment.ms": "2"})
    current = cluster.image.config(TOPIC, "t")
    assert change(cluster, *replacing(current, {"segment.ms": "3", "flush.ms": "4"})) == {
        "segment.ms": "3",
        "flush.ms": "4",
    }


def test_a_group_has_settings_of_its_own_whether_it_exists_or_not(cluster: Any) -> None:
    name = "consumer.session.timeout.ms"
    set_to = Alteration(name, Operation.SET, "50000")
    assert change(cluster, set_to, kind=ResourceType.GROUP, name="g") == {name: "50000"}
    assert change(cluster, Alteration(name, Operation.DELETE), kind=ResourceType.GROUP, name="g") == {}


@pytest.mark.parametrize(
    ("alteration", "code"),
    [
        (Alteration("consumer.session.timeout.ms", Operation.SET, "44999"), ErrorCode.INVALID_CONFIG),
        (Alteration("consumer.session.timeout.ms", Operation.SET, "soon"), ErrorCode.INVALID_CONFIG),
        (Alteration("consumer.heartbeat.interval.ms", Operation.SET, "15001"), ErrorCode.INVALID_CONFIG),
        (Alteration("retention.ms", Operation.SET, "1"), ErrorCode.INVALID_CONFIG),
        (Alteration("retention.ms", Operation.DELETE), ErrorCode.INVALID_CONFIG),
        (Alteration("consumer.session.timeout.ms", Operation.APPEND, "1"), ErrorCode.INVALID_CONFIG),
    ],
    ids=lambda value: value.name if isinstance(value, Alteration) else "",
)
def test_a_group_takes_its_own_settings_only_and_within_the_brokers_limits(
    cluster: Any, alteration: Alteration, code: ErrorCode
) -> None:
    with pytest.raises(KafkaError) as error:
        change(cluster, alteration, kind=ResourceType.GROUP, name="g")
    assert error.value.code is code


def test_members_must_have_time_for_a_heartbeat_within_their_session() -> None:
    broker = BrokerConfig(group_consumer_min_session_timeout_ms=1, group_consumer_session_timeout_ms=6_000)
    with pytest.raises(KafkaError, match="greater than"):
        group_configs.validate({"consumer.session.timeout.ms": "5000"}, broker)


def test_what_was_set_for_a_group_is_brought_within_the_limits_of_today() -> None:
    broker = BrokerConfig(group_consumer_max_session_timeout_ms=46_000)
    assert GroupConfig.of({"consumer.session.timeout.ms": "60000"}, broker).consumer_session_timeout_ms == 46_000
