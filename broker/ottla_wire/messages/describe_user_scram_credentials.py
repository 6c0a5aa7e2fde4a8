"""DescribeUserScramCredentials (API key 50): which SCRAM credentials users have (KIP-554)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct


class UserName(Struct):
    """A user to look up."""

    name: str


class DescribeUserScramCredentialsRequest(Message, key=50, versions="0", flexible="0+"):
    """Names users; null or none looks up all."""

    users: list[UserName] | None


class CredentialInfo(Struct):
    """A mechanism and its iterations; no secret leaves the broker."""

    mechanism: Int8
    iterations: Int32


class DescribeUserScramCredentialsResult(Struct):
    """The credentials of one user."""

    user: str
    error_code: Int16 = 0
    error_message: str | None = None
    credential_infos: list[CredentialInfo]


class DescribeUserScramCredentialsResponse(Message, key=50, versions="0", flexible="0+"):
    """The credentials, by user."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
    results: list[DescribeUserScramCredentialsResult]
