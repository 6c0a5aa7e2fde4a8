"""What `contract.Sink` promises, held against every sink: rows and positions are one, and zombies are fenced."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest

from ottla_connectors.contract import Guarantee, Row, Sink, TopicPartition
from ottla_connectors.errors import Fenced
from ottla_connectors.sql.sqlite import SqliteConfig, SqliteSink
from ottla_connectors.testing import MemorySink, MemorySinkConfig, MemoryTable

T = TypeVar("T")

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)
BOTH = {FIRST: "topic-id", SECOND: "topic-id"}


class Target(NamedTuple):
    """A target: opens one sink after another into it, and reads what they wrote."""

    sink: Callable[[], Sink]
    ids: Callable[[], list[int]]


@pytest.fixture(params=["memory", "sqlite"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    if request.param == "memory":
        table = MemoryTable()
        return Target(
            lambda: MemorySink("c", MemorySinkConfig(table)), lambda: sorted(row.value["id"] for row in table.rows)
        )
    path = str(tmp_path / "target.db")

    def ids() -> list[int]:
        connection = sqlite3.connect(path)
        try:
            return [id_ for (id_,) in connection.execute("SELECT id FROM rows ORDER BY id")]
        finally:
            connection.close()

    return Target(lambda: SqliteSink("c", SqliteConfig(path=path, table="rows", columns={"id": "int"})), ids)


def rows(sink: Sink, *ids: int) -> list[Row]:
    """Rows as the runtime hands them over: values decoded into the sink's type."""
    return [Row(None, msgspec.json.decode(b'{"id": %d}' % id_, type=sink.row_type)) for id_ in ids]


def run(steps: Callable[[Sink], Awaitable[T]], target: Target) -> T:
    """One life of a sink."""

    async def life() -> T:
        sink = target.sink()
        await sink.open()
        try:
            return await steps(sink)
        finally:
            await sink.close()

    return asyncio.run(life())


def test_a_new_target_has_no_positions(target: Target) -> None:
    async def claim(sink: Sink) -> Any:
        return (await sink.claim(BOTH)).positions

    assert run(claim, target) == {}


def test_rows_and_positions_are_there_for_the_next_claim(target: Target) -> None:
    async def write(sink: Sink) -> None:
        claim = await sink.claim(BOTH)
        await sink.write(rows(sink, 1, 2), {FIRST: 2}, claim.epoch)
        await sink.write(rows(sink, 3), {FIRST: 3, SECOND: 10}, claim.epoch)

    async def claim(sink: Sink) -> Any:
        return (await sink.claim(BOTH)).positions

    run(write, target)

    assert target.ids() == [1, 2, 3]
    assert run(claim, target) == {FIRST: 3, SECOND: 10}


def test_a_position_may_move_without_rows(target: Target) -> None:
    async def write(sink: Sink) -> Any:
        await sink.write([], {FIRST: 5}, (await sink.claim(BOTH)).epoch)
        return (await sink.claim(BOTH)).positions

    assert run(write, target) == {FIRST: 5}


def test_epochs_rise(target: Target) -> None:
    async def claim(sink: Sink) -> int:
        return (await sink.claim(BOTH)).epoch

    epochs = [run(claim, target) for _ in range(3)]

    assert epochs == sorted(set(epochs))


def test_a_zombie_is_fenced_and_changes_nothing(target: Target) -> None:
    async def steps(zombie: Sink) -> Any:
        old = await zombie.claim(BOTH)
        await zombie.write(rows(zombie, 1), {FIRST: 1}, old.epoch)
        successor = target.sink()
        await successor.open()
        new = await successor.claim(BOTH)
        with pytest.raises(Fenced):
            await zombie.write(rows(zombie, 2), {FIRST: 2}, old.epoch)
        await successor.write(rows(successor, 3), {FIRST: 2}, new.epoch)
        with pytest.raises(Fenced):
            await zombie.write(rows(zombie, 4), {FIRST: 3}, old.epoch)
        positions = (await successor.claim(BOTH)).positions
        await successor.close()
        return positions

    assert run(steps, target) == {FIRST: 2}
    assert target.ids() == [1, 3]


def test_a_claim_on_some_partitions_leaves_the_others_to_their_owner(target: Target) -> None:
    async def steps(sink: Sink) -> None:
        mine = await sink.claim({FIRST: "topic-id"})
        other = target.sink()
        await other.open()
        theirs = await other.claim({SECOND: "topic-id"})
        await sink.write(rows(sink, 1), {FIRST: 1}, mine.epoch)
        await other.write(rows(other, 2), {SECOND: 1}, theirs.epoch)
        with pytest.raises(Fenced):
            await sink.write(rows(sink, 3), {FIRST: 2, SECOND: 2}, mine.epoch)
        await other.close()

    run(steps, target)

    assert target.ids() == [1, 2]


def test_a_topic_that_was_made_anew_is_read_from_its_start(target: Target) -> None:
    async def steps(sink: Sink) -> Any:
        await sink.write([], {FIRST: 5, SECOND: 6}, (await sink.claim(BOTH)).epoch)
        return (await sink.claim({FIRST: "another-id", SECOND: "topic-id"})).positions

    assert run(steps, target) == {SECOND: 6}


def test_it_states_its_guarantee_and_a_config_with_a_schema(target: Target) -> None:
    sink = target.sink()

    assert isinstance(type(sink).guarantee, Guarantee)
    assert msgspec.json.schema(type(sink).config_type)
