"""What the controller decides about features: which levels there are, and which are in force (KIP-584). Pure."""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import msgspec

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.cluster.records import FeatureLevelRecord, MetadataRecord
from ottla_wire.errors import ErrorCode, KafkaError

METADATA_VERSION = "metadata.version"


class FeatureRange(msgspec.Struct, frozen=True):
    """The levels of a feature that this version can work with; a new cluster starts at the highest."""

    lowest: int
    highest: int


# metadata.version 25 is 4.0-IV3: it says in which versions metadata records are written.
SUPPORTED_FEATURES: Mapping[str, FeatureRange] = {
    METADATA_VERSION: FeatureRange(25, 25),
    "transaction.version": FeatureRange(0, 2),
    "group.version": FeatureRange(0, 1),
}


class UpgradeType(IntEnum):
    """What a client allows an update to do (`FeatureUpdate.UpgradeType`)."""

    UPGRADE = 1
    SAFE_DOWNGRADE = 2
    UNSAFE_DOWNGRADE = 3


class FeatureUpdate(msgspec.Struct, frozen=True):
    """The level that a feature is to have; 0 turns it off. `upgrade_type` is the client's word for it."""

    name: str
    level: int
    upgrade_type: int = UpgradeType.UPGRADE


def update_features(image: ClusterImage, updates: Sequence[FeatureUpdate]) -> list[MetadataRecord]:
    """The records that bring features to other levels, all or none. Raises KafkaError INVALID_UPDATE_VERSION."""
    records: list[MetadataRecord] = []
    for update in updates:
        reason = _reason_against(image, update)
        if reason is not None:
            raise KafkaError(
                ErrorCode.INVALID_UPDATE_VERSION,
                "The update failed for all features since the following feature had an error: "
                f"Invalid update version {update.level} for feature {update.name}. {reason}",
            )
        if update.level != image.features.get(update.name, 0):
            records.append(FeatureLevelRecord(name=update.name, feature_level=update.level))
    return records


def _reason_against(image: ClusterImage, update: FeatureUpdate) -> str | None:
    supported = SUPPORTED_FEATURES.get(update.name)
    if supported is None:
        return "This broker does not support this feature."
    if update.upgrade_type not in UpgradeType.__members__.values():
        return "The controller does not support the given upgrade type."
    if update.level < 0:
        return "A feature version cannot be less than 0."
    if not supported.lowest <= update.level <= supported.highest:
        return f"This broker only supports versions {supported.lowest}-{supported.highest}."
    current = image.features.get(update.name, 0)
    if update.level < current and update.upgrade_type == UpgradeType.UPGRADE:
        return "A lower version than the current one needs the upgrade type to be a safe or an unsafe downgrade."
    if update.level > current and update.upgrade_type != UpgradeType.UPGRADE:
        return "A higher version than the current one is no downgrade."
    return None
