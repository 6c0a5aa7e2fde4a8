"""CSV records out of lines: offsets are exact, and a bad record costs its first line alone."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from ottla_connectors.files.csv_records import CsvRecords, Record
from ottla_connectors.files.lines import Lines

MAX_BYTES = 200


def records(data: bytes, width: int | None = None, max_bytes: int = MAX_BYTES) -> list[Record]:
    reader = CsvRecords(Lines(io.BytesIO(data), offset=0, number=0, max_bytes=max_bytes), ",", max_bytes, width)
    found = []
    while (record := reader.read()) is not None:
        found.append(record)
    return found


def test_a_record_knows_its_fields_its_line_and_the_offset_after_it() -> None:
    first, second = records(b"a,b\r\n1,\xc3\xa9\n")

    assert (first.fields, first.line, first.end) == (["a", "b"], 1, 5)
    assert (second.fields, second.line, second.end) == (["1", "é"], 2, 10)


def test_a_quoted_field_may_span_lines() -> None:
    first, second = records(b'"a\nb",1\nc,2\n', width=2)

    assert (first.fields, first.line, first.last_line, first.end) == (["a\nb", "1"], 1, 2, 8)
    assert (second.fields, second.line) == (["c", "2"], 3)


def test_the_last_line_needs_no_newline_and_blank_lines_are_passed_over() -> None:
    assert [record.fields for record in records(b"a,b\n\n\r\nc,d", width=2)] == [["a", "b"], ["c", "d"]]


def test_a_record_with_other_fields_than_the_header_is_a_problem() -> None:
    short, good = records(b"a\nb,c\n", width=2)

    assert short.problem == "1 fields where the header names 2"
    assert good.problem is None


def test_a_stray_quote_costs_its_line_and_not_the_rows_behind_it() -> None:
    found = records(b'"a,1\nb,2\nc,3\n', width=2)

    assert [record.problem is None for record in found] == [False, True, True]
    assert "not CSV" in (found[0].problem or "")
    assert [record.line for record in found] == [1, 2, 3]


def test_a_quote_that_swallows_rows_is_given_up_when_the_width_shows_it() -> None:
    found = records(b'"a,1\nb,2\nc",3,x\nd,4\n', width=2)

    assert [(record.line, record.problem is None) for record in found] == [(1, False), (2, True), (3, False), (4, True)]


def test_a_quoted_field_without_end_is_bounded() -> None:
    found = records(b'"' + b"x\n" * 500 + b"b,2\n", width=2)

    assert found[0].problem == f"not CSV: a quoted field goes on for more than {MAX_BYTES} bytes"
    assert found[-1].fields == ["b", "2"]


def test_a_line_that_is_too_long_is_cut_and_the_next_one_is_read() -> None:
    long, good = records(b"a," + b"x" * 5_000 + b"\nb,2\n", width=2)

    assert long.problem == f"the line is longer than {MAX_BYTES} bytes"
    assert len(long.data) == MAX_BYTES
    assert (good.fields, good.line) == (["b", "2"], 2)


def test_bytes_that_are_no_text_are_a_problem_of_their_line() -> None:
    bad, good, quoted = records(b'\xff,1\na,2\n"\xff",3\n', width=2)

    assert bad.problem == "not UTF-8: invalid start byte at byte 1 of the line"
    assert good.fields == ["a", "2"]
    assert "not UTF-8" in (quoted.problem or "")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)


@given(st.lists(st.lists(TEXT, min_size=2, max_size=3), min_size=1, max_size=8))
def test_what_the_csv_module_writes_is_read_back_from_every_record_on(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    data = text.getvalue().encode()

    found = records(data, max_bytes=10_000)

    assert [record.fields for record in found] == rows
    for index, record in enumerate(found):
        assert [later.fields for later in records(data[record.end :], max_bytes=10_000)] == rows[index + 1 :]


@given(st.binary(max_size=300), st.integers(1, 4))
def test_any_bytes_give_records_or_problems_and_account_for_every_line(data: bytes, width: int) -> None:
    found = records(data, width, max_bytes=40)

    ends = [record.end for record in found]
    assert ends == sorted(ends)
    assert all(record.problem is not None or len(record.fields) == width for record in found)
    covered = {line for record in found for line in range(record.line, record.last_line + 1)}
    blank = {number for number, line in enumerate(data.split(b"\n"), 1) if not line.strip(b"\r")}
    assert covered | blank >= set(range(1, len(data.split(b"\n"))))
