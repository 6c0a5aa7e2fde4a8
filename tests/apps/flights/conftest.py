"""The expected result, by a plain computation over the file that shares no code with the app."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DATA = Path(__file__).parents[3] / "apps/ottla_apps/flights/data"


class PlainFlight(NamedTuple):
    """A line of the file, in its order."""

    carrier: str
    departure: datetime
    delay: int | None


class Expected(NamedTuple):
    """Rows of the two tables: (carrier, hour) -> airline, flights, mean and longest delay; and carrier -> cancelled."""

    delays: dict[tuple[str, str], tuple[str, int, float, float]]
    cancelled: dict[str, int]


def read_csv(name: str) -> list[dict[str, Any]]:
    with gzip.open(DATA / name, "rt") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def plain_flights() -> list[PlainFlight]:
    flights = []
    for row in read_csv("flights-2013-01.csv.gz"):
        delay = None if row["dep_delay"] == "NA" else int(row["dep_delay"])
        hour = datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        departure = hour + timedelta(minutes=int(row["minute"]) + (delay or 0))
        flights.append(PlainFlight(row["carrier"], departure, delay))
    return flights


@pytest.fixture(scope="session")
def expected(plain_flights: list[PlainFlight]) -> Expected:
    names = {row["carrier"]: row["name"] for row in read_csv("airlines.csv.gz")}
    hours: dict[tuple[str, str], list[int]] = defaultdict(list)
    cancelled: Counter[str] = Counter()
    for carrier, departure, delay in plain_flights:
        if delay is None:
            cancelled[carrier] += 1
        else:
            hours[carrier, departure.strftime("%Y-%m-%d %H:00:00.000000")].append(delay)
    delays = {
        (carrier, hour): (names[carrier], len(minutes), sum(minutes) / len(minutes), float(max(minutes)))
        for (carrier, hour), minutes in hours.items()
    }
    return Expected(delays, dict(cancelled))
