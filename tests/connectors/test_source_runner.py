"""The source runner: killed between any two steps, it neither loses nor doubles a row."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla_connectors.contract import Batch, Guarantee, MalformedRow, Position, Row
from ottla_connectors.errors import Fenced, SourceError
from ottla_connectors.files.config import FileConfig
from ottla_connectors.files.source import FileSource
from ottla_connectors.runtime.source_runner import OnWritten, SourceRunner, Written
from ottla_connectors.testing import Crash, Crashes, MemoryBroker, MemoryOutput


class Numbers:
    """Counts to `end`, in batches of `size`; every seventh number is malformed."""

    config_type: ClassVar[type[msgspec.Struct]] = msgspec.defstruct("Config", [])
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE

    def __init__(self, end: int, size: int) -> None:
        self._end = end
        self._size = size

    @property
    def partition(self) -> Mapping[str, str]:
        return {}

    async def read(self, position: Position | None) -> AsyncGenerator[Batch, None]:
        start = 0 if position is None else position["next"]
        for first in range(start, self._end, self._size):
            numbers = range(first, min(first + self._size, self._end))
            rows = [Row(None, number) for number in numbers if number % 7]
            malformed = [MalformedRow("divisible", str(number), b"") for number in numbers if not number % 7]
            yield Batch(rows, malformed, {"next": numbers.stop})


def run_through(source: Any, broker: MemoryBroker, crashes: Crashes, on_written: OnWritten | None = None) -> int:
    """Starts the source again after each crash until it ends; returns how many lives it took."""
    lives = 1
    while True:
        try:
            asyncio.run(SourceRunner(source, MemoryOutput(broker, "c", "t", crashes), on_written).run())
        except Crash:
            lives += 1
        else:
            return lives


@given(st.integers(0, 40), st.integers(1, 9), st.sets(st.integers(0, 60)))
def test_killed_between_any_steps_every_row_arrives_once(end: int, size: int, crashes: set[int]) -> None:
    broker = MemoryBroker()

    run_through(Numbers(end, size), broker, Crashes(crashes))

    assert [row.value for row in broker.records.get("t", [])] == [number for number in range(end) if number % 7]
    assert [row.origin for row in broker.dead_letters if isinstance(row, MalformedRow)] == [
        str(number) for number in range(0, end, 7)
    ]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl"])
def test_a_file_killed_at_each_step_arrives_once(write_file: Callable[[str, bytes], str], name: str) -> None:
    lines = [f'"{i}' if i == 5 else str(i) for i in range(12)]
    path = write_file(name, "\n".join(["n", *lines] if "csv" in name else [f'{{"n": "{i}"}}' for i in lines]).encode())
    source = FileSource("c", FileConfig(path=path, batch_rows=2))
    undisturbed = MemoryBroker()
    steps = Crashes()
    run_through(source, undisturbed, steps)

    for step in range(steps.passed):
        broker = MemoryBroker()
        assert run_through(source, broker, Crashes({step})) == 2
        assert (broker.records, broker.dead_letters) == (undisturbed.records, undisturbed.dead_letters)


def test_a_task_that_was_taken_over_writes_nothing_more() -> None:
    broker = MemoryBroker()

    async def take_over(written: Written) -> None:
        if written.position == {"next": 4}:
            await MemoryOutput(broker, "c", "t").open()

    with pytest.raises(Fenced):
        asyncio.run(SourceRunner(Numbers(20, 2), MemoryOutput(broker, "c", "t"), take_over).run())
    assert broker.positions["c"] == {"next": 4}


def test_progress_is_reported_after_each_commit_and_holds_the_source() -> None:
    broker = MemoryBroker()
    seen: list[tuple[int, int, int]] = []

    async def look(written: Written) -> None:
        seen.append((written.rows, written.malformed, len(broker.records["t"])))

    run_through(Numbers(10, 4), broker, Crashes(), look)

    assert seen == [(3, 1, 3), (3, 1, 6), (2, 0, 8)]


def test_an_error_of_the_source_comes_out_and_the_output_is_closed() -> None:
    class Broken(Numbers):
        async def read(self, position: Position | None) -> AsyncGenerator[Batch, None]:
            async for batch in super().read(position):
                yield batch
            raise SourceError("the disk is on fire")

    class Output(MemoryOutput):
        closed = False

        async def close(self) -> None:
            self.closed = True

    output = Output(MemoryBroker(), "c", "t")
    with pytest.raises(SourceError, match="on fire"):
        asyncio.run(SourceRunner(Broken(5, 2), output).run())
    assert output.closed
