"""IncrementalAlterConfigs (API key 44): sets, deletes, appends to and subtracts from settings (KIP-339)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct


class AlterableConfig(Struct):
    """A setting, what to do with it (0 set, 1 delete, 2 append, 3 subtract), and the value."""

    name: str
    config_operation: Int8
    value: str | None


class AlterConfigsResource(Struct):
    """The changes for one resource, such as a topic."""

    resource_type: Int8
    resource_name: str
    configs: list[AlterableConfig]


class IncrementalAlterConfigsRequest(Message, key=44, versions="0-1", flexible="1+"):
    """Changes settings of resources, leaving others as they are."""

    resources: list[AlterConfigsResource]
    validate_only: bool


class AlterConfigsResourceResponse(Struct):
    """How it went for one resource."""

    error_code: Int16 = 0
    error_message: str | None = None
    resource_type: Int8
    resource_name: str


class IncrementalAlterConfigsResponse(Message, key=44, versions="0-1", flexible="1+"):
    """How it went, by resource."""

    throttle_time_ms: Int32 = 0
    responses: list[AlterConfigsResourceResponse]
