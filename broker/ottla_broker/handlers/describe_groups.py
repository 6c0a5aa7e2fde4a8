"""DescribeGroups, versions 0-6: the members of groups, with subscriptions and assignments while they are stable.

3: authorized operations on demand. 4: instance ids. Until version 5 a group that does not exist is called Dead, without
an error; from 6 on it is GROUP_ID_NOT_FOUND (KIP-1043).
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.operations import GROUP_OPERATIONS
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.describe_groups import DescribedGroup, DescribeGroupsRequest, DescribeGroupsResponse


@handles(DescribeGroupsRequest, "0-6")
async def describe_groups(
    broker: Broker, context: RequestContext, request: DescribeGroupsRequest
) -> DescribeGroupsResponse:
    groups = [_describe(broker, context, group_id) for group_id in dict.fromkeys(request.groups)]
    if request.include_authorized_operations:
        for group in groups:
            if not group.error_code:
                group.authorized_operations = GROUP_OPERATIONS
    return DescribeGroupsResponse(groups=groups)


def _describe(broker: Broker, context: RequestContext, group_id: str) -> DescribedGroup:
    try:
        return broker.groups.describe(group_id)
    except KafkaError as error:
        missing = error.code == ErrorCode.GROUP_ID_NOT_FOUND
        group = DescribedGroup(
            group_id=group_id, group_state="Dead" if missing else "", protocol_type="", protocol_data="", members=[]
        )
        if not missing or context.version >= 6:
            group.error_code = error.code
            group.error_message = error.message if context.version >= 6 else None
        return group
