"""Counting windows: the next so many events of a key, whatever their times."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import ConfigError, TopologyError
from ottla.testing import Driver
from ottla.windows import Emit


def counting_app(size: int, emit: Emit) -> ottla.App:
    app = ottla.App("shop")
    (
        app.stream(app.topic("in", key=str, value=int))
        .window(ottla.counting(size))
        .aggregate("counted", values=ottla.collect(type=int), emit=emit)
        .to(app.topic("out", key=str, value=Any))
    )
    return app


def send(driver: Driver, *events: tuple[str | None, int | None, int]) -> None:
    for key, value, timestamp in events:
        driver.send("in", key=key, value=value, timestamp=timestamp)


def results(driver: Driver) -> list[tuple[str, int, int, list[int], int]]:
    return [
        (event.key, event.value["start"], event.value["end"], event.value["value"]["values"], event.timestamp)
        for event in driver.read("out")
    ]


def test_a_window_is_full_when_its_number_of_events_of_a_key_came() -> None:
    with counting_app(3, "close").test() as driver:
        send(driver, ("a", 1, 50), ("b", 9, 1), ("a", 2, 40), ("a", 3, 45), ("a", 4, 60))
        assert results(driver) == [("a", 40, 50, [1, 2, 3], 50)]
        driver.end_of_input()
        assert results(driver) == [("a", 60, 60, [4], 60), ("b", 1, 1, [9], 1)]


def test_every_event_can_give_the_result_so_far() -> None:
    with counting_app(2, "update").test() as driver:
        send(driver, ("a", 1, 5), ("a", 2, 4), ("a", 3, 6))
        assert [values for _, _, _, values, _ in results(driver)] == [[1], [1, 2], [3]]
        driver.end_of_input()
        assert results(driver) == []


def test_an_event_without_a_key_is_dropped_and_one_without_a_value_counts() -> None:
    with counting_app(2, "close").test() as driver:
        send(driver, (None, 1, 5), ("a", None, 5), ("a", 2, 6))
        assert results(driver) == [("a", 5, 6, [2], 6)]
        assert driver.counts.null_key_dropped == 1


def test_what_makes_no_sense_is_refused(app: ottla.App) -> None:
    with pytest.raises(ConfigError, match="a window has at least one"):
        ottla.counting(0)
    topic = app.topic("in", value=int)
    with pytest.raises(TopologyError, match="has no late events"):
        app.stream(topic).window(ottla.counting(2)).aggregate("n", n=ottla.count(), late=topic)


def test_an_event_that_raises_does_not_count(app: ottla.App) -> None:
    app.stream(app.topic("in", key=str, value=int)).window(ottla.counting(2)).aggregate(
        "n", total=ottla.sum(lambda n: 10 // n)
    ).to(app.topic("out", value=Any))
    with app.test() as driver:
        send(driver, ("a", 1, 0), ("a", 0, 0), ("a", 5, 0))
        assert [event.value["value"] for event in driver.read("out")] == [{"total": 12}]
        assert len(driver.dead_letters()) == 1


@settings(max_examples=60)
@given(
    polls=st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from("ab"), st.integers(-99, 99), st.integers(0, 9)), max_size=6),
            st.sampled_from(["commit", "crash", "lose"]),
        ),
        max_size=6,
    ),
    size=st.integers(1, 4),
)
def test_each_event_is_in_one_window_in_order_whatever_crashes(
    polls: list[tuple[list[tuple[str, int, int]], str]], size: int
) -> None:
    windows = []
    with counting_app(size, "close").test() as driver:
        for events, then in polls:
            send(driver, *events)
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            windows += results(driver)
        driver.end_of_input()
        windows += results(driver)
    for key in "ab":
        sent = [value for events, _ in polls for of, value, _ in events if of == key]
        expected = [sent[first : first + size] for first in range(0, len(sent), size)]
        assert [values for of, _, _, values, _ in windows if of == key] == expected
