"""WriteTxnMarkers, versions 1-2: a transaction coordinator ends transactions in partitions that this node leads.

2: the version of the transaction (KIP-1228), which says whether the marker's epoch is above that of the records.
"""

from ottla_broker.broker import Broker
from ottla_broker.coordinator.markers import EndOfTransaction, write_marker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)


@handles(WriteTxnMarkersRequest, "1-2")
async def write_txn_markers(
    broker: Broker, _context: RequestContext, request: WriteTxnMarkersRequest
) -> WriteTxnMarkersResponse:
    return WriteTxnMarkersResponse(markers=[_write(broker, marker) for marker in request.markers])


def _write(broker: Broker, marker: WritableTxnMarker) -> WritableTxnMarkerResult:
    end = EndOfTransaction(
        marker.producer_id, marker.producer_epoch, marker.transaction_result, marker.coordinator_epoch
    )
    return WritableTxnMarkerResult(
        producer_id=marker.producer_id,
        topics=[
            WritableTxnMarkerTopicResult(
                name=topic.name,
                partitions=[
                    WritableTxnMarkerPartitionResult(
                        partition_index=index, error_code=_write_one(broker, topic.name, index, end)
                    )
                    for index in topic.partition_indexes
                ],
            )
            for topic in marker.topics
        ],
    )


def _write_one(broker: Broker, topic: str, index: int, end: EndOfTransaction) -> ErrorCode:
    try:
        write_marker(broker, (topic, index), end)
    except KafkaError as error:
        return error.code
    return ErrorCode.NONE
