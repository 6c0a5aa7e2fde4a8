"""OffsetDelete, version 0: forget offsets of a group, of topics that none of its members consumes (KIP-496)."""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.offset_answers import joined
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)


@handles(OffsetDeleteRequest, "0")
async def offset_delete(broker: Broker, _context: RequestContext, request: OffsetDeleteRequest) -> OffsetDeleteResponse:
    refused = []
    known = []
    for topic in request.topics:
        existing: list[OffsetDeleteRequestPartition] = []
        missing: list[OffsetDeleteRequestPartition] = []
        for partition in topic.partitions:
            exists = broker.image.partition(topic.name, partition.partition_index) is not None
            (existing if exists else missing).append(partition)
        if existing:
            known.append(OffsetDeleteRequestTopic(name=topic.name, partitions=existing))
        if missing:
            refused.append(_refuse(topic.name, missing))
    request.topics = known
    if not request.group_id:
        return OffsetDeleteResponse(error_code=ErrorCode.INVALID_GROUP_ID, topics=[])
    try:
        response = await broker.groups.delete_offsets(request)
    except KafkaError as error:
        return OffsetDeleteResponse(error_code=error.code, topics=[])
    response.topics = joined(response.topics, refused)
    return response


def _refuse(name: str, partitions: list[OffsetDeleteRequestPartition]) -> OffsetDeleteResponseTopic:
    return OffsetDeleteResponseTopic(
        name=name,
        partitions=[
            OffsetDeleteResponsePartition(
                partition_index=partition.partition_index, error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            )
            for partition in partitions
        ],
    )
