"""Tables without a changelog under workers: who takes a task over begins empty, who comes back goes on."""

from collections.abc import Callable, Coroutine
from typing import Any

import ottla

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


def counting_app() -> ottla.App:
    app = ottla.App("counting", commit_interval=0.01, standbys=1)
    seen = app.Table("seen", key=str, value=int, default=int, changelog=False)
    kept = app.Table("kept", key=str, value=int, default=int)

    @app.agent(app.topic("in", value=str, partitions=1), sink=[app.topic("out", value=str, partitions=1)])
    async def count(stream: ottla.Stream[str]) -> Any:
        async for key, _event in stream.items():  # noqa: PERF102 - a stream is no dict
            seen[key] += 1
            kept[key] += 1
            yield f"{seen[key]} of {kept[key]}"

    return app


def test_state_stays_with_the_worker_that_wrote_it(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        for worker_id in ("w0", "w0", "w1", "w0"):
            if "in" in cluster.broker.topics:
                cluster.send("in", ("k", "event"))
            await cluster.run_to_end(counting_app(), worker_id)
        cluster.send("in", ("k", "event"))
        await cluster.run_to_end(counting_app(), "w0")
        assert cluster.values("out") == ["1 of 1", "1 of 2", "1 of 3", "2 of 4"]
        assert "counting-seen-changelog" not in cluster.broker.topics

    play(scenario)
