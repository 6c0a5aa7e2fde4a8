"""DescribeTransactions, version 0: producers and partitions of transactional ids (KIP-664)."""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import KafkaError
from ottla_wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)


@handles(DescribeTransactionsRequest, "0")
async def describe_transactions(
    broker: Broker, _context: RequestContext, request: DescribeTransactionsRequest
) -> DescribeTransactionsResponse:
    return DescribeTransactionsResponse(
        transaction_states=[
            _describe(broker, transactional_id) for transactional_id in dict.fromkeys(request.transactional_ids)
        ]
    )


def _describe(broker: Broker, transactional_id: str) -> TransactionState:
    try:
        transaction = broker.transactions.describe(transactional_id)
    except KafkaError as error:
        return TransactionState(
            error_code=error.code,
            transactional_id=transactional_id,
            transaction_state="",
            transaction_timeout_ms=0,
            transaction_start_time_ms=0,
            producer_id=0,
            producer_epoch=0,
            topics=[],
        )
    indexes: dict[str, list[int]] = {}
    for topic, index in sorted(transaction.partitions):
        indexes.setdefault(topic, []).append(index)
    return TransactionState(
        transactional_id=transactional_id,
        transaction_state=transaction.state.title,
        transaction_timeout_ms=transaction.timeout_ms,
        transaction_start_time_ms=transaction.started_ms,
        producer_id=transaction.producer_id,
        producer_epoch=transaction.producer_epoch,
        topics=[TopicData(topic=topic, partitions=partitions) for topic, partitions in indexes.items()],
    )
