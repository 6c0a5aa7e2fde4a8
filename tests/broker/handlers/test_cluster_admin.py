"""Elections, features, the quorum, brokers, producers and log directories, as administrators see them."""

import uuid
from typing import Any

import pytest

from ottla_broker.cluster.records import RegisterBrokerRecord
from ottla_wire.errors import ErrorCode
from ottla_wire.messages import alter_replica_log_dirs, describe_quorum, elect_leaders, incremental_alter_configs
from ottla_wire.messages.api_versions import ApiVersionsRequest
from ottla_wire.messages.describe_cluster import DescribeClusterRequest
from ottla_wire.messages.describe_log_dirs import DescribeLogDirsRequest
from ottla_wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from ottla_wire.messages.list_config_resources import ListConfigResourcesRequest
from ottla_wire.messages.list_transactions import ListTransactionsRequest
from ottla_wire.messages.sasl_authenticate import SaslAuthenticateRequest
from ottla_wire.messages.sasl_handshake import SaslHandshakeRequest
from ottla_wire.messages.unregister_broker import UnregisterBrokerRequest
from ottla_wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from ottla_wire.records import NewRecord, build_batch

PREFERRED, UNCLEAN = 0, 1
TOPIC, BROKER, CLIENT_METRICS, GROUP = 2, 4, 16, 32


async def elected(client: Any, *partitions: tuple[str, int], version: int = 2, **fields: Any) -> Any:
    wanted = [elect_leaders.TopicPartitions(topic=topic, partitions=[index]) for topic, index in partitions]
    return await client.ask(elect_leaders.ElectLeadersRequest(topic_partitions=wanted, **fields), version)


def outcomes(response: Any) -> dict[tuple[str, int], int]:
    return {
        (topic.topic, result.partition_id): result.error_code
        for topic in response.replica_election_results
        for result in topic.partition_result
    }


