"""Users' code that raises what is no `Exception`: the worker ends and says so, and loses nothing by it."""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.errors import ProcessingFailed

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
Eventually = Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]
TICK = timedelta(milliseconds=5)


class Odd(BaseException):
    pass


class Bomb:
    """Goes off once."""

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException | None = error

    def __call__(self, *_: Any) -> Any:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return None


def shop(**options: Any) -> tuple[ottla.App, ottla.Topic[str, str], ottla.Topic[str, str]]:
    app = ottla.App("shop", commit_interval=TICK, **options)
    return app, app.topic("in", key=str, value=str, partitions=1), app.topic("out", key=str, value=str, partitions=1)


def in_an_agent(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    @app.agent(source, sink=[out])
    async def work(texts: ottla.Stream[str]) -> Any:
        async for text in texts:
            if text == "b":
                bomb()
            yield text


def in_one_of_several_agents(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    @app.agent(source, sink=[out], concurrency=3)
    async def work(texts: ottla.Stream[str]) -> Any:
        async for text in texts:
            await asyncio.sleep(0)
            if text == "b":
                bomb()
            yield text


def in_a_plain_function(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    @app.agent(source, sink=[out])
    def work(text: str) -> str:
        if text == "b":
            bomb()
        return text


def in_an_operator(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    app.stream(source).filter(lambda text: text != "b" or bomb() is None).to(out)


def in_a_sink(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    @app.agent(source, sink=[out, bomb])
    async def work(texts: ottla.Stream[str]) -> Any:
        async for text in texts:
            yield text


def in_a_tables_default(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    table = app.Table("last", key=str, value=str, default=lambda: bomb() or "none")

    @app.agent(source, sink=[out])
    def work(text: str) -> str:
        table[text] = table[text] + "!"
        return text


def in_a_timer(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    app.stream(source).to(out)
    app.timer(TICK)(bomb.__call__)


def in_a_background_task(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    app.stream(source).to(out)
    app.task(bomb.__call__)


def when_it_starts(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    app.stream(source).to(out)
    app.on_start(bomb.__call__)


def when_it_is_told_its_partitions(app: ottla.App, source: Any, out: Any, bomb: Bomb) -> None:
    app.stream(source).to(out)
    app.on_assigned(bomb.__call__)


PLACES = [
    in_an_agent,
    in_one_of_several_agents,
    in_a_plain_function,
    in_an_operator,
    in_a_sink,
    in_a_tables_default,
    in_a_timer,
    in_a_background_task,
    when_it_starts,
    when_it_is_told_its_partitions,
]


@pytest.mark.parametrize(
    "error", [SystemExit(0), KeyboardInterrupt(), Odd("x")], ids=lambda error: type(error).__name__
)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_it_ends_the_worker_with_a_sentence_and_nothing_is_lost(
    play: Play, place: Callable[..., None], error: BaseException
) -> None:
    async def scenario(cluster: Any) -> None:
        app, source, out = shop()
        place(app, source, out, Bomb(error))
        cluster.broker.create_topic(source.spec)
        cluster.send("in", ("k", "a"), ("k", "b"), ("k", "c"))
        name = type(error).__name__
        with pytest.raises(ProcessingFailed, match=rf"{name}\(.*\) was raised in __call__ \(.*{__name__}.*which ends"):
            async with asyncio.timeout(10):
                await cluster.worker(app).run()
        await cluster.run_to_end(app)
        assert sorted(cluster.values("out")) == ["a", "b", "c"]

    play(scenario)


def test_what_an_extractor_of_times_raises_ends_the_worker(play: Play) -> None:
    async def scenario(cluster: Any) -> None:
        app = ottla.App("shop", commit_interval=TICK)
        bomb = Bomb(SystemExit(3))
        source = app.topic("in", value=str, partitions=1, timestamp=lambda _: bomb() or 1)
        out = app.topic("out", value=str, partitions=1)
        app.stream(source).to(out)
        cluster.broker.create_topic(source.spec)
        cluster.send("in", ("k", "a"))
        with pytest.raises(ProcessingFailed, match=r"^task 0_0: SystemExit\(3\) was raised"):
            await cluster.worker(app).run()

    play(scenario)


@pytest.mark.parametrize("when", ["loading", "following"])
def test_what_makes_entries_of_a_global_table_ends_the_worker(play: Play, eventually: Eventually, when: str) -> None:
    async def scenario(cluster: Any) -> None:
        app, source, _ = shop()
        bomb = Bomb(SystemExit(3))
        app.GlobalTable("derived", source=source, entries=lambda key, _: bomb() or {key: 1}, key=str, value=int)
        app.stream(app.topic("other", key=str, value=str, partitions=1))
        cluster.broker.create_topic(source.spec)
        if when == "loading":
            cluster.send("in", ("k", "a"))
        running = asyncio.create_task(cluster.worker(app).run())
        if when == "following":
            await eventually(lambda: cluster.members("shop") != set())
            cluster.send("in", ("k", "a"))
        with pytest.raises(ProcessingFailed, match=r"SystemExit\(3\) was raised in __call__"):
            await running

    play(scenario)


def test_something_awaited_that_is_cancelled_fails_one_run_of_a_timer(play: Play, eventually: Eventually) -> None:
    async def scenario(cluster: Any) -> None:
        app, source, out = shop()
        app.stream(source).to(out)
        runs = 0

        @app.timer(TICK)
        async def beat() -> None:
            nonlocal runs
            runs += 1
            gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            gone.cancel()
            await gone

        async with cluster.running(app):
            await eventually(lambda: runs >= 3)

    play(scenario)


def test_a_driver_raises_what_would_end_a_worker() -> None:
    app, source, _ = shop()
    app.stream(source).map(lambda _: sys.exit("enough"))
    with app.test() as driver:
        driver.send(source, key="k", value="a")
        with pytest.raises(ProcessingFailed, match=r"^task 0_0: SystemExit\('enough'\) was raised in <lambda>"):
            driver.run()


def test_an_event_that_stops_the_worker_says_where_its_error_was_raised() -> None:
    def parsed(value: str) -> str:
        return json.loads(value)["item"]

    app, source, _ = shop(on_error="fail")
    app.stream(source).map(parsed)
    with app.test() as driver:
        driver.send(source, key="k", value="{")
        with pytest.raises(ProcessingFailed, match=r"JSONDecodeError: .*, raised in parsed \(.*test_escapes.py:\d+\)$"):
            driver.run()
