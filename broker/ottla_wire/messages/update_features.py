"""UpdateFeatures (API key 57): moves the cluster to other levels of its features (KIP-584)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct, since, until


class FeatureUpdateKey(Struct):
    """A feature and the level it is to have; 0 removes it."""

    feature: str
    max_version_level: Int16
    allow_downgrade: bool = until("0", default=False)
    upgrade_type: Int8 = since("1+", default=1)


class UpdateFeaturesRequest(Message, key=57, versions="0-2", flexible="0+"):
    """Changes features, or only checks that they could be changed."""

    timeout_ms: Int32 = 60000
    feature_updates: list[FeatureUpdateKey]
    validate_only: bool = since("1+", default=False)


class UpdatableFeatureResult(Struct):
    """How it went for one feature."""

    feature: str
    error_code: Int16 = 0
    error_message: str | None = None


class UpdateFeaturesResponse(Message, key=57, versions="0-2", flexible="0+"):
    """How it went; by feature up to version 1."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
    results: list[UpdatableFeatureResult] = until("0-1", factory=list, ignorable=True)
