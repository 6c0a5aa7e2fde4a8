"""Sliding windows, record by record as `KStreamSlidingWindowAggregate`, and against their definition (KIP-450)."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla.testing import Driver
from ottla.windows import Emit


def sliding_app(difference: int, grace: int, emit: Emit) -> ottla.App:
    app = ottla.App("shop")
    window = ottla.sliding(timedelta(milliseconds=difference), grace=timedelta(milliseconds=grace))
    (
        app.stream(app.topic("in", key=str, value=str))
        .window(window)
        .aggregate("slid", text=ottla.reduce(lambda text, letter: text + letter, str, type=str), emit=emit)
        .to(app.topic("out", key=str, value=Any))
    )
    return app


def send(driver: Driver, *events: tuple[str | None, str | None, int]) -> None:
    for key, value, timestamp in events:
        driver.send("in", key=key, value=value, timestamp=timestamp)


def results(driver: Driver) -> list[tuple[str, int, int, str, int]]:
    """(key, start, end, text, timestamp) of each result."""
    return [
        (event.key, event.value["start"], event.value["end"], event.value["value"]["text"], event.timestamp)
        for event in driver.read("out")
    ]


class TestEachEvent:
    def test_makes_its_left_window_and_the_right_one_of_the_event_before(self) -> None:
        with sliding_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 20))
            assert results(driver) == [("a", 10, 20, "x", 20)]
            send(driver, ("a", "y", 25))
            assert results(driver) == [("a", 21, 31, "y", 25), ("a", 15, 25, "xy", 25)]
            send(driver, ("a", "z", 31))
            assert results(driver) == [("a", 21, 31, "yz", 31), ("a", 26, 36, "z", 31)]

    def test_shares_a_window_with_one_that_is_exactly_the_difference_away(self) -> None:
        with sliding_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 20), ("a", "y", 30))
            assert results(driver)[1:] == [("a", 21, 31, "y", 30), ("a", 20, 30, "xy", 30)]

    def test_that_comes_out_of_order_gets_its_right_window_from_those_after_it(self) -> None:
        with sliding_app(10, 100, "update").test() as driver:
            send(driver, ("a", "x", 30))
            results(driver)
            send(driver, ("a", "y", 25))
            assert results(driver) == [("a", 20, 30, "xy", 30), ("a", 15, 25, "y", 25), ("a", 26, 36, "x", 30)]

    def test_of_the_same_time_as_another_changes_the_same_windows(self) -> None:
        with sliding_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 20), ("a", "y", 20))
            assert results(driver) == [("a", 10, 20, "x", 20), ("a", 10, 20, "xy", 20)]

    def test_nearer_to_the_epoch_than_the_difference_is_in_the_window_at_zero(self) -> None:
        with sliding_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 3), ("a", "y", 5))
            assert results(driver) == [("a", 0, 10, "x", 3), ("a", 4, 14, "y", 5), ("a", 0, 10, "xy", 5)]

    def test_without_key_or_value_is_dropped_and_moves_no_time(self) -> None:
        with sliding_app(10, 0, "close").test() as driver:
            send(driver, ("a", "x", 20), (None, "n", 500), ("a", None, 500))
            assert results(driver) == []
            assert (driver.counts.null_key_dropped, driver.counts.null_value_dropped) == (1, 1)


class TestClosing:
    def test_a_window_is_emitted_when_stream_time_is_past_its_last_millisecond(self) -> None:
        with sliding_app(10, 0, "close").test() as driver:
            send(driver, ("a", "x", 20), ("b", "y", 20))
            assert results(driver) == []
            send(driver, ("z", "z", 21))
            assert results(driver) == [("a", 10, 20, "x", 20), ("b", 10, 20, "y", 20)]

    def test_windows_come_in_the_order_of_start_and_key(self) -> None:
        with sliding_app(10, 50, "close").test() as driver:
            send(driver, ("b", "1", 30), ("a", "2", 35), ("a", "3", 25), ("z", "z", 500))
            assert [(key, start) for key, start, *_ in results(driver)] == [
                ("a", 15),
                ("b", 20),
                ("a", 25),
                ("a", 26),
            ]

    def test_an_event_is_late_when_its_right_window_would_be_closed(self) -> None:
        with sliding_app(10, 0, "update").test() as driver:
            send(driver, ("z", "z", 40))
            results(driver)
            send(driver, ("a", "in time for windows after it", 30), ("a", "late", 29))
            assert results(driver) == []
            assert driver.counts.late_dropped == 2

    def test_the_end_of_the_input_closes_all_windows(self) -> None:
        with sliding_app(10, 1_000, "close").test() as driver:
            send(driver, ("a", "x", 20), ("a", "y", 25))
            driver.end_of_input()
            assert [(start, text) for _, start, _, text, _ in results(driver)] == [(10, "x"), (15, "xy"), (21, "y")]


def test_an_event_that_raises_leaves_no_trace(app: ottla.App) -> None:
    window = ottla.sliding(10)
    app.stream(app.topic("in", key=str, value=dict)).window(window).aggregate("n", total=ottla.sum("n")).to(
        app.topic("out", key=str, value=Any)
    )
    with app.test() as driver:
        for value in ({"n": 1}, {"n": "one"}, {"m": 1}, {"n": 2}):
            driver.send("in", key="a", value=value, timestamp=20_000)
        driver.end_of_input()
        assert [event.value["value"]["total"] for event in driver.read("out")] == [3]
        assert len(driver.dead_letters()) == 2


EVENT = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 60))


def defined(difference: int, events: list[tuple[str, str, int]]) -> dict[tuple[str, int], tuple[str, int]]:
    """The windows of KIP-450 that hold something: (key, start) -> values by arrival, newest time."""
    windows = {}
    for key in {key for key, _, _ in events}:
        own = [(value, time) for of, value, time in events if of == key]
        starts = {max(time - difference, 0) for _, time in own} | {time + 1 for _, time in own}
        for start in starts:
            inside = [(value, time) for value, time in own if start <= time <= start + difference]
            if inside:
                windows[key, start] = ("".join(value for value, _ in inside), max(time for _, time in inside))
    return windows


@settings(max_examples=150)
@given(
    polls=st.lists(st.tuples(st.lists(EVENT, max_size=6), st.sampled_from(["commit", "crash", "lose"])), max_size=6),
    difference=st.integers(1, 20),
)
def test_in_any_order_the_windows_are_those_of_the_definition(
    polls: list[tuple[list[tuple[str, str, int]], str]], difference: int
) -> None:
    with sliding_app(difference, 1_000, "close").test() as driver:
        for events, then in polls:
            send(driver, *events)
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            driver.run()
        driver.end_of_input()
        emitted = results(driver)
    found = {(key, start): ("".join(sorted(text)), newest) for key, start, _, text, newest in emitted}
    assert len(found) == len(emitted)
    expected = defined(difference, [event for events, _ in polls for event in events])
    assert found == {slot: ("".join(sorted(text)), newest) for slot, (text, newest) in expected.items()}


@settings(max_examples=100)
@given(events=st.lists(EVENT, max_size=40), difference=st.integers(1, 20), grace=st.integers(0, 20))
def test_the_last_update_of_a_window_is_what_closing_gives(
    events: list[tuple[str, str, int]], difference: int, grace: int
) -> None:
    last = {}
    with sliding_app(difference, grace, "update").test() as driver:
        send(driver, *events)
        for key, start, end, text, newest in results(driver):
            last[key, start, end] = (text, newest)
    with sliding_app(difference, grace, "close").test() as driver:
        send(driver, *events)
        driver.end_of_input()
        closed = {(key, start, end): (text, newest) for key, start, end, text, newest in results(driver)}
    assert closed == last


def test_what_no_event_needs_any_more_is_forgotten() -> None:
    for emit in ("close", "update"):
        with sliding_app(10, 0, emit).test() as driver:  # type: ignore[arg-type]
            for time in range(0, 5_000, 7):
                send(driver, ("a", "x", time))
            driver.run()
            [caches] = driver._caches.values()
            assert sum(1 for _ in caches["slid"].range()) < 20


@pytest.mark.parametrize("lose_state", [False, True])
def test_late_is_late_after_a_restart(lose_state: bool) -> None:
    with sliding_app(10, 5, "close").test() as driver:
        send(driver, ("a", "x", 20), ("z", "z", 100))
        assert len(results(driver)) == 1
        driver.crash_and_restart(lose_state=lose_state)
        send(driver, ("a", "late", 20))
        driver.end_of_input()
        assert [key for key, *_ in results(driver)] == ["z"]
        assert driver.counts.late_dropped == 1
