"""ApiVersions, versions 0-4: which APIs in which versions this broker serves, and its features.

The answer to an unknown version is given by `dispatch`, which knows no request in it. From version 3 on the client says
what software it is (KIP-511); the features are tagged fields of the same version (KIP-584).
"""

import re

from ottla_broker import dispatch
from ottla_broker.broker import Broker
from ottla_broker.cluster.features import SUPPORTED_FEATURES
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?")


@handles(ApiVersionsRequest, "0-4")
async def api_versions(broker: Broker, context: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
    if context.version >= 3 and not (
        _SOFTWARE.fullmatch(request.client_software_name) and _SOFTWARE.fullmatch(request.client_software_version)
    ):
        return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST, api_keys=[])
    return ApiVersionsResponse(
        api_keys=[
            ApiVersion(api_key=key, min_version=api.advertised.lowest, max_version=api.advertised.highest)
            for key, api in sorted(dispatch.APIS.items())
        ],
        supported_features=[
            SupportedFeatureKey(name=name, min_version=levels.lowest, max_version=levels.highest)
            for name, levels in SUPPORTED_FEATURES.items()
            if levels.lowest > 0 or context.version >= 4  # Java clients before 4.0 fail on level 0 (KAFKA-17492)
        ],
        finalized_features_epoch=broker.image.offset,
        finalized_features=[
            FinalizedFeatureKey(name=name, min_version_level=level, max_version_level=level)
            for name, level in broker.image.features.items()
            if level
        ],
    )
