"""ListConfigResources, versions 0-1: what settings can belong to (KIP-1142).

0: the resources of client metrics (KIP-714), of which this broker has none. 1+: those of the types asked for, of all
types if none is.
"""

from collections.abc import Iterable

from ottla_broker import loggers
from ottla_broker.broker import Broker
from ottla_broker.cluster.image import ResourceType
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.list_config_resources import (
    ConfigResource,
    ListConfigResourcesRequest,
    ListConfigResourcesResponse,
)

_CLIENT_METRICS = 16


@handles(ListConfigResourcesRequest, "0-1")
async def list_config_resources(
    broker: Broker, context: RequestContext, request: ListConfigResourcesRequest
) -> ListConfigResourcesResponse:
    if context.version == 0:
        return ListConfigResourcesResponse(config_resources=[])
    known = {int(kind) for kind in ResourceType} | {loggers.RESOURCE_TYPE, _CLIENT_METRICS}
    wanted = set(request.resource_types) or known
    if wanted - known:
        return ListConfigResourcesResponse(error_code=ErrorCode.UNSUPPORTED_VERSION, config_resources=[])
    return ListConfigResourcesResponse(
        config_resources=[
            ConfigResource(resource_name=name, resource_type=kind)
            for kind in sorted(wanted)
            for name in _names(broker, kind)
        ]
    )


def _names(broker: Broker, kind: int) -> Iterable[str]:
    match kind:
        case ResourceType.TOPIC:
            return broker.image.topics
        case ResourceType.BROKER | loggers.RESOURCE_TYPE:
            return map(str, broker.image.live_brokers)
        case ResourceType.GROUP:
            return broker.image.configured(ResourceType.GROUP)
    return ()
