"""JoinGroup, versions 0-9: take part in the next generation of a group.

1: a rebalance timeout of its own. 4: a new member is first sent back with its id (KIP-394). 5: static members
(KIP-345). 7: the protocol type comes back, and the protocol name can be null. 8: a reason. 9: a leader may keep the
assignment (KIP-814).
"""

from ottla_broker.broker import Broker
from ottla_broker.coordinator.classic_messages import refused_join
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import KafkaError
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupResponse


@handles(JoinGroupRequest, "0-9")
async def join_group(broker: Broker, context: RequestContext, request: JoinGroupRequest) -> JoinGroupResponse:
    try:
        response = await broker.groups.join(
            request, client_id=context.client_id, client_host=context.client_host, version=context.version
        )
    except KafkaError as error:
        response = refused_join(error.code, request.member_id)
    if context.version < 7 and response.protocol_name is None:
        response.protocol_name = ""
    return response
