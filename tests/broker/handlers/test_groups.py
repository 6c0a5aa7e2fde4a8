"""Classic groups and their offsets, as clients of every version see them."""

import asyncio
import uuid
from typing import Any

import pytest

from ottla_broker.coordinator.partitioner import partition_for
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from ottla_wire.messages.describe_groups import DescribeGroupsRequest
from ottla_wire.messages.find_coordinator import FindCoordinatorRequest
from ottla_wire.messages.heartbeat import HeartbeatRequest
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from ottla_wire.messages.offset_delete import OffsetDeleteRequest
from ottla_wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment


async def find(client: Any, group_id: str = "g") -> Any:
    """FindCoordinator, which also makes `__consumer_offsets`."""
    response = await client.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=[group_id]), 6)
    return response.coordinators[0]


async def join(client: Any, member_id: str = "", version: int = 9, **fields: Any) -> Any:
    values = {"session_timeout_ms": 10_000, "protocol_type": "consumer"} | fields
    if version >= 1:
        values["rebalance_timeout_ms"] = 10_000
    protocols = [JoinGroupRequestProtocol(name="range", metadata=b"\0\1" + bytes(8))]
    request = JoinGroupRequest(group_id="g", member_id=member_id, protocols=protocols, **values)
    return await client.ask(request, version)


async def sync(client: Any, joined: Any, assignment: bytes = b"", **fields: Any) -> Any:
    assignments = [SyncGroupRequestAssignment(member_id=joined.member_id, assignment=assignment)]
    request = SyncGroupRequest(
        group_id="g", generation_id=joined.generation_id, member_id=joined.member_id, assignments=assignments, **fields
    )
    return await client.ask(request, 3)


async def settle(client: Any, assignment: bytes = b"mine", **fields: Any) -> Any:
    """A group of one member with an assignment; how that member joined."""
    await find(client)
    joined = await join(client, version=3 if not fields else 5, **fields)
    assert (await sync(client, joined, assignment)).error_code == 0
    return joined


async def commit(
    client: Any,
    offset: int,
    *,
    generation: int = -1,
    member_id: str = "",
    metadata: str | None = "",
    version: int = 8,
    **fields: Any,
) -> int:
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata=metadata)
    topic_id = client.node.broker.image.topics["t"].id
    request = OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=generation,
        member_id=member_id,
        topics=[OffsetCommitRequestTopic(name="t", topic_id=topic_id, partitions=[partition])],
        **fields,
    )
    code: int = (await client.ask(request, version)).topics[0].partitions[0].error_code
    return code


async def committed(client: Any, version: int = 7, group_id: str = "g", **fields: Any) -> Any:
    """What OffsetFetch says of t-0, in whatever shape the version has."""
    topic_id = client.node.broker.image.topics["t"].id
    if version >= 8:
        asked = [OffsetFetchRequestTopics(name="t", topic_id=topic_id, partition_indexes=[0])]
        group = OffsetFetchRequestGroup(group_id=group_id, topics=asked)
        response = await client.ask(OffsetFetchRequest(groups=[group], **fields), version)
        assert response.groups[0].error_code == 0
        return response.groups[0].topics[0].partitions[0]
    topics = [OffsetFetchRequestTopic(name="t", partition_indexes=[0])]
    response = await client.ask(OffsetFetchRequest(group_id=group_id, topics=topics, **fields), version)
    assert response.error_code == 0
    return response.topics[0].partitions[0]


