# ruff: noqa: ARG002 - sensors are told more than they note
"""Sensors and the monitor of Faust apps: told of events, tables and pages, where an app has any."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import ottla.faust as faust
from ottla import TopologyError
from ottla.faust.sensors import Rate, TableState
from ottla.web.endpoints import Endpoints


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop", store="memory://")


class Recorder(faust.Sensor):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        self.told.append(("message in", *tp, offset, message.value))

    def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> str:
        self.told.append(("in", event.value))
        return f"state of {event.value}"

    def on_stream_event_out(self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None) -> None:
        self.told.append(("out", event.value, state))

    def on_message_out(self, tp: Any, offset: int, message: Any) -> None:
        self.told.append(("message out", offset))

    def on_table_get(self, table: Any, key: Any) -> None:
        self.told.append(("get", table.name, key))

    def on_table_set(self, table: Any, key: Any, value: Any) -> None:
        self.told.append(("set", key, value))

    def on_table_del(self, table: Any, key: Any) -> None:
        self.told.append(("del", key))


def test_a_sensor_is_told_of_each_event_and_each_use_of_a_table(app: faust.App) -> None:
    recorder = Recorder()
    app.sensors.add(recorder)
    counts = app.Table("counts", default=int)

    @app.agent(app.topic("in", value_type=str))
    async def count(stream: faust.Stream[str]) -> None:
        async for word in stream:
            counts[word] += 1
            if word == "bye":
                del counts[word]

    with app.ottla.test() as driver:
        for word in ("hi", "bye"):
            driver.send("in", value=word)
        driver.run()
    assert recorder.told == [
        ("message in", "in", 0, 0, "hi"),
        ("in", "hi"),
        ("get", "counts", "hi"),
        ("set", "hi", 1),
        ("out", "hi", "state of hi"),
        ("message out", 0),
        ("message in", "in", 0, 1, "bye"),
        ("in", "bye"),
        ("get", "counts", "bye"),
        ("set", "bye", 1),
        ("del", "bye"),
        ("out", "bye", "state of bye"),
        ("message out", 1),
    ]


async def values(stream: faust.Stream[Any]) -> AsyncIterator[Any]:
    async for value in stream:
        yield value


async def items(stream: faust.Stream[Any]) -> AsyncIterator[Any]:
    async for item in stream.items():
        yield item[1]


async def events(stream: faust.Stream[Any]) -> AsyncIterator[Any]:
    async for event in stream.events():
        yield event.value


async def numbered(stream: faust.Stream[Any]) -> AsyncIterator[Any]:
    async for _, value in stream.enumerate():
        yield value


async def lists(stream: faust.Stream[Any]) -> AsyncIterator[Any]:
    async for two in stream.take(2, within=10.0):
        yield two


@pytest.mark.parametrize("how", [values, items, events, numbered, lists])
def test_events_are_told_of_however_they_are_read(app: faust.App, how: Any) -> None:
    app.agent(app.topic("in"), sink=[app.topic("out")])(how)
    monitor = app.monitor
    with app.ottla.test() as driver:
        for number in range(4):
            driver.send("in", value=number)
        assert len(driver.read("out")) == (2 if how is lists else 4)
    assert (monitor.events_total, monitor.events_active, monitor.messages_active) == (4, 0, 0)
    assert monitor.messages_received_by_topic == {"in": 4}
    assert monitor.tp_read_offsets == {faust.TP("in", 0): 3}
    assert len(monitor.events_runtime) == 4
    assert sum(monitor.events_by_stream.values()) == 4


def test_an_event_on_which_the_agent_fails_is_told_of_as_done(app: faust.App) -> None:
    app.sensors.add(recorder := Recorder())

    @app.agent(app.topic("in"))
    async def fail(stream: faust.Stream[Any]) -> None:
        async for number in stream:
            print(1 / number)

    with app.ottla.test() as driver:
        for number in (0, 1):
            driver.send("in", value=number)
        driver.run()
    assert [told for told in recorder.told if told[0] in ("in", "out")] == [
        ("in", 0),
        ("out", 0, "state of 0"),
        ("in", 1),
        ("out", 1, "state of 1"),
    ]


def test_a_monitor_that_an_agent_mentions_counts_from_the_start(app: faust.App) -> None:
    seen = []

    @app.agent(app.topic("in"))
    async def look(stream: faust.Stream[Any]) -> None:
        async for _ in stream:
            app.monitor.count("looked", 2)
            seen.append(app.monitor.events_total)

    with app.ottla.test() as driver:
        for number in range(3):
            driver.send("in", value=number)
        driver.run()
    assert seen == [1, 2, 3]
    assert app.monitor.asdict()["metric_counts"] == {"looked": 6}


def test_without_sensors_nothing_is_counted(app: faust.App) -> None:
    app.agent(app.topic("in"))(values)
    with app.ottla.test():
        assert not app.sensors
        with pytest.raises(TopologyError, match=r"app.monitor has counted nothing: mention it before the app runs"):
            _ = app.monitor


def test_a_monitor_of_one_s_own_takes_the_place_of_the_other() -> None:
    class Mine(faust.Monitor):
        pass

    assert isinstance(faust.App("shop", Monitor=Mine).monitor, Mine)
    app = faust.App("shop", monitor=Mine())
    assert isinstance(app.monitor, Mine)
    app.monitor = other = Mine()
    assert list(app.sensors) == [other]


def test_tables_of_every_kind_are_told_of(app: faust.App) -> None:
    monitor = app.monitor
    teams = app.SetTable("teams")
    views = app.Table("views", default=int).tumbling(10.0)
    now = views.relative_to_now()
    rates = app.GlobalTable("rates", default=int)

    @app.agent(app.topic("in"))
    async def use(stream: faust.Stream[Any]) -> None:
        async for value in stream:
            teams["red"].add(value)
            teams["red"].discard(value)
            views[value] += 1
            now[value] += 1
            rates[value] += 1

    with app.ottla.test() as driver:
        driver.send("in", value="ann")
        driver.run()
    assert monitor.tables == {
        "teams": TableState("teams", 2, 1, 1),
        "views": TableState("views", 2, 2, 0),
        "rates": TableState("rates", 1, 1, 0),
    }


@pytest.mark.parametrize("kind", [faust.Sensor, faust.Monitor])
def test_a_sensor_that_would_wait_for_ever_is_refused(kind: type) -> None:
    sentence = r"Commits.on_commit_completed would never be called: .* is not part .*/metrics"
    with pytest.raises(TopologyError, match=sentence):
        type("Commits", (kind,), {"on_commit_completed": lambda *_: None})


def test_requests_of_pages_are_counted(app: faust.App) -> None:
    import httpx

    monitor = app.monitor

    @app.page("/good/")
    async def good(web: Any, _: Any) -> Any:
        return web.json({})

    @app.page("/bad/")
    class Bad(faust.web.View):
        async def get(self, _: Any) -> Any:
            raise KeyError("x")

    async def ask() -> list[int]:
        from prometheus_client import CollectorRegistry

        endpoints = Endpoints(app.declared, CollectorRegistry(), lambda: None, None).starlette()  # type: ignore[arg-type]
        transport = httpx.ASGITransport(endpoints)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as http:
            return [(await http.get(path)).status_code for path in ("/good/", "/good/", "/bad/")]

    assert asyncio.run(ask()) == [200, 200, 404]
    assert monitor.http_response_codes == {200: 2, 500: 1}
    assert len(monitor.http_response_latency) == 3


def test_a_rate_is_that_of_the_last_whole_second() -> None:
    now = [10.0]
    rate = Rate(lambda: now[0])
    seen = []
    for now[0] in (10.1, 10.9, 11.2, 12.0, 12.1, 15.0):
        rate.add()
        seen.append(rate.per_second)
    assert seen == [0, 0, 2, 1, 1, 0]
