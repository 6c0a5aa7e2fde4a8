"""UpdateFeatures, versions 0-2: bring features of the cluster to other levels, all or none (KIP-584).

0: lowering a level is allowed or not. 1+: by what kind of downgrade; validation alone (KIP-778). Up to 1 the answer has
a result for each feature.
"""

from ottla_broker.broker import Broker
from ottla_broker.cluster.features import FeatureUpdate, UpgradeType
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.messages.update_features import (
    FeatureUpdateKey,
    UpdatableFeatureResult,
    UpdateFeaturesRequest,
    UpdateFeaturesResponse,
)


@handles(UpdateFeaturesRequest, "0-2")
async def update_features(
    broker: Broker, context: RequestContext, request: UpdateFeaturesRequest
) -> UpdateFeaturesResponse:
    updates = [
        FeatureUpdate(update.feature, update.max_version_level, _upgrade_type(update, context.version))
        for update in request.feature_updates
    ]
    await broker.controller.update_features(updates, validate_only=request.validate_only)
    return UpdateFeaturesResponse(
        results=[UpdatableFeatureResult(feature=update.feature) for update in request.feature_updates]
    )


def _upgrade_type(update: FeatureUpdateKey, version: int) -> int:
    if version >= 1:
        return update.upgrade_type
    return UpgradeType.SAFE_DOWNGRADE if update.allow_downgrade else UpgradeType.UPGRADE
