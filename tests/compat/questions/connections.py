"""ApiVersions, SaslHandshake, SaslAuthenticate, and requests that are none."""

from ottla_wire.messages.api_versions import ApiVersionsRequest
from ottla_wire.messages.produce import ProduceRequest
from ottla_wire.messages.sasl_authenticate import SaslAuthenticateRequest
from ottla_wire.messages.sasl_handshake import SaslHandshakeRequest

from .asking import Ask, question


@question(ApiVersionsRequest)
def what_is_served(ask: Ask) -> None:
    """The versions themselves are a table of the document."""
    ask(ApiVersionsRequest(client_software_name="compat", client_software_version="1.0"))


@question(ApiVersionsRequest, "3-4")
def clients_with_names_that_are_none(ask: Ask) -> None:
    for name, version in (("", "1"), ("name", ""), ("na me", "1"), ("name", "1/2"), ("-name", "1"), ("n" * 300, "1")):
        ask(ApiVersionsRequest(client_software_name=name, client_software_version=version))


@question(ApiVersionsRequest, "0")
def requests_that_are_none(ask: Ask) -> None:
    produce, versions = ProduceRequest.api_key, ApiVersionsRequest.api_key
    ask.raw(versions, 99, b"\0\7compat\4" + b"1.0" + b"\0")
    ask.raw(versions, 3, b"\xff" * 20)
    ask.raw(produce, 2, bytes(20))
    ask.raw(produce, 99, bytes(20))
    ask.raw(produce, 9, b"\xff" * 20)
    ask.raw(produce, 9, b"")
    ask.raw(999, 0, b"")
    ask.raw(-1, 0, b"")
    ask.raw(versions, 0, b"more than there should be")


@question(ApiVersionsRequest, "3")
def tagged_fields_that_nobody_knows(ask: Ask) -> None:
    """In the header and in the body (KIP-482)."""
    field = b"\1" + b"\x63" + b"\3" + b"any"
    ask.raw(ApiVersionsRequest.api_key, 3, b"\7compat" + b"\0041.0" + field, tags=field)


@question(SaslHandshakeRequest)
def a_handshake_where_nobody_authenticates(ask: Ask) -> None:
    for mechanism in ("PLAIN", "NO-SUCH-MECHANISM", ""):
        ask(SaslHandshakeRequest(mechanism=mechanism))


@question(SaslAuthenticateRequest)
def a_token_where_nobody_authenticates(ask: Ask) -> None:
    ask(SaslAuthenticateRequest(auth_bytes=b"\0user\0password"))
    ask(SaslAuthenticateRequest(auth_bytes=b""))
