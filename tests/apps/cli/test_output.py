"""Tables, tab-separated text and JSON."""

import json

import pytest

from ottla_apps.cli.output import Facts, Format, Rows, Table, Time, cell_text, show, stream

TABLE = Table("topics", ("topic", "size_bytes", "replicas"), [("flights", 12, [1, 2]), ("a\tb\nc\x1b[31m", None, [])])
FACTS = Facts("summary", {"cluster_id": "x", "healthy": True, "started": Time(1357034400123)})


def test_text_is_a_line_a_row_whatever_is_in_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    show(TABLE, output=None)
    assert capsys.readouterr().out == "TOPIC\tSIZE-BYTES\tREPLICAS\nflights\t12\t1,2\na\\tb\\nc\\x1b[31m\t-\t-\n"


def test_parts_are_set_apart_by_an_empty_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(FACTS, TABLE, output=Format.TEXT)
    assert capsys.readouterr().out.startswith(
        "CLUSTER-ID\tx\nHEALTHY\tyes\nSTARTED\t2013-01-01T10:00:00.123Z\n\nTOPIC\tSIZE-BYTES"
    )


def test_json_has_the_values_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show(TABLE, output=Format.JSON)
    assert json.loads(capsys.readouterr().out)[0] == {"topic": "flights", "size_bytes": 12, "replicas": [1, 2]}
    show(FACTS, TABLE, output=Format.JSON)
    both = json.loads(capsys.readouterr().out)
    assert both["summary"] == {"cluster_id": "x", "healthy": True, "started": 1357034400123}
    assert len(both["topics"]) == 2


def test_a_table_keeps_its_lines_where_the_terminal_is_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    show(TABLE, output=Format.TABLE)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["TOPIC", "SIZE-BYTES", "REPLICAS"] in lines
    assert ["flights", "12", "1,2"] in lines


def test_rows_come_one_by_one_in_pages(capsys: pytest.CaptureFixture[str]) -> None:
    rows = Rows("batches", ("offset", "value"), ((number, b"\xff") for number in range(1200)), {"file": "f"})
    stream(rows, output=Format.JSON)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[7] == {"kind": "batches", "file": "f", "offset": 7, "value": {"base64": "/w=="}}
    assert len(lines) == 1200


def test_bytes_that_are_no_text_are_escaped() -> None:
    assert cell_text(b"a\xff\n") == "a\\xff\\n"
