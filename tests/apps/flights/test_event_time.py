"""The lesson of event time that the app's grace rests on, computed from the file."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

from ottla_apps.flights.app import hourly

HOUR = timedelta(hours=1)


def latest(plain_flights: Any) -> timedelta:
    """By how much a flight that left comes after a later one, at most."""
    worst, stream_time = timedelta(), plain_flights[0].departure
    for flight in plain_flights:
        stream_time = max(stream_time, flight.departure)
        if flight.delay is not None:
            worst = max(worst, stream_time - flight.departure)
    return worst


def dropped(plain_flights: Any, grace: timedelta) -> int:
    """How many flights would find their hour closed, if one stream carried them all."""
    count, stream_time = 0, plain_flights[0].departure
    for flight in plain_flights:
        stream_time = max(stream_time, flight.departure)
        end = flight.departure.replace(minute=0) + HOUR
        count += flight.delay is not None and end + grace <= stream_time
    return count


def test_flights_come_up_to_exactly_a_day_late(plain_flights: Any) -> None:
    assert latest(plain_flights) == timedelta(days=1)


def test_a_days_grace_is_enough_and_an_hour_less_is_not(plain_flights: Any) -> None:
    assert timedelta(milliseconds=hourly.grace_ms) == timedelta(days=1)
    assert dropped(plain_flights, timedelta(days=1)) == 0
    assert dropped(plain_flights, timedelta(hours=23)) > 0


def test_also_the_stream_of_each_airline_alone_needs_it(plain_flights: Any) -> None:
    by_carrier = defaultdict(list)
    for flight in plain_flights:
        by_carrier[flight.carrier].append(flight)

    assert sum(dropped(flights, timedelta(hours=23)) for flights in by_carrier.values()) > 0
