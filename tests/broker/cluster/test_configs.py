"""What the controller decides about settings."""

from typing import Any

import pytest

from ottla_broker.cluster import group_configs
from ottla_broker.cluster.configs import Alteration, Operation, alter, in_force, replacing
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


def test_deleting_what_does_not_exist_changes_nothing(cluster: Any) -> None:
    """MirrorMaker deletes at the target whatever has its default at the source, also what only that one knows."""
    cluster.create("t")
    assert change(cluster, Alteration("remote.storage.enable", Operation.DELETE)) == {}
    assert change(cluster, Alteration("retention.ms", Operation.DELETE), kind=ResourceType.GROUP, name="g") == {}


def test_an_unknown_topic_has_no_settings(cluster: Any) -> None:
    with pytest.raises(KafkaError) as error:
        change(cluster, Alteration("retention.ms", Operation.SET, "1"))
    assert error.value.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize(("name", "code"), [("", 42), ("a b", 17)])
def test_what_is_no_topic_has_no_settings(cluster: Any, name: str, code: int) -> None:
    with pytest.raises(KafkaError) as error:
        change(cluster, Alteration("retention.ms", Operation.SET, "1"), name=name)
    assert error.value.code == code


def set_broker(cluster: Any, setting: str, value: str, name: str = "1") -> dict[str, str]:
    return change(cluster, Alteration(setting, Operation.SET, value), kind=ResourceType.BROKER, name=name)


def test_a_brokers_own_settings_lie_over_those_of_all_brokers(cluster: Any) -> None:
    assert set_broker(cluster, "log.retention.ms", "5", name="") == {"log.retention.ms": "5"}
    assert in_force(cluster.image, BrokerConfig()).log_defaults.retention_ms == 5
    assert set_broker(cluster, "log.retention.ms", "6") == {"log.retention.ms": "6"}
    assert in_force(cluster.image, BrokerConfig()).log_defaults.retention_ms == 6
    assert in_force(cluster.image, BrokerConfig(node_id=2)).log_defaults.retention_ms == 5


def test_a_brokers_lists_grow_and_shrink_too(cluster: Any) -> None:
    append = Alteration("log.cleanup.policy", Operation.APPEND, "compact")
    assert change(cluster, append, kind=ResourceType.BROKER, name="1") == {"log.cleanup.policy": "delete,compact"}


@pytest.mark.parametrize(
    ("setting", "value", "name", "code", "sentence"),
    [
        ("num.partitions", "1", "1", 42, "Cannot update these configs dynamically: num.partitions"),
        (
            "log.retention.hours",
            "1",
            "1",
            42,
            "Cannot update these configs dynamically: log.retention.hours; it stands for log.retention.ms",
        ),
        ("num.io.threads", "1", "1", 40, "num.io.threads is a setting of Apache Kafka's that means nothing here"),
        ("log.retention.sm", "1", "1", 40, "Unknown setting log.retention.sm: did you mean log.retention.ms?"),
        ("message.max.bytes", "-5", "1", 42, "Invalid value '-5' for message.max.bytes: must be at least 0"),
        ("message.max.bytes", "abc", "", 42, "Invalid value 'abc' for message.max.bytes: not a whole number"),
        ("message.max.bytes", "5", "7", 42, "Unexpected broker id, expected 1 or none, but received 7"),
        ("log.cleaner.max.compaction.lag.ms", "5", "", 42, "The topic t does not go with it: min.compaction.lag.ms"),
    ],
)
def test_a_brokers_settings_that_cannot_change_so(
    cluster: Any, setting: str, value: str, name: str, code: int, sentence: str
) -> None:
    cluster.create("t", config={"min.compaction.lag.ms": "10"})
    with pytest.raises(KafkaError) as error:
        set_broker(cluster, setting, value, name)
    assert (error.value.code, error.value.message[: len(sentence)]) == (code, sentence)
    assert cluster.image.config(ResourceType.BROKER, name) == {}


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
