"""ListConfigResources (API key 74): the resources that can be configured (KIP-1142)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct, since


class ListConfigResourcesRequest(Message, key=74, versions="0-1", flexible="0+"):
    """Says of which types; version 0 lists client metrics alone (KIP-714)."""

    resource_types: list[Int8] = since("1+", factory=list)


class ConfigResource(Struct):
    """A resource that can be configured."""

    resource_name: str
    resource_type: Int8 = since("1+", default=16, ignorable=True)


class ListConfigResourcesResponse(Message, key=74, versions="0-1", flexible="0+"):
    """The resources there are."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    config_resources: list[ConfigResource]
