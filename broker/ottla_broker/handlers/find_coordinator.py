"""FindCoordinator, versions 0-6: the node that coordinates a group or a transactional id.

It leads the key's partition of `__consumer_offsets` or `__transaction_state`, which the first such request creates.
1: key types and an error message. 4: several keys (KIP-699). 6: share groups, which are not served.
"""

from ottla_broker.broker import Broker
from ottla_broker.cluster.topics import CONSUMER_OFFSETS, TRANSACTION_STATE
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

_GROUP, _TRANSACTION = 0, 1
_NO_NODE = -1


@handles(FindCoordinatorRequest, "0-6")
async def find_coordinator(
    broker: Broker, context: RequestContext, request: FindCoordinatorRequest
) -> FindCoordinatorResponse:
    if context.version >= 4:
        return FindCoordinatorResponse(
            coordinators=[await _find(broker, context, request.key_type, key) for key in request.coordinator_keys]
        )
    found = await _find(broker, context, request.key_type, request.key)
    return FindCoordinatorResponse(
        error_code=found.error_code,
        error_message=found.error_message,
        node_id=found.node_id,
        host=found.host,
        port=found.port,
    )


async def _find(broker: Broker, context: RequestContext, key_type: int, key: str) -> Coordinator:
    try:
        if key_type == _GROUP:
            topic, index = CONSUMER_OFFSETS, await broker.groups.locate(key)
        elif key_type == _TRANSACTION:
            topic, index = TRANSACTION_STATE, await broker.transactions.locate(key)
        else:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"coordinators of key type {key_type} are not served")
        state = broker.image.partition(topic, index)
        for node, endpoint in broker.endpoints(context.listener):
            if state is not None and node.id == state.leader:
                return Coordinator(key=key, node_id=node.id, host=endpoint.host, port=endpoint.port)
        raise KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE, f"{topic}-{index} has no leader")
    except KafkaError as error:
        return Coordinator(
            key=key, node_id=_NO_NODE, host="", port=_NO_NODE, error_code=error.code, error_message=error.message
        )
