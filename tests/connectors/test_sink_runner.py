"""The sink runner: killed between any two steps, the target has every row once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla_connectors.contract import Claim, Guarantee, Row, TopicPartition
from ottla_connectors.errors import Fenced, RowsRejected
from ottla_connectors.runtime.dead_letters import DeadLetter
from ottla_connectors.runtime.sink_runner import SinkRunner, Sunk
from ottla_connectors.testing import (
    Crash,
    Crashes,
    MemoryBroker,
    MemoryInput,
    MemorySink,
    MemorySinkConfig,
    MemoryTable,
)

TOPIC = TopicPartition("t", 0)


class Picky(MemorySink):
    """Refuses values that 5 divides."""

    async def write(self, rows: Sequence[Row], positions: Mapping[TopicPartition, int], epoch: int) -> None:
        if rejected := [(index, "divisible by 5") for index, row in enumerate(rows) if row.value % 5 == 0]:
            raise RowsRejected(rejected)
        await super().write(rows, positions, epoch)


class Forgetful(MemorySink):
    """A target that stores rows and no positions."""

    guarantee: ClassVar[Guarantee] = Guarantee.AT_LEAST_ONCE

    async def claim(self, partitions: Mapping[TopicPartition, str]) -> Claim:
        return Claim((await super().claim(partitions)).epoch, {})


def broker_of(count: int, topics: Sequence[str] = ("t",)) -> MemoryBroker:
    return MemoryBroker({topic: [Row(f"k{number}", number) for number in range(count)] for topic in topics})


def run_through(
    sink_class: type[MemorySink], broker: MemoryBroker, crashes: Crashes, batch_rows: int = 3
) -> MemoryTable:
    """Starts a sink again after each crash until it is at the end, and returns what it wrote."""
    table = MemoryTable()
    while True:
        sink = sink_class("c", MemorySinkConfig(table), crashes)
        source = MemoryInput(broker, sorted(broker.records), crashes)
        runner = SinkRunner(sink, source, clock=lambda: 0.0, batch_rows=batch_rows)
        try:
            asyncio.run(runner.run(until_end=True))
        except Crash:
            continue
        return table


def values(table: MemoryTable) -> list[Any]:
    return [row.value for row in table.rows]


@given(st.integers(0, 20), st.integers(1, 5), st.sets(st.integers(0, 60)))
def test_killed_between_any_steps_the_target_has_every_row_once(count: int, batch_rows: int, crashes: set[int]) -> None:
    broker = broker_of(count)

    table = run_through(MemorySink, broker, Crashes(crashes), batch_rows)

    assert values(table) == list(range(count))
    assert table.rows[:1] == [Row(b"k0", 0, origin="t-0@0")][:count]
    assert broker.group_offsets.get(TOPIC, 0) <= table.positions.get(TOPIC, ("", 0))[1]


@given(st.sets(st.integers(0, 80)))
def test_several_topics_arrive_whole(crashes: set[int]) -> None:
    table = run_through(MemorySink, broker_of(7, ("t", "u")), Crashes(crashes))

    assert sorted(values(table)) == sorted([*range(7), *range(7)])


@given(st.integers(0, 20), st.sets(st.integers(0, 60)))
def test_a_target_without_positions_loses_nothing(count: int, crashes: set[int]) -> None:
    table = run_through(Forgetful, broker_of(count), Crashes(crashes))

    assert set(values(table)) == set(range(count))


@given(st.sets(st.integers(0, 60)))
def test_refused_rows_become_dead_letters_and_stop_nothing(crashes: set[int]) -> None:
    broker = broker_of(12)

    table = run_through(Picky, broker, Crashes(crashes))

    assert values(table) == [number for number in range(12) if number % 5]
    letters = [letter for letter in broker.dead_letters if isinstance(letter, DeadLetter)]
    assert {letter.value for letter in letters} == {b"0", b"5", b"10"}


def test_a_dead_letter_says_why_and_where_it_comes_from() -> None:
    broker = broker_of(1)

    run_through(Picky, broker, Crashes())

    (letter,) = broker.dead_letters
    assert letter == DeadLetter(
        b"k0",
        b"0",
        (
            ("ottla.error.reason", b"divisible by 5"),
            ("ottla.error.type", b"MalformedRow"),
            ("ottla.origin.topic", b"t"),
            ("ottla.origin.partition", b"0"),
            ("ottla.origin.offset", b"0"),
        ),
    )


def test_values_of_another_type_become_dead_letters() -> None:
    class Typed(MemorySink):
        @property
        def row_type(self) -> Any:
            return int

    broker = MemoryBroker({"t": [Row(None, 1), Row(None, "two"), Row(None, None), Row(None, 4)]})

    assert values(run_through(Typed, broker, Crashes())) == [1, 4]
    reasons = [
        dict(letter.headers)["ottla.error.reason"] for letter in broker.dead_letters if isinstance(letter, DeadLetter)
    ]
    assert reasons == [b"Expected `int`, got `str`", b"no value"]


def test_each_write_is_reported() -> None:
    broker, seen = broker_of(8), []

    async def look(sunk: Sunk) -> None:
        seen.append((sunk.rows, sunk.malformed, sunk.positions))

    sink = Picky("c", MemorySinkConfig(MemoryTable()))
    runner = SinkRunner(sink, MemoryInput(broker, ["t"]), clock=lambda: 0.0, on_sunk=look, batch_rows=4)
    asyncio.run(runner.run(until_end=True))

    assert seen == [(3, 1, {TOPIC: 4}), (3, 1, {TOPIC: 8})]


def test_partitions_that_are_added_are_read_too() -> None:
    broker, table = broker_of(3), MemoryTable()

    async def add_a_topic(_: Sunk) -> None:
        if "u" in broker.records:
            raise Crash("seen enough")
        broker.records["u"] = [Row(None, 99)]

    sink = MemorySink("c", MemorySinkConfig(table))
    clock = itertools.count(step=40.0)
    runner = SinkRunner(sink, MemoryInput(broker, ["t", "u"]), clock=lambda: next(clock), on_sunk=add_a_topic)
    with pytest.raises(Crash):
        asyncio.run(runner.run(until_end=False))

    assert values(table) == [0, 1, 2, 99]


def test_a_task_that_was_taken_over_stops() -> None:
    broker, table = broker_of(10), MemoryTable()

    async def take_over(_: Sunk) -> None:
        await MemorySink("c", MemorySinkConfig(table)).claim({TOPIC: "t"})

    sink = MemorySink("c", MemorySinkConfig(table))
    runner = SinkRunner(sink, MemoryInput(broker, ["t"]), clock=lambda: 0.0, on_sunk=take_over, batch_rows=3)
    with pytest.raises(Fenced):
        asyncio.run(runner.run(until_end=True))
    assert values(table) == [0, 1, 2]
