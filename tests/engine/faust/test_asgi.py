"""A Faust app and a web framework in one process, on one event loop and a broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

import ottla.faust as faust
from ottla import ConfigError, NotInTask, TopologyError
from ottla.errors import StateError
from ottla.faust import commands
from ottla.faust.contrib.asgi import FaustLifespanMiddleware, faust_app_running, faust_lifespan, serve_asgi


def greeter(broker: str, tmp_path: Path) -> tuple[faust.App, Starlette]:
    app = faust.App(
        f"hello-{uuid4().hex[:8]}", broker=broker, datadir=str(tmp_path), web_enabled=False,
        broker_commit_interval=0.01,
    )  # fmt: skip
    greetings = app.topic(f"{app.conf.id}-greetings", key_type=str, value_type=str, internal=True, partitions=1)
    counts = app.Table("counts", default=int, key_type=str, value_type=int, partitions=1)

    @app.agent(greetings)
    async def greet(stream: Any) -> AsyncIterator[str]:
        async for name, greeting in stream.items():
            counts[name] += 1
            yield f"{greeting}, {name}"

    async def endpoint(request: Request) -> JSONResponse:
        name = request.path_params["name"]
        await greetings.send(key=name, value="hello")
        answer = await greet.ask("bye", key=name)
        while counts[name] < 2:  # noqa: ASYNC110 - what is read is committed
            await asyncio.sleep(0.01)
        return JSONResponse({"answer": answer, "count": counts[name]})

    return app, Starlette(routes=[Route("/greet/{name}", endpoint)], lifespan=faust_lifespan(app))


async def greeted(api: Any) -> Any:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://api") as http:
        return (await http.get("/greet/ann", timeout=60)).json()


def test_endpoints_send_ask_and_read_tables(ottla_broker: str, tmp_path: Path) -> None:
    app, api = greeter(ottla_broker, tmp_path)

    async def scenario() -> None:
        async with asyncio.timeout(100):
            async with api.router.lifespan_context(api):
                # A request is a task of its own, that the lifespan did not begin.
                assert await greeted(api) == {"answer": "bye, ann", "count": 2}
            with pytest.raises(NotInTask):
                await app.send("greetings", value="too late")

    asyncio.run(scenario())


def test_an_application_without_a_lifespan_is_wrapped(ottla_broker: str, tmp_path: Path) -> None:
    app, api = greeter(ottla_broker, tmp_path)
    wrapped = FaustLifespanMiddleware(Starlette(routes=api.routes), app, stop_timeout=30.0)

    async def scenario() -> list[str]:
        told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        serving = asyncio.create_task(wrapped({"type": "lifespan"}, told.get, said.put))
        async with asyncio.timeout(100):
            await told.put({"type": "lifespan.startup"})
            started = await said.get()
            assert (await greeted(wrapped))["count"] == 2
            await told.put({"type": "lifespan.shutdown"})
            stopped = await said.get()
            await serving
        return [started["type"], stopped["type"]]

    assert asyncio.run(scenario()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_what_is_wrong_at_the_start_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    app, _ = greeter("kafka://localhost:1", tmp_path / "file")

    async def scenario() -> dict[str, str]:
        said: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        told: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        await told.put({"type": "lifespan.startup"})
        await FaustLifespanMiddleware(None, app)({"type": "lifespan"}, told.get, said.put)
        return await said.get()

    said = asyncio.run(scenario())
    assert said["type"] == "lifespan.startup.failed"
    assert "cannot be used" in said["message"]


def test_the_block_gives_the_app(ottla_broker: str, tmp_path: Path) -> None:
    app, _ = greeter(ottla_broker, tmp_path)

    async def scenario() -> None:
        async with asyncio.timeout(100), faust_app_running(app) as running:
            assert running is app

    asyncio.run(scenario())


def test_a_program_starts_and_stops_the_app_itself(ottla_broker: str, tmp_path: Path) -> None:
    app, api = greeter(ottla_broker, tmp_path)

    async def scenario() -> None:
        async with asyncio.timeout(100):
            await asyncio.create_task(app.start())
            assert not await app.maybe_start()
            with pytest.raises(TopologyError, match="was started already"):
                await app.start_client()
            assert (await greeted(api))["count"] == 2
            await asyncio.create_task(app.stop())
            await app.stop()

    asyncio.run(scenario())


def test_a_program_is_a_client_alone(ottla_broker: str, tmp_path: Path) -> None:
    app, _ = greeter(ottla_broker, tmp_path)
    other, _ = greeter(ottla_broker, tmp_path)
    topic = app.as_topic(f"{app.conf.id}-greetings")
    (greet,) = app.agents.values()

    async def scenario() -> None:
        async with asyncio.timeout(100):
            await app.start()
            await app.stop()
            assert await app.maybe_start_client()
            await asyncio.create_task(topic.send(key="ann", value="hello"))
            await app.stop()
            with pytest.raises(NotInTask):
                await greet.send(value="too late")
            (tmp_path / "file").touch()
            other.conf.datadir = tmp_path / "file"
            with pytest.raises(StateError):
                await other.start()
            assert other._holding is None

    asyncio.run(scenario())


def test_a_worker_is_run_by_code(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(commands, "run", lambda app, arguments: ran.append((app.conf.id, arguments)))
    app = faust.App("shop")
    for level in ("INFO", 30, None):
        with pytest.raises(SystemExit):
            faust.Worker(app, loglevel=level, logfile=None if level else "log").execute_from_commandline()
    assert ran == [
        ("shop", ["worker", "--loglevel", "INFO"]),
        ("shop", ["worker", "--loglevel", "warn"]),
        ("shop", ["worker", "--logfile", "log"]),
    ]
    with pytest.raises(ConfigError, match="is neither an app nor a service"):
        faust.Worker(app, object())
    with pytest.raises(ConfigError, match="nonsense="):
        faust.Worker(app, nonsense=3)


def test_a_worker_has_the_options_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Any] = []
    monkeypatch.setattr(commands, "run", lambda _, arguments: ran.append(arguments))
    app, sensor = faust.App("shop"), faust.Sensor()
    worker = faust.Worker(
        app, debug=True, quiet=True, workdir="/tmp", sensors=[sensor], logging_config={"version": 1}, blocking_timeout=3
    )
    with pytest.raises(SystemExit):
        worker.execute_from_commandline()
    assert ran == [["--debug", "--quiet", "--workdir", "/tmp", "worker"]]
    assert list(app.sensors) == [sensor]
    assert app.conf.logging_config == {"version": 1}


async def hello(_: Any) -> PlainTextResponse:
    return PlainTextResponse("hello")


@asynccontextmanager
async def broken(_: Any) -> AsyncIterator[None]:
    raise ValueError("no")
    yield


def test_a_worker_serves_an_asgi_application() -> None:
    app = faust.App("shop")
    service = serve_asgi(app, Starlette(routes=[Route("/hello", hello)]), host="127.0.0.1", port=0)

    async def ask() -> str:
        async with httpx.AsyncClient() as http:
            return (await http.get(f"http://127.0.0.1:{service.port}/hello")).text

    with app.ottla.test() as driver:
        assert driver.call(ask) == "hello"
        with pytest.raises(ConfigError, match="cannot be listened on: Address already in use"):
            driver.call(serve_asgi(app.__class__("other"), hello, host="127.0.0.1", port=service.port).start)


def test_an_application_that_does_not_start_keeps_the_worker_from_it() -> None:
    app = faust.App("shop")
    service = serve_asgi(app, Starlette(lifespan=broken), host="127.0.0.1", port=0)
    with pytest.raises(ConfigError, match="did not start: its log says why"):
        asyncio.run(service.start())


def test_an_application_without_a_port_takes_the_place_of_the_pages() -> None:
    app = faust.App("shop")
    serve_asgi(app, hello)
    assert app.conf.web_listen is None
    assert len(app.declared.jobs.on_start) == 1
    without_web = faust.App("other", web_enabled=False)
    serve_asgi(without_web, hello)
    assert not without_web.declared.jobs.on_start


def test_a_worker_runs_several_apps(ottla_broker: str, tmp_path: Path) -> None:
    """The second is started and stopped with the first, and both answer."""
    (first, _), (second, _) = greeter(ottla_broker, tmp_path), greeter(ottla_broker, tmp_path)

    async def scenario() -> list[Any]:
        worker = faust.Worker(first, second)
        await worker.start()
        try:
            return [await agent.ask("hi", key="ann") for app in (first, second) for agent in app.agents.values()]
        finally:
            await worker.stop()

    assert asyncio.run(scenario()) == ["hi, ann", "hi, ann"]
