"""CreateAcls (API key 30): adds access control entries (KIP-140)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct


class AclCreation(Struct):
    """An entry to add."""

    resource_type: Int8
    resource_name: str
    resource_pattern_type: Int8 = 3
    principal: str
    host: str
    operation: Int8
    permission_type: Int8


class CreateAclsRequest(Message, key=30, versions="1-3", flexible="2+"):
    """Adds entries."""

    creations: list[AclCreation]


class AclCreationResult(Struct):
    """How it went for one entry."""

    error_code: Int16 = 0
    error_message: str | None = None


class CreateAclsResponse(Message, key=30, versions="1-3", flexible="2+"):
    """How it went, entry by entry."""

    throttle_time_ms: Int32 = 0
    results: list[AclCreationResult]
