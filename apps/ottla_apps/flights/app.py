"""Which airline kept its passengers waiting, hour by hour: a stream app on real flights out of New York.

topic flights ──> departed ──┬──> windows of one hour, per carrier ──> join ──> topic delays
                             └──> table cancelled ──> topic cancelled   │
topic airlines ──> table airlines ──────────────────────────────────────┘
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

import ottla


class Flight(msgspec.Struct, frozen=True):
    """A flight as the airport's file has it. A cancelled one has no delay."""

    carrier: str
    time_hour: datetime  # the scheduled hour of departure
    minute: int  # the scheduled minute in that hour
    dep_delay: float | None  # in minutes; below zero: it left early

    @property
    def departure(self) -> datetime:
        """When it left; when it should have, if it was cancelled. This is the event time, whenever the row is read."""
        return self.time_hour + timedelta(minutes=self.minute + (self.dep_delay or 0))


class Airline(msgspec.Struct, frozen=True):
    carrier: str
    name: str


class Delays(msgspec.Struct, frozen=True):
    """An hour of one airline."""

    carrier: str
    hour: datetime
    airline: str
    flights: int
    mean_delay: float
    max_delay: float


class Cancelled(msgspec.Struct, frozen=True):
    carrier: str
    flights: int


KEEP = {"retention.ms": "-1"}  # these events are of 2013: a broker that keeps a week would delete them at once
COMPACT = {"cleanup.policy": "compact"}

app = ottla.App("flights", processing_guarantee="exactly_once")

flights = app.topic("flights", key=str, value=Flight, partitions=6, config=KEEP)
airlines_topic = app.topic("airlines", key=str, value=Airline, partitions=6, config=COMPACT)
airlines = app.Table("airlines", source=airlines_topic)
delays = app.topic("delays", key=str, value=Delays, partitions=6, config=KEEP)
cancellations = app.topic("cancelled", key=str, value=Cancelled, partitions=6, config=KEEP)
cancelled = app.Table("cancelled", key=str, default=int, partitions=6)


@app.agent(flights)
async def departed(flights: ottla.Stream[Flight]) -> AsyncIterator[Flight]:
    """Hands on what flew, and counts what did not."""
    async for flight in flights:
        if flight.dep_delay is None:
            cancelled[flight.carrier] += 1
            await cancellations.send(key=flight.carrier, value=Cancelled(flight.carrier, cancelled[flight.carrier]))
        else:
            yield flight


def report(hour: ottla.Windowed[str, Any], airline: Airline) -> Delays:
    start = datetime.fromtimestamp(hour.start / 1000, UTC)
    return Delays(hour.key, start, airline.name, hour.value.flights, hour.value.mean_delay, hour.value.max_delay)


# A lesson of event time. The file lists the flights of a day by the clock time at which they left. A flight of 18:35
# that left at 8:48 on the next morning stands among those that left at 8:48 a day earlier: its event time is 24 hours
# ahead of theirs, and all that follow it in the file come up to a day "late". So an hour may close only when a day's
# grace has passed; with 23 hours, flights would be dropped.
hourly = ottla.tumbling(hours=1, grace=timedelta(days=1))

(
    app.stream(departed)
    .window(hourly)
    .aggregate(
        "hourly", flights=ottla.count(), mean_delay=ottla.mean("dep_delay"), max_delay=ottla.maximum("dep_delay")
    )
    .join(airlines, report)
    .to(delays)
)
