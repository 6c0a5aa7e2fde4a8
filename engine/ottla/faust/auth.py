"""`faust.auth`: how a worker proves to the broker who it is, and what it trusts, as options of librdkafka's.

What an `ssl.SSLContext` trusts is read from it, and whether it looks at certificates and names. A certificate of the
client's own cannot be: that is given as `broker_options={"ssl.certificate.location": ..., "ssl.key.location": ...}`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from enum import Enum
from typing import Any

from ottla.errors import ConfigError

Options = Mapping[str, str]


class AuthProtocol(Enum):
    """How a worker and the broker talk."""

    SSL = "SSL"
    PLAINTEXT = "PLAINTEXT"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class SASLMechanism(Enum):
    """How a worker proves who it is."""

    PLAIN = "PLAIN"
    GSSAPI = "GSSAPI"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


class Credentials:
    """What `faust.App(broker_credentials=)` takes. `options` are librdkafka's."""

    def __init__(self, options: Options, ssl_context: ssl.SSLContext | None) -> None:
        self.ssl_context = ssl_context
        self.options = {**options, **({} if ssl_context is None else tls_options(ssl_context))}

    @property
    def protocol(self) -> AuthProtocol:
        return AuthProtocol(self.options["security.protocol"])

    @property
    def mechanism(self) -> SASLMechanism:
        """Raises `KeyError` for TLS alone, which has none."""
        return SASLMechanism(self.options["sasl.mechanism"])

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class SASLCredentials(Credentials):
    """A user and a password, over TLS with an `ssl_context`. `mechanism` is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."""

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        mechanism: Any = "PLAIN",
    ) -> None:
        self.username = username
        self.password = password
        options = {"sasl.username": username or "", "sasl.password": password or ""}
        super().__init__({**_sasl(mechanism, ssl_context), **options}, ssl_context)

    def __repr__(self) -> str:
        return f"<SASLCredentials: username={self.username}>"


class GSSAPICredentials(Credentials):
    """Kerberos, by the tickets of this machine's user."""

    def __init__(
        self,
        *,
        kerberos_service_name: str = "kafka",
        kerberos_domain_name: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        mechanism: Any = "GSSAPI",
    ) -> None:
        if kerberos_domain_name is not None:
            raise ConfigError(
                "GSSAPICredentials(kerberos_domain_name=) has no meaning under Ottla: librdkafka takes the domain from "
                "the name of the broker"
            )
        options = {"sasl.kerberos.service.name": kerberos_service_name}
        super().__init__({**_sasl(mechanism, ssl_context), **options}, ssl_context)


class SSLCredentials(Credentials):
    """TLS alone, by a context or what one is made of."""

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        *,
        purpose: ssl.Purpose | None = None,
        cafile: str | None = None,
        capath: str | None = None,
        cadata: str | None = None,
    ) -> None:
        self.context = context or ssl.create_default_context(
            purpose or ssl.Purpose.SERVER_AUTH, cafile=cafile, capath=capath, cadata=cadata
        )
        super().__init__({"security.protocol": "SSL"}, self.context)


def options_of(credentials: Any) -> Options:
    """librdkafka's options of `faust.App(broker_credentials=)`. Raises `ConfigError` for what it does not take."""
    if isinstance(credentials, ssl.SSLContext):
        return SSLCredentials(credentials).options
    if not isinstance(credentials, Credentials):
        raise ConfigError(
            f"faust.App(broker_credentials={credentials!r}) must be faust.SASLCredentials, GSSAPICredentials, "
            "SSLCredentials or an ssl.SSLContext"
        )
    return credentials.options


def tls_options(context: ssl.SSLContext) -> Options:
    """What a context trusts and checks."""
    options = {"ssl.endpoint.identification.algorithm": "https" if context.check_hostname else "none"}
    if context.verify_mode == ssl.CERT_NONE:
        options["enable.ssl.certificate.verification"] = "false"
    elif trusted := context.get_ca_certs(binary_form=True):
        options["ssl.ca.pem"] = "".join(map(ssl.DER_cert_to_PEM_cert, trusted))
    return options


def _sasl(mechanism: Any, ssl_context: ssl.SSLContext | None) -> Options:
    return {
        "security.protocol": "SASL_PLAINTEXT" if ssl_context is None else "SASL_SSL",
        "sasl.mechanism": str(getattr(mechanism, "value", mechanism)),
    }
