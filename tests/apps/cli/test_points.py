"""Positions and times as people write them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla_apps.cli.errors import BadArgument
from ottla_apps.cli.points import END, START, Kind, Point, Range, format_time, parse_point, parse_range, parse_time

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("start", START),
        ("earliest", START),
        ("end", END),
        ("latest", END),
        ("0", Point(Kind.OFFSET, 0)),
        ("47", Point(Kind.OFFSET, 47)),
        ("+2", Point(Kind.AFTER_START, 2)),
        ("-2", Point(Kind.BEFORE_END, 2)),
        ("@1357034400000", Point(Kind.TIME, 1357034400000)),
        ("@1357034400", Point(Kind.TIME, 1357034400000)),
        ("@2013-01-01", Point(Kind.TIME, 1356998400000)),
        ("@2013-01-01T10:00:00+01:00", Point(Kind.TIME, 1357030800000)),
        ("@-90m", Point(Kind.TIME, NOW_MS - 90 * 60_000)),
        ("@-1d12h", Point(Kind.TIME, NOW_MS - 36 * HOUR_MS)),
        ("@-250ms", Point(Kind.TIME, NOW_MS - 250)),
    ],
)
def test_a_position(text: str, point: Point) -> None:
    assert parse_point(text, NOW_MS) == point


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("48:55", Range(Point(Kind.OFFSET, 48), Point(Kind.OFFSET, 55))),
        (":end", Range(START, END)),
        ("47:", Range(Point(Kind.OFFSET, 47))),
        ("+1:-1", Range(Point(Kind.AFTER_START, 1), Point(Kind.BEFORE_END, 1))),
        ("@-1h:end", Range(Point(Kind.TIME, NOW_MS - HOUR_MS), END)),
        ("@2013-01-01T10:30:00Z:end", Range(Point(Kind.TIME, 1357036200000), END)),
        ("@2013-01-01T10:30", Range(Point(Kind.TIME, 1357036200000))),
        ("@2013-01-01T10:30:@2013-01-02", Range(Point(Kind.TIME, 1357036200000), Point(Kind.TIME, 1357084800000))),
        ("end", Range(END)),
    ],
)
def test_a_range(text: str, expected: Range) -> None:
    assert parse_range(text, NOW_MS) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "--1", "1.5", "@", "@yesterday", "@-1y", "0x10", "1_000", "٣", "9" * 30, "1:x"]
)
def test_what_is_neither_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadArgument, match=r"[a-z].*\.$"):
        parse_range(text, NOW_MS)


@given(st.text(max_size=20))
def test_no_text_is_worse_than_refused(text: str) -> None:
    with contextlib.suppress(BadArgument):
        parse_range(text, NOW_MS)


@given(st.integers(0, 2**63 - 1), st.sampled_from(["", "+", "-"]))
def test_a_position_reads_back_what_it_shows(number: int, sign: str) -> None:
    point = parse_point(f"{sign}{number}", NOW_MS)
    assert parse_point(str(point), NOW_MS) == point


@given(st.integers(0, 253402300799999))
def test_a_time_reads_back_as_the_millisecond_that_it_shows(timestamp_ms: int) -> None:
    assert parse_time(format_time(timestamp_ms), NOW_MS) == timestamp_ms


def test_a_time_beyond_the_calendar_is_shown_as_its_number() -> None:
    assert format_time(2**63 - 1) == str(2**63 - 1)
