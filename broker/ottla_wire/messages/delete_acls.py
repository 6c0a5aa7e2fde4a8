"""DeleteAcls (API key 31): removes the access control entries that match filters (KIP-140)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct


class DeleteAclsFilter(Struct):
    """A filter; null matches anything."""

    resource_type_filter: Int8
    resource_name_filter: str | None
    pattern_type_filter: Int8 = 3
    principal_filter: str | None
    host_filter: str | None
    operation: Int8
    permission_type: Int8


class DeleteAclsRequest(Message, key=31, versions="1-3", flexible="2+"):
    """Removes what matches any of the filters."""

    filters: list[DeleteAclsFilter]


class DeleteAclsMatchingAcl(Struct):
    """An entry that matched."""

    error_code: Int16 = 0
    error_message: str | None = None
    resource_type: Int8
    resource_name: str
    pattern_type: Int8 = 3
    principal: str
    host: str
    operation: Int8
    permission_type: Int8


class DeleteAclsFilterResult(Struct):
    """What one filter removed."""

    error_code: Int16 = 0
    error_message: str | None = None
    matching_acls: list[DeleteAclsMatchingAcl]


class DeleteAclsResponse(Message, key=31, versions="1-3", flexible="2+"):
    """What was removed, filter by filter."""

    throttle_time_ms: Int32 = 0
    filter_results: list[DeleteAclsFilterResult]
