"""The app that is killed, under either guarantee: the stateful parts of the engine, side by side on one input.

Each writes to a topic of its own, and what must be there in the end is computed by `expected.py`.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, Literal

import msgspec

import ottla

PARTITIONS = 4
SESSION_TIMEOUT_MS = 6_000
"""So soon the tasks of a worker that stays away go to others."""
WINDOW_MS, GAP_MS, WITHIN_MS = 10_000, 2_000, 500
CREWS, HALLS = 8, 5

INPUTS = ("readings", "alarms", "places", "crews", "limits")
OUTPUTS = ("counted", "summed", "sessions", "checked", "placed", "manned", "halls", "alarmed")


class Reading(msgspec.Struct, array_like=True):
    sensor: str
    number: int


class Crew(msgspec.Struct, array_like=True):
    """Who looks after readings, in one of its versions."""

    name: str
    version: int


class Counted(msgspec.Struct, array_like=True):
    """A reading, and how many of its sensor there have been."""

    number: int
    seen: int


class Summed(msgspec.Struct, array_like=True):
    """The readings of a sensor in a window, joined with its place."""

    start: int
    readings: int
    total: int
    place: str


class Placed(msgspec.Struct, array_like=True):
    number: int
    place: str


class Manned(msgspec.Struct, array_like=True):
    number: int
    crew: str
    version: int


class Alarmed(msgspec.Struct, array_like=True):
    """An alarm, and a reading near it in time."""

    alarm: int
    number: int


def hall_of(reading: Reading) -> str:
    return f"hall-{reading.number % HALLS}"


def crew_of(reading: Reading) -> str:
    return f"crew-{reading.number // 40 % CREWS}"


def summed(window: ottla.Windowed[str, Any], where: str) -> Summed:
    return Summed(window.start, window.value.readings, window.value.total, where)


def session(window: ottla.Windowed[str, Any]) -> Summed:
    return Summed(window.start, window.value.readings, window.value.total, "")


def placed(reading: Reading, where: str) -> Placed:
    return Placed(reading.number, where)


def manned(reading: Reading, crew: Crew) -> Manned:
    return Manned(reading.number, crew.name, crew.version)


def alarmed(reading: Reading, alarm: int) -> Alarmed:
    return Alarmed(alarm, reading.number)


def chaos(guarantee: Literal["exactly_once", "at_least_once"]) -> ottla.App:
    app = ottla.App(
        "chaos",
        processing_guarantee=guarantee,
        standbys=1,
        commit_interval=timedelta(milliseconds=30),
        broker_options={"session.timeout.ms": SESSION_TIMEOUT_MS},
    )

    def topic(name: str, value: Any, partitions: int = PARTITIONS) -> ottla.Topic[str, Any]:
        return app.topic(name, key=str, value=value, partitions=partitions, config={"retention.ms": "-1"})

    readings = app.stream(topic("readings", Reading))
    alarms = app.stream(topic("alarms", int))
    places = app.Table("places", source=topic("places", str))
    crews = app.Table("crews", source=topic("crews", Crew))
    limits = app.GlobalTable("limits", source=topic("limits", str, partitions=1))
    seen = app.Table("seen", key=str, default=int)

    # A table that an agent writes
    @app.agent(app.declared_topic("readings"), sink=[topic("counted", Counted)])
    async def count(stream: ottla.Stream[Reading]) -> AsyncIterator[Counted]:
        async for reading in stream:
            seen[reading.sensor] += 1
            yield Counted(reading.number, seen[reading.sensor])

    # Windows that close, and a join with a table
    of_sensor = {"readings": ottla.count(), "total": ottla.sum("number")}
    windows = readings.window(ottla.tumbling(WINDOW_MS * MS)).aggregate("sums", **of_sensor)
    windows.join(places, summed).to(topic("summed", Summed))
    sessions = readings.window(ottla.session(GAP_MS * MS)).aggregate("visits", **of_sensor)
    sessions.map(session).to(topic("sessions", Summed))
    # A join with a global table, by another key
    readings.join(limits, placed, key=hall_of).to(topic("checked", Placed))
    # Joins of tables, by their key and by a foreign key
    latest = readings.to_table("latest")
    latest.join(places, placed).to_stream().to(topic("placed", Placed))
    latest.join(crews, manned, on=crew_of, name="crewed").to_stream().to(topic("manned", Manned))
    # Groups, through a repartition topic
    halls = readings.group_by(hall_of).aggregate("halls", **of_sensor)
    halls.to_stream().map(lambda hall: [hall.readings, hall.total], type=list[int]).to(topic("halls", list[int]))
    # A join of streams
    readings.join(alarms, alarmed, within=WITHIN_MS * MS, grace=timedelta(days=1), name="near").to(
        topic("alarmed", Alarmed)
    )
    return app


MS = timedelta(milliseconds=1)
exactly_once = chaos("exactly_once")
at_least_once = chaos("at_least_once")
