"""DescribeConfigs (API key 32): the settings of topics, brokers and groups, with their sources (KIP-226)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct, since


class DescribeConfigsResource(Struct):
    """A resource, and the settings to show; null shows all."""

    resource_type: Int8
    resource_name: str
    configuration_keys: list[str] | None


class DescribeConfigsRequest(Message, key=32, versions="1-4", flexible="4+"):
    """Names the resources, and says whether to add synonyms and documentation."""

    resources: list[DescribeConfigsResource]
    include_synonyms: bool = False
    include_documentation: bool = since("3+", default=False)


class DescribeConfigsSynonym(Struct):
    """A setting that would apply if those before it were not set."""

    name: str
    value: str | None
    source: Int8


class DescribeConfigsResourceResult(Struct):
    """A setting: value, source, type, documentation."""

    name: str
    value: str | None
    read_only: bool
    config_source: Int8 = -1
    is_sensitive: bool
    synonyms: list[DescribeConfigsSynonym]
    config_type: Int8 = since("3+", default=0, ignorable=True)
    documentation: str | None = since("3+", default="", ignorable=True)


class DescribeConfigsResult(Struct):
    """The settings of one resource."""

    error_code: Int16 = 0
    error_message: str | None = None
    resource_type: Int8
    resource_name: str
    configs: list[DescribeConfigsResourceResult]


class DescribeConfigsResponse(Message, key=32, versions="1-4", flexible="4+"):
    """The settings, by resource."""

    throttle_time_ms: Int32 = 0
    results: list[DescribeConfigsResult]
