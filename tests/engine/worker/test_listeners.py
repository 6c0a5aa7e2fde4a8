"""What a worker tells of itself: its state, and how far the state of its tables is read."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import ottla

Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


def counting_app(told: list[ottla.StateProgress], states: list[tuple[str, str]], *, standbys: int = 0) -> ottla.App:
    app = ottla.App("counting", commit_interval=0.01, standbys=standbys)
    app.stream(app.topic("in", value=str, partitions=1)).aggregate("counts", events=ottla.count())

    @app.on_restore
    def restored(progress: ottla.StateProgress) -> None:
        told.append(progress)

    @app.on_state
    async def changed(state: str, before: str) -> None:
        states.append((before, state))

    return app


def test_restoring_is_told_from_its_begin_to_its_end(play: Play) -> None:
    told: list[ottla.StateProgress] = []

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(counting_app([], []))
        cluster.send("in", *[(f"k{number}", "event") for number in range(5)])
        await cluster.run_to_end(counting_app([], []))
        await cluster.run_to_end(counting_app(told, []), "w1")

    play(scenario)
    end = told[0].end
    assert told[0] == ottla.StateProgress("counts", 0, "begun", 0, end)
    assert [each.phase for each in told] == ["begun", "advanced", "ended"]
    assert told[-1].offset == end >= 5


def test_standbys_tell_what_they_read_too(play: Play, eventually: Eventually) -> None:
    told: dict[str, list[ottla.StateProgress]] = {"w0": [], "w1": []}

    async def scenario(cluster: Any) -> None:
        async with (
            cluster.running(counting_app(told["w0"], [], standbys=1)) as first,
            cluster.running(counting_app(told["w1"], [], standbys=1), "w1"),
        ):
            await eventually(lambda: len(cluster.warm("counting", "w0")) == len(cluster.warm("counting", "w1")) == 1)
            cluster.send("in", ("k", "event"))
            copies = [each for each in (told["w0"], told["w1"]) if any(one.standby for one in each)]
            assert len(copies) == 1
            await eventually(lambda: copies[0][-1].phase == "advanced")
            assert first.insight is not None
        copies = [each for each in (told["w0"], told["w1"]) if any(one.standby for one in each)]
        assert [each.phase for each in copies[0] if each.standby][:2] == ["begun", "advanced"]

    play(scenario)


def test_a_worker_says_what_it_is_about(play: Play, eventually: Eventually) -> None:
    states: list[tuple[str, str]] = []

    async def scenario(cluster: Any) -> None:
        async with cluster.running(counting_app([], states)):
            await eventually(lambda: bool(states) and states[-1][1] == "running")

    play(scenario)
    assert [before for before, _ in states] == ["starting", *(state for _, state in states[:-1])]
    assert states[0] == ("starting", "joining")
    assert states[-1] == ("running", "stopping")


def test_what_a_listener_raises_is_logged_and_ends_nothing(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    app = counting_app([], [])

    @app.on_state
    def fail(state: str, before: str) -> None:
        raise ValueError(f"from {before} to {state}")

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(app)

    play(scenario)
    assert "what on_state calls failed" in caplog.text
