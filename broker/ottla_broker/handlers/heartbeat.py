"""Heartbeat, versions 0-4: a member is alive, and learns of rebalances. 3: static members (KIP-345)."""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse


@handles(HeartbeatRequest, "0-4")
async def heartbeat(broker: Broker, _context: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse:
    try:
        return broker.groups.heartbeat(request)
    except KafkaError as error:
        # Sessions begin anew once the group is loaded: until then there is nothing to tell a member.
        loading = error.code == ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        return HeartbeatResponse(error_code=ErrorCode.NONE if loading else error.code)
