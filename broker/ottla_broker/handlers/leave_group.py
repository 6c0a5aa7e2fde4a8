"""LeaveGroup, versions 0-5: members leave without waiting for their session to end.

0-2: one member. 3+: several, also by instance id (KIP-345). 5: a reason (KIP-800).
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity


@handles(LeaveGroupRequest, "0-5")
async def leave_group(broker: Broker, context: RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse:
    if context.version >= 3:
        return await broker.groups.leave(request.group_id, request.members)
    response = await broker.groups.leave(request.group_id, [MemberIdentity(member_id=request.member_id)])
    return LeaveGroupResponse(error_code=response.members[0].error_code)
