"""EndTxn, versions 0-5: commit or abort a transaction; answered once the outcome cannot change any more.

2: PRODUCER_FENCED, for which older versions have INVALID_PRODUCER_EPOCH. 5: the producer gets its next epoch with the
answer (KIP-890): transactions of version 2.
"""

from ottla_broker.broker import Broker
from ottla_broker.coordinator.decision import Producer
from ottla_broker.coordinator.transaction import TRANSACTIONS_V1, TRANSACTIONS_V2
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.end_txn import EndTxnRequest, EndTxnResponse


@handles(EndTxnRequest, "0-5")
async def end_txn(broker: Broker, context: RequestContext, request: EndTxnRequest) -> EndTxnResponse:
    try:
        producer = await broker.transactions.end(
            request.transactional_id,
            Producer(request.producer_id, request.producer_epoch),
            commit=request.committed,
            client_version=TRANSACTIONS_V2 if context.version >= 5 else TRANSACTIONS_V1,
        )
    except KafkaError as error:
        fenced = error.code == ErrorCode.PRODUCER_FENCED and context.version < 2
        return EndTxnResponse(error_code=ErrorCode.INVALID_PRODUCER_EPOCH if fenced else error.code)
    return EndTxnResponse(producer_id=producer.id, producer_epoch=producer.epoch)
