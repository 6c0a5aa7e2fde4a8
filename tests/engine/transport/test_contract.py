"""One suite for every transport: what a worker may rely on, whichever broker it meets."""

import asyncio
from collections.abc import Callable

import pytest

from ottla.transport.contract import (
    Message,
    OffsetRange,
    OutputRecord,
    TopicPartition,
    TopicSpec,
)
from ottla.transport.errors import (
    FatalTransportError,
    TransportError,
)

from .bench import DEADLINE_S, NOW_MS, Bench, Scenario, ints, read_all, values, write


def test_topics_are_created_once_and_described(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        transport = await bench.start()
        assert await transport.partition_counts([bench.source]) == {}
        await transport.create_topics(
            [TopicSpec(bench.source, 3), TopicSpec(bench.sink, 1, {"cleanup.policy": "compact"})]
        )
        await transport.create_topics([TopicSpec(bench.source, 5)])
        assert await transport.partition_counts([bench.source, bench.sink, "missing"]) == {
            bench.source: 3,
            bench.sink: 1,
        }
        found = await transport.topics()
        assert (found[bench.source], found[bench.sink]) == (3, 1)
        assert "missing" not in found

    play(scenario)


def test_a_topic_has_its_partition_count_and_an_id_of_its_own(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics(source_partitions=3)
        states = await outside.topic_states([bench.source, bench.sink, "no-such-topic"])
        assert {topic: state.partitions for topic, state in states.items()} == {bench.source: 3, bench.sink: 1}
        assert len({state.id for state in states.values()} - {None}) == 2
        assert await outside.topic_states([bench.source]) == {bench.source: states[bench.source]}

    play(scenario)


def test_messages_arrive_as_they_were_written(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        await outside.produce(
            [
                OutputRecord(bench.source, b"key", b"value", NOW_MS, [("a", b"1"), ("a", None)], 0),
                OutputRecord(bench.source, None, b"", NOW_MS, None, 0),
                OutputRecord(bench.source, b"", None, NOW_MS, [], 0),
            ]
        )
        await outside.commit({})
        transport, _ = await bench.reader()
        messages: list[Message] = []
        while len(messages) < 3:
            messages += (await transport.poll(100, 0.5)).messages.get(TopicPartition(bench.source, 0), [])
        first, second, third = messages
        assert (first.topic(), first.partition(), first.offset()) == (bench.source, 0, 0)
        assert (first.key(), first.value(), first.timestamp()) == (b"key", b"value", (1, NOW_MS))
        assert first.headers() == [("a", b"1"), ("a", None)]
        assert (second.key(), second.value(), second.headers() or None) == (None, b"", None)
        assert (third.key(), third.value(), third.offset()) == (b"", None, 2)

    play(scenario)


def test_offsets_are_found_by_time(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        times = [NOW_MS, NOW_MS + 10, NOW_MS + 20]
        await outside.produce([OutputRecord(bench.source, b"k", b"v", time, None, 0) for time in times])
        await outside.commit({})
        where = TopicPartition(bench.source, 0)
        for asked, expected in ((0, 0), (NOW_MS + 5, 1), (NOW_MS + 20, 2)):
            assert await outside.offsets_at([where], asked) == {where: expected}
        # A transaction's marker may come later, and have a later time.
        ends = (3, 4)
        assert (await outside.offsets_at([where], "latest"))[where] in ends
        assert (await outside.offsets_at([where], NOW_MS + 21))[where] in ends

    play(scenario)


def test_equal_keys_meet_in_the_partition_that_java_clients_choose(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics(source_partitions=6)
        keys = [b"UA", b"DL", b"a-little-bit-long-string", b""]
        await outside.produce([OutputRecord(bench.source, key, b"", NOW_MS) for key in keys])
        await outside.commit({})
        found = {}
        for partition in range(6):
            for message in await read_all(outside, bench.source, partition):
                found[message.key()] = partition
        # Of org.apache.kafka.common.utils.Utils.murmur2.
        assert found == {b"UA": 4, b"DL": 5, b"a-little-bit-long-string": 2, b"": 3}

    play(scenario)


def test_nothing_is_read_until_that_is_started_and_after_it_is_stopped(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        await bench.fill(outside, range(3))
        source = TopicPartition(bench.source, 0)
        transport, listener = await bench.member()
        assert listener.partitions == [source]
        for _ in range(3):
            assert (await transport.poll(10, 0.1)).messages == {}
        transport.start_reading({source: 1})
        assert await values(transport, 2) == [1, 2]
        transport.stop_reading([source])
        await bench.fill(outside, [3])
        assert (await transport.poll(10, 0.3)).messages == {}
        transport.start_reading({source: 2})
        assert await values(transport, 2) == [2, 3]

    play(scenario)


def test_a_poll_takes_no_more_than_it_was_asked_for(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.fill(await bench.topics(), range(50))
        transport, _ = await bench.reader()
        sizes, total = [], 0
        while total < 50:
            polled = await transport.poll(20, 0.5)
            sizes.append(sum(map(len, polled.messages.values())))
            total += sizes[-1]
        assert total == 50
        assert max(sizes) <= 20

    play(scenario)


def test_the_end_of_a_partition_is_told_beyond_the_marker_of_a_transaction(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics(source_partitions=2)
        await bench.fill(outside, range(3))
        transport, _ = await bench.reader()
        ends: dict[TopicPartition, int] = {}
        while ends != {TopicPartition(bench.source, 0): 4, TopicPartition(bench.source, 1): 0}:
            ends |= (await transport.poll(100, 0.5)).ends
        await bench.fill(outside, [3])
        while ends[TopicPartition(bench.source, 0)] < 6:
            ends |= (await transport.poll(100, 0.5)).ends

    play(scenario)


def test_a_paused_partition_brings_nothing_until_it_is_resumed(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics(source_partitions=2)
        transport, _ = await bench.reader()
        await transport.poll(10, 0.1)
        transport.pause([TopicPartition(bench.source, 0)])
        await bench.fill(outside, [1, 2], partition=0)
        await bench.fill(outside, [11, 12], partition=1)
        assert await values(transport, 2) == [11, 12]
        assert (await transport.poll(10, 0.2)).messages == {}
        transport.resume([TopicPartition(bench.source, 0)])
        assert await values(transport, 2) == [1, 2]

    play(scenario)


@pytest.mark.parametrize("position", [2, 1_000])
def test_an_offset_that_is_not_there_is_told_and_waits_for_another(
    play: Callable[[Scenario], None], position: int
) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        source = TopicPartition(bench.source, 0)
        await bench.fill(outside, range(6))
        await outside.delete_records({source: 4})
        transport, _ = await bench.member()
        transport.start_reading({source: position})
        while not (polled := await transport.poll(10, 0.5)).missing:
            assert not polled.messages
        assert polled.missing == {source: position}
        assert not (await transport.poll(10, 0.2)).messages
        transport.stop_reading([source])
        transport.start_reading({source: 4})
        assert await values(transport, 2) == [4, 5]

    play(scenario)


def test_a_partition_that_is_begun_anew_is_not_paused_any_more(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        source = TopicPartition(bench.source, 0)
        await bench.fill(await bench.topics(), [1, 2])
        transport, _ = await bench.reader()
        assert await values(transport, 2) == [1, 2]
        # When a partition is paused that is to be read again from where it was committed, as after an aborted commit
        transport.pause([source])
        transport.stop_reading([source])
        transport.start_reading({source: 1})
        # Then it is read
        assert await values(transport, 1) == [2]

    play(scenario)


@pytest.mark.parametrize("exactly_once", [True, False])
def test_a_commit_settles_records_and_offsets(play: Callable[[Scenario], None], exactly_once: bool) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        await bench.fill(outside, range(5))
        transport, _ = await bench.reader(exactly_once=exactly_once)
        source, sink = TopicPartition(bench.source, 0), TopicPartition(bench.sink, 0)
        assert await values(transport, 5) == [0, 1, 2, 3, 4]
        await transport.produce([bench.record(number, bench.sink) for number in (7, 8)])
        await transport.produce([OutputRecord(bench.sink, b"k", b"9", NOW_MS)])
        ends = await transport.commit({source: 3})
        # Only records addressed to a partition by number count: the last of them has offset 1.
        assert ends == {sink: 2}
        assert await transport.committed([source, sink]) == {source: 3}
        assert [message.value() for message in await read_all(outside, bench.sink)] == [b"7", b"8", b"9"]
        await transport.produce([bench.record(10, bench.sink)])
        assert (await transport.commit({}))[sink] > 3
        assert await transport.commit({}) == {}
        await transport.stop()
        successor, _ = await bench.member(exactly_once=exactly_once)
        successor.start_reading(await successor.committed([source]))
        assert await values(successor, 2) == [3, 4]

    play(scenario)


@pytest.mark.parametrize("exactly_once", [True, False])
def test_changes_are_the_records_of_one_partition(play: Callable[[Scenario], None], exactly_once: bool) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        transport, _ = await bench.reader(exactly_once=exactly_once)
        sink = TopicPartition(bench.sink, 0)
        await transport.produce_changes(sink, [], NOW_MS)
        assert await transport.commit({}) == {}
        await transport.produce_changes(sink, [(b"a", b"1"), (b"b", None), (b"c", b"")], NOW_MS)
        ends = await transport.commit({})
        written = await read_all(outside, bench.sink)
        assert [(each.key(), each.value()) for each in written] == [(b"a", b"1"), (b"b", None), (b"c", b"")]
        assert {each.timestamp()[1] for each in written} == {NOW_MS}
        assert ends == {sink: written[-1].offset() + 1}

    play(scenario)


def test_an_aborted_transaction_is_never_seen_and_is_read_again(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        await bench.fill(outside, range(4))
        transport, _ = await bench.reader()
        source = TopicPartition(bench.source, 0)
        assert await values(transport, 4) == [0, 1, 2, 3]
        await transport.produce([bench.record(1, bench.sink)])
        await transport.commit({source: 1})
        await transport.produce([bench.record(2, bench.sink)])
        await transport.abort()
        transport.stop_reading([source])
        transport.start_reading({source: 1})
        assert await values(transport, 3) == [1, 2, 3]
        await transport.produce([bench.record(3, bench.sink)])
        await transport.commit({source: 4})
        assert [message.value() for message in await read_all(outside, bench.sink)] == [b"1", b"3"]

    play(scenario)


def test_at_least_once_records_are_produced_while_a_commit_is_under_way(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        transport, _ = await bench.member(exactly_once=False)
        source = TopicPartition(bench.source, 0)
        await transport.produce([bench.record(number, bench.sink) for number in range(100)])
        committing = asyncio.create_task(transport.commit({source: 1}))
        for number in range(100, 200):
            await transport.produce([bench.record(number, bench.sink)])
            transport.push()
            await asyncio.sleep(0)
        written = await committing
        assert written[TopicPartition(bench.sink, 0)] >= 100
        assert written | await transport.commit({source: 2}) == {TopicPartition(bench.sink, 0): 200}
        assert [message.value() for message in await read_all(outside, bench.sink)] == [b"%d" % n for n in range(200)]
        assert await transport.committed([source]) == {source: 2}

    play(scenario)


def test_what_a_dead_worker_left_open_is_dropped_by_its_successor(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        dead = await bench.start()
        await dead.produce([bench.record(1, bench.sink)])
        successor = await bench.start()
        await successor.produce([bench.record(2, bench.sink)])
        await successor.commit({})
        assert [message.value() for message in await read_all(outside, bench.sink)] == [b"2"]
        with pytest.raises(FatalTransportError, match="worker id"):
            await dead.commit({})

    play(scenario)


def test_reading_brings_a_range_of_many_partitions(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics(source_partitions=3)
        await bench.fill(outside, range(10), partition=0)
        await bench.fill(outside, range(20, 25), partition=2)
        partitions = [TopicPartition(bench.source, number) for number in range(3)]
        whole = dict(zip(partitions, [(0, 11), (0, 0), (0, 6)], strict=True))
        # Kafka writes its markers a little after the commit.
        while (ranges := await outside.offset_ranges(partitions)) != whole:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        ranges[partitions[0]] = OffsetRange(2, 8)
        found: dict[TopicPartition, list[int]] = {}
        async for batch in outside.read(ranges):
            for where, messages in batch.items():
                found.setdefault(where, []).extend(int(message.value() or b"") for message in messages)
        assert found == {partitions[0]: [2, 3, 4, 5, 6, 7], partitions[2]: [20, 21, 22, 23, 24]}

    play(scenario)


def test_records_before_an_offset_are_deleted(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics(source_partitions=2)
        where, other = (TopicPartition(bench.source, number) for number in range(2))
        for partition in range(2):
            await bench.fill(outside, range(10), partition=partition)
        await outside.delete_records({where: 4})
        await outside.delete_records({where: 2})  # They are gone already.
        expected = {where: OffsetRange(4, 11), other: OffsetRange(0, 11)}
        while await outside.offset_ranges([where, other]) != expected:  # noqa: ASYNC110 - of markers, as above
            await asyncio.sleep(0.05)
        with pytest.raises(TransportError, match="deleting records of"):
            await outside.delete_records({where: 1_000})

    play(scenario)


def test_reading_waits_until_a_transaction_that_is_open_is_decided(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        await bench.fill(outside, [1])
        writer = await bench.start()
        await writer.produce([bench.record(number) for number in (2, 3)])
        reading = asyncio.create_task(read_all(outside, bench.source))
        await asyncio.sleep(0.1)
        await writer.commit({})
        found = [message.value() for message in await reading]
        # Whether the reader found the records at the end, and had to wait, is up to when they were sent.
        assert found in ([b"1"], [b"1", b"2", b"3"])

    play(scenario)


def test_a_producer_that_is_renewed_begins_with_nothing_produced(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        writer = await bench.start()
        await writer.produce([bench.record(1)])
        await writer.renew()
        await writer.produce([bench.record(2)])
        await writer.commit({})
        assert [message.value() for message in await read_all(outside, bench.source)] == [b"2"]

    play(scenario)


def test_a_poll_under_way_brings_nothing_of_what_is_followed_no_more(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics(source_partitions=2)
        kept, given_up = TopicPartition(bench.source, 0), TopicPartition(bench.source, 1)
        follower = outside.follower()
        follower.add({kept: 0, given_up: 0})
        async with asyncio.timeout(DEADLINE_S):
            ends: set[TopicPartition] = set()
            while len(ends) < 2:
                ends |= (await follower.poll(0.2)).ends.keys()
            polling = asyncio.create_task(follower.poll(0.5))
            await asyncio.sleep(0.05)
            follower.remove([given_up])
            await bench.fill(outside, [1], partition=1)
            assert ints(await polling) == []
            await bench.fill(outside, [2], partition=0)
            found: list[int] = []
            while not found:
                found += ints(await follower.poll(0.2))
        assert found == [2]
        await follower.close()

    play(scenario)


def test_following_goes_on_as_more_is_committed(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics(source_partitions=2)
        await bench.fill(outside, range(5), partition=0)
        await bench.fill(outside, [20], partition=1)
        writer = await bench.start()
        found: list[int] = []
        positions = {TopicPartition(bench.source, 0): 3, TopicPartition(bench.source, 1): 0}
        follower = outside.follower()
        follower.add(positions)
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < 3:
                found += ints(await follower.poll(0.2))
            assert sorted(found) == [3, 4, 20]
            await writer.produce([bench.record(number) for number in (5, 6)])
            await writer.abort()
            await writer.produce([bench.record(number) for number in (7, 8)])
            await writer.commit({})
            while len(found) < 5:
                found += ints(await follower.poll(0.2))
        assert found[3:] == [7, 8]
        follower.remove([TopicPartition(bench.source, 0)])
        await follower.poll(0.01)
        await bench.fill(outside, [30], partition=0)
        await bench.fill(outside, [21], partition=1)
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < 6:
                found += ints(await follower.poll(0.2))
        assert found[5:] == [21]
        await follower.close()

    play(scenario)


def test_writing_to_a_partition_that_does_not_exist_fails_in_one_sentence(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        transport = await bench.start()
        await bench.topics()
        with pytest.raises(TransportError, match=bench.sink):
            await write(transport, bench.record(1, bench.sink, partition=7))

    play(scenario)
