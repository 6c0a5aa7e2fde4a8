"""ConsumerGroupDescribe, versions 0-1: the members of consumer groups with what they have and are to have (KIP-848).

A classic group is GROUP_ID_NOT_FOUND here, as a consumer group is in DescribeGroups. 1: which protocol a member speaks
(KIP-1099).
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.operations import GROUP_OPERATIONS
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.consumer_group_describe import (
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
)


@handles(ConsumerGroupDescribeRequest, "0-1")
async def consumer_group_describe(
    broker: Broker, _context: RequestContext, request: ConsumerGroupDescribeRequest
) -> ConsumerGroupDescribeResponse:
    groups = [_describe(broker, group_id) for group_id in dict.fromkeys(request.group_ids)]
    if request.include_authorized_operations:
        for group in groups:
            if group.error_code:
                continue
            group.authorized_operations = GROUP_OPERATIONS
    return ConsumerGroupDescribeResponse(groups=groups)


def _describe(broker: Broker, group_id: str) -> DescribedGroup:
    try:
        if not group_id:
            raise KafkaError(ErrorCode.INVALID_GROUP_ID, "the group id is empty")
        return broker.groups.describe_consumer_group(group_id)
    except KafkaError as error:
        return DescribedGroup(
            error_code=error.code,
            error_message=error.message,
            group_id=group_id,
            group_state="",
            group_epoch=0,
            assignment_epoch=0,
            assignor_name="",
            members=[],
        )
