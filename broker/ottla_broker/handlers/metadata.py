"""Metadata, versions 0-13: the brokers, and topics with the leaders of their partitions.

0: no topics named means all of them; 1+: null means all, an empty list none. 4+: the client says whether a missing
topic may be created. 10+: topic ids; from 12 on a topic may be asked for by id alone.
"""

import uuid

from ottla_broker.broker import Broker
from ottla_broker.cluster.image import ClusterImage, TopicState
from ottla_broker.cluster.topics import is_internal, validate_name
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.operations import CLUSTER_OPERATIONS, TOPIC_OPERATIONS
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

_NO_ID = uuid.UUID(int=0)
# Requests have a place for ids two versions earlier, but no use for them.
_FIRST_WITH_IDS = 12


@handles(MetadataRequest, "0-13")
async def metadata(broker: Broker, context: RequestContext, request: MetadataRequest) -> MetadataResponse | bytes:
    if context.version < _FIRST_WITH_IDS and any(
        asked.name is None or asked.topic_id != _NO_ID for asked in request.topics or ()
    ):
        return _refusal(request)
    image, response = broker.image, _response(broker, context, request)
    if request.topics is None or (context.version == 0 and not request.topics):
        live = frozenset(image.live_brokers)
        if not request.include_topic_authorized_operations:
            body = broker.topic_listings.body(response, context.version, image, live, _describe)
            if body is not None:
                return body
        response.topics = [_describe(topic, live) for topic in image.topics.values()]
    else:
        if request.allow_auto_topic_creation and broker.config.auto_create_topics_enable:
            await broker.controller.ensure_topics(
                dict.fromkeys(asked.name for asked in request.topics if asked.name and asked.topic_id == _NO_ID)
            )
        live = frozenset(image.live_brokers)
        distinct = {(asked.topic_id, asked.name): asked for asked in request.topics}
        response.topics = [_find(image, asked, live) for asked in distinct.values()]
    if request.include_topic_authorized_operations:
        for topic in response.topics:
            if topic.error_code != ErrorCode.UNKNOWN_TOPIC_ID:
                topic.topic_authorized_operations = TOPIC_OPERATIONS
    return response


def _response(broker: Broker, context: RequestContext, request: MetadataRequest) -> MetadataResponse:
    """The response without topics."""
    response = MetadataResponse(
        brokers=[
            MetadataResponseBroker(node_id=node.id, host=endpoint.host, port=endpoint.port, rack=node.rack)
            for node, endpoint in broker.endpoints(context.listener)
        ],
        cluster_id=broker.cluster_id,
        controller_id=broker.node_id,
        topics=[],
    )
    if request.include_cluster_authorized_operations:
        response.cluster_authorized_operations = CLUSTER_OPERATIONS
    return response


def _refusal(request: MetadataRequest) -> MetadataResponse:
    return MetadataResponse(
        brokers=[],
        controller_id=-1,
        topics=[
            MetadataResponseTopic(
                error_code=ErrorCode.INVALID_REQUEST, name=asked.name or "", topic_id=asked.topic_id, partitions=[]
            )
            for asked in request.topics or ()
        ],
    )


def _find(image: ClusterImage, asked: MetadataRequestTopic, live: frozenset[int]) -> MetadataResponseTopic:
    if asked.topic_id != _NO_ID:
        topic = image.topics_by_id.get(asked.topic_id)
        if topic is None:
            return MetadataResponseTopic(
                error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=None, topic_id=asked.topic_id, partitions=[]
            )
        return _describe(topic, live)
    name = asked.name or ""
    topic = image.topics.get(name)
    if topic is not None:
        return _describe(topic, live)
    code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    try:
        validate_name(name)
    except KafkaError as error:
        code = error.code
    return MetadataResponseTopic(error_code=code, name=name, is_internal=is_internal(name), partitions=[])


def _describe(topic: TopicState, live: frozenset[int]) -> MetadataResponseTopic:
    return MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=is_internal(topic.name),
        partitions=[
            MetadataResponsePartition(
                error_code=ErrorCode.NONE if partition.leader in live else ErrorCode.LEADER_NOT_AVAILABLE,
                partition_index=partition.index,
                leader_id=partition.leader,
                leader_epoch=partition.leader_epoch,
                replica_nodes=list(partition.replicas),
                isr_nodes=list(partition.isr),
                offline_replicas=[node for node in partition.replicas if node not in live],
            )
            for partition in topic.partitions
        ],
    )
