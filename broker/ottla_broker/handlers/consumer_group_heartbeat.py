"""ConsumerGroupHeartbeat, versions 0-1: a member of a consumer group joins, keeps up, or leaves (KIP-848).

1: subscription by regular expression, and members make up their own ids (KIP-1082).
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse


@handles(ConsumerGroupHeartbeatRequest, "0-1")
async def consumer_group_heartbeat(
    broker: Broker, context: RequestContext, request: ConsumerGroupHeartbeatRequest
) -> ConsumerGroupHeartbeatResponse:
    if not broker.image.features.get("group.version"):
        raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, "The feature group.version is not at level 1")
    if "consumer" not in broker.config.group_coordinator_rebalance_protocols:
        raise KafkaError(
            ErrorCode.UNSUPPORTED_VERSION, "group.coordinator.rebalance.protocols does not include consumer"
        )
    return await broker.groups.consumer_heartbeat(
        request, client_id=context.client_id, client_host=context.client_host, version=context.version
    )
