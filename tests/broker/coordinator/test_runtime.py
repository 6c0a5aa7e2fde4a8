"""The runtime in a running node: loading, refused and flushed appends, and markers that meet obstacles."""

import asyncio
import dataclasses

import pytest

from ottla_broker.coordinator import group_core, matching, runtime
from ottla_broker.coordinator.decision import Producer
from ottla_broker.coordinator.groups import GroupCoordinator
from ottla_broker.coordinator.transactions import TransactionCoordinator
from ottla_broker.log.producers import Origin
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from ottla_wire.messages.offset_fetch import OffsetFetchRequestTopics
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from ottla_wire.records import NewRecord, build_batch

DEADLINE_S = 100
ONE = {"offsets.topic.num.partitions": "1", "transaction.state.log.num.partitions": "1"}


@pytest.fixture
def run(start_node):
    """Run a scenario against a node whose coordinator topics exist, with one partition each, and topic "data"."""

    def run_scenario(scenario):
        async def main():
            settings = {name.replace(".", "_"): value for name, value in ONE.items()}
            async with start_node(**settings) as node:
                broker = node.broker
                await broker.groups.locate("group")
                await broker.transactions.locate("x")
                await broker.controller.ensure_topics(["data"])
                await asyncio.wait_for(scenario(broker), DEADLINE_S)

        asyncio.run(main())

    return run_scenario


def offset_commit(offset):
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata=None)
    topic = OffsetCommitRequestTopic(name="data", partitions=[partition])
    return OffsetCommitRequest(group_id="group", member_id="", topics=[topic])


def transactional_commit(producer, offset):
    partition = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata=None)
    return TxnOffsetCommitRequest(
        transactional_id="x",
        group_id="group",
        producer_id=producer.id,
        producer_epoch=producer.epoch,
        topics=[TxnOffsetCommitRequestTopic(name="data", partitions=[partition])],
    )


def fetched(groups):
    topics = [OffsetFetchRequestTopics(name="data", partition_indexes=[0])]
    return groups.fetch_offsets("group", topics, require_stable=False).topics[0].partitions[0].committed_offset


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.01)


async def loaded(groups):
    await until(lambda: code_of(groups.describe, "nobody") is not ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)


def code_of(call, *arguments, **options):
    with pytest.raises(KafkaError) as error:
        call(*arguments, **options)
    return error.value.code


# -- loading


def test_before_its_topic_exists_there_is_no_coordinator(start_node):
    async def main():
        async with start_node() as node:
            assert code_of(node.broker.groups.describe, "group") is ErrorCode.COORDINATOR_NOT_AVAILABLE
            assert node.broker.groups.list_groups([], []) == []

    asyncio.run(main())


def test_while_a_partition_is_loaded_its_requests_are_put_off(run):
    async def scenario(broker):
        await broker.groups.commit(offset_commit(5), 9)
        fresh = GroupCoordinator(broker)
        fresh.start()
        assert code_of(fresh.describe, "group") is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        assert code_of(fresh.list_groups, [], []) is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
        await loaded(fresh)
        assert fetched(fresh) == 5
        await fresh.stop()

    run(scenario)


def test_what_is_written_while_loading_is_loaded_too(run):
    async def scenario(broker):
        await broker.groups.commit(offset_commit(5), 9)
        producer = Producer(7, 0)
        await broker.groups.commit_in_transaction(transactional_commit(producer, 9))
        fresh = GroupCoordinator(broker)
        fresh.start()
        marker = build_end_txn_marker(
            commit=True, producer_id=7, producer_epoch=0, coordinator_epoch=0, timestamp=broker.clock()
        )
        fresh.append_marker(0, marker, 7, True)
        await loaded(fresh)
        assert fetched(fresh) == 9
        await fresh.stop()

    run(scenario)


def test_records_of_an_unknown_type_are_skipped(run, caplog):
    async def scenario(broker):
        await broker.groups.commit(offset_commit(5), 9)
        log = broker.partition("__consumer_offsets", 0)
        broker.append(log, build_batch([NewRecord(b"\x00\x63", b"?", 0)]), origin=Origin.COORDINATOR)
        fresh = GroupCoordinator(broker)
        fresh.start()
        await loaded(fresh)
        assert fetched(fresh) == 5
        await fresh.stop()

    run(scenario)
    assert "__consumer_offsets-0, offset 1: records of type 99 are not known to this version" in caplog.text


