"""IncrementalAlterConfigs, versions 0-1: set, delete, append to and subtract from settings (KIP-339)."""

from collections import Counter

from ottla_broker import loggers
from ottla_broker.broker import Broker
from ottla_broker.cluster.configs import Alteration, Operation
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.handlers.alter_configs import check_times, resource_type
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.incremental_alter_configs import (
    AlterConfigsResource,
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)


@handles(IncrementalAlterConfigsRequest, "0-1")
async def incremental_alter_configs(
    broker: Broker, _context: RequestContext, request: IncrementalAlterConfigsRequest
) -> IncrementalAlterConfigsResponse:
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
    return IncrementalAlterConfigsResponse(responses=responses)


async def _alter(broker: Broker, resource: AlterConfigsResource, *, validate_only: bool) -> None:
    name, alterations = resource.resource_name, _alterations(resource)
    if resource.resource_type == loggers.RESOURCE_TYPE:
        loggers.check_resource(name, broker.node_id)
        loggers.alter(alterations, validate_only=validate_only)
        return
    kind = resource_type(resource.resource_type)
    await broker.controller.alter_config(kind, name, alterations, validate_only=validate_only)


def _alterations(resource: AlterConfigsResource) -> list[Alteration]:
    try:
        return [
            Alteration(config.name, Operation(config.config_operation), config.value) for config in resource.configs
        ]
    except ValueError as error:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown operation on a setting: {error}") from None
