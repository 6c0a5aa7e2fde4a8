"""Which windows hold a timestamp, and what a window's definition refuses."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla import ConfigError, hopping, tumbling
from ottla.windows import Window


@given(
    size=st.integers(1, 50),
    advance=st.integers(1, 50),
    timestamp=st.integers(0, 500),
)
def test_a_timestamp_is_in_every_window_that_covers_it_and_in_no_other(size: int, advance: int, timestamp: int) -> None:
    advance = min(advance, size)
    covering = [start for start in range(0, 600, advance) if start <= timestamp < start + size]
    assert list(Window(size, advance).starts(timestamp)) == covering


@given(size=st.integers(1, 50), advance=st.integers(1, 50), timestamp=st.integers(0, 500))
def test_the_same_windows_cover_all_times_between_their_bounds_and_none_beside(
    size: int, advance: int, timestamp: int
) -> None:
    window = Window(size, min(advance, size))
    starts, begin, end = window.covering(timestamp)
    assert begin <= timestamp < end
    assert all(window.starts(time) == starts for time in range(begin, end))
    assert window.starts(end) != starts
    assert begin == 0 or window.starts(begin - 1) != starts


def test_tumbling_windows_lie_side_by_side() -> None:
    window = tumbling(hours=1)
    assert list(window.starts(0)) == [0]
    assert list(window.starts(3_599_999)) == [0]
    assert list(window.starts(3_600_000)) == [3_600_000]


def test_a_size_is_a_timedelta_seconds_or_named_units() -> None:
    assert tumbling(timedelta(minutes=5)) == tumbling(300) == tumbling(minutes=5)
    assert tumbling(minutes=1, grace=2.5).grace_ms == 2_500


def test_a_window_says_what_it_is() -> None:
    assert str(tumbling(hours=1, grace=60)) == "tumbling 1:00:00 grace 0:01:00"
    assert str(hopping(60, 10)) == "hopping 0:01:00 every 0:00:10 grace 0:00:00"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tumbling(), "size must be positive"),
        (lambda: tumbling(60, hours=1), "size once"),
        (lambda: tumbling(hours=1, grace=-1), "grace must not be negative"),
        (lambda: tumbling("hour"), "size must be a timedelta"),
        (lambda: hopping(60, 61), "advance must be positive and at most"),
        (lambda: hopping(60, 0), "advance must be positive and at most"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_with_the_reason(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
