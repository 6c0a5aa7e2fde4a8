"""DescribeConfigs, IncrementalAlterConfigs, AlterConfigs: the settings of topics, groups and brokers."""

import asyncio
from typing import Any

import pytest

from ottla_broker.cluster.configs import Alteration, Operation
from ottla_broker.cluster.image import ResourceType
from ottla_broker.config import known_settings
from ottla_broker.log.config import OPTIONS
from ottla_wire.errors import ErrorCode
from ottla_wire.messages import alter_configs, describe_configs, incremental_alter_configs

TOPIC, BROKER, GROUP = 2, 4, 32
SET, DELETE, APPEND, SUBTRACT = range(4)
EVERY_BROKER = ""


async def described(client: Any, kind: int, name: str, keys: list[str] | None = None, version: int = 4) -> Any:
    resource = describe_configs.DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)
    request = describe_configs.DescribeConfigsRequest(
        resources=[resource], include_synonyms=True, include_documentation=version >= 3
    )
    return (await client.ask(request, version)).results[0]


async def entry(client: Any, kind: int, name: str, key: str) -> Any:
    """A setting as (value, source, [(synonym, its value, its source)])."""
    (found,) = (await described(client, kind, name, [key])).configs
    return found.value, found.config_source, [(each.name, each.value, each.source) for each in found.synonyms]


async def alter(
    client: Any, kind: int, name: str, *changes: tuple[str, int, str | None], version: int = 1, **fields: Any
) -> tuple[int, str | None]:
    resource = incremental_alter_configs.AlterConfigsResource(
        resource_type=kind,
        resource_name=name,
        configs=[
            incremental_alter_configs.AlterableConfig(name=key, config_operation=operation, value=value)
            for key, operation, value in changes
        ],
    )
    request = incremental_alter_configs.IncrementalAlterConfigsRequest(
        resources=[resource], validate_only=fields.get("validate_only", False)
    )
    answer = (await client.ask(request, version)).responses[0]
    return answer.error_code, answer.error_message


async def replace(client: Any, kind: int, name: str, version: int = 2, **values: str) -> int:
    resource = alter_configs.AlterConfigsResource(
        resource_type=kind,
        resource_name=name,
        configs=[
            alter_configs.AlterableConfig(name=key.replace("_", "."), value=value) for key, value in values.items()
        ],
    )
    request = alter_configs.AlterConfigsRequest(resources=[resource], validate_only=False)
    code: int = (await client.ask(request, version)).responses[0].error_code
    return code


