"""DeleteGroups, versions 0-2: groups without members, together with their offsets."""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import KafkaError
from ottla_wire.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse


@handles(DeleteGroupsRequest, "0-2")
async def delete_groups(broker: Broker, _context: RequestContext, request: DeleteGroupsRequest) -> DeleteGroupsResponse:
    results = []
    for group_id in dict.fromkeys(request.groups_names):
        result = DeletableGroupResult(group_id=group_id)
        try:
            await broker.groups.delete(group_id)
        except KafkaError as error:
            result.error_code = error.code
        results.append(result)
    return DeleteGroupsResponse(results=results)
