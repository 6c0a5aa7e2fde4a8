"""Settings of topics, brokers and groups: reading `KEY=VALUE`, and asking a broker with types and documentation."""

import re
from collections.abc import Callable, Collection, Iterable
from enum import IntEnum
from typing import Final, NamedTuple

from ottla_apps.cli.errors import BadArgument, CommandError
from ottla_apps.cli.wire_client import WireClient, check
from ottla_wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
)
from ottla_wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)

# Kafka's numbers and names (ConfigResource.Type, DescribeConfigsResponse.ConfigSource and ConfigType).
RESOURCE_TYPES: Final = {"topic": 2, "broker": 4, "broker-logger": 8, "group": 32}
_SOURCES: Final = (
    "UNKNOWN",
    "DYNAMIC_TOPIC_CONFIG",
    "DYNAMIC_BROKER_CONFIG",
    "DYNAMIC_DEFAULT_BROKER_CONFIG",
    "STATIC_BROKER_CONFIG",
    "DEFAULT_CONFIG",
    "DYNAMIC_BROKER_LOGGER_CONFIG",
    "CLIENT_METRICS_CONFIG",
    "GROUP_CONFIG",
)
_TYPES: Final = (
    "UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD",
)  # fmt: skip
DEFAULT_SOURCE: Final = "DEFAULT_CONFIG"
# What stands for all brokers where a broker's id is expected.
DEFAULT_BROKER: Final = "default"
_OF_ONE_BROKER: Final = ("broker", "broker-logger")


class Setting(NamedTuple):
    """A setting as a broker describes it. `value` is None where it is not set, or secret."""

    name: str
    value: str | None
    source: str
    type: str
    read_only: bool
    sensitive: bool
    synonyms: list[str]
    documentation: str | None


class Operation(IntEnum):
    """What to do with a setting; the numbers are the protocol's (KIP-339)."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class Alteration(NamedTuple):
    """A change of one setting; `value` is None for a deletion."""

    operation: Operation
    name: str
    value: str | None = None

    def __str__(self) -> str:
        signs = {Operation.SET: "=", Operation.APPEND: "+=", Operation.SUBTRACT: "-="}
        sign = signs.get(self.operation)
        return f"delete {self.name}" if sign is None else f"{self.name}{sign}{self.value}"


def parse_assignments(texts: Iterable[str]) -> dict[str, str]:
    """Read `KEY=VALUE`s. Raises BadArgument."""
    assignments = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise BadArgument(f"{text!r} is no setting: write KEY=VALUE.")
        if key.strip() in assignments:
            raise BadArgument(f"{key.strip()} is given twice.")
        assignments[key.strip()] = value
    return assignments


def compile_pattern(pattern: str | None) -> Callable[[str], bool]:
    """What tells whether some part of a name matches the pattern; without one, all do. Raises BadArgument."""
    if pattern is None:
        return lambda _: True
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise BadArgument(f"{pattern!r} is no regular expression: {error}.") from None
    return lambda name: search(name) is not None


def parse_alterations(
    assigned: Iterable[str] = (),
    deleted: Iterable[str] = (),
    appended: Iterable[str] = (),
    subtracted: Iterable[str] = (),
) -> list[Alteration]:
    """The changes that the options of a command ask for. Raises BadArgument, also where a setting is named twice."""
    alterations = [Alteration(Operation.SET, key, value) for key, value in parse_assignments(assigned).items()]
    alterations += [Alteration(Operation.DELETE, key) for key in deleted]
    alterations += [Alteration(Operation.APPEND, key, value) for key, value in parse_assignments(appended).items()]
    alterations += [Alteration(Operation.SUBTRACT, key, value) for key, value in parse_assignments(subtracted).items()]
    names = [alteration.name for alteration in alterations]
    for name in names:
        if "=" in name:
            raise BadArgument(f"{name!r} is no key: name the setting alone.")
        if names.count(name) > 1:
            raise BadArgument(f"{name} is given twice.")
    return alterations


def alter_configs(
    wire: WireClient, kind: str, name: str, alterations: Collection[Alteration], *, dry_run: bool
) -> CommandError | None:
    """Change settings of a topic, broker or group, or only have the changes checked. Returns what went wrong."""
    try:
        resource = resource_name(kind, name)
        deleted = [alteration.name for alteration in alterations if alteration.operation is Operation.DELETE]
        if deleted and resource:
            describe_configs(wire, kind, name, deleted)  # brokers take a name that does not exist for one that is gone
        configs = [
            AlterableConfig(name=alteration.name, config_operation=alteration.operation, value=alteration.value)
            for alteration in alterations
        ]
        request = IncrementalAlterConfigsRequest(
            resources=[
                AlterConfigsResource(resource_type=RESOURCE_TYPES[kind], resource_name=resource, configs=configs)
            ],
            validate_only=dry_run,
        )
        (response,) = wire.request(request, IncrementalAlterConfigsResponse, _node(kind, resource)).responses
        check(response.error_code, f"Cannot change the settings of {kind} {name!r}", response.error_message)
    except CommandError as error:
        return error
    return None


def _node(kind: str, resource: str) -> int | None:
    """The node to ask: a broker itself for its own settings, else any."""
    return int(resource) if kind in _OF_ONE_BROKER and resource else None


def resource_name(kind: str, name: str) -> str:
    """The name that the protocol has for a resource: that of all brokers together is empty. Raises BadArgument."""
    if kind not in _OF_ONE_BROKER or name.isdigit():
        return name
    if kind == "broker-logger":
        raise BadArgument(f"{name!r} is no broker: give its id.")
    if name != DEFAULT_BROKER:
        raise BadArgument(f"{name!r} is no broker: give its id, or {DEFAULT_BROKER!r} for all of them.")
    return ""


def describe_configs(wire: WireClient, kind: str, name: str, keys: list[str] | None = None) -> list[Setting]:
    """The settings of a topic, broker or group, sorted by name. Raises Refused, and BadArgument for unknown keys."""
    resource = resource_name(kind, name)
    request = DescribeConfigsRequest(
        resources=[
            DescribeConfigsResource(
                resource_type=RESOURCE_TYPES[kind], resource_name=resource, configuration_keys=keys or None
            )
        ],
        include_synonyms=True,
    )
    if wire.version_of(request) >= 3:
        request.include_documentation = True
    (result,) = wire.request(request, DescribeConfigsResponse, _node(kind, resource)).results
    check(result.error_code, f"The settings of {kind} {name!r} cannot be read", result.error_message)
    settings = sorted((_setting(config) for config in result.configs), key=lambda setting: setting.name)
    if missing := set(keys or ()) - {setting.name for setting in settings}:
        raise BadArgument(f"There is no setting {', '.join(sorted(missing))} of {kind} {name!r}.")
    return settings


def _setting(config: DescribeConfigsResourceResult) -> Setting:
    return Setting(
        config.name,
        config.value,
        _SOURCES[config.config_source] if 0 <= config.config_source < len(_SOURCES) else _SOURCES[0],
        _TYPES[config.config_type] if 0 <= config.config_type < len(_TYPES) else _TYPES[0],
        config.read_only,
        config.is_sensitive,
        [f"{synonym.name}={synonym.value}" for synonym in config.synonyms],
        config.documentation or None,
    )
