"""DescribeConfigs, versions 1-4: the settings of topics, groups, brokers and their loggers, with where each comes from.

3+: types, and documentation on request.
"""

from collections.abc import Iterator

from ottla_broker import loggers
from ottla_broker.broker import Broker
from ottla_broker.cluster.configs import EVERY_BROKER
from ottla_broker.cluster.image import ResourceType
from ottla_broker.cluster.topics import validate_name
from ottla_broker.described_configs import DescribedSetting, Describer
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)


@handles(DescribeConfigsRequest, "1-4")
async def describe_configs(
    broker: Broker, _context: RequestContext, request: DescribeConfigsRequest
) -> DescribeConfigsResponse:
    describer = Describer(broker.image, broker.config)
    distinct = {
        (resource.resource_type, resource.resource_name, frozenset(resource.configuration_keys or ())): resource
        for resource in request.resources
    }
    return DescribeConfigsResponse(
        results=[_describe(broker, describer, request, resource) for resource in distinct.values()]
    )


def _describe(
    broker: Broker, describer: Describer, request: DescribeConfigsRequest, resource: DescribeConfigsResource
) -> DescribeConfigsResult:
    result = DescribeConfigsResult(
        resource_type=resource.resource_type, resource_name=resource.resource_name, configs=[]
    )
    try:
        settings = _settings(broker, describer, resource)
    except KafkaError as error:
        result.error_code, result.error_message = error.code, error.message
        return result
    keys = frozenset(resource.configuration_keys or ())
    result.configs = [_entry(request, setting) for setting in settings if not keys or setting.name in keys]
    return result


def _settings(broker: Broker, describer: Describer, resource: DescribeConfigsResource) -> Iterator[DescribedSetting]:
    name = resource.resource_name
    match resource.resource_type:
        case ResourceType.TOPIC:
            validate_name(name)
            if name not in broker.image.topics:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            return describer.topic(broker.image.config(ResourceType.TOPIC, name))
        case ResourceType.BROKER:
            if name == EVERY_BROKER:
                return describer.every_broker()
            if name != str(broker.node_id):
                raise KafkaError(
                    ErrorCode.INVALID_REQUEST,
                    f"Unexpected broker id, expected {broker.node_id} or none, but received {name}",
                )
            return describer.broker()
        case loggers.RESOURCE_TYPE:
            loggers.check_resource(name, broker.node_id)
            return describer.loggers()
        case ResourceType.GROUP:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Group name must not be empty")
            return describer.group(broker.image.config(ResourceType.GROUP, name))
    raise KafkaError(
        ErrorCode.INVALID_REQUEST, f"Resources of type {resource.resource_type} have no settings on this broker"
    )


def _entry(request: DescribeConfigsRequest, setting: DescribedSetting) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=setting.name,
        value=setting.value,
        read_only=setting.read_only,
        config_source=setting.source,
        is_sensitive=False,
        synonyms=[
            DescribeConfigsSynonym(name=synonym.name, value=synonym.value, source=synonym.source)
            for synonym in setting.synonyms
            if request.include_synonyms
        ],
        config_type=setting.type,
        documentation=setting.documentation if request.include_documentation else None,
    )
