"""One suite for every transport: what a worker may rely on, whichever broker it meets."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ottla.transport.contract import (
    Membership,
    Message,
    OffsetRange,
    OutputRecord,
    Polled,
    TopicPartition,
    TopicSpec,
    Transport,
)
from ottla.transport.errors import (
    FatalTransportError,
    MemberFencedError,
    TransactionAbortedError,
    TransportError,
)

DEADLINE_S = 30.0
# A cluster deletes records that are older than its retention, and refuses those from the future.
NOW_MS = int(time.time() * 1000) - 60_000


class Listener:
    """Notes what it is told, and the membership at that time."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.partitions: list[TopicPartition] = []
        self.memberships: list[Membership] = []
        self.losses = 0

    async def joined(self, partitions: Sequence[TopicPartition]) -> None:
        self.partitions = sorted(partitions)
        self.memberships.append(await self.transport.membership())

    async def lost(self) -> None:
        self.losses += 1


class Bench:
    """An app id, a topic, and transports that are stopped at the end."""

    def __init__(self, make: Callable[..., Transport], unique: Callable[[str], str]) -> None:
        self.app_id = unique("app")
        self.source = unique("source")
        self.sink = unique("sink")
        self._make = make
        self._running: list[Transport] = []

    async def start(self, worker_id: str = "w0", *, exactly_once: bool = True) -> Transport:
        transport = self._make(self.app_id, worker_id, exactly_once=exactly_once)
        await transport.start()
        self._running.append(transport)
        return transport

    async def reader(self, worker_id: str = "w0", **options: Any) -> tuple[Transport, Listener]:
        transport = await self.start(worker_id, **options)
        """A transport that is a member of the group and reads the partitions of the source from their starts on."""
        transport, listener = await self.member(worker_id, **options)
        counts = await transport.partition_counts([self.source])
        transport.start_reading({TopicPartition(self.source, number): 0 for number in range(counts[self.source])})
        return transport, listener

    async def member(self, worker_id: str = "w0", **options: Any) -> tuple[Transport, Listener]:
        transport = await self.start(worker_id, **options)
        listener = Listener(transport)
        await transport.subscribe([self.source], listener)
        await until(transport, lambda: bool(listener.memberships))
        return transport, listener

    async def topics(self, source_partitions: int = 1) -> Transport:
        """Makes the topics; returns a transport of another app to fill and read them with."""
        outside = self._make(self.app_id + "-outside", "outside")
        await outside.start()
        self._running.append(outside)
        await outside.create_topics([TopicSpec(self.source, source_partitions), TopicSpec(self.sink, 1)])
        return outside

    def record(self, number: int, topic: str = "", partition: int | None = 0) -> OutputRecord:
        return OutputRecord(topic or self.source, b"k%d" % number, b"%d" % number, NOW_MS + number, None, partition)

    async def fill(self, outside: Transport, numbers: Sequence[int], partition: int = 0) -> int:
        await outside.produce([self.record(number, partition=partition) for number in numbers])
        return (await outside.commit({}))[TopicPartition(self.source, partition)]

    async def stop(self) -> None:
        for transport in reversed(self._running):
            await transport.stop()


@asynccontextmanager
async def bench_of(make: Callable[..., Transport], unique: Callable[[str], str]) -> AsyncIterator[Bench]:
    bench = Bench(make, unique)
    try:
        yield bench
    finally:
        await bench.stop()


Scenario = Callable[[Bench], Coroutine[Any, Any, None]]


@pytest.fixture
def play(make_transport: Callable[..., Transport], unique: Callable[[str], str]) -> Callable[[Scenario], None]:
    """Runs a scenario on an event loop of its own, within a bound."""

    async def bounded(scenario: Scenario) -> None:
        async with asyncio.timeout(2 * DEADLINE_S), bench_of(make_transport, unique) as bench:
            await scenario(bench)

    return lambda scenario: asyncio.run(bounded(scenario))


async def values(transport: Transport, count: int) -> list[int]:
    """The values of the next `count` messages."""
    found: list[int] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(found) < count:
            found += ints(await transport.poll(100, 0.2))
    return found


def ints(polled: Polled) -> list[int]:
    return [int(message.value() or b"") for messages in polled.messages.values() for message in messages]


