"""The small pieces of the run: the gate that holds the source, and the figures at the end."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from ottla_apps.flights.display import last_line
from ottla_apps.flights.results import Totals, is_result, totals, worst_hours
from ottla_apps.flights.run import Gate, Outcome
from ottla_connectors.errors import SinkError
from ottla_connectors.runtime.source_runner import Written


def test_the_gate_holds_the_source_until_it_may_go_on() -> None:
    async def pass_two_batches() -> list[int]:
        gate, seen = Gate(), []

        async def source() -> None:
            for _ in range(3):
                await gate.pass_on(Written(9, 1, {}))
                seen.append(gate.read)

        reading = asyncio.create_task(source())
        await gate.next_batch()
        assert seen == []
        await gate.open_until(20)
        await gate.next_batch()
        await asyncio.sleep(0)
        assert seen == [9]
        await gate.open_until(100)
        await reading
        assert gate.malformed == 3
        return seen

    assert asyncio.run(pass_two_batches()) == [9, 18, 27]


def test_the_last_line_has_the_figures_and_names_what_was_malformed() -> None:
    outcome = Outcome(read=12, malformed=0, processed=12, windows=5, rows=7, seconds=1.5)

    assert (
        last_line(outcome, Path("a.db"))
        == "flights: 12 events read, 12 processed, 5 windows, 7 rows in a.db, 8 events/s"
    )
    malformed = Outcome(read=12, malformed=2, processed=12, windows=5, rows=7, seconds=1.5)
    assert last_line(malformed, Path("a.db")).endswith(", 8 events/s, 2 malformed")


def test_a_missing_database_has_no_totals_and_another_file_is_refused(tmp_path: Path) -> None:
    assert totals(tmp_path / "missing.db") == Totals(0, 0, 0)
    assert worst_hours(tmp_path / "missing.db", 3) == []
    (tmp_path / "text.db").write_text("no database" * 200)
    with pytest.raises(SinkError, match=r"text\.db cannot be read: file is not a database"):
        totals(tmp_path / "text.db")


def test_a_database_counts_as_a_result_by_the_sinks_own_table(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE delays (id)")
        assert not is_result(path)
        connection.execute("CREATE TABLE ottla_positions (id)")
        assert is_result(path)
