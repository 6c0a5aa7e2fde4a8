"""OffsetFetch, versions 1-10: the offsets that groups have committed; a missing one is -1 and no error.

2: null asks for all of a group's offsets, and errors of the group have a place. 5: the leader epoch. 7: stable offsets
on demand, UNSTABLE_OFFSET_COMMIT where a transaction is open (KIP-447). 8: several groups. 9: the member's epoch, for
consumer groups (KIP-848). 10: topics by id.
"""

from ottla_broker.broker import Broker
from ottla_broker.coordinator.offsets import no_offset
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)


@handles(OffsetFetchRequest, "1-10")
async def offset_fetch(broker: Broker, context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchResponse:
    groups = _distinct(request.groups)
    if context.version >= 10:
        return OffsetFetchResponse(groups=[_fetch_by_id(broker, group, request.require_stable) for group in groups])
    if context.version >= 8:
        return OffsetFetchResponse(groups=[_fetch(broker, group, request.require_stable) for group in groups])
    topics = None
    if request.topics is not None:
        topics = [
            OffsetFetchRequestTopics(name=topic.name, partition_indexes=topic.partition_indexes)
            for topic in request.topics
        ]
    group = OffsetFetchRequestGroup(group_id=request.group_id, topics=topics)
    return _one_group(_fetch(broker, group, request.require_stable), context.version)


def _distinct(groups: list[OffsetFetchRequestGroup]) -> list[OffsetFetchRequestGroup]:
    """The groups without repeated requests for all that one has."""
    whole = {group.group_id: group for group in groups if group.topics is None}
    return [group for group in groups if group.topics is not None or whole[group.group_id] is group]


def _fetch(broker: Broker, group: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup:
    try:
        return broker.groups.fetch_offsets(
            group.group_id,
            group.topics,
            require_stable=require_stable,
            member_id=group.member_id,
            member_epoch=group.member_epoch,
        )
    except KafkaError as error:
        return OffsetFetchResponseGroup(
            group_id=group.group_id,
            topics=[_refuse(topic, error.code) for topic in group.topics or ()],
            error_code=error.code,
        )


def _fetch_by_id(broker: Broker, group: OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup:
    """Version 10: topics are named by their ids; of all of a group's topics, those that still exist."""
    image = broker.image
    unknown: list[OffsetFetchResponseTopics] = []
    if group.topics is not None:
        known = []
        for topic in group.topics:
            state = image.topics_by_id.get(topic.topic_id)
            if state is None:
                unknown.append(_refuse(topic, ErrorCode.UNKNOWN_TOPIC_ID))
            else:
                known.append(
                    OffsetFetchRequestTopics(
                        name=state.name, topic_id=state.id, partition_indexes=topic.partition_indexes
                    )
                )
        group.topics = known
    answer = _fetch(broker, group, require_stable)
    if group.topics is None:
        answer.topics = [topic for topic in answer.topics if topic.name in image.topics]
        for found in answer.topics:
            found.topic_id = image.topics[found.name].id
    answer.topics += unknown
    return answer


def _refuse(topic: OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics:
    return OffsetFetchResponseTopics(
        name=topic.name,
        topic_id=topic.topic_id,
        partitions=[no_offset(index, code) for index in topic.partition_indexes],
    )


def _one_group(group: OffsetFetchResponseGroup, version: int) -> OffsetFetchResponse:
    """Versions 1 to 7 answer for one group. Version 1 has no place for its error but in the partitions."""
    if group.error_code and version >= 2:
        return OffsetFetchResponse(error_code=group.error_code)
    return OffsetFetchResponse(
        topics=[
            OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponsePartition(
                        partition_index=partition.partition_index,
                        committed_offset=partition.committed_offset,
                        committed_leader_epoch=partition.committed_leader_epoch,
                        metadata=partition.metadata,
                        error_code=partition.error_code,
                    )
                    for partition in topic.partitions
                ],
            )
            for topic in group.topics
        ]
    )
