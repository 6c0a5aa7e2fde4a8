"""AddOffsetsToTxn, versions 0-4: the offsets of a group take part in a producer's transaction (KIP-98).

What takes part is the group's partition of `__consumer_offsets`. 2: PRODUCER_FENCED, for which older versions have
INVALID_PRODUCER_EPOCH. 4: TRANSACTION_ABORTABLE (KIP-890).
"""

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import CONSUMER_OFFSETS
from ottla_broker.coordinator.decision import Producer
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse


@handles(AddOffsetsToTxnRequest, "0-4")
async def add_offsets_to_txn(
    broker: Broker, context: RequestContext, request: AddOffsetsToTxnRequest
) -> AddOffsetsToTxnResponse:
    try:
        partition = (CONSUMER_OFFSETS, await broker.groups.locate(request.group_id))
        producer = Producer(request.producer_id, request.producer_epoch)
        await broker.transactions.add_partitions(request.transactional_id, producer, [partition])
    except KafkaError as error:
        fenced = error.code == ErrorCode.PRODUCER_FENCED and context.version < 2
        return AddOffsetsToTxnResponse(error_code=ErrorCode.INVALID_PRODUCER_EPOCH if fenced else error.code)
    return AddOffsetsToTxnResponse()
