"""The app that is killed, under either guarantee: a table written by an agent, windows that close, and a join."""

from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec

import ottla

PARTITIONS = 6
KEEP = {"retention.ms": "-1"}


class Reading(msgspec.Struct):
    sensor: str
    number: int


class Counted(msgspec.Struct):
    """A reading, and how many of its sensor there have been."""

    sensor: str
    number: int
    seen: int


class Summed(msgspec.Struct):
    """Ten seconds of a sensor, joined with its place."""

    sensor: str
    start: int
    readings: int
    total: int
    place: str


def place(window: ottla.Windowed[str, Any], where: str) -> Summed:
    return Summed(window.key, window.start, window.value.readings, window.value.total, where)


def chaos(guarantee: Literal["exactly_once", "at_least_once"]) -> ottla.App:
    app = ottla.App("chaos", processing_guarantee=guarantee, standbys=1)
    places = app.Table("places", source=app.topic("places", key=str, value=str, partitions=PARTITIONS))
    readings = app.topic("readings", key=str, value=Reading, partitions=PARTITIONS, config=KEEP)
    counted = app.topic("counted", key=str, value=Counted, partitions=PARTITIONS, config=KEEP)
    summed = app.topic("summed", key=str, value=Summed, partitions=PARTITIONS, config=KEEP)
    seen = app.Table("seen", key=str, default=int)

    @app.agent(readings, sink=[counted])
    async def count(stream: ottla.Stream[Reading]) -> AsyncIterator[Counted]:
        async for reading in stream:
            seen[reading.sensor] += 1
            yield Counted(reading.sensor, reading.number, seen[reading.sensor])

    (
        app.stream(readings)
        .window(ottla.tumbling(seconds=10))
        .aggregate("sums", readings=ottla.count(), total=ottla.sum("number"))
        .join(places, place)
        .to(summed)
    )
    return app


exactly_once = chaos("exactly_once")
at_least_once = chaos("at_least_once")
