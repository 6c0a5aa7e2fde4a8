"""AlterUserScramCredentials (API key 51): sets and removes SCRAM credentials (KIP-554)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct


class ScramCredentialDeletion(Struct):
    """A credential to remove."""

    name: str
    mechanism: Int8


class ScramCredentialUpsertion(Struct):
    """A credential to set: the salted password, never the password."""

    name: str
    mechanism: Int8
    iterations: Int32
    salt: bytes
    salted_password: bytes


class AlterUserScramCredentialsRequest(Message, key=51, versions="0", flexible="0+"):
    """Changes the SCRAM credentials of users."""

    deletions: list[ScramCredentialDeletion]
    upsertions: list[ScramCredentialUpsertion]


class AlterUserScramCredentialsResult(Struct):
    """How it went for one user."""

    user: str
    error_code: Int16 = 0
    error_message: str | None = None


class AlterUserScramCredentialsResponse(Message, key=51, versions="0", flexible="0+"):
    """How it went, by user."""

    throttle_time_ms: Int32 = 0
    results: list[AlterUserScramCredentialsResult]
