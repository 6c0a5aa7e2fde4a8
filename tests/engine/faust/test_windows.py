"""Windows by themselves: which of them a time is in."""

from datetime import timedelta

import pytest

import ottla.faust as faust


@pytest.mark.parametrize(
    ("window", "time", "ranges"),
    [
        (faust.HoppingWindow(10, 5), 12.0, [(5.0, 14.9), (10.0, 19.9)]),
        (faust.HoppingWindow(10, 4), 12.0, [(4.0, 13.9), (8.0, 17.9), (12.0, 21.9)]),
        (faust.TumblingWindow(10), 12.0, [(10.0, 19.9)]),
        (faust.TumblingWindow(timedelta(minutes=1)), 59.0, [(0.0, 59.9)]),
    ],
)
def test_the_windows_of_a_time(window: faust.Window, time: float, ranges: list[tuple[float, float]]) -> None:
    assert window.ranges(time) == ranges
    assert (window.earliest(time), window.current(time)) == (ranges[0], ranges[-1])


def test_a_window_of_before_and_one_that_is_kept_no_more() -> None:
    window = faust.TumblingWindow(10, expires=timedelta(seconds=20))
    assert window.delta(35, 10) == (20.0, 29.9)
    assert [window.stale(begin, 45) for begin in (20, 30)] == [True, False]
    assert not faust.TumblingWindow(10).stale(0, 1e9)
