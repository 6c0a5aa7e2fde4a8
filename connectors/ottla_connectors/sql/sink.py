"""A sink into one table of a database, exactly once: rows and topic positions commit in one transaction.

The database's own part, such as how to connect and how to upsert, is a `Dialect`; `sqlite.py` is one. Positions live
in the table `ottla_positions` beside the data:

    connector, topic, partition     the key
    topic_id                        which topic of that name the offset is of
    epoch                           the claim that may move the position; a claim sets a higher one
    next_offset                     the first offset that has not been written yet

A write moves each position with `UPDATE ... WHERE epoch = ?` before it touches the data: that locks the rows against
a claim, and a task whose epoch is no longer there changes nothing and is told so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import sqlalchemy as sa
from sqlalchemy import exc

from ottla_connectors.contract import Claim, Row, TopicPartition
from ottla_connectors.errors import ConfigError, Fenced, RowsRejected, SinkError, SinkUnavailable
from ottla_connectors.sql.columns import missing_columns, row_parameters, table_of

POSITIONS_TABLE = "ottla_positions"

Mode = Literal["insert", "upsert"]


class Dialect(Protocol):
    """What differs between databases."""

    def engine(self) -> sa.Engine:
        """Connections to the database. Transactions on them are real ones, DDL and reads included."""

    def upsert(self, table: sa.Table) -> sa.Insert:
        """An INSERT that replaces the row with the same primary key."""

    def describe(self) -> str:
        """The database, as an error message names it."""


class SqlSink:
    """Writes rows of `row_type` into `table` for one connector; plugins derive from it. See `contract.Sink`.

    Raises ConfigError for a primary key that the rows lack, and for upserts without one.
    """

    def __init__(
        self, connector: str, dialect: Dialect, row_type: type, table: str, primary_key: Sequence[str], mode: Mode
    ) -> None:
        if mode == "upsert" and not primary_key:
            raise ConfigError(f"sink {connector!r}: upserts need a primary_key to find the row by")
        metadata = sa.MetaData()
        self._connector = connector
        self._dialect = dialect
        self._row_type = row_type
        self._table = table_of(row_type, table, primary_key, metadata)
        if unknown := [name for name in primary_key if name not in self._table.columns]:
            raise ConfigError(f"sink {connector!r}: primary_key names {unknown[0]!r}, which is no column of the rows")
        self._parameters = row_parameters(row_type)
        self._statement = dialect.upsert(self._table) if mode == "upsert" else sa.insert(self._table)
        self._positions = _positions_table(metadata)
        self._engine: sa.Engine | None = None

    @property
    def row_type(self) -> Any:
        """See `Sink.row_type`."""
        return self._row_type

    async def open(self) -> None:
        """Creates the tables that are missing. Raises ConfigError for an existing table that lacks a column."""
        await asyncio.to_thread(self._open)

    async def claim(self, partitions: Mapping[TopicPartition, str]) -> Claim:
        """See `Sink.claim`."""
        return await asyncio.to_thread(self._claim, partitions)

    async def write(self, rows: Sequence[Row], positions: Mapping[TopicPartition, int], epoch: int) -> None:
        """See `Sink.write`."""
        await asyncio.to_thread(self._write, rows, positions, epoch)

    async def close(self) -> None:
        """See `Sink.close`."""
        if self._engine is not None:
            await asyncio.to_thread(self._engine.dispose)

    def _open(self) -> None:
        self._engine = self._dialect.engine()
        with self._transaction() as connection:
            inspector = sa.inspect(connection)
            if inspector.has_table(self._table.name):
                existing = [column["name"] for column in inspector.get_columns(self._table.name)]
                if missing := missing_columns(self._table, existing):
                    raise ConfigError(
                        f"table {self._table.name!r} in {self._dialect.describe()} has no column {missing[0]!r}; "
                        f"add it, or give sink {self._connector!r} another table"
                    )
            self._table.metadata.create_all(connection)

    def _claim(self, partitions: Mapping[TopicPartition, str]) -> Claim:
        table = self._positions
        kept: dict[TopicPartition, int] = {}
        with self._transaction() as connection:
            stored = {
                TopicPartition(row.topic, row.partition): row
                for row in connection.execute(sa.select(table).where(table.c.connector == self._connector))
            }
            epoch = 1 + max((row.epoch for row in stored.values()), default=0)
            for partition, topic_id in partitions.items():
                row = stored.get(partition)
                if row is not None and row.topic_id == topic_id and row.next_offset is not None:
                    kept[partition] = row.next_offset
                claimed = {"topic_id": topic_id, "epoch": epoch, "next_offset": kept.get(partition)}
                if row is not None:
                    connection.execute(sa.update(table).where(self._is(partition)).values(claimed))
                else:
                    key = {"connector": self._connector, "topic": partition.topic, "partition": partition.partition}
                    connection.execute(sa.insert(table).values(key | claimed))
        return Claim(epoch, kept)

    def _write(self, rows: Sequence[Row], positions: Mapping[TopicPartition, int], epoch: int) -> None:
        parameters = [self._parameters(row.value) for row in rows]
        try:
            with self._transaction() as connection:
                for partition, next_offset in positions.items():
                    self._move(connection, partition, next_offset, epoch)
                if parameters:
                    connection.execute(self._statement, parameters)
        except _REFUSALS as error:
            rejected = self._rejected(parameters)
            if not rejected:
                raise SinkError(
                    f"{self._dialect.describe()} refuses a batch but each row alone: {_reason(error)}"
                ) from error
            raise RowsRejected(rejected) from error

    def _move(self, connection: sa.Connection, partition: TopicPartition, next_offset: int, epoch: int) -> None:
        mine = sa.and_(self._is(partition), self._positions.c.epoch == epoch)
        if connection.execute(sa.update(self._positions).where(mine).values(next_offset=next_offset)).rowcount != 1:
            raise Fenced(
                f"sink {self._connector!r} no longer holds {partition.topic}-{partition.partition} with epoch {epoch}: "
                f"a newer task has taken over"
            )

    def _is(self, partition: TopicPartition) -> sa.ColumnElement[bool]:
        columns = self._positions.c
        return sa.and_(
            columns.connector == self._connector,
            columns.topic == partition.topic,
            columns.partition == partition.partition,
        )

    def _rejected(self, parameters: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
        """Which rows the table refuses, each tried after those before it that it takes; nothing of it is kept."""
        rejected: list[tuple[int, str]] = []
        with self._connection() as connection:
            for index, row in enumerate(parameters):
                try:
                    with connection.begin_nested():
                        connection.execute(self._statement, row)
                except _REFUSALS as error:
                    rejected.append((index, _reason(error)))
            connection.rollback()
        return rejected

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with self._connection() as connection, connection.begin():
            yield connection

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        assert self._engine is not None
        try:
            with self._engine.connect() as connection:
                yield connection
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            raise SinkUnavailable(f"{self._dialect.describe()} cannot be used just now: {_reason(error)}") from error
        except _REFUSALS:
            raise
        except exc.SQLAlchemyError as error:
            raise SinkError(f"{self._dialect.describe()} refuses: {_reason(error)}") from error


_REFUSALS = (exc.IntegrityError, exc.DataError, OverflowError, UnicodeEncodeError)


def _reason(error: Exception) -> str:
    return str(error.orig) if isinstance(error, exc.DBAPIError) and error.orig is not None else str(error)


def _positions_table(metadata: sa.MetaData) -> sa.Table:
    return sa.Table(
        POSITIONS_TABLE,
        metadata,
        sa.Column("connector", sa.String(255), primary_key=True),
        sa.Column("topic", sa.String(255), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic_id", sa.String(64), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("next_offset", sa.BigInteger),
    )
