"""Workers of an app that is paused: they stay members with their tasks, and those that start later rest too."""

from collections.abc import Callable, Coroutine
from typing import Any

import ottla

Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


def doubling_app() -> ottla.App:
    app = ottla.App("doubling", commit_interval=0.01)
    numbers = app.topic("numbers", value=int, partitions=2)
    app.stream(numbers).map(lambda n: 2 * n, type=int).to(app.topic("out", value=int, partitions=1))
    return app


async def change(app: ottla.App, worker: Any, *, paused: bool) -> None:
    """Pauses or resumes, as a page of that worker would."""
    from ottla.outlet import outlet

    token = outlet.set(worker.outlet)
    try:
        await (app.pause() if paused else app.resume())
    finally:
        outlet.reset(token)


def roles(worker: Any) -> list[str]:
    return [] if worker.insight is None else [task.role for task in worker.insight.tasks()]


def test_all_workers_rest_and_go_on_with_the_tasks_that_they_have(play_anywhere: Play, eventually: Eventually) -> None:
    app = doubling_app()

    async def scenario(cluster: Any) -> None:
        async with cluster.running(app) as first, cluster.running(app, "w1") as second:
            await eventually(lambda: roles(first) == roles(second) == ["active"])
            await change(app, first, paused=True)
            await eventually(lambda: roles(first) == roles(second) == ["paused"])
            for partition in range(2):
                cluster.send("numbers", ("k", "4"), partition=partition)
            async with cluster.running(app, "w2") as third:
                await eventually(lambda: third.insight is not None and third.insight.not_ready is None)
                assert cluster.values("out") == []
                assert cluster.members(app.id) == {"w0", "w1", "w2"}
                assert {*roles(first), *roles(second), *roles(third)} == {"paused"}
                await change(app, second, paused=False)
                await eventually(lambda: cluster.values("out") == ["8", "8"])

    play_anywhere(scenario)


def test_a_worker_that_is_paused_can_be_stopped_and_the_next_one_is_paused(
    play_anywhere: Play, eventually: Eventually
) -> None:
    app = doubling_app()

    async def scenario(cluster: Any) -> None:
        async with cluster.running(app) as worker:
            await eventually(lambda: roles(worker) == ["active", "active"])
            await change(app, worker, paused=True)
            await eventually(lambda: roles(worker) == ["paused", "paused"])
            cluster.send("numbers", ("k", "4"))
        async with cluster.running(app) as worker:
            await eventually(lambda: roles(worker) == ["paused", "paused"])
            assert cluster.values("out") == []
            await change(app, worker, paused=False)
            await eventually(lambda: cluster.values("out") == ["8"])

    play_anywhere(scenario)