def test_a_partition_that_cannot_be_loaded_is_coordinated_by_nobody(run, monkeypatch, caplog):
    async def scenario(broker):
        await broker.groups.commit(offset_commit(5), 9)
        log = broker.partition("__consumer_offsets", 0)
        monkeypatch.setattr(log, "read_bytes", lambda _region: b"\x00" * 100)
        fresh = GroupCoordinator(broker)
        fresh.start()
        await loaded(fresh)
        assert code_of(fresh.describe, "group") is ErrorCode.NOT_COORDINATOR
        await fresh.stop()

    run(scenario)
    assert "__consumer_offsets-0 could not be loaded" in caplog.text


# -- appends


def test_a_refused_append_is_answered_as_a_coordinator_that_is_not_here(run, monkeypatch):
    async def scenario(broker):
        def full(*_arguments, **_options):
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left")

        with monkeypatch.context() as patch:
            patch.setattr(broker, "append", full)
            with pytest.raises(KafkaError) as error:
                await broker.groups.commit(offset_commit(5), 9)
            assert error.value.code is ErrorCode.NOT_COORDINATOR
        assert fetched(broker.groups) == -1
        await broker.groups.commit(offset_commit(6), 9)
        assert fetched(broker.groups) == 6

    run(scenario)


def test_an_answer_waits_for_the_flush_that_the_topic_asks_for(run, monkeypatch):
    async def scenario(broker):
        log = broker.partition("__consumer_offsets", 0)
        log.config = dataclasses.replace(log.config, flush_messages=1)
        flushing, flushed = asyncio.Event(), asyncio.Event()
        flush = broker.logs.flush

        async def hold(partition_log):
            flushing.set()
            await flushed.wait()
            await flush(partition_log)

        monkeypatch.setattr(broker.logs, "flush", hold)
        commit = asyncio.create_task(broker.groups.commit(offset_commit(5), 9))
        await flushing.wait()
        assert not commit.done()
        flushed.set()
        await commit
        assert log.recovery_point == log.log_end_offset

    run(scenario)


# -- decisions that follow


async def empty_consumer_group(broker):
    """A consumer group whose only member has left: who joins it classically makes it a classic group first."""
    for epoch in (0, -1):
        request = ConsumerGroupHeartbeatRequest(
            group_id="group",
            member_id="m",
            member_epoch=epoch,
            rebalance_timeout_ms=10_000,
            subscribed_topic_names=["data"],
            topic_partitions=[],
        )
        await broker.groups.consumer_heartbeat(request, client_id="c", client_host="h", version=1)


async def join(broker):
    request = JoinGroupRequest(
        group_id="group",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=10_000,
        member_id="",
        protocol_type="consumer",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
    )
    return await broker.groups.join(request, client_id="c", client_host="h", version=3)


@pytest.mark.parametrize("flush", [False, True])
def test_what_follows_from_a_decision_is_decided_once_that_is_in_the_log(run, flush):
    async def scenario(broker):
        await empty_consumer_group(broker)
        if flush:
            log = broker.partition("__consumer_offsets", 0)
            log.config = dataclasses.replace(log.config, flush_messages=1)
        assert (await join(broker)).generation_id == 1
        (listed,) = broker.groups.list_groups([], [])
        assert (listed.group_type, listed.group_state) == ("classic", "CompletingRebalance")

    run(scenario)


def test_a_request_that_is_answered_by_what_follows_is_refused_with_what_comes_before(run, monkeypatch):
    async def scenario(broker):
        await empty_consumer_group(broker)

        def refuse(*_arguments, **_options):
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR)

        with monkeypatch.context() as patch:
            patch.setattr(broker, "append", refuse)
            with pytest.raises(KafkaError) as error:
                await join(broker)
        assert error.value.code is ErrorCode.NOT_COORDINATOR
        assert (await join(broker)).generation_id == 1

    run(scenario)


