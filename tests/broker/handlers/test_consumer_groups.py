"""Consumer groups through the handlers: what is refused and how, versions, features, settings of groups."""

import asyncio
import uuid
from typing import Any

import pytest

from ottla_wire.errors import ErrorCode
from ottla_wire.messages import incremental_alter_configs
from ottla_wire.messages.api_versions import ApiVersionsRequest
from ottla_wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, TopicPartitions
from ottla_wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from ottla_wire.messages.find_coordinator import FindCoordinatorRequest
from ottla_wire.messages.list_groups import ListGroupsRequest
from ottla_wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics

GROUP = 32
DYNAMIC_GROUP_CONFIG = 8


def joining(**fields: Any) -> ConsumerGroupHeartbeatRequest:
    values = {
        "group_id": "g",
        "member_id": "m",
        "member_epoch": 0,
        "rebalance_timeout_ms": 60_000,
        "subscribed_topic_names": ["t"],
        "topic_partitions": [],
    }
    return ConsumerGroupHeartbeatRequest(**values | fields)


async def group_of_one(client: Any) -> Any:
    """A topic of two partitions and a group with one member; the answer to its first heartbeat."""
    await client.create("t", partitions=2)
    await client.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 6)
    return await client.ask(joining(), 1)


@pytest.mark.parametrize("version", [0, 1])
def test_a_member_joins_and_is_described(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        answer = await group_of_one(client)
        assert (answer.error_code, answer.member_id, answer.member_epoch) == (0, "m", 1)
        topic_id = client.node.broker.image.topics["t"].id
        assert answer.assignment.topic_partitions == [TopicPartitions(topic_id=topic_id, partitions=[0, 1])]
        request = ConsumerGroupDescribeRequest(group_ids=["g"], include_authorized_operations=True)
        (group,) = (await client.ask(request, version)).groups
        assert (group.error_code, group.group_state, group.assignor_name) == (0, "Stable", "uniform")
        assert group.authorized_operations > 0
        (member,) = group.members
        assert (member.client_id, member.client_host) == ("test", "/10.0.0.9")
        assert member.member_type == (1 if version else -1)

    with_client(scenario)


def test_only_version_0_lets_the_broker_make_up_an_id(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await group_of_one(client)
        answer = await client.ask(joining(member_id=""), 0)
        assert answer.error_code == 0
        assert answer.member_id
        assert (await client.ask(joining(member_id=""), 1)).error_code == ErrorCode.INVALID_REQUEST

    with_client(scenario)


PARTITIONS = [TopicPartitions(topic_id=uuid.UUID(int=5), partitions=[0])]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"group_id": " "}, ErrorCode.INVALID_REQUEST),
        ({"instance_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"rack_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": -3}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": -2}, ErrorCode.INVALID_REQUEST),
        ({"rebalance_timeout_ms": -1}, ErrorCode.INVALID_REQUEST),
        ({"topic_partitions": None}, ErrorCode.INVALID_REQUEST),
        ({"topic_partitions": PARTITIONS}, ErrorCode.INVALID_REQUEST),
        ({"subscribed_topic_names": None}, ErrorCode.INVALID_REQUEST),
        ({"server_assignor": "sticky"}, ErrorCode.UNSUPPORTED_ASSIGNOR),
        ({"subscribed_topic_regex": "("}, ErrorCode.INVALID_REGULAR_EXPRESSION),
        ({"member_epoch": 1}, ErrorCode.UNKNOWN_MEMBER_ID),
    ],
    ids=str,
)
def test_a_heartbeat_that_cannot_be_meant_so_is_refused_with_a_reason(
    with_client: Any, fields: dict[str, Any], code: ErrorCode
) -> None:
    async def scenario(client: Any) -> None:
        await client.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 6)
        answer = await client.ask(joining(**fields), 1)
        assert answer.error_code == code
        assert answer.error_message
        listed = await client.ask(ListGroupsRequest(states_filter=[], types_filter=[]), 5)
        assert listed.groups == []

    with_client(scenario)


