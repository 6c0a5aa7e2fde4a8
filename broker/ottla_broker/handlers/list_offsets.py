"""ListOffsets, versions 1-11: offsets of partitions by time, or by a number that stands for a place.

-1 latest, -2 earliest, from 7 on -3 the record with the newest timestamp, from 8 on -4 the earliest on this broker,
from 9 on -5 the latest in tiered storage, from 11 on -6 the earliest that is still to go there. 2+: "latest" is the
last stable offset for clients that read committed records only. 4+: leader epochs.
"""

from collections import Counter
from enum import IntEnum

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.log.partition import PartitionLog, TimestampedOffset
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)


class _Place(IntEnum):
    """The negative timestamps."""

    LATEST = -1
    EARLIEST = -2
    MAX_TIMESTAMP = -3
    EARLIEST_LOCAL = -4
    LATEST_TIERED = -5
    EARLIEST_PENDING_UPLOAD = -6


_FIRST_VERSION: dict[int, int] = {
    _Place.MAX_TIMESTAMP: 7,
    _Place.EARLIEST_LOCAL: 8,
    _Place.LATEST_TIERED: 9,
    _Place.EARLIEST_PENDING_UPLOAD: 11,
}
_FIRST_WITH_EPOCHS = 4
_UNKNOWN = -1
_NOTHING = TimestampedOffset(_UNKNOWN, _UNKNOWN, _UNKNOWN)


@handles(ListOffsetsRequest, "1-11")
async def list_offsets(broker: Broker, context: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse:
    response = ListOffsetsResponse(topics=[])
    for topic in request.topics:
        times = Counter(asked.partition_index for asked in topic.partitions)
        partitions = [
            _answer(broker, context, request, topic.name, asked)
            for asked in topic.partitions
            if times[asked.partition_index] == 1
        ]
        partitions += [
            ListOffsetsPartitionResponse(partition_index=index, error_code=ErrorCode.INVALID_REQUEST)
            for index, asked in times.items()
            if asked > 1
        ]
        if partitions:
            response.topics.append(ListOffsetsTopicResponse(name=topic.name, partitions=partitions))
    return response


def _answer(
    broker: Broker, context: RequestContext, request: ListOffsetsRequest, topic: str, asked: ListOffsetsPartition
) -> ListOffsetsPartitionResponse:
    try:
        if context.version < _FIRST_VERSION.get(asked.timestamp, 0) or asked.timestamp < min(_Place):
            raise KafkaError(ErrorCode.UNSUPPORTED_VERSION)
        log = broker.partition(topic, asked.partition_index, current_leader_epoch=asked.current_leader_epoch)
        readable = log.last_stable_offset if request.isolation_level else log.high_watermark
        found = _find(log, asked.timestamp, readable, broker.leadership(log).leader_epoch)
    except KafkaError as error:
        return ListOffsetsPartitionResponse(partition_index=asked.partition_index, error_code=error.code)
    return ListOffsetsPartitionResponse(
        partition_index=asked.partition_index,
        timestamp=found.timestamp,
        offset=found.offset,
        leader_epoch=found.leader_epoch if context.version >= _FIRST_WITH_EPOCHS else _UNKNOWN,
    )


def _find(log: PartitionLog, timestamp: int, readable: int, leader_epoch: int) -> TimestampedOffset:
    """The offset that a timestamp, or the number of a place, stands for below the first one that cannot be read."""
    match timestamp:
        case _Place.LATEST:
            return TimestampedOffset(_UNKNOWN, readable, leader_epoch)
        case _Place.EARLIEST | _Place.EARLIEST_LOCAL:
            start = log.log_start_offset
            # What is yet to be written will be of the leader's epoch.
            epoch = leader_epoch if start == log.log_end_offset else log.epoch_at(start)
            return TimestampedOffset(_UNKNOWN, start, epoch)
        case _Place.LATEST_TIERED | _Place.EARLIEST_PENDING_UPLOAD:
            return _NOTHING
        case _Place.MAX_TIMESTAMP:
            found = log.max_timestamp()
        case _:
            found = log.offset_for_timestamp(timestamp)
    return found if found is not None and found.offset < readable else _NOTHING