def test_a_request_that_is_answered_by_what_follows_is_refused_if_that_is(run):
    async def scenario(broker):
        await empty_consumer_group(broker)
        request = JoinGroupRequest(
            group_id="group",
            session_timeout_ms=10_000,
            rebalance_timeout_ms=10_000,
            member_id="",
            protocol_type="consumer",
            protocols=[],
        )
        with pytest.raises(KafkaError) as error:
            await broker.groups.join(request, client_id="c", client_host="h", version=3)
        assert error.value.code is ErrorCode.INCONSISTENT_GROUP_PROTOCOL

    run(scenario)


def test_expressions_that_cannot_be_matched_now_are_matched_with_the_next_heartbeat(run, monkeypatch, caplog):
    async def scenario(broker):
        def request(epoch):
            return ConsumerGroupHeartbeatRequest(
                group_id="group",
                member_id="m",
                member_epoch=epoch,
                rebalance_timeout_ms=10_000 if epoch == 0 else -1,
                subscribed_topic_regex="da.*" if epoch == 0 else None,
                topic_partitions=[] if epoch == 0 else None,
            )

        async def beat(epoch):
            return await broker.groups.consumer_heartbeat(request(epoch), client_id="c", client_host="h", version=1)

        with monkeypatch.context() as patch:
            patch.setattr(matching, "matching", lambda *_: 1 / 0)
            answer = await beat(0)
            await until(lambda: "could not be matched" in caplog.text)
        while not answer.assignment or not answer.assignment.topic_partitions:
            await asyncio.sleep(0.01)
            answer = await beat(answer.member_epoch)

    run(scenario)


def test_a_topic_that_is_made_again_has_no_offsets(run):
    async def scenario(broker):
        await broker.groups.commit(offset_commit(5), 9)
        await broker.controller.delete_topics([broker.image.topics["data"]])
        await broker.controller.ensure_topics(["data"])
        assert fetched(broker.groups) == -1

    run(scenario)


def test_offsets_of_a_deleted_topic_that_a_crash_left_there_go_when_they_are_loaded(run, monkeypatch):
    async def scenario(broker):
        await broker.groups.commit(offset_commit(5), 9)
        monkeypatch.setattr(broker.groups, "forget_topic", lambda _topic: None)  # the crash came before that
        await broker.controller.delete_topics([broker.image.topics["data"]])
        for expected_end in (2, 2):  # the second start finds them deleted
            fresh = GroupCoordinator(broker)
            fresh.start()
            await loaded(fresh)
            assert fetched(fresh) == -1
            assert broker.partition("__consumer_offsets", 0).log_end_offset == expected_end
            await fresh.stop()

    run(scenario)


def test_more_offsets_of_a_deleted_topic_than_fit_into_a_batch_go_at_once(run, monkeypatch):
    async def scenario(broker):
        monkeypatch.setattr(group_core, "FORGOTTEN_PER_BATCH", 10)
        for number in range(35):
            request = offset_commit(5)
            request.group_id = f"group{number}"
            await broker.groups.commit(request, 9)
        assert len(list(broker.groups.committed())) == 35
        await broker.controller.delete_topics([broker.image.topics["data"]])
        assert list(broker.groups.committed()) == []
        assert broker.partition("__consumer_offsets", 0).log_end_offset == 70

    run(scenario)


def test_offsets_of_a_deleted_topic_that_the_log_refused_to_delete_go_later(run, monkeypatch):
    async def scenario(broker):
        await broker.groups.commit(offset_commit(5), 9)
        append = broker.append

        def full(log, *arguments, **options):
            if log.topic == "__consumer_offsets":
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left")
            return append(log, *arguments, **options)

        monkeypatch.setattr(group_core, "FORGETTING_RETRY_MS", 10)
        with monkeypatch.context() as patch:
            patch.setattr(broker, "append", full)
            await broker.controller.delete_topics([broker.image.topics["data"]])
            assert fetched(broker.groups) == 5
        await until(lambda: fetched(broker.groups) == -1)

    run(scenario)


# -- markers


async def begin(broker, *partitions):
    producer = await broker.transactions.init_producer_id("x", 60_000, None)
    await broker.transactions.add_partitions("x", producer, partitions)
    for topic, index in partitions:
        batch = build_batch(
            [NewRecord(b"", b"value", 0)],
            producer_id=producer.id,
            producer_epoch=producer.epoch,
            base_sequence=0,
            transactional=True,
        )
        broker.append(broker.partition(topic, index), batch)
    return producer


