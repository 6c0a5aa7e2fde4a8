"""DescribeUserScramCredentials, API key 50."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct


class UserName(Struct):
    name: str


class DescribeUserScramCredentialsRequest(Message, key=50, versions="0", flexible="0+"):
    users: list[UserName] | None


class CredentialInfo(Struct):
    mechanism: Int8
    iterations: Int32


class DescribeUserScramCredentialsResult(Struct):
    user: str
    error_code: Int16 = 0
    error_message: str | None = None
    credential_infos: list[CredentialInfo]


class DescribeUserScramCredentialsResponse(Message, key=50, versions="0", flexible="0+"):
    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
    results: list[DescribeUserScramCredentialsResult]
