"""What stands in the database: totals, and the hours with the longest delays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

FEWEST_FLIGHTS = 5
"""An hour with fewer flights says little about an airline."""


class Totals(NamedTuple):
    """Flights in all rows, rows of delays (one per airline and hour), and rows of both tables."""

    flights: int = 0
    windows: int = 0
    rows: int = 0


class Hour(NamedTuple):
    """One hour of an airline; delays in minutes."""

    hour: str
    airline: str
    flights: int
    mean_delay: float
    max_delay: float


def totals(path: Path) -> Totals:
    """Zeros where there is no database yet."""
    with _tables(path) as connection:
        if connection is None:
            return Totals()
        windows, departed = connection.execute("SELECT COUNT(*), TOTAL(flights) FROM delays").fetchone()
        carriers, cancelled = connection.execute("SELECT COUNT(*), TOTAL(flights) FROM cancelled").fetchone()
        return Totals(int(departed + cancelled), windows, windows + carriers)


def worst_hours(path: Path, count: int) -> list[Hour]:
    """The hours with the longest mean delay, the longest first."""
    with _tables(path) as connection:
        if connection is None:
            return []
        query = """
            SELECT hour, airline, flights, mean_delay, max_delay FROM delays
            WHERE flights >= ? ORDER BY mean_delay DESC, hour, airline LIMIT ?
        """
        return [Hour(*row) for row in connection.execute(query, (FEWEST_FLIGHTS, count))]


@contextmanager
def _tables(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The database, None while it has not both tables."""
    if not path.exists():
        yield None
        return
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE name IN ('delays', 'cancelled')").fetchall()
        yield connection if len(names) == 2 else None
