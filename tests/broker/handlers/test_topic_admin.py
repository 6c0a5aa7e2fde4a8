"""CreateTopics, DeleteTopics, CreatePartitions, DescribeLogDirs: as clients see them."""

import asyncio
import uuid
from typing import Any

import pytest

from ottla_wire.errors import ErrorCode
from ottla_wire.messages import create_partitions
from ottla_wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from ottla_wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from ottla_wire.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest


def topic(name: str, partitions: int = 1, **config: str) -> CreatableTopic:
    return CreatableTopic(
        name=name,
        num_partitions=partitions,
        replication_factor=-1,
        assignments=[],
        configs=[CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in config.items()],
    )


@pytest.mark.parametrize("version", range(2, 8))
def test_topics_are_created_in_every_version(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        response = await client.ask(CreateTopicsRequest(topics=[topic("a", 2), topic("b")]), version)
        assert [(result.name, result.error_code) for result in response.topics] == [("a", 0), ("b", 0)]
        image = client.node.broker.image
        assert len(image.topics["a"].partitions) == 2
        if version >= 7:
            assert response.topics[0].topic_id == image.topics["a"].id
        if version >= 5:
            assert (response.topics[0].num_partitions, response.topics[0].replication_factor) == (2, 1)

    with_client(scenario)


def test_a_created_topic_comes_with_its_settings_and_their_sources(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        response = await client.ask(CreateTopicsRequest(topics=[topic("t", retention_ms="7")]), 5)
        configs = {config.name: (config.value, config.config_source) for config in response.topics[0].configs}
        assert configs["retention.ms"] == ("7", 1)
        assert configs["max.message.bytes"] == ("5000", 4)
        assert configs["segment.bytes"] == ("1073741824", 5)

    with_client(scenario, message_max_bytes=5000)


def test_what_cannot_be_created_does_not_keep_others_from_it(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        asked = [topic("a b"), topic("c"), topic("d", no_such="1"), topic("e"), topic("e")]
        response = await client.ask(CreateTopicsRequest(topics=asked), 7)
        codes = {result.name: result.error_code for result in response.topics}
        assert codes == {
            "a b": ErrorCode.INVALID_TOPIC_EXCEPTION,
            "c": 0,
            "d": ErrorCode.INVALID_CONFIG,
            "e": ErrorCode.INVALID_REQUEST,
        }
        assert set(client.node.broker.image.topics) == {"c"}

    with_client(scenario)


def test_one_request_creates_a_bounded_number_of_partitions(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        asked = [topic("a", 3), topic("b", 9_999), topic("c", 10_001)]
        response = await client.ask(CreateTopicsRequest(topics=asked, validate_only=True), 7)
        assert [result.error_code for result in response.topics] == [
            0,
            ErrorCode.POLICY_VIOLATION,
            ErrorCode.INVALID_PARTITIONS,
        ]

    with_client(scenario)


def test_validating_creates_nothing(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        response = await client.ask(CreateTopicsRequest(topics=[topic("t")], validate_only=True), 7)
        assert response.topics[0].error_code == 0
        assert not client.node.broker.image.topics

    with_client(scenario)


def test_one_topic_created_by_many_at_once_is_created_once(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        requests = (client.ask(CreateTopicsRequest(topics=[topic("t")]), 7) for _ in range(5))
        codes = [response.topics[0].error_code for response in await asyncio.gather(*requests)]
        assert sorted(codes) == [0, *[ErrorCode.TOPIC_ALREADY_EXISTS] * 4]

    with_client(scenario)


def test_topics_are_deleted_by_name_and_by_id(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        for name in ("a", "b"):
            await client.create(name)
        broker = client.node.broker
        by_name = await client.ask(DeleteTopicsRequest(topic_names=["a", "nowhere"], timeout_ms=1000), 5)
        assert {result.name: result.error_code for result in by_name.responses} == {
            "a": 0,
            "nowhere": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        }
        ids = [broker.image.topics["b"].id, uuid.UUID(int=99)]
        states = [DeleteTopicState(name=None, topic_id=each) for each in ids]
        by_id = await client.ask(DeleteTopicsRequest(topics=states, timeout_ms=1000), 6)
        assert {result.topic_id: result.error_code for result in by_id.responses} == {
            ids[0]: 0,
            ids[1]: ErrorCode.UNKNOWN_TOPIC_ID,
        }
        assert not broker.image.topics
        assert broker.logs.get("a", 0) is None

    with_client(scenario)


def test_deletion_can_be_forbidden(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        response = await client.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 5)
        assert response.responses[0].error_code == ErrorCode.TOPIC_DELETION_DISABLED

    with_client(scenario, delete_topic_enable="false")


def test_a_topic_created_anew_is_empty(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"old")
        await client.ask(DeleteTopicsRequest(topic_names=["t"], timeout_ms=1000), 5)
        await client.create("t")
        assert (await client.produce("t", b"new")).base_offset == 0
        assert await client.read("t", 0) == [b"new"]

    with_client(scenario)


@pytest.mark.parametrize("version", range(4))
def test_partitions_are_added(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        asked = create_partitions.CreatePartitionsTopic(name="t", count=3, assignments=None)
        request = create_partitions.CreatePartitionsRequest(topics=[asked], timeout_ms=1000, validate_only=False)
        assert (await client.ask(request, version)).results[0].error_code == 0
        assert (await client.produce("t", b"v", index=2)).error_code == 0
        again = await client.ask(request, version)
        assert again.results[0].error_code == ErrorCode.INVALID_PARTITIONS

    with_client(scenario)


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "grüße", "x" * 250])
def test_45_a_topic_name_that_is_not_legal_is_refused(with_client: Any, name: str) -> None:
    async def scenario(client: Any) -> None:
        (result,) = (await client.ask(CreateTopicsRequest(topics=[topic(name)]), 7)).topics
        assert result.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
        assert result.error_message.startswith("Topic name is invalid")

    with_client(scenario)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("retention.sm", "1", "Unknown topic config name: retention.sm; did you mean retention.ms?"),
        ("log.retention.ms", "1", "Unknown topic config name: log.retention.ms; did you mean retention.ms?"),
        ("retention.ms", "soon", "Invalid value soon for configuration retention.ms: not a whole number"),
        ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: must be at least -1"),
        ("retention.ms", None, "Null value not supported for topic configs: retention.ms"),
        ("cleanup.policy", "burn", "Invalid value burn for configuration cleanup.policy: must be a list of compact"),
    ],
)
def test_45_a_setting_that_is_unknown_or_malformed_is_refused_by_name(
    with_client: Any, name: str, value: str | None, sentence: str
) -> None:
    async def scenario(client: Any) -> None:
        new = topic("t")
        new.configs = [CreatableTopicConfig(name=name, value=value)]
        (result,) = (await client.ask(CreateTopicsRequest(topics=[new]), 7)).topics
        assert result.error_code == ErrorCode.INVALID_CONFIG
        assert result.error_message.startswith(sentence)
        assert "t" not in client.node.broker.image.topics

    with_client(scenario)


@pytest.mark.parametrize("version", range(1, 6))
def test_46_log_directories_are_described_with_the_real_sizes(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        await client.produce("t", bytes(1000), index=1)
        (everything,) = (await client.ask(DescribeLogDirsRequest(topics=None), version)).results
        sizes = {p.partition_index: p.partition_size for t in everything.topics for p in t.partitions}
        assert sizes[0] == 0
        assert sizes[1] > 1000
        asked = [DescribableLogDirTopic(topic="t", partitions=[1])]
        (one,) = (await client.ask(DescribeLogDirsRequest(topics=asked), version)).results
        assert [p.partition_index for t in one.topics for p in t.partitions] == [1]
        if version >= 4:
            assert one.total_bytes > one.usable_bytes > 0

    with_client(scenario)


def test_a_topic_that_is_to_grow_twice_is_refused_once(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        topics = [create_partitions.CreatePartitionsTopic(name="t", count=count, assignments=None) for count in (2, 3)]
        request = create_partitions.CreatePartitionsRequest(topics=topics, timeout_ms=1000, validate_only=False)
        (result,) = (await client.ask(request, 3)).results
        assert (result.name, result.error_code) == ("t", ErrorCode.INVALID_REQUEST)

    with_client(scenario)


def test_a_topic_that_is_to_be_deleted_twice_is_refused_once(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        (by_name,) = (await client.ask(DeleteTopicsRequest(topic_names=["t", "t"], timeout_ms=1000), 5)).responses
        assert (by_name.name, by_name.error_code) == ("t", ErrorCode.INVALID_REQUEST)
        states = [DeleteTopicState(name=None, topic_id=client.node.broker.image.topics["t"].id)]
        states.append(DeleteTopicState(name="t", topic_id=uuid.UUID(int=0)))
        by_both = (await client.ask(DeleteTopicsRequest(topics=states, timeout_ms=1000), 6)).responses
        assert {result.error_code for result in by_both} == {ErrorCode.NONE, ErrorCode.INVALID_REQUEST}

    with_client(scenario)


def test_a_topic_to_be_deleted_needs_a_name_or_an_id(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        states = [DeleteTopicState(name=None, topic_id=uuid.UUID(int=0))]
        (result,) = (await client.ask(DeleteTopicsRequest(topics=states, timeout_ms=1000), 6)).responses
        assert result.error_code == ErrorCode.INVALID_REQUEST

    with_client(scenario)
