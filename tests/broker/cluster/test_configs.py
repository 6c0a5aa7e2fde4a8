"""What the controller decides about settings."""

from typing import Any

import pytest

from ottla_broker.cluster.configs import Alteration, Operation, alter, replacing
from ottla_broker.cluster.image import ResourceType
from ottla_broker.log.config import LogConfig
from ottla_wire.errors import ErrorCode, KafkaError

TOPIC = ResourceType.TOPIC


def change(cluster: Any, *alterations: Alteration, kind: ResourceType = TOPIC, name: str = "t") -> dict[str, str]:
    cluster.replay(alter(cluster.image, kind, name, alterations, LogConfig()))
    return dict(cluster.image.config(kind, name))


def test_a_setting_is_set_changed_and_deleted(cluster: Any) -> None:
    cluster.create("t")
    assert change(cluster, Alteration("retention.ms", Operation.SET, "1")) == {"retention.ms": "1"}
    assert change(cluster, Alteration("retention.ms", Operation.SET, "2")) == {"retention.ms": "2"}
    assert change(cluster, Alteration("retention.ms", Operation.DELETE)) == {}


def test_what_does_not_change_is_not_written(cluster: Any) -> None:
    cluster.create("t", config={"retention.ms": "1"})
    assert alter(cluster.image, TOPIC, "t", [Alteration("retention.ms", Operation.SET, "1")], LogConfig()) == []
    assert alter(cluster.image, TOPIC, "t", [Alteration("segment.ms", Operation.DELETE)], LogConfig()) == []


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
