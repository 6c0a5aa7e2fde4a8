"""What `contract.Source` promises, held against every source: positions are exact, and reading is repeatable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from ottla_connectors.contract import Batch, Guarantee, Source
from ottla_connectors.errors import SourceError
from ottla_connectors.files.config import FileConfig
from ottla_connectors.files.source import FileSource

Collect = Callable[..., list[Batch]]
WriteFile = Callable[[str, bytes], str]

CSV = b'id,text\n1,a\n2,"b\nc"\n\nbroken\n3,d\n4,"e""f"\n"x\n5,g\n6,h'
JSON_LINES = b'{"id": 1}\n{"id": 2}\n\n[\n{"id": 3}\n{"id": 4}\n[]\n{"id": 5}\n{"id": 6}'


@pytest.fixture(params=["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz"])
def source(request: pytest.FixtureRequest, write_file: WriteFile) -> Source:
    """Each source over six rows and two malformed ones, in batches of two."""
    path = write_file(request.param, CSV if "csv" in request.param else JSON_LINES)
    return FileSource("contract", FileConfig(path=path, columns={"id": "int"}, batch_rows=2))


def rows_of(batches: list[Batch]) -> list[Any]:
    return [(row.key, msgspec.to_builtins(row.value), row.timestamp_ms) for batch in batches for row in batch.rows]


def test_every_row_comes_once_and_in_order(source: Source, collect: Collect) -> None:
    batches = collect(source)

    assert [value["id"] for _, value, _ in rows_of(batches)] == [1, 2, 3, 4, 5, 6]
    assert sum(len(batch.malformed) for batch in batches) == 2


def test_reading_again_gives_the_same_batches(source: Source, collect: Collect) -> None:
    assert collect(source) == collect(source)


def test_from_each_position_the_rest_follows_exactly(source: Source, collect: Collect) -> None:
    batches = collect(source)

    for index, batch in enumerate(batches):
        assert collect(source, batch.position) == batches[index + 1 :]


def test_positions_survive_json(source: Source, collect: Collect) -> None:
    for batch in collect(source):
        assert msgspec.json.decode(msgspec.json.encode(batch.position)) == batch.position


def test_stopping_early_leaves_nothing_open(source: Source, collect: Collect) -> None:
    (batch,) = collect(source, None, 1)

    assert batch == collect(source)[0]


def test_malformed_rows_say_why_and_where(source: Source, collect: Collect) -> None:
    malformed = [row for batch in collect(source) for row in batch.malformed]

    assert all(row.reason and row.origin and row.data for row in malformed)


def test_a_position_of_another_source_is_refused(source: Source, collect: Collect) -> None:
    with pytest.raises(SourceError, match="is no position"):
        collect(source, {"lsn": 17})


def test_what_it_reads_identifies_its_position(source: Source) -> None:
    partition = source.partition

    assert isinstance(partition, Mapping)
    assert msgspec.json.decode(msgspec.json.encode(partition), type=dict[str, str]) == dict(partition)


def test_it_states_its_guarantee_and_a_config_with_a_schema(source: Source) -> None:
    assert isinstance(type(source).guarantee, Guarantee)
    schema = msgspec.json.schema(type(source).config_type)
    (definition,) = [each for each in schema["$defs"].values() if "properties" in each]
    assert all("description" in each for each in definition["properties"].values())
