"""DescribeCluster, versions 0-2: the cluster's id, controller and brokers (KIP-700).

1+: a client may ask for the controllers instead, which only a controller's listener answers (KIP-919). 2+: brokers that
are registered but not running are listed on demand.
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_broker.operations import CLUSTER_OPERATIONS
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)

_BROKERS, _CONTROLLERS = 1, 2


@handles(DescribeClusterRequest, "0-2")
async def describe_cluster(
    broker: Broker, context: RequestContext, request: DescribeClusterRequest
) -> DescribeClusterResponse:
    response = DescribeClusterResponse(
        cluster_id=broker.cluster_id,
        controller_id=broker.node_id,
        brokers=[
            DescribeClusterBroker(
                broker_id=node.id, host=endpoint.host, port=endpoint.port, rack=node.rack, is_fenced=node.fenced
            )
            for node, endpoint in broker.endpoints(context.listener, with_fenced=request.include_fenced_brokers)
        ],
    )
    if request.endpoint_type != _BROKERS:
        mismatch = (
            KafkaError(
                ErrorCode.MISMATCHED_ENDPOINT_TYPE, "The request was sent to an endpoint of the wrong type: a broker's"
            )
            if request.endpoint_type == _CONTROLLERS
            else KafkaError(
                ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, f"There are no endpoints of type {request.endpoint_type}"
            )
        )
        return DescribeClusterResponse(
            error_code=mismatch.code,
            error_message=mismatch.message,
            endpoint_type=_BROKERS,
            cluster_id=broker.cluster_id,
            brokers=[],
        )
    if request.include_cluster_authorized_operations:
        response.cluster_authorized_operations = CLUSTER_OPERATIONS
    return response
