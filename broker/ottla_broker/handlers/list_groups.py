"""ListGroups, versions 0-5: the groups that this node coordinates.

4: only those in certain states (KIP-518). 5: only those of certain types (KIP-848).
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import KafkaError
from ottla_wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse


@handles(ListGroupsRequest, "0-5")
async def list_groups(broker: Broker, _context: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse:
    try:
        return ListGroupsResponse(groups=broker.groups.list_groups(request.states_filter, request.types_filter))
    except KafkaError as error:
        return ListGroupsResponse(error_code=error.code, groups=[])
