"""SaslHandshake, versions 0-1: which SASL mechanism a client wants to authenticate by (KIP-43).

Listeners are plain so far: a client that begins to authenticate is told that there is nothing to authenticate.
"""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse


@handles(SaslHandshakeRequest, "0-1")
async def sasl_handshake(
    _broker: Broker, _context: RequestContext, _request: SaslHandshakeRequest
) -> SaslHandshakeResponse:
    return SaslHandshakeResponse(error_code=ErrorCode.ILLEGAL_SASL_STATE, mechanisms=[])
