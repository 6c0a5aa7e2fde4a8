"""Windowed aggregations, record by record as `KStreamWindowAggregate` has it, and against a plain computation."""

from collections import defaultdict
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Window, Windowed, hopping, tumbling
from ottla.testing import Driver


class Figures(msgspec.Struct, frozen=True):
    events: int
    total: int


def windowed_app(window: Window, emit: ottla.windows.Emit) -> ottla.App:
    app = ottla.App("shop")
    sales = app.topic("sales", key=str, value=int)
    figures = app.topic("figures", key=str, value=Windowed[str, Figures])
    app.stream(sales).window(window).aggregate(
        "per-window", events=ottla.count(), total=ottla.sum(lambda amount: amount), emit=emit
    ).to(figures)
    return app


def send(driver: Driver, *events: tuple[str | None, int, int]) -> None:
    for key, value, timestamp in events:
        driver.send("sales", key=key, value=value, timestamp=timestamp)


def results(driver: Driver) -> list[tuple[Any, ...]]:
    """(key, start, end, events, total, timestamp) of each result."""
    return [
        (event.key, each.start, each.end, each.value.events, each.value.total, event.timestamp)
        for event in driver.read("figures")
        for each in [event.value]
        if each.key == event.key
    ]


class TestEmitOnClose:
    def test_a_window_is_emitted_once_when_stream_time_reaches_its_end(self) -> None:
        with windowed_app(tumbling(10), "close").test() as driver:
            # Given events in the first window
            send(driver, ("a", 1, 0), ("a", 2, 9_999), ("b", 5, 5_000))
            # When stream time is just below its end, nothing is emitted
            assert results(driver) == []
            # Then, at its end, any key closes it for all keys, in key order, each with its newest time
            send(driver, ("z", 1, 10_000))
            assert results(driver) == [("a", 0, 10_000, 2, 3, 9_999), ("b", 0, 10_000, 1, 5, 5_000)]
            send(driver, ("z", 1, 10_001))
            assert results(driver) == []

    def test_grace_keeps_a_window_open_for_late_events(self) -> None:
        with windowed_app(tumbling(10, grace=5), "close").test() as driver:
            send(driver, ("a", 1, 0), ("z", 1, 14_999), ("a", 2, 3_000))
            assert results(driver) == []
            send(driver, ("z", 1, 15_000))
            assert results(driver) == [("a", 0, 10_000, 2, 3, 3_000)]

    def test_an_event_is_late_once_its_window_closed(self) -> None:
        with windowed_app(tumbling(10), "close").test() as driver:
            send(driver, ("a", 1, 0), ("z", 1, 10_000), ("a", 2, 9_999))
            assert results(driver) == [("a", 0, 10_000, 1, 1, 0)]
            assert driver.counts.late_dropped == 1
            driver.end_of_input()
            assert [key for key, *_ in results(driver)] == ["z"]

    def test_windows_that_close_together_come_in_the_order_of_start_and_key(self) -> None:
        with windowed_app(tumbling(10, grace=100), "close").test() as driver:
            send(driver, ("b", 1, 20_000), ("a", 1, 25_000), ("c", 1, 5_000), ("a", 1, 1), ("z", 1, 200_000))
            assert [(key, start) for key, start, *_ in results(driver)] == [
                ("a", 0),
                ("c", 0),
                ("a", 20_000),
                ("b", 20_000),
            ]

    def test_an_event_without_a_key_is_dropped_and_moves_no_time(self) -> None:
        with windowed_app(tumbling(10), "close").test() as driver:
            send(driver, ("a", 1, 0), (None, 1, 50_000), ("a", 1, 9_000))
            assert results(driver) == []
            assert driver.counts.null_key_dropped == 1

    def test_the_end_of_the_input_closes_all_windows(self) -> None:
        with windowed_app(tumbling(10, grace=timedelta(days=1)), "close").test() as driver:
            send(driver, ("a", 1, 0), ("b", 1, 30_000), ("a", 1, 30_000))
            driver.end_of_input()
            assert [(key, start) for key, start, *_ in results(driver)] == [("a", 0), ("a", 30_000), ("b", 30_000)]
            assert driver.counts.windows_closed == 3


class TestEmitOnUpdate:
    def test_each_event_gives_the_result_so_far_with_the_newest_time(self) -> None:
        with windowed_app(tumbling(10), "update").test() as driver:
            send(driver, ("a", 1, 5_000), ("a", 2, 3_000), ("b", 7, 4_000))
            assert results(driver) == [
                ("a", 0, 10_000, 1, 1, 5_000),
                ("a", 0, 10_000, 2, 3, 5_000),
                ("b", 0, 10_000, 1, 7, 4_000),
            ]

    def test_closing_emits_nothing_but_later_events_are_late(self) -> None:
        with windowed_app(tumbling(10), "update").test() as driver:
            send(driver, ("a", 1, 0), ("b", 1, 10_000), ("a", 1, 1))
            assert [(key, events) for key, _, _, events, *_ in results(driver)] == [("a", 1), ("b", 1)]
            assert driver.counts.late_dropped == 1
            driver.end_of_input()
            assert results(driver) == []


