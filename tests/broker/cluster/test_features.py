"""Levels of features: what may be asked for, and what is written."""

from typing import Any

import pytest

from ottla_broker.cluster.features import FeatureUpdate, UpgradeType, update_features
from ottla_broker.cluster.records import FeatureLevelRecord
from ottla_wire.errors import ErrorCode, KafkaError

UPGRADE, SAFE, UNSAFE = UpgradeType.UPGRADE, UpgradeType.SAFE_DOWNGRADE, UpgradeType.UNSAFE_DOWNGRADE


def test_a_level_is_lowered_and_raised_again(cluster: Any) -> None:
    for level, kind in ((1, SAFE), (0, UNSAFE), (2, UPGRADE)):
        records = update_features(cluster.image, [FeatureUpdate("transaction.version", level, kind)])
        assert records == [FeatureLevelRecord(name="transaction.version", feature_level=level)]
        cluster.replay(records)
        assert cluster.image.features["transaction.version"] == level


def test_a_level_that_is_in_force_is_not_written_again(cluster: Any) -> None:
    assert update_features(cluster.image, [FeatureUpdate("transaction.version", 2)]) == []


@pytest.mark.parametrize(
    ("update", "reason"),
    [
        (FeatureUpdate("teleportation", 1), "This broker does not support this feature."),
        (FeatureUpdate("transaction.version", -1), "A feature version cannot be less than 0."),
        (FeatureUpdate("transaction.version", 3), "This broker only supports versions 0-2."),
        (FeatureUpdate("metadata.version", 20, SAFE), "This broker only supports versions 25-25."),
        (FeatureUpdate("transaction.version", 1), "needs the upgrade type to be a safe or an unsafe downgrade."),
        (FeatureUpdate("transaction.version", 1, 7), "The controller does not support the given upgrade type."),
    ],
)
def test_what_cannot_be_refuses_all_and_says_why(cluster: Any, update: FeatureUpdate, reason: str) -> None:
    with pytest.raises(KafkaError) as error:
        update_features(cluster.image, [FeatureUpdate("group.version", 0, SAFE), update])
    assert error.value.code is ErrorCode.INVALID_UPDATE_VERSION
    assert error.value.message.endswith(reason)
    assert f"Invalid update version {update.level} for feature {update.name}." in error.value.message


def test_a_downgrade_does_not_go_up(cluster: Any) -> None:
    cluster.replay(update_features(cluster.image, [FeatureUpdate("transaction.version", 0, SAFE)]))
    with pytest.raises(KafkaError, match="is no downgrade"):
        update_features(cluster.image, [FeatureUpdate("transaction.version", 1, SAFE)])
