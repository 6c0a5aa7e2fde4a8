"""One suite for every transport: what a worker may rely on as a member of its group."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from ottla.transport.contract import (
    TopicPartition,
    Transport,
)
from ottla.transport.errors import (
    DeliveryError,
    FatalTransportError,
    MemberFencedError,
    ProducerFencedError,
    TransactionAbortedError,
)

from .bench import DEADLINE_S, Bench, Listener, Scenario, read_all, until, values


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


def test_a_group_confirms_its_member_and_nobody_whose_place_is_taken(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.topics()
        source = TopicPartition(bench.source, 0)
        asleep, _ = await bench.member("w0", exactly_once=False)
        awake, _ = await bench.member("w0", exactly_once=False)
        with pytest.raises((DeliveryError, MemberFencedError)):
            await asleep.confirm({source: 7})
        await awake.confirm({source: 7})
        assert await awake.committed([source]) == {source: 7}

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


def test_a_producer_that_was_fenced_says_so_wherever_it_notices(play: Callable[[Scenario], None]) -> None:
    async def scenario(bench: Bench) -> None:
        async def go_on(transport: Transport) -> None:
            """A client hears that it is fenced when it adds another partition to its transaction, or commits it."""
            for _ in range(50):
                await transport.produce([bench.record(2, partition=1)])
                await asyncio.sleep(0.01)
            await transport.commit({})

        await bench.topics(source_partitions=2)
        former = await bench.start()
        await former.produce([bench.record(1)])
        await bench.start()
        with pytest.raises(ProducerFencedError):
            await go_on(former)
        await former.renew()
        await former.produce([bench.record(3)])
        await former.commit({})

    play(scenario)
