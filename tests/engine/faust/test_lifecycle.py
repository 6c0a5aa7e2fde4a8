"""An app as a service: what it overrides is called, tasks beside it end with it, and it knows whether it leads."""

import asyncio
from typing import Any

import pytest

import ottla.faust as faust
from ottla import ConfigError, TopologyError
from ottla.faust import lifecycle


def test_what_an_app_overrides_is_called_as_a_worker_starts_and_stops() -> None:
    called = []

    class Shop(faust.App):
        async def on_start(self) -> None:
            called.append("start")

        async def on_started(self) -> None:
            called.append("started")

        async def on_stop(self) -> None:
            called.append("stop")

    with Shop("shop").ottla.test():
        assert called == ["start", "started"]
    assert called == ["start", "started", "stop"]


def test_who_leads_is_known_where_a_function_asks() -> None:
    app = faust.App("shop")

    @app.timer(1.0)
    async def look() -> None:
        app.is_leader()

    app.finalize()
    [job] = app.declared.jobs.background.values()
    assert job.on_leader

    async def scenario() -> list[bool]:
        asked = [app.is_leader()]
        leading = asyncio.create_task(job.call())
        await asyncio.sleep(0)
        asked.append(app.is_leader())
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
        return [*asked, app.is_leader()]

    assert asyncio.run(scenario()) == [False, True, False]
    with pytest.raises(TopologyError, match="where an agent, task, timer or page of the app asks"):
        faust.App("other").is_leader()


def test_what_runs_beside_a_worker_ends_with_it() -> None:
    app, told = faust.App("shop"), []

    async def beside() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append("ended")

    @app.task
    async def begin() -> None:
        app.add_future(beside())
        await asyncio.sleep(0)
        told.append("begun")

    with app.ottla.test() as driver:
        driver.call(begin)
        assert told == ["begun"]
    assert told == ["begun", "ended"]


def test_a_timer_in_a_task_keeps_its_beat() -> None:
    now, slept = 10.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds + 0.25

    async def beats() -> list[float]:
        app = faust.App("shop")
        timer = app.itertimer(1.0, sleep=sleep, clock=lambda: now)
        return [await anext(timer) for _ in range(3)]

    assert asyncio.run(beats()) == [1.25, 1.0, 1.0]
    assert slept == [1.0, 0.75, 0.75]


def test_the_client_for_http_is_closed_with_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    class ClientSession:
        closed = False

        async def close(self) -> None:
            self.closed = True

    aiohttp = type("aiohttp", (), {"ClientSession": ClientSession})
    monkeypatch.setattr(lifecycle, "find_spec", lambda name: name == "aiohttp")
    monkeypatch.setattr(lifecycle.importlib, "import_module", lambda _: aiohttp)
    app, used = faust.App("shop"), []

    @app.timer(1.0)
    async def fetch() -> None:
        used.append(app.http_client)

    with app.ottla.test() as driver:
        driver.call(fetch)
        assert [client.closed for client in used] == [False]
    assert [client.closed for client in used] == [True]


def test_without_aiohttp_its_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install aiohttp"):
        _ = faust.App("shop").http_client


class Options:
    broker = "kafka://elsewhere"
    stream_wait_empty = True
    unrelated = 1


def test_options_come_from_an_object() -> None:
    app = faust.App("shop")
    app.config_from_object(Options)
    assert (app.conf.broker, app.conf.stream_wait_empty) == ("kafka://elsewhere", True)
    assert app.ottla.config.broker == "kafka://elsewhere:9092"
    app.config_from_object("no.such.module", silent=True)
    with pytest.raises(ConfigError, match="no"):
        app.config_from_object("no.such.module")


def test_an_option_that_changes_nothing_can_be_read_if_it_was_given() -> None:
    conf: Any = faust.App("shop", stream_buffer_maxsize=100, version=2).conf
    assert (conf.stream_buffer_maxsize, conf.url, conf.reply_to) == (100, conf.broker, "shop-v2-replies")
    with pytest.raises(ConfigError, match=r"app\.conf\.producer_acks is not part of .*: all"):
        _ = conf.producer_acks
    with pytest.raises(AttributeError, match="nonsense"):
        _ = conf.nonsense


def test_an_app_may_add_blueprints_when_its_pages_were_declared() -> None:
    blueprint = faust.web.Blueprint("words")

    @blueprint.route("/list/", name="list")
    async def words(self: faust.web.View, _: faust.web.Request) -> faust.web.Response:
        return self.json([])

    class Shop(faust.App):
        def on_webserver_init(self, web: faust.web.Web) -> None:
            web.blueprints.add("/words/", blueprint)

    app = Shop("shop")
    app.finalize()
    assert app.web.url_for("words:list") == "/words/list/"