class TestHopping:
    def test_an_event_counts_in_each_window_that_covers_it(self) -> None:
        with windowed_app(hopping(10, 5), "close").test() as driver:
            send(driver, ("a", 1, 7_000), ("z", 1, 100_000))
            assert [(key, start) for key, start, *_ in results(driver)] == [("a", 0), ("a", 5_000)]

    def test_an_event_can_be_late_for_one_window_and_in_time_for_the_next(self) -> None:
        with windowed_app(hopping(10, 5), "close").test() as driver:
            send(driver, ("z", 1, 10_000), ("a", 1, 7_000))
            assert driver.counts.late_dropped == 1
            driver.end_of_input()
            assert ("a", 5_000) in [(key, start) for key, start, *_ in results(driver)]


class TestRestart:
    @pytest.mark.parametrize("lose_state", [False, True])
    def test_windows_and_stream_time_survive_a_crash(self, lose_state: bool) -> None:
        with windowed_app(tumbling(10, grace=5), "close").test() as driver:
            # Given committed events, and one that was processed and not committed
            send(driver, ("a", 1, 0), ("b", 1, 12_000), ("b", 1, 16_000))
            assert [key for key, *_ in results(driver)] == ["a"]
            send(driver, ("b", 1, 17_000))
            # When the worker crashes
            driver.crash_and_restart(lose_state=lose_state)
            # Then a late event is still late, the uncommitted one counts once, and nothing is emitted twice
            send(driver, ("a", 1, 2_000))
            driver.end_of_input()
            assert results(driver) == [("b", 10_000, 20_000, 3, 3, 17_000)]
            assert driver.counts.late_dropped == 1

    def test_an_event_that_was_late_before_a_restart_is_late_after_it(self) -> None:
        with windowed_app(tumbling(10), "close").test() as driver:
            # Given a stream time past a window that never had an event
            send(driver, ("b", 1, 50_000))
            driver.run()
            driver.crash_and_restart()
            # Then an event of that window is late
            send(driver, ("a", 1, 2_000))
            driver.end_of_input()
            assert [key for key, *_ in results(driver)] == ["b"]
            assert driver.counts.late_dropped == 1

    def test_an_event_without_a_key_is_in_no_window_and_moves_no_time(self) -> None:
        with windowed_app(tumbling(10), "close").test() as driver:
            send(driver, ("a", 1, 0), (None, 1, 9_000), ("", 2, 3_000), (None, 1, 99_000), ("a", 2, 4_000))
            assert results(driver) == []
            assert driver.counts.null_key_dropped == 2
            driver.end_of_input()
            assert results(driver) == [("", 0, 10_000, 1, 2, 3_000), ("a", 0, 10_000, 2, 3, 4_000)]

    def test_a_window_of_many_keys_is_emitted_whole_and_in_order(self) -> None:
        with windowed_app(tumbling(10), "close").test() as driver:
            keys = [f"{number:04}" for number in range(5_000)]
            send(driver, *[(key, 1, 0) for key in reversed(keys)], ("a", 1, 5_000), ("z", 1, 30_000))
            assert [(key, start) for key, start, *_ in results(driver)] == [(key, 0) for key in [*keys, "a"]]
            assert driver.counts.windows_closed == len(keys) + 1

    def test_a_window_closed_by_the_end_of_an_input_stays_closed(self) -> None:
        with windowed_app(tumbling(10, grace=60), "close").test() as driver:
            send(driver, ("a", 1, 0))
            driver.end_of_input()
            driver.crash_and_restart()
            assert [key for key, *_ in results(driver)] == ["a"]
            driver._ended = False
            send(driver, ("a", 1, 1), ("a", 1, 10_000))
            driver.end_of_input()
            assert [(key, start, events) for key, start, _, events, *_ in results(driver)] == [("a", 10_000, 1)]


def plainly(window: Window, events: list[tuple[str, int, int]]) -> dict[tuple[str, int], tuple[int, int, int]]:
    """What the windows hold at the end, computed the slow way: (key, start) -> events, total, newest time."""
    expected: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    stream_time = -1
    for key, value, timestamp in events:
        stream_time = max(stream_time, timestamp)
        for start in range(0, timestamp + 1, window.advance_ms):
            end = start + window.size_ms
            if start <= timestamp < end and end > stream_time - window.grace_ms:
                expected[key, start].append((value, timestamp))
    return {
        slot: (len(inside), sum(value for value, _ in inside), max(timestamp for _, timestamp in inside))
        for slot, inside in expected.items()
    }


EVENT = st.tuples(st.sampled_from("abc"), st.integers(-5, 5), st.integers(0, 60))
POLLS = st.lists(st.tuples(st.lists(EVENT, max_size=6), st.sampled_from(["commit", "crash", "lose"])), max_size=8)