def test_before_anyone_looked_for_the_coordinator_there_is_none(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        answer = await client.ask(joining(), 1)
        assert answer.error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE

    with_client(scenario)


def test_groups_that_are_none_of_this_kind_are_not_found(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await group_of_one(client)
        request = ConsumerGroupDescribeRequest(group_ids=["other", "", "g"], include_authorized_operations=False)
        groups = (await client.ask(request, 1)).groups
        assert [(group.group_id, group.error_code) for group in groups] == [
            ("other", ErrorCode.GROUP_ID_NOT_FOUND),
            ("", ErrorCode.INVALID_GROUP_ID),
            ("g", ErrorCode.NONE),
        ]
        assert groups[0].error_message == "Group other not found."

    with_client(scenario)


def test_offsets_are_fetched_with_the_members_epoch_from_version_9_on(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await group_of_one(client)
        topics = [OffsetFetchRequestTopics(name="t", partition_indexes=[0])]

        async def code(version: int, **member: Any) -> int:
            groups = [OffsetFetchRequestGroup(group_id="g", topics=topics, **member)]
            return (await client.ask(OffsetFetchRequest(groups=groups), version)).groups[0].error_code

        assert await code(9, member_id="m", member_epoch=1) == ErrorCode.NONE
        assert await code(9, member_id="m", member_epoch=2) == ErrorCode.STALE_MEMBER_EPOCH
        assert await code(9, member_id="x", member_epoch=1) == ErrorCode.UNKNOWN_MEMBER_ID
        assert await code(8) == await code(9) == ErrorCode.NONE

    with_client(scenario)


def test_expressions_are_matched_while_the_member_waits_for_its_next_heartbeat(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("logs-1", partitions=2)
        await client.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 6)
        answer = await client.ask(joining(subscribed_topic_names=None, subscribed_topic_regex="logs-.*"), 1)
        assert answer.assignment.topic_partitions == []
        while not answer.assignment or not answer.assignment.topic_partitions:
            await asyncio.sleep(0.01)
            request = ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=answer.member_epoch)
            answer = await client.ask(request, 1)
        assert [topic.partitions for topic in answer.assignment.topic_partitions] == [[0, 1]]

    with_client(scenario)


def test_the_protocol_is_offered_as_a_feature_that_is_on(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        hello = ApiVersionsRequest(client_software_name="a", client_software_version="1")
        offered = await client.ask(hello, 4)
        assert ("group.version", 1, 1) in [
            (each.name, each.min_version_level, each.max_version_level) for each in offered.finalized_features
        ]
        assert "group.version" in {each.name for each in offered.supported_features}
        older = await client.ask(hello, 3)
        assert all(each.min_version > 0 for each in older.supported_features)
        assert older.finalized_features == offered.finalized_features

    with_client(scenario)


def test_while_the_feature_is_off_the_protocol_is_not_served(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        client.node.broker.image.features["group.version"] = 0
        assert (await client.ask(joining(), 1)).error_code == ErrorCode.UNSUPPORTED_VERSION

    with_client(scenario)


def test_a_group_is_given_settings_of_its_own(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        name = "consumer.heartbeat.interval.ms"
        await group_of_one(client)
        resource = incremental_alter_configs.AlterConfigsResource(
            resource_type=GROUP,
            resource_name="g",
            configs=[incremental_alter_configs.AlterableConfig(name=name, config_operation=0, value="6000")],
        )
        request = incremental_alter_configs.IncrementalAlterConfigsRequest(resources=[resource], validate_only=False)
        (altered,) = (await client.ask(request, 1)).responses
        assert altered.error_code == 0, altered
        described = DescribeConfigsRequest(
            resources=[DescribeConfigsResource(resource_type=GROUP, resource_name="g", configuration_keys=None)]
        )
        (result,) = (await client.ask(described, 4)).results
        values = {config.name: (config.value, config.config_source) for config in result.configs}
        assert values[name] == ("6000", DYNAMIC_GROUP_CONFIG)
        assert values["consumer.session.timeout.ms"][0] == "45000"
        heartbeat = ConsumerGroupHeartbeatRequest(group_id="g", member_id="m", member_epoch=1)
        assert (await client.ask(heartbeat, 1)).heartbeat_interval_ms == 6_000

    with_client(scenario)