# --- described


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_46_settings_are_described_with_synonyms(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", retention_ms="7")
        result = await described(client, TOPIC, "t", ["retention.ms"], version)
        (found,) = result.configs
        assert (found.name, found.value, found.config_source, found.read_only) == ("retention.ms", "7", 1, False)
        assert [(synonym.name, synonym.value, synonym.source) for synonym in found.synonyms] == [
            ("retention.ms", "7", 1),
            ("log.retention.ms", "9", 4),
            ("log.retention.ms", "604800000", 5),
        ]
        if version >= 3:
            assert found.config_type == 5
            assert found.documentation

    with_client(scenario, log_retention_ms=9)


def test_46_everything_that_a_topic_can_be_given_is_described(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        found = {each.name: each for each in (await described(client, TOPIC, "t")).configs}
        assert set(found) == set(OPTIONS)
        assert all(each.documentation and not each.read_only and not each.is_sensitive for each in found.values())

    with_client(scenario)


def test_46_a_brokers_settings_are_described(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        result = await described(client, BROKER, "1")
        found = {each.name: each for each in result.configs}
        assert set(found) == set(known_settings())
        assert (found["num.partitions"].value, found["num.partitions"].config_source) == ("3", 4)
        assert (found["node.id"].value, found["node.id"].config_source) == ("1", 5)
        assert found["node.id"].read_only
        assert not found["message.max.bytes"].read_only
        assert all(each.documentation for each in found.values())

    with_client(scenario, num_partitions=3)


def test_settings_are_described_by_name_and_unknown_names_are_left_out(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        result = await described(client, BROKER, "1", ["node.id", "no.such"])
        assert [each.name for each in result.configs] == ["node.id"]
        assert len((await described(client, BROKER, "1", [])).configs) > 50, "no names are all names"

    with_client(scenario)


@pytest.mark.parametrize(
    ("kind", "name", "code"),
    [
        (TOPIC, "nowhere", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a b", ErrorCode.INVALID_TOPIC_EXCEPTION),
        (BROKER, "2", ErrorCode.INVALID_REQUEST),
        (GROUP, "", ErrorCode.INVALID_REQUEST),
        (99, "x", ErrorCode.INVALID_REQUEST),
    ],
)
def test_what_has_no_settings_is_refused(with_client: Any, kind: int, name: str, code: ErrorCode) -> None:
    async def scenario(client: Any) -> None:
        refused = await described(client, kind, name)
        assert refused.error_code == code
        assert refused.error_message
        assert (await alter(client, kind, name, ("retention.ms", SET, "5")))[0] == code

    with_client(scenario)


# --- altered


@pytest.mark.parametrize("version", [0, 1])
def test_single_settings_change_and_act_at_once(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", segment_ms="5")
        assert await alter(client, TOPIC, "t", ("max.message.bytes", SET, "100"), version=version) == (0, None)
        assert (await client.produce("t", bytes(500))).error_code == ErrorCode.MESSAGE_TOO_LARGE
        assert client.node.broker.partition("t", 0).config.segment_ms == 5
        assert await alter(client, TOPIC, "t", ("max.message.bytes", DELETE, None), version=version) == (0, None)
        assert (await client.produce("t", bytes(500))).error_code == 0

    with_client(scenario)


def test_lists_are_appended_to_and_subtracted_from(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        seen = []
        for operation, value in ((APPEND, "compact"), (APPEND, "compact"), (SUBTRACT, "delete"), (SUBTRACT, "other")):
            assert (await alter(client, TOPIC, "t", ("cleanup.policy", operation, value)))[0] == 0
            seen.append(client.node.broker.image.config(TOPIC, "t")["cleanup.policy"])
        assert seen == ["delete,compact", "delete,compact", "compact", "compact"]
        assert (await alter(client, TOPIC, "t", ("cleanup.policy", APPEND, "burn")))[0] == ErrorCode.INVALID_CONFIG

    with_client(scenario)


def test_validation_alone_changes_nothing_and_refuses_the_same(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        offset = client.node.broker.image.offset
        assert await alter(client, TOPIC, "t", ("retention.ms", SET, "5"), validate_only=True) == (0, None)
        refused = await alter(client, TOPIC, "t", ("retention.ms", SET, "soon"), validate_only=True)
        assert refused == (
            ErrorCode.INVALID_CONFIG,
            "Invalid value soon for configuration retention.ms: not a whole number",
        )
        assert await alter(client, BROKER, "", ("message.max.bytes", SET, "5"), validate_only=True) == (0, None)
        assert client.node.broker.image.offset == offset
        assert client.node.broker.config.log_defaults.max_message_bytes == 1_048_588

    with_client(scenario)


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (("retention.sm", SET, "5"), 40, "Unknown topic config name: retention.sm; did you mean retention.ms?"),
        (("retention.ms", SET, None), 42, "Null value not supported for the setting retention.ms"),
        (("retention.ms", APPEND, "5"), 40, "Can't APPEND to retention.ms: its type is not a list"),
        (("retention.ms", 9, "5"), 42, "Unknown operation on a setting: 9 is not a valid Operation"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_name(
    with_client: Any, change: tuple[str, int, str | None], code: int, sentence: str
) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert await alter(client, TOPIC, "t", ("segment.ms", SET, "5"), change) == (code, sentence)
        assert client.node.broker.image.config(TOPIC, "t") == {}

    with_client(scenario)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_all_settings_are_replaced(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", segment_ms="5", retention_ms="6")
        assert await replace(client, TOPIC, "t", version, retention_ms="7") == 0
        config = client.node.broker.partition("t", 0).config
        assert (config.retention_ms, config.segment_ms) == (7, 604_800_000)
        assert await replace(client, BROKER, "1", version, message_max_bytes="9", log_retention_ms="8") == 0
        assert await replace(client, BROKER, "1", version, log_retention_ms="9") == 0
        assert client.node.broker.image.config(BROKER, "1") == {"log.retention.ms": "9"}

    with_client(scenario)


# --- of brokers


def test_a_setting_of_all_brokers_acts_on_the_topics_that_do_not_have_their_own(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.create("own", max_message_bytes="1000")
        assert await alter(client, BROKER, EVERY_BROKER, ("message.max.bytes", SET, "100")) == (0, None)
        assert (await client.produce("t", bytes(500))).error_code == ErrorCode.MESSAGE_TOO_LARGE
        assert (await client.produce("own", bytes(500))).error_code == 0
        await client.create("new")
        assert (await client.produce("new", bytes(500))).error_code == ErrorCode.MESSAGE_TOO_LARGE
        assert await alter(client, BROKER, "1", ("message.max.bytes", SET, "2000")) == (0, None)
        assert (await client.produce("t", bytes(500))).error_code == 0
        for name in ("1", EVERY_BROKER):
            assert await alter(client, BROKER, name, ("message.max.bytes", DELETE, None)) == (0, None)
        assert client.node.broker.partition("t", 0).config.max_message_bytes == 5000

    with_client(scenario, message_max_bytes=5000)


def test_every_source_of_a_setting_is_described_strongest_first(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        name = "message.max.bytes"
        expected = [(name, "5000", 4), (name, "1048588", 5)]
        assert await entry(client, BROKER, "1", name) == ("5000", 4, expected)
        await alter(client, BROKER, EVERY_BROKER, (name, SET, "6000"))
        expected.insert(0, (name, "6000", 3))
        assert await entry(client, BROKER, "1", name) == ("6000", 3, expected)
        assert await entry(client, TOPIC, "t", "max.message.bytes") == ("6000", 3, expected)
        await alter(client, BROKER, "1", (name, SET, "7000"))
        expected.insert(0, (name, "7000", 2))
        assert await entry(client, BROKER, "1", name) == ("7000", 2, expected)
        await alter(client, TOPIC, "t", ("max.message.bytes", SET, "8000"))
        expected.insert(0, ("max.message.bytes", "8000", 1))
        assert await entry(client, TOPIC, "t", "max.message.bytes") == ("8000", 1, expected)

    with_client(scenario, message_max_bytes=5000)


def test_of_all_brokers_only_what_was_set_is_described(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        assert (await described(client, BROKER, EVERY_BROKER)).configs == []
        await alter(client, BROKER, EVERY_BROKER, ("log.retention.ms", SET, "5"))
        (found,) = (await described(client, BROKER, EVERY_BROKER)).configs
        assert (found.name, found.value, found.config_source, found.read_only) == ("log.retention.ms", "5", 3, False)

    with_client(scenario)


@pytest.mark.parametrize(
    ("name", "setting", "code"),
    [
        ("1", "num.partitions", ErrorCode.INVALID_REQUEST),
        ("", "listeners", ErrorCode.INVALID_REQUEST),
        ("7", "message.max.bytes", ErrorCode.INVALID_REQUEST),
        ("1", "num.io.threads", ErrorCode.INVALID_CONFIG),
    ],
)
def test_what_is_fixed_when_a_broker_starts_is_refused(
    with_client: Any, name: str, setting: str, code: ErrorCode
) -> None:
    async def scenario(client: Any) -> None:
        refused, message = await alter(client, BROKER, name, (setting, SET, "5"))
        assert refused == code
        assert message

    with_client(scenario)


def test_settings_of_brokers_survive_a_restart_and_lie_over_what_it_is_started_with(start_node: Any) -> None:
    async def main() -> None:
        async with start_node() as node:
            change = Alteration("log.retention.ms", Operation.SET, "77")
            await node.broker.controller.alter_config(ResourceType.BROKER, "1", [change], validate_only=False)
        async with start_node(log_retention_ms=5) as node:
            assert node.broker.config.log_defaults.retention_ms == 77
            await node.broker.controller.ensure_topics(["t"])
            assert node.broker.partition("t", 0).config.retention_ms == 77

    asyncio.run(main())


def test_a_group_is_described_with_what_its_brokers_say(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        name, synonym = "consumer.session.timeout.ms", "group.consumer.session.timeout.ms"
        assert await alter(client, GROUP, "g", (name, SET, "50000")) == (0, None)
        assert await entry(client, GROUP, "g", name) == (
            "50000",
            8,
            [(name, "50000", 8), (synonym, "46000", 4), (synonym, "45000", 5)],
        )

    with_client(scenario, group_consumer_session_timeout_ms=46_000)


def test_a_resource_that_is_altered_twice_in_a_request_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        change = incremental_alter_configs.AlterableConfig(name="retention.ms", config_operation=0, value="7")
        resource = incremental_alter_configs.AlterConfigsResource(
            resource_type=TOPIC, resource_name="t", configs=[change]
        )
        request = incremental_alter_configs.IncrementalAlterConfigsRequest(
            resources=[resource, resource], validate_only=False
        )
        responses = (await client.ask(request, 1)).responses
        assert [response.error_code for response in responses] == [ErrorCode.INVALID_REQUEST] * 2
        whole = alter_configs.AlterConfigsResource(resource_type=TOPIC, resource_name="t", configs=[])
        everything = alter_configs.AlterConfigsRequest(resources=[whole, whole], validate_only=False)
        responses = (await client.ask(everything, 2)).responses
        assert [response.error_code for response in responses] == [ErrorCode.INVALID_REQUEST] * 2

    with_client(scenario)