async def until(transport: Transport, happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not happened():
            await transport.poll(100, 0.1)


async def write(transport: Transport, *records: OutputRecord) -> None:
    await transport.produce(records)
    await transport.commit({})


async def read_all(transport: Transport, topic: str, partition: int = 0) -> list[Message]:
    where = TopicPartition(topic, partition)
    ranges = await transport.offset_ranges([where])
    return [message async for batch in transport.read(ranges) for message in batch[where]]


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
        end = (await outside.offset_ranges([where]))[where].end
        for asked, expected in ((0, 0), (NOW_MS + 5, 1), (NOW_MS + 20, 2), ("latest", end)):
            assert await outside.offsets_at([where], asked) == {where: expected}
        # A transaction's marker may have a later time.
        assert (await outside.offsets_at([where], NOW_MS + 21))[where] in (3, end)

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
        while len(ends) < 2:
            ends |= (await transport.poll(100, 0.5)).ends
        assert ends == {TopicPartition(bench.source, 0): 4, TopicPartition(bench.source, 1): 0}
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


async def regrouped(*members: tuple[Transport, Listener], generations: Sequence[int]) -> None:
    """Polls all of them until each has seen more generations than before."""
    async with asyncio.timeout(DEADLINE_S):
        while any(len(each.memberships) <= seen for (_, each), seen in zip(members, generations, strict=True)):
            await asyncio.gather(*(transport.poll(10, 0.05) for transport, _ in members))


def test_a_group_has_its_members_and_each_generation_is_told(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.topics(source_partitions=2)
        first, old = await bench.member("w0")
        assert await first.members() == {"w0"}
        second = await bench.start("w1")
        new = Listener(second)
        await second.subscribe([bench.source], new)
        await regrouped((first, old), (second, new), generations=(1, 0))
        assert await first.members() == {"w0", "w1"}
        assert len(set(old.memberships)) == len(old.memberships)

    play(scenario)


def test_a_commit_names_the_membership_and_is_refused_when_that_is_over(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        source = TopicPartition(bench.source, 0)
        first, old = await bench.member("w0")
        begun = old.memberships[-1]
        await first.produce([bench.record(1, bench.sink)])
        await first.commit({source: 1}, begun)
        second = await bench.start("w1")
        new = Listener(second)
        await second.subscribe([bench.source], new)
        await regrouped((first, old), (second, new), generations=(1, 0))
        await first.produce([bench.record(2, bench.sink)])
        with pytest.raises(TransactionAbortedError):
            await first.commit({source: 2}, begun)
        await first.abort()
        await first.produce([bench.record(3, bench.sink)])
        await first.commit({source: 3}, await first.membership())
        assert [message.value() for message in await read_all(outside, bench.sink)] == [b"1", b"3"]
        assert await first.committed([source]) == {source: 3}

    play(scenario)


def test_a_worker_that_comes_back_at_once_is_in_the_generation_there_is(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.topics()
        first, old = await bench.member("w0")
        again, new = await bench.member("w0")
        assert new.memberships[-1] != old.memberships[-1]
        assert new.partitions == old.partitions
        with pytest.raises(FatalTransportError, match="worker id"):
            await until(first, lambda: False)
        assert await again.members() == {"w0"}

    play(scenario)


def test_a_member_joins_again_when_the_one_in_its_place_is_gone(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        member, listener = await bench.member("w0")
        in_its_place, _ = await bench.member("w0")
        with pytest.raises(MemberFencedError, match="worker id"):
            await until(member, lambda: False)
        await in_its_place.stop()
        before = len(listener.memberships)
        await member.rejoin()
        await until(member, lambda: len(listener.memberships) > before)
        await member.renew()
        source = TopicPartition(bench.source, 0)
        await bench.fill(outside, [1])
        member.start_reading({source: 0})
        assert await values(member, 1) == [1]
        await member.commit({source: 1}, listener.memberships[-1])
        assert await member.committed([source]) == {source: 1}

    play(scenario)


def test_what_a_fenced_worker_has_open_is_aborted(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        outside = await bench.topics()
        cut_off = await bench.start("w0")
        await cut_off.produce([bench.record(1, bench.sink)])
        await cut_off.flush()
        other = await bench.start("w1")
        await other.fence("w0")
        # The transaction's timeout, as long as the scenario may be, is not waited for.
        await other.produce([bench.record(2, bench.sink)])
        await other.commit({})
        assert [message.value() for message in await read_all(outside, bench.sink)] == [b"2"]
        with pytest.raises(FatalTransportError, match="worker id"):
            await cut_off.commit({})

    play(scenario)


def test_a_stopped_worker_has_left_the_group(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.topics()
        first, old = await bench.member("w0")
        second = await bench.start("w1")
        new = Listener(second)
        await second.subscribe([bench.source], new)
        await regrouped((first, old), (second, new), generations=(1, 0))
        await first.stop()
        # Nor is its session's timeout, which is as long, waited for.
        await until(second, lambda: new.partitions == [TopicPartition(bench.source, 0)])
        assert await second.members() == {"w1"}

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
        assert await outside.offset_ranges([where, other]) == {where: OffsetRange(4, 11), other: OffsetRange(0, 11)}
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
