"""AlterConfigs (API key 33): replaces all dynamic settings of a resource; see IncrementalAlterConfigs."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct


class AlterableConfig(Struct):
    """A setting and its value."""

    name: str
    value: str | None


class AlterConfigsResource(Struct):
    """A resource, such as a topic, and all the settings it is to have."""

    resource_type: Int8
    resource_name: str
    configs: list[AlterableConfig]


class AlterConfigsRequest(Message, key=33, versions="0-2", flexible="2+"):
    """Replaces the dynamic settings of resources."""

    resources: list[AlterConfigsResource]
    validate_only: bool


class AlterConfigsResourceResponse(Struct):
    """How it went for one resource."""

    error_code: Int16 = 0
    error_message: str | None = None
    resource_type: Int8
    resource_name: str


class AlterConfigsResponse(Message, key=33, versions="0-2", flexible="2+"):
    """How it went, by resource."""

    throttle_time_ms: Int32 = 0
    responses: list[AlterConfigsResourceResponse]
