"""The config of the file source."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ottla_connectors.errors import ConfigError
from ottla_connectors.row_types import ColumnType

Format = Literal["csv", "jsonl"]
_FORMATS: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


class FileConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to read and how to make rows of it."""

    path: Annotated[str, Meta(description="The file. Gzipped or plain is seen from its first bytes.", min_length=1)]
    format: Annotated[
        Format | None,
        Meta(description="csv with a header row, or one JSON object a line; by default what the file's name says."),
    ] = None
    row_type: Annotated[
        str | None,
        Meta(description="module:Class of a msgspec Struct or dataclass; its fields are the columns to take."),
    ] = None
    columns: Annotated[
        dict[str, ColumnType],
        Meta(description="The columns to take and their types, where there is no row_type; ? allows empty ones."),
    ] = {}
    key: Annotated[str | None, Meta(description="The column whose text becomes the record's key.")] = None
    timestamp: Annotated[
        str | None,
        Meta(
            description="The column, or property of the row_type, that holds the event time: a date and time (UTC "
            "where it names no zone) or milliseconds since the epoch. By default it is the time of writing."
        ),
    ] = None
    as_of: Annotated[
        datetime | None,
        Meta(description="One event time for all rows, for reference data that holds from that moment on."),
    ] = None
    null_values: Annotated[tuple[str, ...], Meta(description="Texts that stand for an empty column in CSV.")] = ("",)
    delimiter: Annotated[str, Meta(description="Between the columns in CSV.", min_length=1, max_length=1)] = ","
    batch_rows: Annotated[int, Meta(description="Rows in one transaction, at most.", ge=1, le=100_000)] = 5_000
    max_row_bytes: Annotated[
        int, Meta(description="A longer row is malformed, not read into memory.", ge=16, le=100_000_000)
    ] = 1_000_000

    def __post_init__(self) -> None:
        if self.timestamp is not None and self.as_of is not None:
            raise ValueError("timestamp and as_of both give the event time; give one of them")
        if self.row_type is not None and self.columns:
            raise ValueError("row_type and columns both describe the rows; give one of them")

    def file_format(self) -> Format:
        """The format that is set, or the one the file's name says. Raises ConfigError where neither says."""
        if self.format is not None:
            return self.format
        name = PurePath(self.path)
        suffix = PurePath(name.stem).suffix if name.suffix == ".gz" else name.suffix
        if suffix not in _FORMATS:
            raise ConfigError(f"{self.path}: the name does not say its format; set format to csv or jsonl")
        return _FORMATS[suffix]
