"""SaslAuthenticate, versions 0-2: the tokens of a SASL exchange (KIP-152), which no plain listener has begun."""

from ottla_broker.broker import Broker
from ottla_broker.dispatch import RequestContext, handles
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.sasl_authenticate import SaslAuthenticateRequest, SaslAuthenticateResponse


@handles(SaslAuthenticateRequest, "0-2")
async def sasl_authenticate(
    _broker: Broker, context: RequestContext, _request: SaslAuthenticateRequest
) -> SaslAuthenticateResponse:
    return SaslAuthenticateResponse(
        error_code=ErrorCode.ILLEGAL_SASL_STATE,
        error_message=f"The listener {context.listener} asks for no authentication",
        auth_bytes=b"",
    )
