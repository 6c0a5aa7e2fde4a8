"""DescribeAcls (API key 29): lists the access control entries that match a filter (KIP-140)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct


class DescribeAclsRequest(Message, key=29, versions="1-3", flexible="2+"):
    """A filter; null matches anything."""

    resource_type_filter: Int8
    resource_name_filter: str | None
    pattern_type_filter: Int8 = 3
    principal_filter: str | None
    host_filter: str | None
    operation: Int8
    permission_type: Int8


class AclDescription(Struct):
    """Who may do what, from where."""

    principal: str
    host: str
    operation: Int8
    permission_type: Int8


class DescribeAclsResource(Struct):
    """The entries of one resource."""

    resource_type: Int8
    resource_name: str
    pattern_type: Int8 = 3
    acls: list[AclDescription]


class DescribeAclsResponse(Message, key=29, versions="1-3", flexible="2+"):
    """The matching entries, by resource."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
    resources: list[DescribeAclsResource]
