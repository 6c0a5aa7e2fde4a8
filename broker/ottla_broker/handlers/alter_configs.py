"""AlterConfigs, versions 0-2: replace all settings of topics or groups; what is not named goes back to its default."""

from collections import Counter

from ottla_broker.broker import Broker
from ottla_broker.cluster.configs import replacing
from ottla_broker.cluster.image import ResourceType
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.alter_configs import (
    AlterConfigsRequest,
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    AlterConfigsResponse,
)


@handles(AlterConfigsRequest, "0-2")
async def alter_configs(broker: Broker, _context: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse:
    responses = []
    times = Counter((resource.resource_type, resource.resource_name) for resource in request.resources)
    for resource in request.resources:
        response = AlterConfigsResourceResponse(
            resource_type=resource.resource_type, resource_name=resource.resource_name
        )
        try:
            check_times(times[resource.resource_type, resource.resource_name])
            await _alter(broker, resource, validate_only=request.validate_only)
        except KafkaError as error:
            response.error_code, response.error_message = error.code, error.message
        responses.append(response)
    return AlterConfigsResponse(responses=responses)


async def _alter(broker: Broker, resource: AlterConfigsResource, *, validate_only: bool) -> None:
    kind = resource_type(resource.resource_type)
    wanted = {config.name: config.value for config in resource.configs}
    if len(wanted) < len(resource.configs):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A setting is altered more than once in one request")
    current = broker.image.config(kind, resource.resource_name)
    alterations = replacing(current, wanted)
    await broker.controller.alter_config(kind, resource.resource_name, alterations, validate_only=validate_only)


def check_times(times: int) -> None:
    """A resource comes so many times in one request. Raises KafkaError INVALID_REQUEST for more than once."""
    if times > 1:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A resource is named more than once in one request")


def resource_type(code: int) -> ResourceType:
    """The kind of resource that a code stands for. Raises KafkaError INVALID_REQUEST for one without settings here."""
    try:
        return ResourceType(code)
    except ValueError:
        raise KafkaError(
            ErrorCode.INVALID_REQUEST, f"Resources of type {code} have no settings on this broker"
        ) from None
