"""How long a task with several inputs waits for what is yet to be written to one of them."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.errors import ConfigError
from ottla.worker.idling import Idling

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]


def merging(**options: Any) -> ottla.App:
    app = ottla.App("merging", commit_interval=timedelta(milliseconds=5), **options)
    left, right = (app.topic(name, key=str, value=str, partitions=1) for name in ("left", "right"))
    app.stream(left).merge(app.stream(right)).to(app.topic("out", key=str, value=str, partitions=1))
    return app


def test_events_of_an_input_that_is_written_late_are_taken_in_their_turn(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(merging(max_task_idle=100)) as worker:
            await eventually(lambda: worker.insight is not None and len(worker._workload.tasks) == 1)
            cluster.send("left", ("k", "third"), at_ms=3_000)
            (task,) = worker._workload.tasks.values()
            await eventually(lambda: task.task.buffered("left") == 1 and task.idling.wakes_at is not None)
            cluster.send("right", ("k", "first"), at_ms=1_000)
            cluster.send("right", ("k", "fourth"), at_ms=4_000)
            await eventually(lambda: len(cluster.values("out")) == 2)
            assert cluster.values("out") == ["first", "third"]
            cluster.send("left", ("k", "fifth"), at_ms=5_000)
            await eventually(lambda: len(cluster.values("out")) == 3)
        assert cluster.values("out") == ["first", "third", "fourth"]

    play(scenario)


@pytest.mark.parametrize("idle", [0, 0.05])
def test_a_task_goes_on_when_nothing_is_written(play: Play, eventually: Eventually, idle: float) -> None:
    async def scenario(cluster: Any) -> None:
        async with cluster.running(merging(max_task_idle=idle)):
            await eventually(lambda: "left" in cluster.broker.topics)
            cluster.send("left", ("k", "a"))
            await eventually(lambda: cluster.values("out") == ["a"])
            cluster.send("left", ("k", "b"))
            await eventually(lambda: cluster.values("out") == ["a", "b"])

    play(scenario)


def test_a_bounded_run_waits_no_longer_than_that(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = merging(max_task_idle=0.05)
        for topic in app.topology.topics:
            cluster.broker.create_topic(topic)
        cluster.send("left", ("k", "a"))
        await cluster.run_to_end(app)
        assert cluster.values("out") == ["a"]

    play(scenario)


class Buffers:
    """What `Idling` asks of a task."""

    def __init__(self, **buffered: int) -> None:
        self._buffered = buffered

    def buffered(self, topic: str) -> int:
        return self._buffered[topic]

    @property
    def is_drained(self) -> bool:
        return not any(self._buffered.values())


def test_one_that_waited_in_vain_does_not_wait_again_before_something_comes() -> None:
    idling = Idling(5.0)
    held: Any = Buffers(left=1, right=0)
    assert idling.may_pass(held, {"left", "right"}, 10.0) == set()
    assert idling.wakes_at == 15.0
    assert idling.may_pass(held, {"left", "right"}, 15.0) == {"right"}
    assert idling.wakes_at is None
    assert idling.may_pass(held, {"left", "right"}, 16.0) == {"right"}
    come: Any = Buffers(left=1, right=1)
    idling.may_pass(come, {"left", "right"}, 17.0)
    assert idling.may_pass(held, {"left", "right"}, 18.0) == set()
    assert idling.wakes_at == 23.0


def test_a_task_that_has_nothing_need_not_be_woken() -> None:
    idling = Idling(5.0)
    empty: Any = Buffers(left=0, right=0)
    assert idling.may_pass(empty, {"left", "right"}, 10.0) == set()
    assert idling.wakes_at is None


def test_a_negative_wait_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_task_idle"):
        merging(max_task_idle=-1)
