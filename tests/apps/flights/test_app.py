"""The app on `app.test()`: no broker, no clock, the whole month in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import ottla
from ottla_apps.flights import app as flights_app
from ottla_apps.flights.app import Airline, Cancelled, Delays, Flight
from ottla_apps.flights.app import app as the_app

NOON = datetime(2013, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def driver() -> Iterator[Any]:
    with the_app.test() as driver:
        driver.send(flights_app.airlines_topic, key="UA", value=Airline("UA", "United"), timestamp=0)
        yield driver


@pytest.fixture
def send(driver: Any) -> Callable[..., None]:
    """Sends flights with their departure as event time."""

    def send_flights(*flights: Flight) -> None:
        for flight in flights:
            departure = int(flight.departure.timestamp() * 1000)
            driver.send(flights_app.flights, key=flight.carrier, value=flight, timestamp=departure)

    return send_flights


def test_the_event_time_is_the_departure_and_of_a_cancelled_flight_the_schedule() -> None:
    assert Flight("UA", NOON, 30, 45.0).departure == datetime(2013, 1, 1, 13, 15, tzinfo=UTC)
    assert Flight("UA", NOON, 30, -31.0).departure == datetime(2013, 1, 1, 11, 59, tzinfo=UTC)
    assert Flight("UA", NOON, 30, None).departure == datetime(2013, 1, 1, 12, 30, tzinfo=UTC)


def test_an_hour_is_reported_once_when_it_closes(driver: Any, send: Callable[..., None]) -> None:
    send(Flight("UA", NOON, 0, 10.0), Flight("UA", NOON, 5, 40.0))
    assert driver.read(flights_app.delays) == []

    driver.end_of_input()

    (event,) = driver.read(flights_app.delays)
    assert event.key == "UA"
    assert event.value == Delays("UA", NOON, "United", flights=2, mean_delay=25.0, max_delay=40.0)


def test_a_flight_that_comes_a_day_late_is_counted(driver: Any, send: Callable[..., None]) -> None:
    send(Flight("UA", NOON, 0, 24 * 60.0), Flight("UA", NOON, 0, 0.0))

    driver.end_of_input()

    reports = [event.value for event in driver.read(flights_app.delays)]
    assert [(report.hour.day, report.flights) for report in reports] == [(1, 1), (2, 1)]


def test_cancelled_flights_are_counted_apart(driver: Any, send: Callable[..., None]) -> None:
    send(Flight("UA", NOON, 0, None), Flight("UA", NOON, 5, 1.0), Flight("UA", NOON, 9, None))

    driver.end_of_input()

    counts = [event.value for event in driver.read(flights_app.cancellations)]
    assert counts == [Cancelled("UA", 1), Cancelled("UA", 2)]
    assert driver.table("cancelled")["UA"] == 2
    assert [event.value.flights for event in driver.read(flights_app.delays)] == [1]


def test_an_airline_without_a_name_is_left_out(driver: Any, send: Callable[..., None]) -> None:
    send(Flight("XX", NOON, 0, 1.0))

    driver.end_of_input()

    assert driver.read(flights_app.delays) == []


def test_the_app_is_short() -> None:
    source = flights_app.__file__
    assert source is not None
    with open(source) as file:
        assert sum(1 for _ in file) < 100


def test_its_topics_keep_events_of_2013() -> None:
    topics: list[ottla.Topic[Any, Any]] = [flights_app.flights, flights_app.delays, flights_app.cancellations]
    assert all(topic.spec.config["retention.ms"] == "-1" for topic in topics)
    assert flights_app.airlines_topic.spec.config["cleanup.policy"] == "compact"