def test_markers_reach_the_partitions_and_the_offsets_before_anything_else_happens(run):
    async def scenario(broker):
        producer = await begin(broker, ("data", 0))
        await broker.transactions.add_partitions("x", producer, [("__consumer_offsets", 0)])
        await broker.groups.commit_in_transaction(transactional_commit(producer, 9))
        log = broker.partition("data", 0)
        assert (log.last_stable_offset, fetched(broker.groups)) == (0, -1)
        await broker.transactions.end("x", producer, commit=True, client_version=0)
        assert (log.last_stable_offset, fetched(broker.groups)) == (2, 9)
        assert broker.transactions.describe("x").state.title == "CompleteCommit"

    run(scenario)


def test_a_marker_that_a_partition_cannot_take_is_tried_again_and_the_others_are_not(run, monkeypatch):
    async def scenario(broker):
        await broker.controller.ensure_topics(["other"])
        producer = await begin(broker, ("data", 0), ("other", 0))
        data, other = broker.partition("data", 0), broker.partition("other", 0)
        append, attempts = broker.append, []

        def full(log, *arguments, **options):
            if log is data:
                attempts.append(1)
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left")
            return append(log, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(broker, "append", full)
            await broker.transactions.end("x", producer, commit=True, client_version=0)
            await until(lambda: len(attempts) == 3)
            assert broker.transactions.describe("x").state.title == "PrepareCommit"
            assert (data.last_stable_offset, other.last_stable_offset) == (0, 2)
        await until(lambda: broker.transactions.describe("x").state.title == "CompleteCommit")
        assert (data.last_stable_offset, other.log_end_offset) == (2, 2)

    run(scenario)


def test_a_transaction_is_not_complete_before_its_markers_are_flushed_where_the_topic_asks_for_it(run, monkeypatch):
    async def scenario(broker):
        producer = await begin(broker, ("data", 0))
        log = broker.partition("data", 0)
        log.config = dataclasses.replace(log.config, flush_messages=1)
        flushing, flushed = asyncio.Event(), asyncio.Event()

        async def hold(_log):
            flushing.set()
            await flushed.wait()

        monkeypatch.setattr(broker.logs, "flush", hold)
        await broker.transactions.end("x", producer, commit=True, client_version=0)
        await flushing.wait()
        assert broker.transactions.describe("x").state.title == "PrepareCommit"
        flushed.set()
        await until(lambda: broker.transactions.describe("x").state.title == "CompleteCommit")

    run(scenario)


def test_no_marker_tells_of_an_outcome_that_the_disk_could_still_lose_whoever_else_asks_meanwhile(run, monkeypatch):
    async def scenario(broker):
        producer = await begin(broker, ("data", 0))
        other = await broker.transactions.init_producer_id("y", 60_000, None)
        await broker.transactions.add_partitions("y", other, [("data", 0)])
        log, state = broker.partition("data", 0), broker.partition("__transaction_state", 0)
        flush, flushed = broker.logs.flush, asyncio.Event()

        async def hold(partition_log):
            await flushed.wait()
            await flush(partition_log)

        monkeypatch.setattr(broker.logs, "flush", hold)
        state.config = dataclasses.replace(state.config, flush_messages=1)
        ending = asyncio.create_task(broker.transactions.end("x", producer, commit=True, client_version=0))
        await until(lambda: broker.transactions.describe("x").state.title == "PrepareCommit")
        await broker.transactions.add_partitions("y", other, [("data", 0)])  # nothing new: answered at once
        assert not ending.done()
        assert log.last_stable_offset == 0
        flushed.set()
        await ending
        await until(lambda: broker.transactions.describe("x").state.title == "CompleteCommit")
        assert log.last_stable_offset == 2

    run(scenario)


def test_an_outcome_that_a_full_disk_keeps_from_being_flushed_is_carried_out_once_there_is_room(run, monkeypatch):
    async def scenario(broker):
        producer = await begin(broker, ("data", 0))
        log, state = broker.partition("data", 0), broker.partition("__transaction_state", 0)
        flush = broker.logs.flush

        async def full(_log):
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left")

        monkeypatch.setattr(runtime, "FLUSH_RETRY_MS", 10)
        monkeypatch.setattr(broker.logs, "flush", full)
        state.config = dataclasses.replace(state.config, flush_messages=1)
        with pytest.raises(KafkaError) as error:
            await broker.transactions.end("x", producer, commit=True, client_version=0)
        assert error.value.code is ErrorCode.NOT_COORDINATOR
        assert log.last_stable_offset == 0
        monkeypatch.setattr(broker.logs, "flush", flush)
        await until(lambda: broker.transactions.describe("x").state.title == "CompleteCommit")
        assert log.last_stable_offset == 2

    run(scenario)


def test_a_transaction_whose_topic_was_deleted_completes(run):
    async def scenario(broker):
        producer = await begin(broker, ("data", 0))
        await broker.controller.delete_topics([broker.image.topics["data"]])
        await broker.transactions.end("x", producer, commit=True, client_version=0)
        assert broker.transactions.describe("x").state.title == "CompleteCommit"

    run(scenario)


def test_a_coordinator_that_starts_sends_the_markers_that_its_predecessor_owed(run, monkeypatch):
    async def scenario(broker):
        producer = await begin(broker, ("data", 0))
        with monkeypatch.context() as patch:
            patch.setattr(broker.transactions, "_write_marker", lambda *_: False)
            await broker.transactions.end("x", producer, commit=True, client_version=0)
        await broker.transactions.stop()
        assert broker.partition("data", 0).last_stable_offset == 0
        broker.transactions = TransactionCoordinator(broker)
        broker.transactions.start()
        await until(lambda: broker.partition("data", 0).last_stable_offset == 2)
        assert broker.transactions.describe("x").state.title == "CompleteCommit"

    run(scenario)


def test_producer_ids_without_a_transactional_id_are_all_different(run):
    async def scenario(broker):
        given = [await broker.transactions.init_producer_id(None, 0, None) for _ in range(2_500)]
        assert len({producer.id for producer in given}) == len(given)
        assert {producer.epoch for producer in given} == {0}
        with pytest.raises(KafkaError) as error:
            await broker.transactions.init_producer_id("", 60_000, None)
        assert error.value.code is ErrorCode.INVALID_REQUEST

    run(scenario)


# -- a topic that is deleted


def join_request():
    protocols = [JoinGroupRequestProtocol(name="range", metadata=b"")]
    return JoinGroupRequest(
        group_id="group",
        member_id="",
        session_timeout_ms=10_000,
        rebalance_timeout_ms=60_000,
        protocol_type="consumer",
        protocols=protocols,
    )


def test_with_the_topic_of_the_offsets_go_the_groups_and_others_can_be_made(run):
    async def scenario(broker):
        await broker.groups.commit(offset_commit(5), 9)
        join = {"client_id": "c", "client_host": "/1", "version": 3}
        leader = await broker.groups.join(join_request(), **join)
        waiting = asyncio.create_task(broker.groups.join(join_request(), **join))
        await asyncio.sleep(0)
        assert not waiting.done()
        await broker.controller.delete_topics([broker.image.topics["__consumer_offsets"]])
        with pytest.raises(KafkaError) as refusal:
            await waiting
        assert refusal.value.code is ErrorCode.NOT_COORDINATOR
        assert code_of(broker.groups.describe, "group") is ErrorCode.COORDINATOR_NOT_AVAILABLE
        assert broker.groups.list_groups([], []) == []
        await broker.groups.locate("group")
        assert fetched(broker.groups) == -1
        await broker.groups.commit(offset_commit(6), 9)
        assert fetched(broker.groups) == 6
        assert (await broker.groups.join(join_request(), **join)).member_id != leader.member_id

    run(scenario)


def test_with_the_topic_of_the_transactions_go_the_ids_and_others_can_be_made(run):
    async def scenario(broker):
        first = await broker.transactions.init_producer_id("x", 60_000, None)
        await broker.transactions.add_partitions("x", first, [("data", 0)])
        await broker.controller.delete_topics([broker.image.topics["__transaction_state"]])
        assert code_of(broker.transactions.describe, "x") is ErrorCode.COORDINATOR_NOT_AVAILABLE
        await broker.transactions.locate("x")
        second = await broker.transactions.init_producer_id("x", 60_000, None)
        assert second.id != first.id
        await broker.transactions.add_partitions("x", second, [("data", 0)])
        await broker.transactions.end("x", second, commit=True, client_version=0)

    run(scenario)
