"""The stateless operators, and what becomes of events that they or their topics cannot take."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ottla
from ottla import Stream
from ottla.testing import Driver


def run(app: ottla.App, *values: Any) -> list[Any]:
    with app.test() as driver:
        for value in values:
            driver.send("in", key="k", value=value)
        return [event.value for event in driver.read("out")]


def pipeline(app: ottla.App, build: Callable[[Stream[Any]], Stream[Any]], value: Any = int) -> ottla.App:
    build(app.stream(app.topic("in", key=str, value=value))).to(app.topic("out", key=str, value=Any))
    return app


def test_filter_keeps_what_the_function_is_true_for(app: ottla.App) -> None:
    assert run(pipeline(app, lambda stream: stream.filter(lambda n: n % 2)), 1, 2, 3) == [1, 3]


def test_map_changes_values(app: ottla.App) -> None:
    assert run(pipeline(app, lambda stream: stream.map(str)), 1, 2) == ["1", "2"]


def test_flat_map_makes_any_number_of_events(app: ottla.App) -> None:
    def count_up(number: int) -> Iterator[int]:
        yield from range(number)

    assert run(pipeline(app, lambda stream: stream.flat_map(count_up)), 2, 0, 3) == [0, 1, 0, 1, 2]


def test_each_of_what_an_event_became_goes_through_all_branches_before_the_next(app: ottla.App) -> None:
    def twice(number: int) -> list[int]:
        return [number, number + 1]

    def beside(number: int, newest: int) -> tuple[int, int]:
        return number, newest

    numbers = app.stream(app.topic("in", key=str, value=int)).flat_map(twice)
    newest = numbers.to_table("newest")
    out = app.topic("out", key=str, value=Any)
    numbers.join(newest, beside).to(out)
    branches = numbers.branch(even=lambda number: number % 2 == 0)
    branches["even"].to(out)
    branches["rest"].to(out)
    assert run(app, 1, 4) == [[1, 1], 1, [2, 2], 2, [4, 4], 4, [5, 5], 5]


def test_through_goes_by_a_topic(app: ottla.App) -> None:
    middle = app.topic("middle", key=str, value=int)
    pipeline(app, lambda stream: stream.map(lambda n: n + 1).through(middle).map(lambda n: n * 10))
    with app.test() as driver:
        driver.send("in", key="k", value=1, timestamp=7)
        assert [event.value for event in driver.read("out")] == [20]
        [event] = driver.read(middle)
        assert (event.key, event.value, event.timestamp) == ("k", 2, 7)
    assert len(app.topology.subtopologies) == 2


def test_a_null_value_passes_as_none_and_a_none_is_written_as_null(app: ottla.App) -> None:
    assert run(pipeline(app, lambda stream: stream.map(lambda n: None if n else "none")), None, 1) == ["none", None]


@given(st.lists(st.integers(0, 4), max_size=20))
def test_events_that_raise_are_rejected_and_no_function_is_called_twice(numbers: list[int]) -> None:
    calls: list[int] = []

    def check(number: int) -> int:
        calls.append(number)
        if number == 0:
            raise ValueError("zero")
        if number == 1:
            raise StopIteration
        return number

    def twice(number: int) -> list[int]:
        return [check(number)] * 2

    good = [number for number in numbers if number > 1]
    for build, expected in (
        (lambda stream: stream.map(check), good),
        (lambda stream: stream.filter(check), good),
        (lambda stream: stream.flat_map(twice), [number for number in good for _ in range(2)]),
    ):
        calls.clear()
        app = pipeline(ottla.App("shop"), build)
        with app.test() as driver:
            for number in numbers:
                driver.send("in", key="k", value=number)
            assert [event.value for event in driver.read("out")] == expected
            assert len(driver.dead_letters()) == len([n for n in numbers if n < 2])
        assert calls == numbers


class Flight(msgspec.Struct):
    carrier: str
    departure: int


class TestBadEvents:
    """Events that are not what their topic declares, among good ones."""

    def app(self, **options: Any) -> ottla.App:
        app = ottla.App("shop", **options)
        flights = app.topic("flights", key=int, value=Flight, timestamp="departure")
        app.stream(flights).to(app.topic("out", key=int, value=Flight))
        return app

    def send(self, driver: Driver) -> None:
        driver.send_raw("flights", b"1", b'{"carrier":"UA","departure":10}', timestamp=5, headers=[("h", b"x")])
        driver.send_raw("flights", b"2", b'{"carrier":"UA"}', timestamp=6, headers=[("h", b"y")])
        driver.send_raw("flights", b"x", b'{"carrier":"UA","departure":11}', timestamp=7)
        driver.send_raw("flights", b"3", b'{"carrier":"UA","departure":-1}', timestamp=8)
        driver.send_raw("flights", b"4", b'{"carrier":"UA","departure":12}', timestamp=9)

    def test_are_dead_lettered_as_they_came_with_reason_and_origin(self) -> None:
        with self.app().test() as driver:
            self.send(driver)
            assert [(event.key, event.timestamp) for event in driver.read("out")] == [(1, 10), (4, 12)]
            letters = driver.dead_letters()
        headers = [dict(letter.headers) for letter in letters]
        assert [letter.key for letter in letters] == [b"2", b"x", b"3"]
        assert letters[0].value == b'{"carrier":"UA"}'
        assert [letter.timestamp for letter in letters] == [6, 7, 8]
        assert headers[0]["h"] == b"y"
        assert [each["ottla.error.type"] for each in headers] == [b"DecodeError", b"DecodeError", b"InvalidTimestamp"]
        assert b"the value is no json[Flight]: Object missing required field" in (
            headers[0]["ottla.error.reason"] or b""
        )
        assert b"the key is no json[int]" in (headers[1]["ottla.error.reason"] or b"")
        assert b"must not be negative, it is -1" in (headers[2]["ottla.error.reason"] or b"")
        assert [each["ottla.origin.offset"] for each in headers] == [b"1", b"2", b"3"]

    def test_are_skipped_where_the_app_says_so(self) -> None:
        with self.app(on_error="skip").test() as driver:
            self.send(driver)
            assert len(driver.read("out")) == 2
            assert driver.dead_letters() == []
            assert (driver.counts.skipped, driver.counts.processed) == (3, 5)

    def test_stop_the_worker_where_the_app_says_so(self) -> None:
        with self.app(on_error="fail").test() as driver:
            self.send(driver)
            with pytest.raises(ottla.ProcessingFailed, match=r"flights\[0\] offset 1: DecodeError"):
                driver.run()


def test_a_negative_timestamp_of_a_record_is_refused(app: ottla.App) -> None:
    pipeline(app, lambda stream: stream)
    with app.test() as driver:
        driver.send("in", key="k", value=1, timestamp=-1)
        driver.send("in", key="k", value=2, timestamp=0)
        assert [event.value for event in driver.read("out")] == [2]
        assert len(driver.dead_letters()) == 1


def test_a_timestamp_function_gives_event_time(app: ottla.App) -> None:
    source = app.topic("in", key=str, value=dict, timestamp=lambda value: value["at"] * 1000)
    app.stream(source).to(app.topic("out", key=str, value=dict))
    with app.test() as driver:
        driver.send(source, key="k", value={"at": 3})
        driver.send(source, key="k", value={"at": 0.5})
        assert [event.timestamp for event in driver.read("out")] == [3000]
        [letter] = driver.dead_letters()
    assert b"must be an int of milliseconds since the epoch, not 500.0" in (
        dict(letter.headers)["ottla.error.reason"] or b""
    )


class Sighting(msgspec.Struct):
    at: datetime


@pytest.mark.parametrize("timestamp", ["at", lambda sighting: sighting.at], ids=["field", "function"])
@pytest.mark.parametrize(
    "written", ["2013-01-31T10:30:00.250Z", "2013-01-31T12:30:00.250+02:00", "2013-01-31T10:30:00.25"]
)
def test_event_time_may_be_a_datetime_in_utc_unless_it_names_a_zone(
    app: ottla.App, timestamp: Any, written: str
) -> None:
    app.stream(app.topic("in", value=Sighting, timestamp=timestamp)).to(app.topic("out", value=Sighting))
    with app.test() as driver:
        driver.send_raw("in", None, b'{"at":"%s"}' % written.encode())
        driver.send_raw("in", None, b'{"at":"1913-01-31T10:30:00Z"}')
        assert [event.timestamp for event in driver.read("out")] == [1_359_628_200_250]
        assert b"event time must not be negative" in (
            dict(driver.dead_letters()[0].headers)["ottla.error.reason"] or b""
        )


def test_a_field_of_event_time_that_values_do_not_have_is_refused(app: ottla.App) -> None:
    with pytest.raises(ottla.TopologyError, match="Sighting has no field 'when'; it has at"):
        app.topic("in", value=Sighting, timestamp="when")


def test_a_result_that_its_topic_cannot_take_is_dead_lettered_alone(app: ottla.App) -> None:
    source = app.topic("in", key=str, value=int)
    app.stream(source).map(lambda n: n if n != 2 else "two").to(
        app.topic("out", key=str, value=ottla.Codec("number", lambda n: b"%d" % n, int))
    )
    with app.test() as driver:
        for number in (1, 2, 3):
            driver.send(source, key="k", value=number)
        assert [event.value for event in driver.read("out")] == [1, 3]
        [letter] = driver.dead_letters()
    reason = dict(letter.headers)["ottla.error.reason"] or b""
    assert b"EncodeError: 'two' cannot be a value of topic 'out' (number)" in reason
    assert letter.value == b"2"


def test_a_failure_on_a_derived_event_is_dead_lettered_without_an_origin(app: ottla.App) -> None:
    source = app.topic("in", key=str, value=int)
    app.stream(source).window(ottla.tumbling(10)).aggregate("n", n=ottla.count()).map(
        lambda windowed: windowed.missing
    ).to(app.topic("out", key=str, value=int))
    with app.test() as driver:
        driver.send(source, key="k", value=1, timestamp=4)
        driver.end_of_input()
        [letter] = driver.dead_letters()
    headers = dict(letter.headers)
    assert headers["ottla.error.step"] == b"n.map"
    assert "ottla.origin.topic" not in headers
    assert b"Windowed(key='k', start=0, end=10000, value=N(n=1))" in letter.value
    assert letter.timestamp == 4
