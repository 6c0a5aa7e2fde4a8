"""Fetch: what is returned, when, and what a session leaves out."""

import asyncio
from typing import Any

import pytest

from ottla_broker.fetch_sessions import EVICTION_MS
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic
from ottla_wire.records import Compression, NewRecord, build_batch


def first(response: Any) -> Any:
    return response.responses[0].partitions[0]


@pytest.mark.parametrize("version", range(4, 13))
def test_records_are_read_in_every_version(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a", b"b")
        response = await client.fetch("t", 0, version=version)
        assert await client.read("t", 0, version=version) == [b"a", b"b"]
        assert (first(response).high_watermark, first(response).last_stable_offset) == (2, 2)
        assert first(response).preferred_read_replica == -1
        assert first(response).aborted_transactions is None

    with_client(scenario)


@pytest.mark.parametrize("version", [13, 16, 18])
def test_topics_are_named_by_id_from_version_13(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a")
        topic_id = client.node.broker.image.topics["t"].id
        partition = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1000)
        known = FetchTopic(topic_id=topic_id, partitions=[partition])
        unknown = FetchTopic(topic_id=type(topic_id)(int=77), partitions=[partition])
        response = await client.ask(FetchRequest(max_wait_ms=0, min_bytes=1, topics=[known, unknown]), version)
        assert response.responses[0].topic_id == topic_id
        assert first(response).records
        assert response.responses[1].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID

    with_client(scenario)


def test_21_the_end_of_the_log_is_empty_and_beyond_it_is_an_error(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a")
        assert await client.read("t", 1) == []
        assert first(await client.fetch("t", 2)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        assert first(await client.fetch("t", -1)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
        assert first(await client.fetch("other", 0)).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


def test_20_the_first_batch_is_returned_even_if_it_is_larger_than_asked_for(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", bytes(5000))
        await client.produce("t", b"b")
        assert await client.read("t", 0, partition_max_bytes=100, max_bytes=100) == [bytes(5000)]

    with_client(scenario)


def test_max_bytes_bounds_what_several_partitions_return_together(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=3)
        for index in range(3):
            await client.produce("t", bytes(1000), index=index)
        partitions = [FetchPartition(partition=n, fetch_offset=0, partition_max_bytes=10_000) for n in range(3)]
        response = await client.ask(
            FetchRequest(
                max_wait_ms=0, min_bytes=1, max_bytes=2500, topics=[FetchTopic(topic="t", partitions=partitions)]
            ),
            12,
        )
        assert [bool(partition.records) for partition in response.responses[0].partitions] == [True, True, False]

    with_client(scenario)


def test_a_fetch_waits_for_records_and_is_woken_by_an_append(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        waiting = asyncio.ensure_future(client.read("t", 0, max_wait_ms=30_000))
        await client.settle(parked=1)
        assert not waiting.done()
        assert len(client.node.broker.waits) == 1
        await client.produce("t", b"a")
        assert await asyncio.wait_for(waiting, 30) == [b"a"]
        assert len(client.node.broker.waits) == 0

    with_client(scenario)


def test_a_fetch_waits_until_min_bytes_are_there(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        waiting = asyncio.ensure_future(client.read("t", 0, max_wait_ms=30_000, min_bytes=2_500))
        for count in range(1, 4):
            await client.settle(parked=1)
            assert not waiting.done(), count
            await client.produce("t", bytes(1000))
        assert len(await asyncio.wait_for(waiting, 30)) == 3

    with_client(scenario)


def test_a_partition_that_is_named_twice_is_read_once(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a", b"b")
        named = [FetchPartition(partition=0, fetch_offset=at, partition_max_bytes=1000) for at in (0, 2)]
        topics = [FetchTopic(topic="t", partitions=[each]) for each in named]
        waiting = asyncio.create_task(
            client.ask(FetchRequest(max_wait_ms=60_000, min_bytes=1, session_epoch=-1, topics=topics), 11)
        )
        await client.settle(parked=1)
        await client.produce("t", b"c")
        response = await waiting
        assert [len(topic.partitions) for topic in response.responses] == [1]
        await client.settle()
        assert len(client.node.broker.waits) == 0

    with_client(scenario)


def test_a_fetch_that_waits_in_vain_is_answered_after_max_wait(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert await client.read("t", 0, max_wait_ms=60) == []
        assert 0.05 <= loop.time() - begun < 5

    with_client(scenario)


def test_an_error_is_answered_without_waiting(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        response = await asyncio.wait_for(client.fetch("other", 0, max_wait_ms=60_000), 30)
        assert first(response).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


def test_a_fetch_that_waits_for_a_topic_learns_of_its_deletion(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        waiting = asyncio.ensure_future(client.fetch("t", 0, max_wait_ms=60_000))
        await client.settle(parked=1)
        broker = client.node.broker
        assert await broker.controller.delete_topics([broker.image.topics["t"]]) == [None]
        response = await asyncio.wait_for(waiting, 30)
        assert first(response).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    with_client(scenario)


def test_26_a_leader_epoch_that_is_not_ours_is_fenced_or_unknown(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a")
        await client.change("t", leader=1)
        await client.change("t", leader=1)
        codes = [first(await client.fetch("t", 0, current_leader_epoch=epoch)).error_code for epoch in range(-1, 4)]
        fenced, unknown = ErrorCode.FENCED_LEADER_EPOCH, ErrorCode.UNKNOWN_LEADER_EPOCH
        assert codes == [0, fenced, fenced, 0, unknown]

    with_client(scenario)


def test_who_leads_instead_is_named_with_an_address(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        topic_id = client.node.broker.image.topics["t"].id
        await client.add_broker(2, "second.example")
        await client.change("t", 0, leader=2)
        await client.change("t", 1, leader=1)
        partitions = [
            FetchPartition(partition=n, fetch_offset=0, partition_max_bytes=1000, current_leader_epoch=0)
            for n in range(2)
        ]
        topics = [FetchTopic(topic="t", topic_id=topic_id, partitions=partitions)]
        response = await client.ask(FetchRequest(max_wait_ms=0, min_bytes=1, topics=topics), 16)
        elsewhere, stale = response.responses[0].partitions
        assert (elsewhere.error_code, stale.error_code) == (
            ErrorCode.NOT_LEADER_OR_FOLLOWER,
            ErrorCode.FENCED_LEADER_EPOCH,
        )
        assert [(p.current_leader.leader_id, p.current_leader.leader_epoch) for p in (elsewhere, stale)] == [
            (2, 1),
            (1, 1),
        ]
        assert [(node.node_id, node.host, node.port) for node in response.node_endpoints] == [
            (1, "127.0.0.1", client.node.address.port),
            (2, "second.example", 9092),
        ]
        before = await client.ask(FetchRequest(max_wait_ms=0, min_bytes=1, topics=topics), 15)
        assert before.responses[0].partitions[0].current_leader is None

    with_client(scenario)


def test_12_zstd_needs_version_10(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a")
        await client.produce("t", b"b", compression=Compression.ZSTD)
        assert await client.read("t", 0, version=10) == [b"a", b"b"]
        refused = first(await client.fetch("t", 0, version=9))
        assert (refused.error_code, bytes(refused.records)) == (ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, b"")
        assert await client.read("t", 0, version=9, partition_max_bytes=1) == [b"a"]

    with_client(scenario)


def test_25_no_other_replica_is_preferred_when_there_are_records(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a")
        for version in (11, 12):
            answer = first(await client.fetch("t", 0, version=version, rack_id="somewhere else"))
            assert answer.records
            assert answer.preferred_read_replica == -1

    with_client(scenario)


def test_27_a_history_that_parts_from_ours_is_reported_by_the_diverging_epoch(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a")
        assert await client.read("t", 1, last_fetched_epoch=0) == []
        log = client.node.broker.partition("t", 0)
        log.append(build(b"b"), leader_epoch=2, now_ms=0)
        log.update_high_watermark(2)
        diverged = first(await client.fetch("t", 2, last_fetched_epoch=0, max_wait_ms=60_000))
        assert diverged.error_code == 0
        assert (diverged.diverging_epoch.epoch, diverged.diverging_epoch.end_offset) == (0, 1)
        assert (diverged.high_watermark, diverged.log_start_offset) == (2, 0)
        assert not diverged.records
        assert await client.read("t", 1, last_fetched_epoch=0) == [b"b"]
        agreed = first(await client.fetch("t", 2, last_fetched_epoch=2))
        assert (agreed.error_code, agreed.diverging_epoch) == (0, None)

    with_client(scenario)


@pytest.mark.parametrize("version", [11, 12])
def test_27_versions_before_12_say_nothing_of_the_epoch_last_fetched(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        await client.produce("t", b"a")
        fields = {"last_fetched_epoch": 7} if version >= 12 else {}
        answer = first(await client.fetch("t", 1, version=version, **fields))
        assert answer.error_code == (ErrorCode.OFFSET_OUT_OF_RANGE if fields else 0)

    with_client(scenario)


def test_27_below_the_log_start_a_diverging_history_is_out_of_range(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        log = client.node.broker.partition("t", 0)
        for epoch, value in enumerate((b"a", b"b", b"c")):
            log.append(build(value), leader_epoch=2 * epoch, now_ms=0)
        log.update_high_watermark(3)
        log.delete_records_before(2)
        assert first(await client.fetch("t", 1, last_fetched_epoch=3)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE

    with_client(scenario)


def build(value: bytes) -> bytearray:
    return build_batch([NewRecord(b"k", value, 1_000)])


def asked(*offsets: int) -> list[FetchTopic]:
    partitions = [
        FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1 << 20)
        for index, offset in enumerate(offsets)
    ]
    return [FetchTopic(topic="t", partitions=partitions)]


async def in_session(client: Any, session_id: int, epoch: int, topics: list[FetchTopic], **fields: Any) -> Any:
    return await client.ask(
        FetchRequest(max_wait_ms=0, min_bytes=1, session_id=session_id, session_epoch=epoch, topics=topics, **fields),
        12,
    )


def indexes(response: Any) -> list[int]:
    return [partition.partition_index for topic in response.responses for partition in topic.partitions]


def test_22_a_session_leaves_out_what_has_no_news(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=3)
        opened = await in_session(client, 0, 0, asked(0, 0, 0))
        assert opened.session_id > 0
        assert indexes(opened) == [0, 1, 2]
        assert indexes(await in_session(client, opened.session_id, 1, [])) == []
        await client.produce("t", b"a", index=1)
        assert indexes(await in_session(client, opened.session_id, 2, [])) == [1]
        forgotten = [ForgottenTopic(topic="t", partitions=[1])]
        response = await in_session(client, opened.session_id, 3, [], forgotten_topics_data=forgotten)
        assert indexes(response) == []
        assert response.session_id == opened.session_id

    with_client(scenario)


def test_22_a_session_that_is_unknown_or_out_of_step_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        assert (await in_session(client, 4711, 1, [])).error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        opened = await in_session(client, 0, 0, asked(0))
        stale = await in_session(client, opened.session_id, 5, [])
        assert stale.error_code == ErrorCode.INVALID_FETCH_SESSION_EPOCH

    with_client(scenario)


def test_22_a_closed_session_is_answered_in_full_and_forgotten(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        opened = await in_session(client, 0, 0, asked(0))
        closing = await in_session(client, opened.session_id, -1, asked(0))
        assert closing.session_id == 0
        assert indexes(closing) == [0]
        gone = await in_session(client, opened.session_id, 1, [])
        assert gone.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND

    with_client(scenario)


def test_22_sessions_have_slots_of_which_the_stale_ones_are_given_away(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        broker = client.node.broker
        now_ms = broker.clock()
        broker.clock = lambda: now_ms
        opened = [(await in_session(client, 0, 0, asked(0))).session_id for _ in range(3)]
        assert [bool(session_id) for session_id in opened] == [True, True, False]
        now_ms += EVICTION_MS
        assert (await in_session(client, opened[1], 1, [])).error_code == 0
        now_ms += 1
        assert (await in_session(client, 0, 0, asked(0))).session_id != 0
        gone = await in_session(client, opened[0], 1, [])
        assert gone.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        assert (await in_session(client, opened[1], 2, [])).error_code == 0

    with_client(scenario, max_incremental_fetch_session_cache_slots=2)


def test_22_a_session_that_has_forgotten_everything_is_over(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        opened = await in_session(client, 0, 0, asked(0))
        forgotten = [ForgottenTopic(topic="t", partitions=[0])]
        last = await in_session(client, opened.session_id, 1, [], forgotten_topics_data=forgotten)
        assert (last.error_code, last.session_id, indexes(last)) == (0, 0, [])
        gone = await in_session(client, opened.session_id, 2, [])
        assert gone.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND

    with_client(scenario)


def test_22_a_session_names_topics_by_name_or_by_id_but_not_by_both(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        opened = await in_session(client, 0, 0, asked(0))
        request = FetchRequest(
            max_wait_ms=0,
            min_bytes=1,
            session_id=opened.session_id,
            session_epoch=1,
            topics=[],
            forgotten_topics_data=[],
        )
        assert (await client.ask(request, 13)).error_code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR

    with_client(scenario)


def test_22_an_error_is_news_and_so_is_its_end(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        opened = await in_session(client, 0, 0, asked(0))
        assert indexes(await in_session(client, opened.session_id, 1, [])) == []
        await client.change("t", leader=2)
        failed = await in_session(client, opened.session_id, 2, [])
        assert first(failed).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        await client.change("t", leader=1)
        assert first(await in_session(client, opened.session_id, 3, [])).error_code == 0
        assert indexes(await in_session(client, opened.session_id, 4, [])) == []

    with_client(scenario)


def test_no_id_is_an_unknown_id(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        partition = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1000)
        request = FetchRequest(max_wait_ms=0, min_bytes=1, topics=[FetchTopic(partitions=[partition])])
        (answered,) = (await client.ask(request, 13)).responses[0].partitions
        assert answered.error_code == ErrorCode.UNKNOWN_TOPIC_ID
        assert answered.aborted_transactions == []

    with_client(scenario)


@pytest.mark.parametrize("version", [4, 12])
def test_a_topic_without_a_name_is_an_unknown_topic(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        partition = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1000)
        request = FetchRequest(max_wait_ms=0, min_bytes=1, topics=[FetchTopic(partitions=[partition])])
        answered = first(await client.ask(request, version))
        assert answered.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert answered.aborted_transactions == []

    with_client(scenario)


def test_beyond_the_end_there_is_no_list_of_aborted_transactions(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        answered = first(await client.fetch("t", 7, version=12))
        assert (answered.error_code, answered.aborted_transactions) == (ErrorCode.OFFSET_OUT_OF_RANGE, None)

    with_client(scenario)
