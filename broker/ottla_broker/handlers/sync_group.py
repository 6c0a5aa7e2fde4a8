"""SyncGroup, versions 0-5: get the assignment, which the leader brings along.

3: static members (KIP-345). 5: the protocol's type and name are checked, and come back (KIP-559).
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

_FIRST_WITH_PROTOCOL = 5


@handles(SyncGroupRequest, "0-5")
async def sync_group(broker: Broker, context: RequestContext, request: SyncGroupRequest) -> SyncGroupResponse:
    try:
        if context.version >= _FIRST_WITH_PROTOCOL and None in (request.protocol_type, request.protocol_name):
            raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        return await broker.groups.sync(request)
    except KafkaError as error:
        return SyncGroupResponse(error_code=error.code, assignment=b"")
