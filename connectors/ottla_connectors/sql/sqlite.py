"""The sqlite sink: rows of topics in a table of a SQLite file, exactly once."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import sqlalchemy as sa
from msgspec import Meta
from sqlalchemy.dialects import sqlite

from ottla_connectors.contract import Guarantee
from ottla_connectors.errors import ConfigError
from ottla_connectors.row_types import ColumnType, resolve_row_type
from ottla_connectors.sql.sink import Mode, SqlSink

_BUSY_TIMEOUT_MS = 10_000
_WAL_RETRY_S = 0.01


class SqliteConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which table of which file, and how rows get there."""

    path: Annotated[str, Meta(description="The database file; created when it is missing.", min_length=1)]
    table: Annotated[str, Meta(description="The table; created when it is missing.", min_length=1)]
    row_type: Annotated[
        str | None, Meta(description="module:Class of a msgspec Struct or dataclass; its fields are the columns.")
    ] = None
    columns: Annotated[
        dict[str, ColumnType],
        Meta(description="The columns and their types, where there is no row_type; ? allows NULL."),
    ] = {}
    primary_key: Annotated[tuple[str, ...], Meta(description="The columns that identify a row.")] = ()
    mode: Annotated[
        Mode, Meta(description="insert adds each row; upsert replaces the row with the same primary key.")
    ] = "insert"


class SqliteSink(SqlSink):
    """Rows in a table of a SQLite file.

    See `contract.Sink`.
    """

    config_type: ClassVar[type[msgspec.Struct]] = SqliteConfig
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE

    def __init__(self, name: str, config: SqliteConfig) -> None:
        row_type = resolve_row_type(config.row_type, config.columns)
        if row_type is None:
            raise ConfigError(f"sink {name!r}: give row_type or columns, which the table's columns come from")
        super().__init__(name, SqliteDialect(config.path), row_type, config.table, config.primary_key, config.mode)


class SqliteDialect:
    """SQLite's part. See `sink.Dialect`."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def engine(self) -> sa.Engine:
        """Raises ConfigError where no file can be at that path."""
        if self._path.is_dir():
            raise ConfigError(f"{self._path} is a directory; give the path of a SQLite file")
        if not self._path.parent.is_dir():
            raise ConfigError(f"{self._path} cannot be created: there is no directory {self._path.parent}")
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(self._path)))
        sa.event.listen(engine, "connect", _set_up)
        sa.event.listen(engine, "begin", _begin)
        return engine

    def upsert(self, table: sa.Table) -> sa.Insert:
        """INSERT ... ON CONFLICT DO UPDATE."""
        statement = sqlite.insert(table)
        key = list(table.primary_key.columns)
        others = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
        if not others:
            return statement.on_conflict_do_nothing(key)
        return statement.on_conflict_do_update(key, set_=others)

    def describe(self) -> str:
        """The file."""
        return str(self._path)


def _set_up(connection: Any, _record: Any) -> None:
    # Python's driver begins transactions late, and never before DDL or reads; `_begin` does it in time instead.
    connection.isolation_level = None
    _switch_to_wal(connection)
    for pragma in (
        # Power loss may take the last commits, rows and positions alike, and they are read from the topic again.
        "synchronous = NORMAL",
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _switch_to_wal(connection: Any) -> None:
    """Readers then do not stop the sink, nor the sink its readers.

    The switch is the one statement that SQLite refuses at once, whatever the busy timeout, while anyone else writes.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(_WAL_RETRY_S)


def _begin(connection: sa.Connection) -> None:
    # The write lock from the start: a transaction that reads first and finds the lock taken later could not go on.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
