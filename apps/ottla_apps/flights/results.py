"""What stands in the database: totals, and the hours with the longest delays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from ottla_connectors.errors import SinkError
from ottla_connectors.sql.sink import POSITIONS_TABLE

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


def is_result(path: Path) -> bool:
    """Whether this is a database that a sink wrote. Raises SinkError for a file that is no database."""
    with _database(path) as connection:
        return POSITIONS_TABLE in _table_names(connection)


@contextmanager
def _tables(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The database, None while it has not both tables."""
    if not path.exists():
        yield None
        return
    with _database(path) as connection:
        yield connection if {"delays", "cancelled"} <= _table_names(connection) else None


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise SinkError(f"{path} cannot be read: {error}") from error


def _table_names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
