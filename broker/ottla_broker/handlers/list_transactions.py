"""ListTransactions, versions 0-2: the transactional ids that this node coordinates (KIP-664).

1: only those that have run for longer than a time (KIP-994). 2: only those whose id matches a regular expression as a
whole (KIP-1152).
"""

from ottla_broker.broker import Broker
from ottla_broker.coordinator import transaction
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import KafkaError
from ottla_wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionState,
)

_STATES = frozenset(state.title for state in transaction.TransactionState)


@handles(ListTransactionsRequest, "0-2")
async def list_transactions(
    broker: Broker, _context: RequestContext, request: ListTransactionsRequest
) -> ListTransactionsResponse:
    unknown = [state for state in request.state_filters if state not in _STATES]
    response = ListTransactionsResponse(unknown_state_filters=unknown, transaction_states=[])
    if request.state_filters and len(unknown) == len(request.state_filters):
        return response
    try:
        found = await broker.transactions.list_transactions(
            request.state_filters,
            request.producer_id_filters,
            request.duration_filter,
            request.transactional_id_pattern or "",
        )
    except KafkaError as error:
        response.error_code = error.code
        return response
    response.transaction_states = [
        TransactionState(
            transactional_id=listed.transactional_id,
            producer_id=listed.producer_id,
            transaction_state=listed.state.title,
        )
        for listed in found
    ]
    return response
