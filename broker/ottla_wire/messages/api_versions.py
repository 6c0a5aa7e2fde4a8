"""ApiVersions (API key 18): the first request on a connection, which APIs and versions are there (KIP-35).

A broker that lacks the version asked for answers in version 0, so that the client can try again (KIP-511).
"""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since, tagged


class ApiVersionsRequest(Message, key=18, versions="0-4", flexible="3+"):
    """Asks what the broker speaks, and says what software the client is."""

    client_software_name: str = since("3+", default="", ignorable=True)
    client_software_version: str = since("3+", default="", ignorable=True)


class ApiVersion(Struct):
    """The versions of one API that the broker serves."""

    api_key: Int16
    min_version: Int16
    max_version: Int16


class SupportedFeatureKey(Struct):
    """The levels of a feature that the broker can run at (KIP-584)."""

    name: str
    min_version: Int16
    max_version: Int16


class FinalizedFeatureKey(Struct):
    """The levels of a feature that the cluster runs at."""

    name: str
    max_version_level: Int16
    min_version_level: Int16


class ApiVersionsResponse(Message, key=18, versions="0-4", flexible="3+"):
    """The APIs, versions and features of the broker."""

    error_code: Int16 = 0
    api_keys: list[ApiVersion]
    throttle_time_ms: Int32 = since("1+", default=0, ignorable=True)
    supported_features: list[SupportedFeatureKey] = tagged(0, versions="3+", factory=list, ignorable=True)
    finalized_features_epoch: Int64 = tagged(1, versions="3+", default=-1, ignorable=True)
    finalized_features: list[FinalizedFeatureKey] = tagged(2, versions="3+", factory=list, ignorable=True)
    zk_migration_ready: bool = tagged(3, versions="3+", default=False, ignorable=True)
