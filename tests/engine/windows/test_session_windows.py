"""Sessions, record by record as `KStreamSessionWindowAggregate`, and against their definition (KIP-94)."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import TopologyError
from ottla.testing import Driver
from ottla.windows import Emit


def session_app(gap: int, grace: int, emit: Emit) -> ottla.App:
    app = ottla.App("shop")
    text = ottla.reduce(lambda text, letter: text + (letter or "-"), str, type=str, merge=lambda a, b: a + b)
    (
        app.stream(app.topic("in", key=str, value=str))
        .window(ottla.session(timedelta(milliseconds=gap), grace=timedelta(milliseconds=grace)))
        .aggregate("sessions", text=text, emit=emit)
        .to(app.topic("out", key=str, value=Any))
    )
    return app


def send(driver: Driver, *events: tuple[str | None, str | None, int]) -> None:
    for key, value, timestamp in events:
        driver.send("in", key=key, value=value, timestamp=timestamp)


def results(driver: Driver) -> list[tuple[str, int, int, str | None, int]]:
    """(key, start, end, text or None for a session taken back, timestamp) of each result."""
    return [
        (
            event.key,
            event.value["start"],
            event.value["end"],
            event.value["value"] and event.value["value"]["text"],
            event.timestamp,
        )
        for event in driver.read("out")
    ]


class TestAnEvent:
    def test_begins_a_session(self) -> None:
        with session_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 20))
            assert results(driver) == [("a", 20, 20, "x", 20)]

    def test_within_the_gap_of_a_session_makes_it_longer_and_takes_the_shorter_back(self) -> None:
        with session_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 20))
            results(driver)
            send(driver, ("a", "y", 30))
            assert results(driver) == [("a", 20, 20, None, 20), ("a", 20, 30, "xy", 30)]

    def test_further_away_begins_another(self) -> None:
        with session_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 20), ("a", "y", 31))
            assert results(driver)[1:] == [("a", 31, 31, "y", 31)]

    def test_between_two_sessions_makes_one_of_them_the_earlier_first(self) -> None:
        with session_app(10, 50, "update").test() as driver:
            send(driver, ("a", "z", 38), ("a", "x", 20))
            results(driver)
            send(driver, ("a", "y", 29))
            assert results(driver) == [("a", 20, 20, None, 20), ("a", 38, 38, None, 38), ("a", 20, 38, "xzy", 38)]

    def test_at_the_only_time_of_a_session_takes_nothing_back(self) -> None:
        with session_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 20), ("a", "y", 20))
            assert results(driver) == [("a", 20, 20, "x", 20), ("a", 20, 20, "xy", 20)]

    def test_without_a_key_is_dropped_and_without_a_value_is_not(self) -> None:
        with session_app(10, 0, "update").test() as driver:
            send(driver, (None, "n", 500), ("a", None, 20))
            assert results(driver) == [("a", 20, 20, "-", 20)]
            assert driver.counts.null_key_dropped == 1

    def test_is_late_when_it_would_be_a_session_that_is_closed(self) -> None:
        with session_app(10, 5, "update").test() as driver:
            send(driver, ("z", "z", 100))
            results(driver)
            send(driver, ("a", "late", 84), ("a", "in time", 85))
            assert results(driver) == [("a", 85, 85, "in time", 85)]
            assert driver.counts.late_dropped == 1

    def test_is_in_time_where_a_session_is_open_that_it_belongs_to(self) -> None:
        with session_app(10, 0, "update").test() as driver:
            send(driver, ("a", "x", 92), ("z", "z", 100))
            results(driver)
            send(driver, ("a", "y", 83))
            assert results(driver) == [("a", 92, 92, None, 92), ("a", 83, 92, "xy", 92)]


class TestClosing:
    def test_a_session_is_emitted_when_no_event_can_belong_to_it_any_more(self) -> None:
        with session_app(10, 5, "close").test() as driver:
            send(driver, ("a", "x", 20), ("a", "y", 25), ("z", "z", 40))
            assert results(driver) == []
            send(driver, ("z", "z", 41))
            assert results(driver) == [("a", 20, 25, "xy", 25)]

    def test_sessions_come_in_the_order_of_end_start_and_key(self) -> None:
        with session_app(10, 50, "close").test() as driver:
            send(driver, ("c", "1", 30), ("b", "2", 30), ("a", "3", 32), ("b", "4", 25), ("z", "z", 500))
            assert [(key, start, end) for key, start, end, *_ in results(driver)] == [
                ("b", 25, 30),
                ("c", 30, 30),
                ("a", 32, 32),
            ]

    def test_one_key_can_have_several_open_sessions(self) -> None:
        with session_app(10, 100, "close").test() as driver:
            send(driver, ("a", "1", 200), ("a", "2", 170), ("a", "3", 140), ("z", "z", 255))
            assert [(start, text) for _, start, _, text, _ in results(driver)] == [(140, "3")]
            send(driver, ("z", "z", 290))
            assert [(start, text) for _, start, _, text, _ in results(driver)] == [(170, "2")]

    def test_the_end_of_the_input_closes_all_sessions_for_good(self) -> None:
        with session_app(10, 1_000, "close").test() as driver:
            send(driver, ("a", "x", 20), ("b", "y", 50))
            driver.end_of_input()
            assert [key for key, *_ in results(driver)] == ["a", "b"]
            driver.crash_and_restart()
            driver._ended = False
            send(driver, ("a", "late", 25), ("a", "new", 70))
            driver.end_of_input()
            assert [text for _, _, _, text, _ in results(driver)] == ["new"]


def test_all_aggregations_merge(app: ottla.App) -> None:
    amount = "amount"
    (
        app.stream(app.topic("in", key=str, value=dict))
        .window(ottla.session(10, grace=60))
        .aggregate(
            "sessions",
            n=ottla.count(),
            total=ottla.sum(amount),
            average=ottla.mean(amount),
            least=ottla.minimum(amount),
            most=ottla.maximum(amount),
            earliest=ottla.first(amount),
            latest=ottla.last(amount),
            every=ottla.collect(amount),
            longest=ottla.reduce(lambda a, b: max(a, b, key=len), type=dict),
        )
        .to(app.topic("out", key=str, value=Any))
    )
    with app.test() as driver:
        for timestamp, value in ((30, {"amount": 5}), (12, {"amount": 1}), (11, {}), (21, {"amount": 3})):
            driver.send("in", key="a", value={"amount": None} | value, timestamp=timestamp * 1000)
        driver.end_of_input()
        [event] = driver.read("out")
    assert event.value["value"] == {
        "n": 4,
        "total": 9,
        "average": 3.0,
        "least": 1,
        "most": 5,
        "earliest": 1,
        "latest": 5,
        "every": [1, 5, 3],
        "longest": {"amount": 1},
    }


def test_an_aggregation_that_cannot_merge_is_refused(app: ottla.App) -> None:
    stream = app.stream(app.topic("in", value=int)).window(ottla.session(10))
    with pytest.raises(TopologyError, match="what has an initial value needs merge="):
        stream.aggregate("sessions", n=ottla.reduce(lambda n, _: n + 1, 0))


EVENT = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(0, 80))
POLLS = st.lists(st.tuples(st.lists(EVENT, max_size=6), st.sampled_from(["commit", "crash", "lose"])), max_size=6)


def defined(gap: int, events: list[tuple[str, str, int]]) -> dict[tuple[str, int, int], str]:
    """The sessions there are when all events are in time: (key, start, end) -> sorted values."""
    sessions: dict[tuple[str, int, int], str] = {}
    for key in {key for key, _, _ in events}:
        own = sorted((time, value) for of, value, time in events if of == key)
        start = end = own[0][0]
        text = ""
        for time, value in own:
            if time - end > gap:
                sessions[key, start, end] = "".join(sorted(text))
                start, text = time, ""
            end = time
            text += value
        sessions[key, start, end] = "".join(sorted(text))
    return sessions


@settings(max_examples=150)
@given(polls=POLLS, gap=st.integers(1, 20))
def test_in_any_order_the_sessions_are_those_of_the_definition(
    polls: list[tuple[list[tuple[str, str, int]], str]], gap: int
) -> None:
    with session_app(gap, 1_000, "close").test() as driver:
        for events, then in polls:
            send(driver, *events)
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            driver.run()
        driver.end_of_input()
        emitted = results(driver)
    found = {(key, start, end): "".join(sorted(text or "")) for key, start, end, text, _ in emitted}
    assert len(found) == len(emitted)
    assert all(end == timestamp for _, _, end, _, timestamp in emitted)
    assert found == defined(gap, [event for events, _ in polls for event in events])


@settings(max_examples=100)
@given(polls=POLLS, gap=st.integers(1, 20), grace=st.integers(0, 20))
def test_what_updates_leave_is_what_closing_gives_whatever_crashes(
    polls: list[tuple[list[tuple[str, str, int]], str]], gap: int, grace: int
) -> None:
    left: dict[tuple[str, int, int], str] = {}
    with session_app(gap, grace, "update").test() as driver:
        for events, then in polls:
            send(driver, *events)
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            for key, start, end, text, _ in results(driver):
                if text is None:
                    del left[key, start, end]
                else:
                    left[key, start, end] = text
    with session_app(gap, grace, "close").test() as driver:
        for events, _ in polls:
            send(driver, *events)
        driver.end_of_input()
        assert {(key, start, end): text for key, start, end, text, _ in results(driver)} == left
