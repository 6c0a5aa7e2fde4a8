"""UnregisterBroker, version 0: take a broker that is gone out of the cluster (KIP-631)."""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.messages.unregister_broker import UnregisterBrokerRequest, UnregisterBrokerResponse


@handles(UnregisterBrokerRequest, "0")
async def unregister_broker(
    broker: Broker, _context: RequestContext, request: UnregisterBrokerRequest
) -> UnregisterBrokerResponse:
    await broker.controller.unregister(request.broker_id)
    return UnregisterBrokerResponse()
