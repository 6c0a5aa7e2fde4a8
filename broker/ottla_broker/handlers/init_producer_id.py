"""InitProducerId, versions 0-5: a producer id and epoch, for idempotence and for transactions (KIP-98).

3: a producer can say who it is to go on after an error (KIP-360). 4: PRODUCER_FENCED, for which older versions have
INVALID_PRODUCER_EPOCH. 5: TRANSACTION_ABORTABLE (KIP-890).
"""

from ottla_broker.broker import Broker
from ottla_broker.coordinator.decision import Producer
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

_NONE = Producer(-1, -1)


@handles(InitProducerIdRequest, "0-5")
async def init_producer_id(
    broker: Broker, context: RequestContext, request: InitProducerIdRequest
) -> InitProducerIdResponse:
    expected = Producer(request.producer_id, request.producer_epoch)
    try:
        if (expected.id == -1) != (expected.epoch == -1):
            raise KafkaError(ErrorCode.INVALID_REQUEST, "a producer id and its epoch come together or not at all")
        producer = await broker.transactions.init_producer_id(
            request.transactional_id, request.transaction_timeout_ms, None if expected == _NONE else expected
        )
    except KafkaError as error:
        fenced = error.code == ErrorCode.PRODUCER_FENCED and context.version < 4
        return InitProducerIdResponse(
            error_code=ErrorCode.INVALID_PRODUCER_EPOCH if fenced else error.code, producer_epoch=_NONE.epoch
        )
    return InitProducerIdResponse(producer_id=producer.id, producer_epoch=producer.epoch)
