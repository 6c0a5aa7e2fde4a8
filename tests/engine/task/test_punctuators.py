"""Punctuators: when they are called, with which tables, and what becomes of what they do."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ottla
from ottla import Stream
from ottla.testing import Driver


def send(driver: Driver, *seconds: int, key: str = "k") -> None:
    for each in seconds:
        driver.send("in", key=key, value=each, timestamp=each * 1000)


def counting_app(every: int = 10, **options: Any) -> ottla.App:
    """Counts events per key, and sends and deletes the counts every ten seconds."""
    app = ottla.App("shop")
    counts = app.Table("counts", key=str, default=int)
    out = app.topic("out", key=str, value=int)

    @app.agent(app.topic("in", key=str, value=int))
    async def count(stream: Stream[int]) -> None:
        async for event in stream.events():
            counts[event.key] += 1

    @app.punctuate(every=every, **options)
    async def report() -> None:
        for key, number in list(counts.items()):
            await out.send(key=key, value=number)
            del counts[key]

    return app


def test_by_stream_time_it_is_called_after_the_event_that_reaches_the_next_multiple() -> None:
    with counting_app().test() as driver:
        send(driver, 3, 4, 9, 10, 11, 35, 36, 39, 41)
        events = driver.read("out")
    assert [(event.value, event.timestamp) for event in events] == [
        (1, 3_000),  # the first event
        (3, 10_000),
        (2, 35_000),  # one call for all the intervals that passed
        (3, 41_000),
    ]


@given(st.lists(st.integers(0, 60), max_size=30), st.lists(st.integers(0, 30), max_size=4))
def test_when_it_is_called_does_not_depend_on_batches(times: list[int], cuts: list[int]) -> None:
    def results(cuts: list[int]) -> list[Any]:
        with counting_app().test() as driver:
            found = []
            bounds = sorted({0, len(times), *(cut for cut in cuts if cut < len(times))})
            for start, end in pairwise(bounds):
                send(driver, *times[start:end])
                found += driver.read("out")
            return [(event.key, event.value, event.timestamp) for event in found]

    assert results(cuts) == results(list(range(len(times))))


def test_events_are_still_taken_in_batches() -> None:
    assert not any(step.record_by_record for part in counting_app().topology.subtopologies for step in part.steps)


def test_by_the_wall_clock_it_is_called_at_a_beat() -> None:
    with counting_app(time="wall").test() as driver:
        send(driver, 1, 2, 3)
        driver.advance(9)
        assert driver.read("out") == []
        driver.advance(1)
        assert [(event.value, event.timestamp) for event in driver.read("out")] == [(3, 10_000)]
        send(driver, 50)
        driver.advance(25)
        assert [(event.value, event.timestamp) for event in driver.read("out")] == [(1, 35_000)]


def test_each_task_has_its_own(make_app: Callable[..., ottla.App]) -> None:
    app = make_app()
    numbers = app.topic("in", key=str, value=int, partitions=2)
    seen: list[int] = []

    @app.punctuate(numbers, every=10)
    def look(now_ms: int) -> None:
        seen.append(now_ms)

    with app.test() as driver:
        driver.send(numbers, value=1, timestamp=5_000, partition=0)
        driver.send(numbers, value=1, timestamp=7_000, partition=1)
        driver.run()
    assert sorted(seen) == [5_000, 7_000]


def test_what_it_did_before_it_raised_is_taken_back(make_app: Callable[..., ottla.App]) -> None:
    app = make_app(retries=1, retry_backoff=1)
    table = app.Table("calls", key=str, default=int)
    out = app.topic("out", value=int)
    calls: list[int] = []

    @app.punctuate(app.topic("in", key=str, value=int), every=10)
    async def work(now_ms: int) -> None:
        calls.append(now_ms)
        table["all"] += 1
        await out.send(value=now_ms)
        await asyncio.sleep(0)
        if now_ms == 1_000 or len(calls) == 3:
            raise ValueError("not now")

    with app.test() as driver:
        send(driver, 1, 11)
        assert [event.value for event in driver.read("out")] == [11_000]
        assert driver.table("calls")["all"] == 1
        [letter] = driver.dead_letters()
    assert calls == [1_000, 1_000, 11_000, 11_000]
    assert letter.value == b"1000"
    assert dict(letter.headers)["ottla.error.step"] == b"work"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "at least a millisecond"),
        ({"every": 1, "time": "event"}, r"punctuate\(time='event'\) is unknown"),
    ],
)
def test_what_cannot_be_is_refused(app: ottla.App, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ottla.ConfigError, match=message):
        app.punctuate(**options)(print)


def test_one_whose_task_is_not_known_is_refused(app: ottla.App) -> None:
    app.stream(app.topic("in"))
    app.punctuate(every=1, name="lost")(lambda: None)
    with pytest.raises(ottla.TopologyError, match="punctuator 'lost' uses no table"):
        _ = app.topology