@pytest.mark.parametrize("version", range(10))
def test_30_a_new_member_is_sent_back_with_its_id_from_version_4_on(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await find(client)
        joined = await join(client, version=version)
        if version >= 4:
            assert (joined.error_code, joined.generation_id) == (ErrorCode.MEMBER_ID_REQUIRED, -1)
            joined = await join(client, joined.member_id, version)
        assert (joined.error_code, joined.generation_id, joined.leader) == (0, 1, joined.member_id)

    with_client(scenario)


@pytest.mark.parametrize("version", [5, 9])
def test_30_a_static_member_is_taken_at_once(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await find(client)
        joined = await join(client, version=version, group_instance_id="one")
        assert (joined.error_code, joined.generation_id) == (0, 1)
        assert joined.member_id.startswith("one-")

    with_client(scenario)


@pytest.mark.parametrize(("delay_ms", "shortest", "longest"), [(0, 0, 0.15), (250, 0.24, 5)])
def test_31_the_first_rebalance_waits_for_the_initial_delay(
    with_client: Any, delay_ms: int, shortest: float, longest: float
) -> None:
    async def scenario(client: Any) -> None:
        await find(client)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert (await join(client, version=3)).error_code == 0
        assert shortest <= loop.time() - begun < longest

    with_client(scenario, group_initial_rebalance_delay_ms=delay_ms)


@pytest.mark.parametrize(
    ("settings", "shortest", "longest"),
    [
        ({}, 6_000, 1_800_000),
        ({"group_min_session_timeout_ms": 100, "group_max_session_timeout_ms": 200}, 100, 200),
    ],
)
def test_47_session_timeouts_are_held_to_the_brokers_limits(
    with_client: Any, settings: Any, shortest: int, longest: int
) -> None:
    async def scenario(client: Any) -> None:
        await find(client)
        for timeout_ms in (shortest - 1, longest + 1):
            refused = await join(client, version=3, session_timeout_ms=timeout_ms)
            assert refused.error_code == ErrorCode.INVALID_SESSION_TIMEOUT
        for timeout_ms in (shortest, longest):
            answer = await join(client, session_timeout_ms=timeout_ms)
            assert answer.error_code == ErrorCode.MEMBER_ID_REQUIRED

    with_client(scenario, **settings)


def test_32_a_static_member_that_comes_back_has_a_new_id_and_its_assignment(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        before = await settle(client, b"mine", group_instance_id="one")
        after = await join(client, version=5, group_instance_id="one")
        assert after.error_code == 0
        assert after.generation_id == before.generation_id
        assert after.member_id != before.member_id
        assert (await sync(client, after, group_instance_id="one")).assignment == b"mine"
        fenced = await client.ask(
            HeartbeatRequest(group_id="g", generation_id=1, member_id=before.member_id, group_instance_id="one"), 4
        )
        assert fenced.error_code == ErrorCode.FENCED_INSTANCE_ID

    with_client(scenario)


def test_33_without_a_generation_offsets_are_taken_while_the_group_is_empty(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await find(client)
        assert await commit(client, 5) == 0
        joined = await join(client, version=3)
        assert await commit(client, 6) == ErrorCode.UNKNOWN_MEMBER_ID
        member = {"generation": joined.generation_id, "member_id": joined.member_id}
        assert await commit(client, 6, **member) == ErrorCode.REBALANCE_IN_PROGRESS  # CompletingRebalance
        assert (await sync(client, joined)).error_code == 0
        assert await commit(client, 7, **member) == 0
        second = asyncio.ensure_future(join(client, version=3))
        await asyncio.sleep(0)
        assert await commit(client, 8, **member) == 0  # PreparingRebalance
        assert (await committed(client)).committed_offset == 8
        second.cancel()

    with_client(scenario)


@pytest.mark.parametrize("version", range(2, 11))
def test_34_metadata_comes_back_as_it_was_committed(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await find(client)
        assert await commit(client, 5, metadata="até hier", version=version) == 0
        found = await committed(client, version)
        assert (found.committed_offset, found.metadata, found.error_code) == (5, "até hier", 0)

    with_client(scenario)


@pytest.mark.parametrize("version", range(1, 11))
def test_34_a_missing_offset_is_minus_one_without_an_error(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await find(client)
        found = await committed(client, version)
        assert (found.committed_offset, found.metadata, found.error_code) == (-1, "", 0)

    with_client(scenario)


@pytest.mark.parametrize("version", range(1, 11))
def test_44_a_group_that_does_not_exist_has_no_offsets_and_no_error(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await settle(client)
        found = await committed(client, version, group_id="nobody")
        assert (found.committed_offset, found.error_code) == (-1, 0)

    with_client(scenario)


def test_36_a_group_belongs_to_the_partition_that_javas_hash_gives(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        # "polygenelubricants".hashCode() is the one whose absolute value is no int.
        for group_id, expected in [("g", 103 % 50), ("Aa", 2112 % 50), ("BB", 2112 % 50), ("polygenelubricants", 0)]:
            assert partition_for(group_id, 50) == expected
        await client.create("t")
        await find(client)
        assert await commit(client, 5) == 0
        ends = [client.node.broker.partition("__consumer_offsets", n).log_end_offset for n in range(2)]
        assert ends == [0, 1]

    with_client(scenario)


def test_36_while_the_topic_forms_no_coordinator_is_available(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert await commit(client, 5) == ErrorCode.COORDINATOR_NOT_AVAILABLE
        assert (await join(client, version=3)).error_code == ErrorCode.COORDINATOR_NOT_AVAILABLE
        found = await find(client)
        assert (found.error_code, found.node_id, found.port) == (0, 1, client.node.address.port)
        assert await commit(client, 5) == 0

    with_client(scenario)


def test_36_after_a_move_the_coordinator_is_not_here_at_once(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        joined = await settle(client)
        await client.add_broker(2, "second.example")
        await client.change("__consumer_offsets", partition_for("g", 2), leader=2)
        beat = HeartbeatRequest(group_id="g", generation_id=joined.generation_id, member_id=joined.member_id)
        assert (await client.ask(beat, 4)).error_code == ErrorCode.NOT_COORDINATOR
        assert await commit(client, 5) == ErrorCode.NOT_COORDINATOR
        found = await find(client)
        assert (found.error_code, found.node_id, found.host) == (0, 2, "second.example")

    with_client(scenario)


@pytest.mark.parametrize(("protocols", "code"), [("classic,consumer", 0), ("classic", ErrorCode.UNSUPPORTED_VERSION)])
def test_47_the_protocols_of_groups_can_be_limited(with_client: Any, protocols: str, code: int) -> None:
    async def scenario(client: Any) -> None:
        await find(client)
        request = ConsumerGroupHeartbeatRequest(
            group_id="c",
            member_id=str(uuid.uuid4()),
            member_epoch=0,
            rebalance_timeout_ms=5_000,
            subscribed_topic_names=["t"],
            topic_partitions=[],
        )
        response = await client.ask(request, 1)
        assert response.error_code == code, response

    with_client(scenario, group_coordinator_rebalance_protocols=protocols)


def test_a_member_is_shown_with_its_address_as_kafka_writes_it(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await settle(client)
        response = await client.ask(DescribeGroupsRequest(groups=["g"]), 5)
        ((member,),) = [group.members for group in response.groups]
        assert member.client_host == "/10.0.0.9"

    with_client(scenario)


@pytest.mark.parametrize(("version", "code"), [(4, ErrorCode.NONE), (5, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)])
def test_a_member_says_which_protocol_it_syncs_from_version_5(with_client: Any, version: int, code: ErrorCode) -> None:
    async def scenario(client: Any) -> None:
        joined = await settle(client)
        request = SyncGroupRequest(
            group_id="g", generation_id=joined.generation_id, member_id=joined.member_id, assignments=[]
        )
        assert (await client.ask(request, version)).error_code == code

    with_client(scenario)


def test_offsets_of_a_group_without_a_name_are_not_deleted(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await find(client)
        response = await client.ask(OffsetDeleteRequest(group_id="", topics=[]), 0)
        assert response.error_code == ErrorCode.INVALID_GROUP_ID

    with_client(scenario)


def test_operations_are_shown_for_consumer_groups_that_exist(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await find(client)
        await client.ask(
            ConsumerGroupHeartbeatRequest(
                group_id="g",
                member_id="AAAAAAAAAAAAAAAAAAAAAA",
                member_epoch=0,
                rebalance_timeout_ms=1000,
                subscribed_topic_names=["t"],
                topic_partitions=[],
            ),
            1,
        )
        request = ConsumerGroupDescribeRequest(group_ids=["g", "nowhere"], include_authorized_operations=True)
        exists, missing = (await client.ask(request, 1)).groups
        assert exists.authorized_operations > 0
        assert exists.members[0].subscribed_topic_regex == ""
        assert missing.authorized_operations == -(2**31)

    with_client(scenario)


def test_assignments_are_shown_until_there_are_new_ones(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await settle(client)
        other = asyncio.create_task(join(client, version=3))
        while True:
            described = (await client.ask(DescribeGroupsRequest(groups=["g"]), 5)).groups[0]
            if described.group_state == "PreparingRebalance":
                break
            await asyncio.sleep(0)
        assert sorted(member.member_assignment for member in described.members) == [b"", b"mine"]
        assert {(member.member_metadata, described.protocol_data) for member in described.members} == {(b"", "")}
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)

    with_client(scenario)


def test_operations_are_shown_for_groups_that_exist(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await settle(client)
        request = DescribeGroupsRequest(groups=["g", "nowhere"], include_authorized_operations=True)
        exists, missing = (await client.ask(request, 6)).groups
        assert exists.authorized_operations > 0
        assert (missing.error_code, missing.authorized_operations) == (ErrorCode.GROUP_ID_NOT_FOUND, -(2**31))

    with_client(scenario)
