"""DescribeTopicPartitions, version 0: topics in order of name, a page of partitions at a time (KIP-966)."""

import uuid

from ottla_broker.broker import Broker
from ottla_broker.cluster.image import PartitionState
from ottla_broker.cluster.topics import is_internal, validate_name
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.operations import TOPIC_OPERATIONS
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)


@handles(DescribeTopicPartitionsRequest, "0")
async def describe_topic_partitions(
    broker: Broker, _context: RequestContext, request: DescribeTopicPartitionsRequest
) -> DescribeTopicPartitionsResponse:
    topics = broker.image.topics
    names = sorted({topic.name for topic in request.topics} if request.topics else topics)
    start = request.cursor
    if start is not None:
        if start.partition_index < 0 or (request.topics and start.topic_name not in names):
            return DescribeTopicPartitionsResponse(topics=[_refusal(name, ErrorCode.INVALID_REQUEST) for name in names])
        names = [name for name in names if name >= start.topic_name]
    room = max(1, min(request.response_partition_limit, broker.config.max_request_partition_size_limit))
    response = DescribeTopicPartitionsResponse(topics=[])
    for name in names:
        if not room:
            response.next_cursor = Cursor(topic_name=name, partition_index=0)
            break
        topic = topics.get(name)
        if topic is None:
            refused = _refusal(name, _why_unknown(name))
            refused.topic_authorized_operations = TOPIC_OPERATIONS
            response.topics.append(refused)
            continue
        first = start.partition_index if start is not None and start.topic_name == name else 0
        page = topic.partitions[first : first + room]
        room -= len(page)
        response.topics.append(
            DescribeTopicPartitionsResponseTopic(
                name=name,
                topic_id=topic.id,
                is_internal=is_internal(name),
                partitions=[_describe(broker, partition) for partition in page],
                topic_authorized_operations=TOPIC_OPERATIONS,
            )
        )
        if first + len(page) < len(topic.partitions):
            response.next_cursor = Cursor(topic_name=name, partition_index=first + len(page))
            break
    return response


def _refusal(name: str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(
        error_code=code, name=name, topic_id=uuid.UUID(int=0), is_internal=is_internal(name), partitions=[]
    )


def _why_unknown(name: str) -> ErrorCode:
    try:
        validate_name(name)
    except KafkaError as error:
        return error.code
    return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def _describe(broker: Broker, partition: PartitionState) -> DescribeTopicPartitionsResponsePartition:
    live = broker.image.live_brokers
    return DescribeTopicPartitionsResponsePartition(
        error_code=ErrorCode.NONE if partition.leader in live else ErrorCode.LEADER_NOT_AVAILABLE,
        partition_index=partition.index,
        leader_id=partition.leader,
        leader_epoch=partition.leader_epoch,
        replica_nodes=list(partition.replicas),
        isr_nodes=list(partition.isr),
        # Empty, never null: Apache Kafka's admin client reads them without a check.
        eligible_leader_replicas=[],
        last_known_elr=[],
        offline_replicas=[node for node in partition.replicas if node not in live],
    )
