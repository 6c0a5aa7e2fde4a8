"""The file source: rows of a CSV or JSON-lines file, from its start or from any row on.

The position is the byte offset after the last row, counted in the uncompressed content, and the line there for
messages to people; and a checksum of how the file begins, by which another file of that name is told from the one that
was read. A file is read once to its end; rows that are added later are read by the next run.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, ClassVar, cast

import msgspec

from ottla_connectors.contract import Batch, Guarantee, MalformedRow, Position, Row
from ottla_connectors.errors import ConfigError, SourceError
from ottla_connectors.files.config import FileConfig
from ottla_connectors.files.csv_records import CsvRecords
from ottla_connectors.files.lines import Lines
from ottla_connectors.files.rows import CsvReader, JsonReader, Reader
from ottla_connectors.row_types import resolve_row_type

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = "\ufeff"
_BEGINNING_BYTES = 1024
BATCH_MAX_BYTES = 8 << 20
"""A batch ends here even when it has fewer rows than the config allows, so that long rows cannot fill the memory."""


class FileSource:
    """Rows of a CSV or JSON-lines file, plain or gzipped.

    See `contract.Source`.
    """

    config_type: ClassVar[type[msgspec.Struct]] = FileConfig
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE

    def __init__(self, name: str, config: FileConfig) -> None:
        self._name = name
        self._config = config
        self._format = config.file_format()
        self._row_type = resolve_row_type(config.row_type, config.columns)
        self._beginning = b""

    @property
    def partition(self) -> Mapping[str, str]:
        """The path as it is configured."""
        return {"path": self._config.path}

    async def read(self, position: Position | None) -> AsyncGenerator[Batch, None]:
        """Batches from after `position` to the end of the file.

        Raises SourceError for a file that cannot be read, is damaged, or is not the one that the position is of.
        """
        file = await asyncio.to_thread(self._open)
        try:
            reader = await asyncio.to_thread(self._reader, file, position)
            while (batch := await asyncio.to_thread(self._batch, reader)) is not None:
                yield batch
        finally:
            file.close()

    def _open(self) -> BinaryIO:
        path = self._config.path
        try:
            with open(path, "rb") as file:
                zipped = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            return cast("BinaryIO", gzip.open(path, "rb")) if zipped else open(path, "rb")
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror}") from error

    def _reader(self, file: BinaryIO, position: Position | None) -> Reader:
        """The reader of this format, standing after `position`; a CSV file's header is read in any case."""
        config = self._config
        with _readable(config.path):
            self._beginning = file.read(_BEGINNING_BYTES)
            file.seek(0)
            lines = Lines(file, offset=0, number=0, max_bytes=config.max_row_bytes)
            header = self._header(lines) if self._format == "csv" else []
            if position is not None:
                offset, line = _offset_and_line(position, config.path)
                file.seek(offset - 1)
                if not file.read(1):
                    raise self._replaced(f"is shorter than the {offset} bytes read of it before")
                if position.get("beginning", self._checksum(offset)) != self._checksum(offset):
                    raise self._replaced("begins otherwise than it did when it was read before")
                lines = Lines(file, offset=offset, number=line, max_bytes=config.max_row_bytes)
        if self._format == "csv":
            return CsvReader(lines, header, config, self._row_type)
        return JsonReader(lines, config, self._row_type)

    def _checksum(self, offset: int) -> int:
        """Of what a file that was read up to `offset` begins with, which stays if rows are added."""
        return zlib.crc32(self._beginning[:offset])

    def _replaced(self, how: str) -> SourceError:
        return SourceError(
            f"{self._config.path} {how}: it was replaced; give connector {self._name!r} another name to read the new "
            "file from its start"
        )

    def _header(self, lines: Lines) -> list[str]:
        record = CsvRecords(lines, self._config.delimiter, self._config.max_row_bytes).read()
        if record is None:
            raise ConfigError(f"{self._config.path} is empty; a CSV file begins with a header row")
        if record.problem is not None:
            raise ConfigError(f"{self._config.path}: the header row cannot be read: {record.problem}")
        return [record.fields[0].removeprefix(_BOM), *record.fields[1:]]

    def _batch(self, reader: Reader) -> Batch | None:
        rows: list[Row] = []
        malformed: list[MalformedRow] = []
        position: Position | None = None
        start: int | None = None
        with _readable(self._config.path):
            while len(rows) + len(malformed) < self._config.batch_rows and (taken := reader.read()) is not None:
                row, offset, line = taken
                if isinstance(row, Row):
                    rows.append(row)
                else:
                    malformed.append(row)
                position = {"offset": offset, "line": line, "beginning": self._checksum(offset)}
                start = offset if start is None else start
                if offset - start > BATCH_MAX_BYTES:
                    break
        return None if position is None else Batch(rows, malformed, position)


@contextmanager
def _readable(path: str) -> Iterator[None]:
    """Says in one sentence what is wrong with the file when reading it fails."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error


def _offset_and_line(position: Position, path: str) -> tuple[int, int]:
    offset, line = position.get("offset"), position.get("line")
    if not isinstance(offset, int) or not isinstance(line, int) or offset < 1 or line < 1:
        raise SourceError(f"{path}: {position} is no position in a file")
    return offset, line
