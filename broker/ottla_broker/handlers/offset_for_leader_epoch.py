"""OffsetForLeaderEpoch, versions 2-4: where a leader epoch ended, so that a client finds out where its log parts from
ours.

2 is all that librdkafka speaks. 3+: followers say who they are.
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import KafkaError
from ottla_wire.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)


@handles(OffsetForLeaderEpochRequest, "2-4")
async def offset_for_leader_epoch(
    broker: Broker, _context: RequestContext, request: OffsetForLeaderEpochRequest
) -> OffsetForLeaderEpochResponse:
    return OffsetForLeaderEpochResponse(
        topics=[
            OffsetForLeaderTopicResult(
                topic=topic.topic, partitions=[_find(broker, topic.topic, partition) for partition in topic.partitions]
            )
            for topic in request.topics
        ]
    )


def _find(broker: Broker, topic: str, asked: OffsetForLeaderPartition) -> EpochEndOffset:
    try:
        log = broker.partition(topic, asked.partition, current_leader_epoch=asked.current_leader_epoch)
    except KafkaError as error:
        return EpochEndOffset(error_code=error.code, partition=asked.partition)
    end = log.epoch_end_offset(asked.leader_epoch)
    return EpochEndOffset(partition=asked.partition, leader_epoch=end.epoch, end_offset=end.start_offset)
