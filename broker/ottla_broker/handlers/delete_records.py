"""DeleteRecords, versions 0-2: move the log start offset of partitions forward; -1 stands for the high watermark."""

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import is_internal
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

_HIGH_WATERMARK = -1
_UNKNOWN = -1


@handles(DeleteRecordsRequest, "0-2")
async def delete_records(
    broker: Broker, _context: RequestContext, request: DeleteRecordsRequest
) -> DeleteRecordsResponse:
    return DeleteRecordsResponse(
        topics=[
            DeleteRecordsTopicResult(
                name=topic.name,
                partitions=[
                    _delete(broker, topic.name, partition.partition_index, partition.offset)
                    for partition in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _delete(broker: Broker, topic: str, index: int, offset: int) -> DeleteRecordsPartitionResult:
    try:
        if is_internal(topic):
            raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Records of {topic} are the broker's own")
        log = broker.partition(topic, index)
        if not log.config.delete:
            raise KafkaError(ErrorCode.POLICY_VIOLATION, f"The cleanup.policy of {topic} does not include delete")
        log.delete_records_before(log.high_watermark if offset == _HIGH_WATERMARK else offset)
    except KafkaError as error:
        return DeleteRecordsPartitionResult(partition_index=index, low_watermark=_UNKNOWN, error_code=error.code)
    broker.waits.wake(topic, index)
    return DeleteRecordsPartitionResult(partition_index=index, low_watermark=log.log_start_offset)
