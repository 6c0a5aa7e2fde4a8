"""The file source: what it makes of CSV and JSON lines, and what it says of files that are none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest

from ottla_connectors.contract import Batch, Row
from ottla_connectors.errors import ConfigError, SourceError
from ottla_connectors.files.config import FileConfig
from ottla_connectors.files.source import FileSource

Collect = Callable[..., list[Batch]]
WriteFile = Callable[[str, bytes], str]


class Flight(msgspec.Struct, frozen=True):
    carrier: str
    hour: datetime
    delay: float | None

    @property
    def departure(self) -> datetime:
        return self.hour + timedelta(minutes=self.delay or 0)


@dataclasses.dataclass(frozen=True)
class Airline:
    carrier: str
    name: str = "unknown"


@pytest.fixture
def rows(collect: Collect) -> Callable[..., list[Row]]:
    def read(path: str, **config: Any) -> list[Row]:
        (batch,) = collect(FileSource("test", FileConfig(path=path, **config)))
        assert batch.malformed == []
        return list(batch.rows)

    return read


@pytest.fixture
def reasons(collect: Collect) -> Callable[..., list[tuple[str, str]]]:
    """The reasons and origins of malformed rows, the path left out."""

    def read(path: str, **config: Any) -> list[tuple[str, str]]:
        (batch,) = collect(FileSource("test", FileConfig(path=path, **config)))
        return [(row.origin.removeprefix(path), row.reason) for row in batch.malformed]

    return read


def test_csv_without_types_gives_text_and_none(rows: Callable[..., list[Row]], write_file: WriteFile) -> None:
    path = write_file("a.csv", b"carrier,delay\nUA,5\nAA,\n")

    assert rows(path) == [
        Row(None, {"carrier": "UA", "delay": "5"}, origin=f"{path}:2"),
        Row(None, {"carrier": "AA", "delay": None}, origin=f"{path}:3"),
    ]


def test_columns_of_the_config_are_taken_and_typed(rows: Callable[..., list[Row]], write_file: WriteFile) -> None:
    path = write_file("a.csv", b"carrier,delay,on time,skipped\nUA,5,true,x\nNA,NA,false,y\n")
    columns = {"on time": "bool", "delay": "int?", "carrier": "str"}

    first, second = rows(path, columns=columns, key="carrier", null_values=("NA",))

    assert msgspec.to_builtins(first.value) == {"on time": True, "delay": 5, "carrier": "UA"}
    assert (first.key, second.key) == ("UA", "NA"), "NA means empty only where a column may be empty"
    assert msgspec.to_builtins(second.value)["delay"] is None


def test_rows_of_an_apps_class_take_the_event_time_from_its_property(
    rows: Callable[..., list[Row]], write_file: WriteFile
) -> None:
    path = write_file("a.csv", b"delay,carrier,hour\n30,UA,2013-01-01T10:00:00Z\n")

    (row,) = rows(path, row_type=f"{__name__}:Flight", key="carrier", timestamp="departure")

    assert row.value == Flight("UA", datetime(2013, 1, 1, 10, tzinfo=UTC), 30.0)
    assert row.timestamp_ms == datetime(2013, 1, 1, 10, 30, tzinfo=UTC).timestamp() * 1000


def test_a_dataclass_may_leave_out_columns_that_have_a_default(
    rows: Callable[..., list[Row]], write_file: WriteFile
) -> None:
    (row,) = rows(write_file("a.csv", b"carrier\nUA\n"), row_type=f"{__name__}:Airline")

    assert row.value == Airline("UA")


@pytest.mark.parametrize(
    ("text", "column_type", "milliseconds"),
    [
        ("1970-01-01T00:00:01Z", "datetime", 1000),
        ("1970-01-01T00:00:01", "datetime", 1000),
        ("1970-01-01T01:00:00+01:00", "datetime", 0),
        ("1500", "int", 1500),
        ("1970-01-01T00:00:00.25Z", "str", 250),
    ],
)
def test_event_times_are_dates_with_times_or_milliseconds(
    rows: Callable[..., list[Row]], write_file: WriteFile, text: str, column_type: str, milliseconds: int
) -> None:
    path = write_file("a.csv", f"at\n{text}\n".encode())

    (row,) = rows(path, columns={"at": column_type}, timestamp="at")

    assert row.timestamp_ms == milliseconds


def test_reference_data_holds_as_of_one_moment(rows: Callable[..., list[Row]], write_file: WriteFile) -> None:
    (row,) = rows(write_file("a.csv", b"a\n1\n"), as_of=datetime(1970, 1, 2, tzinfo=UTC))

    assert row.timestamp_ms == 86_400_000


def test_json_lines_are_objects_or_the_apps_rows(rows: Callable[..., list[Row]], write_file: WriteFile) -> None:
    path = write_file("a.jsonl", b'{"carrier": "UA", "name": "United", "n": [1]}\n\n{"carrier": "AA"}')

    assert [row.value for row in rows(path)] == [{"carrier": "UA", "name": "United", "n": [1]}, {"carrier": "AA"}]
    typed = rows(path, row_type=f"{__name__}:Airline", key="carrier")
    assert [(row.key, row.value) for row in typed] == [("UA", Airline("UA", "United")), ("AA", Airline("AA"))]


def test_a_gzipped_file_is_known_by_its_content(rows: Callable[..., list[Row]], write_file: WriteFile) -> None:
    zipped = Path(write_file("a.csv.gz", b"a\n1\n"))
    zipped.rename(zipped.with_name("b.csv"))

    assert [row.value for row in rows(str(zipped.with_name("b.csv")))] == [{"a": "1"}]


def test_a_byte_order_mark_is_no_part_of_the_first_column(
    rows: Callable[..., list[Row]], write_file: WriteFile
) -> None:
    assert rows(write_file("a.csv", b"\xef\xbb\xbfa;b\n1;2\n"), delimiter=";")[0].value == {"a": "1", "b": "2"}


def test_malformed_rows_are_reported_with_line_and_reason_and_stop_nothing(
    collect: Collect, write_file: WriteFile
) -> None:
    path = write_file(
        "a.csv", b"carrier,hour,delay\nUA,soon,1\nAA\nDL,2013-01-01T00:00:00Z,x\nB6,2013-01-01T00:00:00Z,7\n"
    )

    (batch,) = collect(FileSource("test", FileConfig(path=path, row_type=f"{__name__}:Flight")))

    assert [row.value.carrier for row in batch.rows] == ["B6"]
    assert [(row.origin, row.reason) for row in batch.malformed] == [
        (f"{path}:2", "column 'hour' holds 'soon': Invalid RFC3339 encoded datetime"),
        (f"{path}:3", "1 fields where the header names 3"),
        (f"{path}:4", "column 'delay' holds 'x': Expected `float | null`, got `str`"),
    ]
    assert batch.malformed[1].data == b"AA\n"


def test_a_row_without_key_or_event_time_is_malformed(
    reasons: Callable[..., list[tuple[str, str]]], write_file: WriteFile
) -> None:
    path = write_file("a.jsonl", b'{"at": 1}\n{"k": "a"}\n{"k": "a", "at": -1}\n{"k": "a", "at": []}\n[1]\n{"k"\n')

    assert reasons(path, key="k", timestamp="at") == [
        (":1", "column 'k' is the key and is empty"),
        (":2", "column 'at' is the event time and is empty"),
        (":3", "column 'at' is the event time and lies before 1970"),
        (":4", "column 'at' is the event time; [] is none"),
        (":5", "Expected `object`, got `array`"),
        (":6", "Input data was truncated"),
    ]


def test_a_property_that_raises_spoils_its_row_alone(collect: Collect, write_file: WriteFile) -> None:
    path = write_file("a.csv", b"carrier,hour,delay\nUA,2013-01-01T00:00:00Z,1e300\nAA,2013-01-01T00:00:00Z,1\n")

    (batch,) = collect(FileSource("test", FileConfig(path=path, row_type=f"{__name__}:Flight", timestamp="departure")))

    assert [row.value.carrier for row in batch.rows] == ["AA"]
    assert batch.malformed[0].reason.startswith("the event time 'departure' cannot be computed: OverflowError(")


def test_batches_are_bounded_and_end_with_the_last_row(collect: Collect, write_file: WriteFile) -> None:
    path = write_file("a.csv", b"a\n" + b"1\n" * 5)

    batches = collect(FileSource("test", FileConfig(path=path, batch_rows=2)))

    assert [len(batch.rows) for batch in batches] == [2, 2, 1]
    assert batches[-1].position == {"offset": 12, "line": 6, "beginning": ANY}


@pytest.mark.parametrize(
    ("name", "data", "config", "sentence"),
    [
        ("a.csv", b"", {}, "is empty; a CSV file begins with a header row"),
        ("a.csv", b"a,a\n", {}, "the header names column 'a' more than once"),
        ("a.csv", b"a,b\n", {"key": "c"}, "no column 'c'; the header names a, b"),
        ("a.csv", b"a,b\n", {"columns": {"c": "int"}}, "no column 'c'; the header names a, b"),
        ("a.csv", b"a\n", {"columns": {"a": "int"}, "timestamp": "b"}, "Row has no column or property 'b'"),
        ("a.txt", b"", {}, "the name does not say its format; set format to csv or jsonl"),
        ("a.csv", b"", {"row_type": "nowhere:X"}, "row_type 'nowhere:X' cannot be imported"),
        (
            "a.csv",
            b"",
            {"row_type": "builtins:int"},
            "row_type 'builtins:int' is neither a msgspec.Struct nor a dataclass",
        ),
    ],
)
def test_what_contradicts_the_config_is_said_in_one_sentence(
    collect: Collect, write_file: WriteFile, name: str, data: bytes, config: dict[str, Any], sentence: str
) -> None:
    path = write_file(name, data)

    with pytest.raises(ConfigError) as error:
        collect(FileSource("test", FileConfig(path=path, **config)))

    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_said_in_one_sentence(collect: Collect, tmp_path: Path) -> None:
    path = tmp_path / "missing.csv"

    with pytest.raises(SourceError, match=f"^cannot read {path}: No such file or directory$"):
        collect(FileSource("test", FileConfig(path=str(path))))


def test_a_damaged_gzip_file_delivers_what_stands_before_the_damage(collect: Collect, write_file: WriteFile) -> None:
    path = Path(write_file("a.csv.gz", b"a\n" + b"1234567890\n" * 20_000))
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(SourceError, match="is damaged"):
        collect(FileSource("test", FileConfig(path=str(path))))
    first, *_ = collect(FileSource("test", FileConfig(path=str(path), batch_rows=100)), None, 1)
    assert len(first.rows) == 100


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_another_file_of_the_same_name_is_told_from_one_that_has_grown(
    collect: Collect, write_file: WriteFile, name: str
) -> None:
    path = write_file(name, b"a\n1\n")
    [read] = collect(FileSource("test", FileConfig(path=path)))

    assert write_file(name, b"a\n1\n2\n") == path
    [added] = collect(FileSource("test", FileConfig(path=path)), read.position)
    assert [row.value for row in added.rows] == [{"a": "2"}]

    write_file(name, b"a\n7\n8\n9\n")
    with pytest.raises(SourceError, match=r"begins otherwise than it did .* another name to read the new file"):
        collect(FileSource("test", FileConfig(path=path)), read.position)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_file_that_is_shorter_than_the_position_was_replaced(
    collect: Collect, write_file: WriteFile, name: str
) -> None:
    path = write_file(name, b"a\n1\n")
    source = FileSource("test", FileConfig(path=path))

    assert collect(source, {"offset": 4, "line": 2}) == []
    with pytest.raises(SourceError, match="is shorter than the 5 bytes read of it before"):
        collect(source, {"offset": 5, "line": 3})
