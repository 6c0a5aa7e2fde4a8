"""OffsetCommit, versions 2-10: how far a group has come in partitions.

2-4: a retention time of its own. 6: the leader epoch (KIP-320). 7: static members (KIP-345). 9: members of consumer
groups with their epoch (KIP-848), and GROUP_ID_NOT_FOUND for a group that does not exist. 10: topics by id.
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.offset_answers import joined
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

_FIRST_WITH_TOPIC_IDS = 10


@handles(OffsetCommitRequest, "2-10")
async def offset_commit(broker: Broker, context: RequestContext, request: OffsetCommitRequest) -> OffsetCommitResponse:
    asked, by_id = request.topics, context.version >= _FIRST_WITH_TOPIC_IDS
    refused: list[OffsetCommitResponseTopic] = []
    request.topics = []
    for topic in asked:
        known, unknown = _split(broker, context, topic)
        if known.partitions or not unknown.partitions:
            request.topics.append(known)
        if unknown.partitions:
            refused.append(unknown)
    try:
        response = await broker.groups.commit(request, context.version)
    except KafkaError as error:
        response = OffsetCommitResponse(topics=[_refuse(topic, error.code) for topic in request.topics])
    response.topics = joined(response.topics, refused, lambda topic: topic.topic_id if by_id else topic.name)
    return response


def _split(
    broker: Broker, context: RequestContext, topic: OffsetCommitRequestTopic
) -> tuple[OffsetCommitRequestTopic, OffsetCommitResponseTopic]:
    """The partitions that exist, under the topic's name, and the answer for those that do not."""
    if context.version >= _FIRST_WITH_TOPIC_IDS:
        state = broker.image.topics_by_id.get(topic.topic_id)
        missing = ErrorCode.UNKNOWN_TOPIC_ID
    else:
        state = broker.image.topics.get(topic.name)
        missing = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if state is None:
        return OffsetCommitRequestTopic(partitions=[]), _refuse(topic, missing)
    count = len(state.partitions)
    known = [partition for partition in topic.partitions if 0 <= partition.partition_index < count]
    unknown = [partition for partition in topic.partitions if not 0 <= partition.partition_index < count]
    return (
        OffsetCommitRequestTopic(name=state.name, topic_id=topic.topic_id, partitions=known),
        _refuse(
            OffsetCommitRequestTopic(name=topic.name, topic_id=topic.topic_id, partitions=unknown),
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ),
    )


def _refuse(topic: OffsetCommitRequestTopic, code: ErrorCode) -> OffsetCommitResponseTopic:
    return OffsetCommitResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        partitions=[
            OffsetCommitResponsePartition(partition_index=partition.partition_index, error_code=code)
            for partition in topic.partitions
        ],
    )
