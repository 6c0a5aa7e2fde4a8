"""Metadata, DescribeCluster, DescribeTopicPartitions: what clients learn about the cluster."""

import uuid
from typing import Any

import pytest

from ottla_broker import dispatch
from ottla_wire.errors import ErrorCode
from ottla_wire.headers import RequestHeader
from ottla_wire.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from ottla_wire.messages.delete_topics import DeleteTopicsRequest
from ottla_wire.messages.describe_cluster import DescribeClusterRequest
from ottla_wire.messages.describe_topic_partitions import Cursor, DescribeTopicPartitionsRequest, TopicRequest
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic


def named(*names: str) -> list[MetadataRequestTopic]:
    return [MetadataRequestTopic(name=name) for name in names]


@pytest.mark.parametrize("version", range(14))
def test_brokers_and_leaders_are_described_in_every_version(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        response = await client.ask(MetadataRequest(topics=named("t")), version)
        assert [(broker.node_id, broker.host, broker.port) for broker in response.brokers] == [
            (1, "127.0.0.1", client.node.address.port)
        ]
        assert response.cluster_id == (client.node.broker.cluster_id if version >= 2 else None)
        (topic,) = response.topics
        assert [(p.partition_index, p.leader_id, p.isr_nodes, p.error_code) for p in topic.partitions] == [
            (0, 1, [1], 0),
            (1, 1, [1], 0),
        ]

    with_client(scenario)


@pytest.mark.parametrize(
    ("version", "topics", "count"), [(0, [], 2), (1, [], 0), (1, None, 2), (12, None, 2), (12, [], 0)]
)
def test_09_all_topics_and_none(with_client: Any, version: int, topics: Any, count: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("a")
        await client.create("b")
        assert len((await client.ask(MetadataRequest(topics=topics), version)).topics) == count

    with_client(scenario)


@pytest.mark.parametrize("version", range(14))
def test_a_list_of_all_topics_has_the_bytes_of_its_message(
    with_client: Any, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answered(client: Any, request: MetadataRequest) -> bytes:
        frame = bytearray(RequestHeader(3, version, 5, "test").encode() + request.encode(version))
        return b"".join(await dispatch.respond(client.node.broker, client.connection, frame))

    async def listed(client: Any) -> Any:
        request = MetadataRequest(topics=[] if version == 0 else None)
        found = await answered(client, request)
        with monkeypatch.context() as patch:
            patch.setattr(client.node.broker.topic_listings, "body", lambda *_: None)
            assert found == await answered(client, request)
        return await client.ask(request, version)

    async def scenario(client: Any) -> None:
        assert not (await listed(client)).topics
        for name in ("a", "b" * 200, "c"):
            await client.create(name, partitions=3)
        for _ in range(2):
            assert sorted(topic.name for topic in (await listed(client)).topics) == ["a", "b" * 200, "c"]
        await client.ask(DeleteTopicsRequest(topic_names=["c"], timeout_ms=1000), 5)
        grown = CreatePartitionsTopic(name="a", count=5, assignments=None)
        await client.ask(CreatePartitionsRequest(topics=[grown], timeout_ms=1000, validate_only=False), 2)
        assert {topic.name: len(topic.partitions) for topic in (await listed(client)).topics} == {"a": 5, "b" * 200: 3}
        await client.change("a", 1, leader=-1)
        topics = {topic.name: topic for topic in (await listed(client)).topics}
        errors = [partition.error_code for partition in topics["a"].partitions]
        assert errors == [0, ErrorCode.LEADER_NOT_AVAILABLE, 0, 0, 0]

    with_client(scenario)


def test_09_a_missing_topic_is_created_if_client_and_broker_allow_it(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        refused = await client.ask(MetadataRequest(topics=named("t"), allow_auto_topic_creation=False), 4)
        assert refused.topics[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        created = await client.ask(MetadataRequest(topics=named("t")), 4)
        assert (created.topics[0].error_code, len(created.topics[0].partitions)) == (0, 3)

    with_client(scenario, num_partitions=3)


def test_09_a_broker_may_forbid_to_create_topics_so(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        response = await client.ask(MetadataRequest(topics=named("t")), 9)
        assert response.topics[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario, auto_create_topics_enable="false")


def test_an_illegal_name_is_no_missing_topic(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        response = await client.ask(MetadataRequest(topics=named("a b")), 9)
        assert response.topics[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION

    with_client(scenario)


def test_topics_are_found_by_id(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        topic_id = client.node.broker.image.topics["t"].id
        asked = [MetadataRequestTopic(name=None, topic_id=each) for each in (topic_id, uuid.UUID(int=99))]
        known, unknown = (await client.ask(MetadataRequest(topics=asked), 12)).topics
        assert (known.name, known.topic_id, known.error_code) == ("t", topic_id, 0)
        assert (unknown.name, unknown.error_code) == (None, ErrorCode.UNKNOWN_TOPIC_ID)

    with_client(scenario)


def test_internal_topics_are_created_on_demand_and_marked(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        assert await client.node.broker.ensure_internal_topic("__transaction_state") == 2
        response = await client.ask(MetadataRequest(topics=None), 9)
        assert [(topic.name, topic.is_internal) for topic in response.topics] == [("__transaction_state", True)]
        config = client.node.broker.partition("__transaction_state", 0).config
        assert config.compact
        assert config.min_insync_replicas == 1  # as many as a cluster of one can have

    with_client(scenario)


def test_authorized_operations_are_given_when_asked_for(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        plain = await client.ask(MetadataRequest(topics=named("t")), 9)
        assert plain.topics[0].topic_authorized_operations == -(2**31)
        asked = await client.ask(
            MetadataRequest(
                topics=named("t"),
                include_topic_authorized_operations=True,
                include_cluster_authorized_operations=True,
            ),
            9,
        )
        assert asked.topics[0].topic_authorized_operations == 0b1101_1111_1000
        assert asked.cluster_authorized_operations == 0b1_1111_1010_0000

    with_client(scenario)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_cluster_is_described(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        response = await client.ask(DescribeClusterRequest(include_cluster_authorized_operations=True), version)
        assert (response.error_code, response.controller_id) == (0, 1)
        assert [broker.port for broker in response.brokers] == [client.node.address.port]
        assert response.cluster_authorized_operations > 0

    with_client(scenario)


def test_controllers_are_not_described_by_a_broker(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        request = DescribeClusterRequest(include_cluster_authorized_operations=False, endpoint_type=2)
        assert (await client.ask(request, 1)).error_code == ErrorCode.MISMATCHED_ENDPOINT_TYPE

    with_client(scenario)


def test_partitions_are_described_page_by_page(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("a", partitions=2)
        await client.create("b", partitions=3)
        seen: list[tuple[str, int]] = []
        cursor: Cursor | None = None
        for _ in range(10):
            response = await client.ask(
                DescribeTopicPartitionsRequest(topics=[], response_partition_limit=2, cursor=cursor), 0
            )
            page = [(topic.name, p.partition_index) for topic in response.topics for p in topic.partitions]
            assert len(page) <= 2
            seen += page
            cursor = response.next_cursor
            if cursor is None:
                break
        assert seen == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2)]

    with_client(scenario)


def test_a_page_is_no_longer_than_the_broker_allows(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("a", partitions=3)
        response = await client.ask(DescribeTopicPartitionsRequest(topics=[], response_partition_limit=2000), 0)
        assert [len(topic.partitions) for topic in response.topics] == [2]
        assert response.next_cursor.partition_index == 2

    with_client(scenario, max_request_partition_size_limit=2)


def test_an_unknown_topic_is_described_as_such(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        response = await client.ask(DescribeTopicPartitionsRequest(topics=[TopicRequest(name="t")]), 0)
        assert response.topics[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


def test_eligible_leaders_are_listed_and_never_null(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        response = await client.ask(DescribeTopicPartitionsRequest(topics=[TopicRequest(name="t")]), 0)
        (partition,) = response.topics[0].partitions
        assert (partition.eligible_leader_replicas, partition.last_known_elr) == ([], [])

    with_client(scenario)


@pytest.mark.parametrize("version", [10, 11])
def test_ids_are_no_use_before_version_12(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        topic_id = client.node.broker.image.topics["t"].id
        request = MetadataRequest(topics=[MetadataRequestTopic(topic_id=topic_id, name=None)])
        response = await client.ask(request, version)
        assert [topic.error_code for topic in response.topics] == [ErrorCode.INVALID_REQUEST]
        assert (response.brokers, response.controller_id) == ([], -1)

    with_client(scenario)


@pytest.mark.parametrize(
    ("kind", "code"), [(2, ErrorCode.MISMATCHED_ENDPOINT_TYPE), (7, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE)]
)
def test_only_brokers_are_described(with_client: Any, kind: int, code: ErrorCode) -> None:
    async def scenario(client: Any) -> None:
        request = DescribeClusterRequest(include_cluster_authorized_operations=False, endpoint_type=kind)
        response = await client.ask(request, 1)
        assert (response.error_code, response.brokers) == (code, [])

    with_client(scenario)


def test_a_topic_that_cannot_exist_is_described_as_invalid(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        response = await client.ask(DescribeTopicPartitionsRequest(topics=[TopicRequest(name="no/such")]), 0)
        assert response.topics[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION

    with_client(scenario)


@pytest.mark.parametrize(("name", "index"), [("t", -1), ("a", 0), ("z", 0)])
def test_a_page_begins_at_a_partition_that_is_asked_for(with_client: Any, name: str, index: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        cursor = Cursor(topic_name=name, partition_index=index)
        request = DescribeTopicPartitionsRequest(topics=[TopicRequest(name="t")], cursor=cursor)
        response = await client.ask(request, 0)
        assert [topic.error_code for topic in response.topics] == [ErrorCode.INVALID_REQUEST]

    with_client(scenario)


def test_a_topic_that_is_named_twice_is_described_once(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        response = await client.ask(MetadataRequest(topics=named("t", "u", "t", "u")), 9)
        assert sorted(topic.name for topic in response.topics) == ["t", "u"]

    with_client(scenario)


def test_operations_are_not_shown_for_an_id_that_nothing_has(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        topics = [MetadataRequestTopic(topic_id=uuid.UUID(int=7), name=None)]
        request = MetadataRequest(topics=topics, include_topic_authorized_operations=True)
        (topic,) = (await client.ask(request, 12)).topics
        assert (topic.error_code, topic.topic_authorized_operations) == (ErrorCode.UNKNOWN_TOPIC_ID, -(2**31))

    with_client(scenario)
