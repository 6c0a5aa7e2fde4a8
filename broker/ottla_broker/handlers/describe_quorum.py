"""DescribeQuorum, versions 0-2: who keeps the metadata log, and how far each has come (KIP-595).

1+: when each was last heard of and caught up (KIP-836). 2+: directories, error messages, and where the nodes listen
(KIP-853).
"""

import uuid

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import CLUSTER_METADATA
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.describe_quorum import (
    DescribeQuorumRequest,
    DescribeQuorumResponse,
    Listener,
    Node,
    ReplicaState,
    ResponsePartitionData,
    ResponseTopicData,
)

_FIRST_WITH_PLACES = 2
_NO_ID = uuid.UUID(int=0)


@handles(DescribeQuorumRequest, "0-2")
async def describe_quorum(
    broker: Broker, context: RequestContext, request: DescribeQuorumRequest
) -> DescribeQuorumResponse:
    where = context.version >= _FIRST_WITH_PLACES
    topics = [
        ResponseTopicData(
            topic_name=topic.topic_name,
            partitions=[
                _describe(broker, with_directory=where)
                if (topic.topic_name, partition.partition_index) == (CLUSTER_METADATA, 0)
                else _unknown(partition.partition_index)
                for partition in topic.partitions
            ],
        )
        for topic in request.topics
    ]
    described = any(not partition.error_code for topic in topics for partition in topic.partitions)
    return DescribeQuorumResponse(topics=topics, nodes=_nodes(broker) if where and described else [])


def _describe(broker: Broker, *, with_directory: bool) -> ResponsePartitionData:
    quorum, now_ms = broker.controller.quorum(), broker.clock()
    directory_id = broker.logs.directory.properties.directory_id if with_directory else _NO_ID
    return ResponsePartitionData(
        partition_index=0,
        leader_id=quorum.leader_id,
        leader_epoch=quorum.leader_epoch,
        high_watermark=quorum.end_offset,
        current_voters=[
            ReplicaState(
                replica_id=voter,
                replica_directory_id=directory_id,
                log_end_offset=quorum.end_offset,
                last_fetch_timestamp=now_ms,
                last_caught_up_timestamp=now_ms,
            )
            for voter in quorum.voters
        ],
        observers=[],
    )


def _unknown(index: int) -> ResponsePartitionData:
    return ResponsePartitionData(
        partition_index=index,
        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        error_message=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION.message,
        leader_id=0,
        leader_epoch=0,
        high_watermark=0,
        current_voters=[],
        observers=[],
    )


def _nodes(broker: Broker) -> list[Node]:
    image = broker.image
    return [
        Node(
            node_id=voter,
            listeners=[
                Listener(name=endpoint.name, host=endpoint.host, port=endpoint.port)
                for endpoint in image.brokers[voter].endpoints
            ],
        )
        for voter in broker.controller.quorum().voters
    ]