@pytest.mark.parametrize("version", [0, 1, 2])
def test_46_an_election_that_changes_nothing_is_not_needed(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        response = await elected(client, ("t", 0), ("t", 7), ("u", 0), version=version)
        assert response.error_code == 0
        unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert outcomes(response) == {("t", 0): ErrorCode.ELECTION_NOT_NEEDED, ("t", 7): unknown, ("u", 0): unknown}
        assert all(result.error_message for t in response.replica_election_results for result in t.partition_result)

    with_client(scenario)


def test_the_preferred_replica_leads_again(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        await client.change("t", 1, leader=2)
        assert (await client.produce("t", b"v", index=1)).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        everything = elect_leaders.ElectLeadersRequest(topic_partitions=None)
        assert outcomes(await client.ask(everything, 2)) == {("t", 1): 0}
        assert (await client.produce("t", b"v", index=1)).error_code == 0

    with_client(scenario)


def test_an_unknown_kind_of_election_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        response = await elected(client, ("t", 0), election_type=2)
        assert response.error_code == ErrorCode.INVALID_REQUEST
        assert outcomes(response) == {("t", 0): ErrorCode.INVALID_REQUEST}

    with_client(scenario)


async def update(client: Any, version: int, *updates: FeatureUpdateKey, **fields: Any) -> Any:
    return await client.ask(UpdateFeaturesRequest(feature_updates=list(updates), **fields), version)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_feature_is_turned_down_and_announced_so(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        kind = {"allow_downgrade": True} if version == 0 else {"upgrade_type": 2}
        down = FeatureUpdateKey(feature="transaction.version", max_version_level=1, **kind)
        if version >= 1:
            assert (await update(client, version, down, validate_only=True)).error_code == 0
            assert client.node.broker.image.features["transaction.version"] == 2
        response = await update(client, version, down)
        assert response.error_code == 0
        assert [each.feature for each in response.results] == (["transaction.version"] if version < 2 else [])
        hello = ApiVersionsRequest(client_software_name="a", client_software_version="1")
        announced = {each.name: each.max_version_level for each in (await client.ask(hello, 3)).finalized_features}
        assert announced["transaction.version"] == 1

    with_client(scenario)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_level_that_cannot_be_is_refused(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        response = await update(client, version, FeatureUpdateKey(feature="transaction.version", max_version_level=1))
        assert response.error_code == ErrorCode.INVALID_UPDATE_VERSION
        assert "safe or an unsafe downgrade" in response.error_message

    with_client(scenario)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_quorum_is_this_node(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        metadata = describe_quorum.TopicData(
            topic_name="__cluster_metadata",
            partitions=[describe_quorum.PartitionData(partition_index=index) for index in (0, 1)],
        )
        response = await client.ask(describe_quorum.DescribeQuorumRequest(topics=[metadata]), version)
        known, unknown = response.topics[0].partitions
        broker = client.node.broker
        assert (known.error_code, known.leader_id) == (0, 1)
        assert known.high_watermark == broker.image.offset + 1
        assert [(voter.replica_id, voter.log_end_offset) for voter in known.current_voters] == [
            (1, known.high_watermark)
        ]
        assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if version >= 2:
            assert known.current_voters[0].replica_directory_id == broker.logs.directory.properties.directory_id
            assert [(node.node_id, node.listeners[0].port) for node in response.nodes] == [
                (1, client.node.address.port)
            ]
        nowhere = describe_quorum.TopicData(
            topic_name="t", partitions=[describe_quorum.PartitionData(partition_index=0)]
        )
        response = await client.ask(describe_quorum.DescribeQuorumRequest(topics=[nowhere]), version)
        assert response.nodes == [], "only those who keep what was asked for"

    with_client(scenario)


def test_producers_are_described_with_their_open_transactions(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        broker = client.node.broker
        log = broker.partition("t", 0)
        now_ms = broker.clock()
        for producer_id, transactional in ((7, False), (8, True)):
            batch = build_batch(
                [NewRecord(None, b"v", now_ms)] * 3,
                producer_id=producer_id,
                producer_epoch=2,
                base_sequence=0,
                transactional=transactional,
            )
            broker.append(log, batch)
        asked = [TopicRequest(name="t", partition_indexes=[0, 1]), TopicRequest(name="a b", partition_indexes=[0])]
        topics = (await client.ask(DescribeProducersRequest(topics=asked), 0)).topics
        known, unknown = topics[0].partitions
        assert [
            (p.producer_id, p.producer_epoch, p.last_sequence, p.current_txn_start_offset)
            for p in known.active_producers
        ] == [(7, 2, 2, -1), (8, 2, 2, 3)]
        assert all(p.last_timestamp >= now_ms for p in known.active_producers)
        assert (unknown.error_code, bool(unknown.error_message)) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, True)
        assert topics[1].partitions[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION

    with_client(scenario)


def test_what_settings_can_belong_to_is_listed_by_type(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("b")
        await client.create("a")
        change = incremental_alter_configs.AlterableConfig(
            name="consumer.session.timeout.ms", config_operation=0, value="50000"
        )
        group = incremental_alter_configs.AlterConfigsResource(resource_type=GROUP, resource_name="g", configs=[change])
        altered = await client.ask(
            incremental_alter_configs.IncrementalAlterConfigsRequest(resources=[group], validate_only=False), 1
        )
        assert altered.responses[0].error_code == 0

        async def listed(*types: int, version: int = 1) -> Any:
            fields = {"resource_types": list(types)} if version else {}
            response = await client.ask(ListConfigResourcesRequest(**fields), version)
            found = {(each.resource_type, each.resource_name) for each in response.config_resources}
            return response.error_code or found

        assert await listed() >= {(TOPIC, "a"), (TOPIC, "b"), (BROKER, "1"), (GROUP, "g")}
        assert await listed(TOPIC) == {(TOPIC, "a"), (TOPIC, "b")}
        assert await listed(GROUP, BROKER) == {(GROUP, "g"), (BROKER, "1")}
        assert await listed(CLIENT_METRICS) == set()
        assert await listed(version=0) == set()
        assert await listed(TOPIC, 77) == ErrorCode.UNSUPPORTED_VERSION

    with_client(scenario)


def test_a_broker_that_is_gone_is_listed_on_demand_and_unregistered(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.add_broker(2, "second.example")
        node = client.node.broker.image.brokers[2]
        await client.decide(
            RegisterBrokerRecord(
                broker_id=2,
                incarnation_id=uuid.uuid4(),
                broker_epoch=node.epoch + 1,
                end_points=list(node.endpoints),
                features=[],
                rack=None,
                fenced=True,
            )
        )

        async def brokers(**fields: Any) -> list[tuple[int, bool]]:
            request = DescribeClusterRequest(include_cluster_authorized_operations=False, **fields)
            return [(broker.broker_id, broker.is_fenced) for broker in (await client.ask(request, 2)).brokers]

        assert await brokers() == [(1, False)]
        assert await brokers(include_fenced_brokers=True) == [(1, False), (2, True)]
        assert (await client.ask(UnregisterBrokerRequest(broker_id=2), 0)).error_code == 0
        assert await brokers(include_fenced_brokers=True) == [(1, False)]
        unknown = await client.ask(UnregisterBrokerRequest(broker_id=2), 0)
        assert unknown.error_code == ErrorCode.BROKER_ID_NOT_REGISTERED
        running = await client.ask(UnregisterBrokerRequest(broker_id=1), 0)
        assert running.error_code == ErrorCode.INVALID_REQUEST
        assert "Broker 1 is running" in running.error_message

    with_client(scenario)


@pytest.mark.parametrize("version", [1, 2])
def test_a_replica_stays_in_the_one_directory_there_is(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        (directory,) = (await client.ask(DescribeLogDirsRequest(topics=None), 4)).results

        async def move(path: str, topic: str) -> int:
            topics = [alter_replica_log_dirs.AlterReplicaLogDirTopic(name=topic, partitions=[0])]
            dirs = [alter_replica_log_dirs.AlterReplicaLogDir(path=path, topics=topics)]
            response = await client.ask(alter_replica_log_dirs.AlterReplicaLogDirsRequest(dirs=dirs), version)
            code: int = response.results[0].partitions[0].error_code
            return code

        assert await move(directory.log_dir, "t") == 0
        assert await move("/elsewhere", "t") == ErrorCode.LOG_DIR_NOT_FOUND
        assert await move(directory.log_dir, "u") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("a.*", ["a1", "a2"]), ("a", []), (None, ["a1", "a2", "b1"]), ("", ["a1", "a2", "b1"]), (".1", ["a1", "b1"])],
)
def test_transactional_ids_are_listed_by_a_pattern(with_client: Any, pattern: str | None, found: list[str]) -> None:
    async def scenario(client: Any) -> None:
        await client.node.broker.ensure_internal_topic("__transaction_state")
        for name in ("a1", "a2", "b1"):
            await client.node.broker.transactions.locate(name)
            await client.node.broker.transactions.init_producer_id(name, 1_000, None)
        request = ListTransactionsRequest(state_filters=[], producer_id_filters=[], transactional_id_pattern=pattern)
        listed = (await client.ask(request, 2)).transaction_states
        assert sorted(each.transactional_id for each in listed) == found

    with_client(scenario)


def test_a_pattern_that_is_none_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        request = ListTransactionsRequest(state_filters=[], producer_id_filters=[], transactional_id_pattern="(")
        response = await client.ask(request, 2)
        assert response.error_code == ErrorCode.INVALID_REGULAR_EXPRESSION

    with_client(scenario)


def test_a_client_that_wants_to_authenticate_learns_that_it_need_not(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        for version in (0, 1):
            answer = await client.ask(SaslHandshakeRequest(mechanism="PLAIN"), version)
            assert (answer.error_code, answer.mechanisms) == (ErrorCode.ILLEGAL_SASL_STATE, [])
        for version in (0, 1, 2):
            answer = await client.ask(SaslAuthenticateRequest(auth_bytes=b"\0me\0secret"), version)
            assert answer.error_code == ErrorCode.ILLEGAL_SASL_STATE
            assert "asks for no authentication" in answer.error_message

    with_client(scenario)
