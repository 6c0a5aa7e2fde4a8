"""Where topics are read from of which nothing is committed yet."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.topic import Start
from ottla.transport.contract import TopicPartition

Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


def copying_app(start: Start) -> ottla.App:
    app = ottla.App("copying", commit_interval=0.01)
    app.stream(app.topic("in", value=str, partitions=1, start=start)).to(app.topic("out", value=str, partitions=1))
    return app


@pytest.mark.parametrize(
    ("start", "read"),
    [
        ("earliest", ["0", "1", "2", "3"]),
        ("latest", ["3"]),
        (timedelta(seconds=2), ["1", "2", "3"]),
        (2, ["1", "2", "3"]),
        (0, ["3"]),
        (60, ["0", "1", "2", "3"]),
    ],
)
def test_an_app_begins_where_its_topic_says(
    play_anywhere: Play, eventually: Eventually, start: Start, read: list[str]
) -> None:
    """Events of the seconds 1 to 3 are there when the app begins at second 4, and one follows."""

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(copying_app("earliest"))
        cluster.forget_offsets("copying")
        for second in range(3):
            cluster.send("in", ("k", str(second)), at_ms=1_000 + second * 1_000)
        async with cluster.running(copying_app(start), clock=lambda: 4.0) as worker:
            await eventually(lambda: bool(worker._workload.tasks))
            cluster.send("in", ("k", "3"), at_ms=10_000)
            await eventually(lambda: cluster.values("out") == read)

    play_anywhere(scenario)


def test_what_is_committed_goes_before_and_a_beginning_is_committed_at_once(
    play_anywhere: Play, eventually: Eventually
) -> None:
    async def scenario(cluster: Any) -> None:
        where = TopicPartition("in", 0)
        await cluster.run_to_end(copying_app("earliest"))
        cluster.forget_offsets("copying")
        cluster.send("in", ("k", "before"))
        async with cluster.running(copying_app("latest")):
            await eventually(lambda: cluster.offsets("copying").get(where) == 1)
        cluster.send("in", ("k", "between"))
        await cluster.run_to_end(copying_app("latest"))
        assert cluster.values("out") == ["between"]

    play_anywhere(scenario)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ottla.ConfigError, match='start=\'now\' is unknown; it is "earliest", "latest" or a duration'):
        copying_app("now")  # type: ignore[arg-type]
    with pytest.raises(ottla.ConfigError, match="read from their beginning"):
        ottla.App("copying").topic(pattern="in", start="latest")  # type: ignore[call-overload]
