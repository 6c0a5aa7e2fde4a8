"""Waits are as long as they should be, whoever sets the wall clock meanwhile."""

import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla import count, tumbling

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]

DAY_S = 86_400.0
SHORT = timedelta(milliseconds=50)


class Clock:
    """A wall clock that is set."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.wall = lambda: time.time() + self.ahead_s


def pairing_app(within: timedelta) -> ottla.App:
    app = ottla.App("pairing", commit_interval=timedelta(milliseconds=5))
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    sums = app.topic("sums", key=str, value=int, partitions=1)

    @app.agent(numbers)
    async def pair(numbers: ottla.Stream[int]) -> None:
        async for several in numbers.take(2, within):
            await sums.send(value=sum(several))

    return app


def test_a_list_does_not_wait_for_a_clock_that_was_set_back(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        clock = Clock()
        async with cluster.running(pairing_app(SHORT), clock=clock.wall):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "1"))
            await eventually(lambda: bool(cluster.offsets("pairing")))
            clock.ahead_s = -DAY_S
            await eventually(lambda: cluster.values("sums") == ["1"])

    play(scenario)


def test_a_list_is_not_over_since_the_clock_was_set_ahead(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        clock = Clock()
        async with cluster.running(pairing_app(timedelta(hours=1)), clock=clock.wall) as worker:
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "1"))
            await eventually(lambda: bool(cluster.offsets("pairing")))
            clock.ahead_s = DAY_S
            cluster.send("numbers", ("a", "2"), ("a", "3"), ("a", "4"))
            await eventually(lambda: cluster.values("sums") == ["3", "7"])
            assert worker.metrics.registry.get_sample_value("ottla_events_total", {"app": "pairing"}) == 4

    play(scenario)


@pytest.mark.parametrize("ahead_s", [-DAY_S, DAY_S])
def test_punctuators_keep_their_beat_and_are_told_the_time_there_is(
    play: Play, eventually: Eventually, ahead_s: float
) -> None:
    called: list[int] = []
    app = ottla.App("beating", commit_interval=timedelta(milliseconds=5))
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    last = app.Table("last", key=str, default=int)

    @app.agent(numbers)
    async def keep(numbers: ottla.Stream[int]) -> None:
        async for key, number in numbers.items():
            last[key] = number

    @app.punctuate(every=SHORT, time="wall")
    def beat(now_ms: int) -> None:
        called.append(now_ms)
        last["beats"] = len(called)

    async def scenario(cluster: Any) -> None:
        clock = Clock()
        async with cluster.running(app, clock=clock.wall):
            await eventually(lambda: len(called) >= 2)
            clock.ahead_s = ahead_s
            before = len(called)
            await eventually(lambda: len(called) >= before + 3)
            assert abs(called[-1] / 1000 - clock.wall()) < 3600

    play(scenario)


def test_windows_of_an_idle_partition_close_after_the_clock_was_set_back(play: Play, eventually: Eventually) -> None:
    app = ottla.App("idling", commit_interval=timedelta(milliseconds=5))
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    counted = app.topic("counted", key=str, value=int, partitions=1)
    window = tumbling(SHORT, idle=SHORT)
    app.stream(numbers).window(window).aggregate("n", number=count()).map(lambda n: n.value.number).to(counted)

    async def scenario(cluster: Any) -> None:
        clock = Clock()
        async with cluster.running(app, clock=clock.wall):
            await eventually(lambda: "numbers" in cluster.broker.topics)
            cluster.send("numbers", ("a", "1"))
            await eventually(lambda: bool(cluster.offsets("idling")))
            clock.ahead_s = -DAY_S
            await eventually(lambda: cluster.values("counted") == ["1"])

    play(scenario)
