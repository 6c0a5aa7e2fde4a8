"""The SQLite sink: its tables, its modes, and what it says of rows and files it cannot take."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ottla_connectors.contract import Row, TopicPartition
from ottla_connectors.errors import ConfigError, ConnectorError, RowsRejected, SinkError
from ottla_connectors.sql.sqlite import SqliteConfig, SqliteSink

PARTITION = TopicPartition("t", 0)


class Everything(msgspec.Struct):
    text: str
    whole: int
    real: float
    flag: bool
    data: bytes
    at: datetime
    day: date
    maybe: int | None
    several: list[int]


class Hour(msgspec.Struct):
    carrier: str
    hour: int
    delay: float


def write(path: Path, rows: Sequence[Any], start: int = 0, **config: Any) -> None:
    """One life of a sink that writes these rows, given as its type or as dicts, as the next ones of the partition."""

    async def life() -> None:
        sink = SqliteSink("c", SqliteConfig(path=str(path), table="rows", **config))
        try:
            await sink.open()
            claim = await sink.claim({PARTITION: "id"})
            typed = [Row(None, msgspec.convert(row, sink.row_type)) for row in rows]
            await sink.write(typed, {PARTITION: start + len(rows)}, claim.epoch)
        finally:
            await sink.close()

    asyncio.run(life())


def select(path: Path, query: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.db"


def test_the_table_is_made_from_the_row_type(path: Path) -> None:
    at = datetime.fromisoformat("2013-01-01T10:00:00+01:00")
    row = Everything("é", 2**62, 0.5, True, b"\0", at, date(2013, 1, 1), None, [1, 2])

    write(path, [row], row_type=f"{__name__}:Everything", primary_key=("text", "whole"))

    assert select(path, "SELECT * FROM rows") == [
        ("é", 2**62, 0.5, 1, b"\0", "2013-01-01 09:00:00.000000", "2013-01-01", None, "[1,2]")
    ]
    columns = select(path, "SELECT name, type, \"notnull\", pk FROM pragma_table_info('rows')")
    assert columns[0] == ("text", "TEXT", 1, 1)
    assert columns[1] == ("whole", "BIGINT", 1, 2)
    assert columns[7] == ("maybe", "BIGINT", 0, 0)


def test_times_without_a_zone_stay_as_they_are(path: Path) -> None:
    naive, aware = datetime(2013, 1, 1, 10), datetime(2013, 1, 1, 10, tzinfo=UTC)

    write(path, [{"at": naive}, {"at": aware}], columns={"at": "datetime"})

    assert len(set(select(path, "SELECT at FROM rows"))) == 1


def test_upserts_keep_the_newest_row_of_a_key(path: Path) -> None:
    config: dict[str, Any] = {"row_type": f"{__name__}:Hour", "primary_key": ("carrier", "hour"), "mode": "upsert"}

    write(path, [Hour("UA", 1, 5.0), Hour("AA", 1, 1.0), Hour("UA", 1, 7.0)], **config)
    write(path, [Hour("AA", 1, 2.0)], 3, **config)

    assert select(path, "SELECT * FROM rows ORDER BY carrier") == [("AA", 1, 2.0), ("UA", 1, 7.0)]


def test_upserts_of_nothing_but_a_key_keep_it_once(path: Path) -> None:
    write(path, [{"id": 1}, {"id": 1}], columns={"id": "int"}, primary_key=("id",), mode="upsert")

    assert select(path, "SELECT * FROM rows") == [(1,)]


def test_rows_that_the_table_refuses_are_named_and_nothing_is_written(path: Path) -> None:
    config: dict[str, Any] = {"row_type": f"{__name__}:Hour", "primary_key": ("carrier", "hour")}
    rows = [Hour("UA", 1, 0.0), Hour("UA", 2**70, 0.0), Hour("AA", 1, 0.0), Hour("UA", 1, 9.0)]

    with pytest.raises(RowsRejected) as error:
        write(path, rows, **config)

    assert [index for index, _ in error.value.rejected] == [1, 3]
    assert "too large" in error.value.rejected[0][1]
    assert "UNIQUE constraint failed: rows.carrier, rows.hour" in error.value.rejected[1][1]
    assert select(path, "SELECT * FROM rows") == []
    assert select(path, "SELECT next_offset FROM ottla_positions") == [(None,)]


def test_readers_do_not_stop_the_sink(path: Path) -> None:
    config: dict[str, Any] = {"row_type": f"{__name__}:Hour"}
    write(path, [Hour("UA", 1, 0.0)], **config)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT COUNT(*) FROM rows").fetchone() == (1,)

    write(path, [Hour("UA", 2, 0.0)], 1, **config)

    assert reader.execute("SELECT COUNT(*) FROM rows").fetchone() == (1,), "the reader keeps what it saw"
    reader.close()


def test_a_sink_waits_for_whoever_writes_while_it_opens_the_file(path: Path) -> None:
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("CREATE TABLE others (a)")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO others VALUES (1)")
    release = threading.Timer(0.2, writer.execute, ("COMMIT",))
    release.start()
    try:
        write(path, [Hour("AA", 1, 2.0)], row_type=f"{__name__}:Hour")
    finally:
        release.join()
        writer.close()

    assert select(path, "SELECT carrier FROM rows") == [("AA",)]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, "sink 'c': give row_type or columns, which the table's columns come from"),
        ({"columns": {"a": "int"}, "mode": "upsert"}, "sink 'c': upserts need a primary_key to find the row by"),
        ({"columns": {"a": "int"}, "primary_key": ("b",)}, "sink 'c': primary_key names 'b', which is no column"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(path: Path, config: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        write(path, [], **config)
    assert not path.exists()


def test_a_table_that_lacks_a_column_is_refused(path: Path) -> None:
    write(path, [], columns={"a": "int"})

    with pytest.raises(ConfigError, match=f"table 'rows' in {path} has no column 'b'; add it"):
        write(path, [], columns={"a": "int", "b": "int"})


def test_paths_where_no_database_can_be_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("this is no database, but long enough to be taken for the header of one" * 20)

    cases: list[tuple[Path, type[ConnectorError], str]] = [
        (tmp_path, ConfigError, "is a directory"),
        (tmp_path / "no" / "rows.db", ConfigError, "there is no directory"),
        (text, SinkError, "file is not a database"),
    ]
    for path, kind, sentence in cases:
        with pytest.raises(kind, match=sentence):
            write(path, [], columns={"a": "int"})