@settings(max_examples=300)
@given(polls=POLLS, size=st.integers(1, 20), hops=st.integers(1, 4), grace=st.integers(0, 30))
def test_in_any_order_each_window_is_emitted_once_with_what_a_plain_computation_gives(
    polls: list[tuple[list[tuple[str, int, int]], str]], size: int, hops: int, grace: int
) -> None:
    window = Window(size, max(1, size // hops), grace)
    with windowed_app(window, "close").test() as driver:
        for events, then in polls:
            send(driver, *events)
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            driver.run()
        driver.end_of_input()
        emitted = results(driver)
    assert len({(key, start) for key, start, *_ in emitted}) == len(emitted)
    expected = plainly(window, [event for events, _ in polls for event in events])
    assert {(key, start): tuple(figures) for key, start, _, *figures in emitted} == expected


@given(events=st.lists(EVENT, max_size=40), size=st.integers(1, 20), hops=st.integers(1, 4), grace=st.integers(0, 30))
def test_the_last_update_of_a_window_is_what_closing_would_give(
    events: list[tuple[str, int, int]], size: int, hops: int, grace: int
) -> None:
    window = Window(size, max(1, size // hops), grace)
    with windowed_app(window, "update").test() as driver:
        send(driver, *events)
        last = {(key, start): tuple(figures) for key, start, _, *figures in results(driver)}
    assert last == plainly(window, events)


@settings(max_examples=50)
@given(
    events=st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.integers(-1, 2), st.integers(0, 60)), max_size=30),
    advance=st.integers(1, 20),
    hops=st.integers(1, 4),
    more=st.integers(0, 5),
    grace=st.integers(0, 30),
    emit=st.sampled_from(["close", "update"]),
)
def test_how_events_are_batched_changes_nothing(
    events: list[tuple[str | None, int, int]], advance: int, hops: int, more: int, grace: int, emit: Any
) -> None:
    def processed(*, together: bool) -> tuple[Any, ...]:
        app = ottla.App("shop")
        sales, made = app.topic("sales", key=str, value=int), app.topic("made", key=str, value=Any)
        window = Window(advance * hops + min(more, advance - 1), advance, grace)
        stream = app.stream(sales).window(window)
        # A sale of -1 is none, and one of 0 is only where there were others.
        stream.aggregate("sum", emit=emit, late=app.topic("late", key=str, value=int), total=ottla.reduce(take)).to(
            made
        )
        with app.test() as driver:
            for key, value, timestamp in events:
                driver.send(sales, key=key, value=value, timestamp=timestamp)
                if not together:
                    driver.run()
            driver.run()
            driver.end_of_input()
            found = [(event.key, event.value, event.timestamp) for event in driver.read(made)]
            late = [(event.key, event.value, event.timestamp) for event in driver.read("late")]
            letters = [(letter.key, letter.value) for letter in driver.dead_letters()]
            return found, late, letters, driver.counts

    assert processed(together=True) == processed(together=False)


def take(total: int, amount: int) -> int:
    if amount == 0 or total < 0:
        raise ValueError
    return total + amount


def test_an_event_whose_aggregation_raises_is_dead_lettered_and_the_others_count(app: ottla.App) -> None:
    sales = app.topic("sales", key=str, value=dict)
    figures = app.topic("figures", key=str, value=Any)
    app.stream(sales).window(tumbling(10)).aggregate("sum", total=ottla.sum("amount")).to(figures)
    with app.test() as driver:
        for value in ({"amount": 1}, {"price": 2}, {"amount": "x"}, {"amount": 3}):
            driver.send(sales, key="a", value=value, timestamp=0)
        driver.end_of_input()
        assert [event.value["value"] for event in driver.read(figures)] == [{"total": 4}]
        assert [letter.value for letter in driver.dead_letters()] == [b'{"price":2}', b'{"amount":"x"}']


def test_an_aggregation_can_follow_an_aggregation(app: ottla.App) -> None:
    sales = app.topic("sales", key=str, value=int)
    peaks = app.topic("peaks", key=str, value=Any)
    (
        app.stream(sales)
        .window(tumbling(10))
        .aggregate("minute", n=ottla.count())
        .window(tumbling(100))
        .aggregate("hour", peak=ottla.maximum(lambda windowed: windowed.value.n))
        .to(peaks)
    )
    with app.test() as driver:
        for timestamp in (0, 1, 20_000, 21_000, 22_000, 150_000):
            driver.send(sales, key="a", value=1, timestamp=timestamp)
        driver.end_of_input()
        assert [(event.value["start"], event.value["value"]) for event in driver.read(peaks)] == [
            (0, {"peak": 3}),
            (100_000, {"peak": 1}),
        ]


def test_an_unknown_emit_is_refused(app: ottla.App) -> None:
    stream = app.stream(app.topic("sales", value=int)).window(tumbling(10))
    with pytest.raises(ottla.TopologyError, match='it is "close", "update" or a duration'):
        stream.aggregate("sum", n=ottla.count(), emit="never")  # type: ignore[arg-type]
