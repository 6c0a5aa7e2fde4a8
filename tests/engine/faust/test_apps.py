"""Faust apps under the facade, run by `app.ottla.test()`."""

import sys
from collections.abc import AsyncIterator
from functools import partial
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import ottla.faust as faust
from ottla import ConfigError, TopologyError


class Order(faust.Record):
    account: str
    amount: float
    country: str = "NO"


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop", broker="kafka://localhost:9092", store="memory://", topic_partitions=4)


def values(driver: Any, topic: str) -> list[Any]:
    return [event.value for event in driver.read(topic)]


def test_an_agent_counts_in_a_table_and_sends(app: faust.App) -> None:
    orders = app.topic("orders", key_type=str, value_type=Order)
    counted = app.topic("counted", value_type=int)
    counts = app.Table("counts", default=int, key_type=str, value_type=int)

    @app.agent(orders, sink=[counted])
    async def count(orders: faust.Stream[Order]) -> AsyncIterator[int]:
        async for order in orders:
            counts[order.account] += 1
            yield counts[order.account]

    with app.ottla.test() as driver:
        for account in ("a", "b", "a"):
            driver.send("orders", key=account, value=Order(account, 1.0))
        assert values(driver, "counted") == [1, 1, 2]
        assert dict(driver.table("counts")) == {"a": 2, "b": 1}


def test_a_stream_is_regrouped_and_filtered_where_it_is_iterated(app: faust.App) -> None:
    orders = app.topic("orders", value_type=Order)
    seen: list[Any] = []

    @app.agent(orders)
    async def by_country(orders: faust.Stream[Order]) -> None:
        async for key, order in orders.filter(lambda order: order.amount > 1).group_by(Order.country).items():
            seen.append((key, order))

    with app.ottla.test() as driver:
        driver.send("orders", value=Order("a", 1.0))
        driver.send("orders", value=Order("b", 2.0, "SE"))
        driver.run()
    assert seen == [("SE", Order("b", 2.0, "SE"))]


def test_through_echo_processors_and_take(app: faust.App) -> None:
    numbers = app.topic("numbers", value_type=int)
    between = app.topic("between", value_type=int)
    copies = app.topic("copies", value_type=int)
    out = app.topic("out")

    @app.agent(numbers, sink=[out])
    async def work(stream: faust.Stream[int]) -> AsyncIterator[int]:
        stream = stream.through(between).echo(copies)
        stream.add_processor(lambda number: number + 1)
        async for number in stream:
            yield number

    @app.agent(copies, sink=[out])
    async def lists(stream: faust.Stream[int]) -> AsyncIterator[list[int]]:
        async for taken in stream.take(2, within=10):
            yield list(taken)

    with app.ottla.test() as driver:
        for number in (1, 2):
            driver.send("numbers", value=number)
        assert sorted(map(str, values(driver, "out"))) == ["2", "3", "[1, 2]"]
        assert values(driver, "copies") == [1, 2]


def test_windows_of_tables(app: faust.App) -> None:
    views = app.topic("views", key_type=str, value_type=str)
    table = app.Table("views", default=int).tumbling(10.0, expires=600.0)
    seen: list[Any] = []

    @app.agent(views)
    async def count(stream: faust.Stream[str]) -> None:
        async for page in stream:
            table[page] += 1
            seen.append((table[page].current(), table[page].delta(10.0)))

    with app.ottla.test() as driver:
        for seconds in (1001, 1002, 1011):
            driver.send("views", key="k", value="home", timestamp=seconds * 1000)
        driver.run()
    assert seen == [(1, 0), (2, 0), (1, 2)]


def test_agents_are_asked_and_cast_to(app: faust.App) -> None:
    @app.agent()
    async def double(stream: faust.Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield number * 2

    async def ask() -> Any:
        await double.cast(1)
        return await double.ask(2, key="k"), await double.join([1, 2, 3]), [x async for x in double.map([4])]

    with app.ottla.test() as driver:
        assert driver.call(ask) == (4, [2, 4, 6], [8])


def test_models_are_asked_for_and_answered(app: faust.App) -> None:
    @app.agent(value_type=Order)
    async def tax(stream: faust.Stream[Order]) -> AsyncIterator[Order]:
        async for order in stream:
            yield order.derive(amount=order.amount * 2)

    with app.ottla.test() as driver:
        assert driver.call(lambda: tax.ask(Order("a", 2.0))) == Order("a", 4.0)


def test_channels_timers_and_tasks(app: faust.App) -> None:
    channel = app.channel()
    beats = app.topic("beats", value_type=str)
    app.agent(beats, name="reader")(reads_nothing)
    seen: list[str] = []

    @app.agent(channel)
    async def collect(stream: faust.Stream[str]) -> None:
        async for value in stream:
            seen.append(value)  # noqa: PERF401

    @app.timer(interval=5.0)
    async def beat(given: faust.App) -> None:
        assert given is app
        await beats.send(value="tick")
        await app.send("beats", value="tock")
        await channel.send(value="in memory")

    with app.ottla.test() as driver:
        driver.advance(5)
        assert values(driver, "beats") == ["tick", "tock"]
    assert seen == ["in memory"]


async def reads_nothing(stream: faust.Stream[Any]) -> None:
    async for _ in stream:
        pass


def test_events_have_seconds_headers_and_go_on(app: faust.App) -> None:
    orders = app.topic("orders", key_type=str, value_type=str)
    out = app.topic("out", key_type=str, value_type=str)
    seen: list[Any] = []

    @app.agent(orders)
    async def work(stream: faust.Stream[str]) -> None:
        async for event in stream.events():
            seen.append((event.message.timestamp, event.message.topic, event.headers, stream.current_event.value))
            await event.forward(out, value=event.value + "!")
            orders_topic = out
            orders_topic.send_soon(key="k", value="soon", headers={"h": "1"})

    with app.ottla.test() as driver:
        driver.send("orders", key="a", value="x", timestamp=1500, headers=[("n", b"1")])
        events = driver.read("out")
    assert seen == [(1.5, "orders", {"n": b"1"}, "x")]
    assert [(event.key, event.value, event.headers) for event in events] == [
        ("a", "x!", [("n", b"1")]),
        ("k", "soon", [("h", b"1")]),
    ]


def test_set_tables(app: faust.App) -> None:
    members = app.SetTable("members")

    @app.agent(app.topic("joined", key_type=str, value_type=str))
    async def join(stream: faust.Stream[str]) -> None:
        async for team, name in stream.items():
            members[team].add(name)

    with app.ottla.test() as driver:
        for name in ("ann", "bob", "ann"):
            driver.send("joined", key="red", value=name)
        driver.run()
        assert set(driver.table("members")["red"]) == {"ann", "bob"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"broker_credentials": "x"}, r"must be faust\.SASLCredentials, .* or an ssl\.SSLContext"),
        ({"web_ssl_context": "x"}, "spoken by a proxy before the workers"),
        ({"cache": "redis://"}, "set app.cache to a backend of your own"),
        ({"consumer_auto_offset_reset": "none"}, "earliest or latest"),
        ({"autodiscover": ["no_such_module"]}, "no module 'no_such_module' to discover"),
        ({"nonsense": 1}, "not known"),
        ({"store": "redis://"}, "memory:// or rocksdb://"),
        ({"broker": "amqp://localhost"}, "it is kafka://HOST:PORT"),
        ({"autodiscover": True}, "needs origin="),
        ({"timezone": "Mars/Base"}, "is not known"),
    ],
)
def test_options_that_cannot_be_had_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        faust.App("shop", **options).finalize()


def test_options_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "BROKER_URL": "kafka://env",
        "SHOP_WEB_PORT": "7000",
        "SHOP_APP_WEB_ENABLED": "no",
        "SHOP_TIMEZONE": "UTC",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert faust.App("shop", broker="kafka://code", web_port=1).conf.broker == "kafka://env:9092"
    conf = faust.App("shop", broker="kafka://code", env_prefix="SHOP_").conf
    assert (conf.broker, conf.web_port, conf.web_listen) == ("kafka://code:9092", 7000, None)
    assert conf.timezone == ZoneInfo("UTC")
    monkeypatch.setenv("APP_VERSION", "two")
    with pytest.raises(ConfigError, match=r"the environment's APP_VERSION='two' is no value of faust.App\(version=\)"):
        faust.App("shop")


def test_options_that_need_not_be_said_are_taken() -> None:
    app = faust.App("shop", broker=["kafka://a", "kafka://b:1"], stream_buffer_maxsize=5, version=2, cache="memory://")
    assert (app.conf.broker, app.conf.app_id) == ("kafka://a:9092,b:1", "shop-v2")


@pytest.mark.parametrize("name", ["router", "LiveCheck", "on_produce_message"])
def test_what_is_not_there_is_refused_by_name(app: faust.App, name: str) -> None:
    with pytest.raises(TopologyError, match=f"app.{name} is not part of Ottla's Faust facade"):
        getattr(app, name)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("OAuthCredentials", "broker_options=.* sasl.oauthbearer"),
        ("SlidingWindow", "window"),
        ("livecheck", r"app\.ottla\.test\(\)"),
    ],
)
def test_a_name_of_faust_s_that_is_not_there_is_refused_with_what_to_do(name: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=f"faust.{name} is not part of Ottla's Faust facade: .*{instead}"):
        getattr(faust, name)
    assert not hasattr(faust, "Nonsense")


def test_what_a_stream_cannot_do_is_refused(app: faust.App) -> None:
    @app.agent(app.topic("in"))
    async def joins(stream: Any) -> None:
        async for _ in stream.join(Order.account):
            pass

    with pytest.raises(TopologyError, match=r"stream.join is not part of .* app.ottla.stream\(topic\).join"):
        app.finalize()


def test_ids_are_texts_that_differ() -> None:
    assert len({faust.uuid(), faust.uuid()}) == 2


def test_signals_are_sent(app: faust.App) -> None:
    seen: list[str] = []
    app.agent(app.topic("in"))(reads_nothing)
    app.on_configured.connect(lambda _, conf: seen.append(conf.id))
    app.on_worker_init.connect(lambda _: seen.append("init"))
    app.on_partitions_assigned.connect(lambda _, parts: seen.append(f"assigned {sorted(parts)}"))
    app.on_partitions_revoked.connect(lambda _, parts: seen.append(f"revoked {len(parts)}"))

    @app.on_rebalance_complete.connect
    async def complete(sender: faust.App, **_: Any) -> None:
        assert sender is app
        seen.append("complete")

    app.on_before_shutdown.connect(lambda _: seen.append("shutdown"))
    with app.ottla.test():
        pass
    assert seen == [
        "shop",
        "init",
        "assigned [TP(topic='in', partition=0)]",
        "complete",
        "shutdown",
        "revoked 1",
    ]


def test_a_table_is_relative_to_a_field_in_seconds(app: faust.App) -> None:
    class View(faust.Record):
        page: str
        at: float

    table = app.Table("views", default=int).tumbling(10.0, expires=600.0).relative_to_field(View.at)
    seen: list[int] = []

    @app.agent(app.topic("views", value_type=View))
    async def count(stream: faust.Stream[View]) -> None:
        async for view in stream:
            table[view.page] += 1
            seen.append(table[view.page].value())

    with app.ottla.test() as driver:
        for at in (1001.0, 1009.0, 1010.0):
            driver.send("views", value=View("home", at))
        driver.run()
    assert seen == [1, 2, 1]


def test_serializers_of_a_single_event(app: faust.App) -> None:
    topic = app.topic("in", value_type=dict, value_serializer="json|binary")
    out = app.topic("out", value_serializer="raw")

    @app.agent(topic)
    async def work(stream: faust.Stream[dict[str, int]]) -> None:
        async for value in stream:
            await out.send(value=value, value_serializer="json")

    with app.ottla.test() as driver:
        driver.send("in", value={"a": 1})
        assert values(driver, "out") == [b'{"a":1}']


def test_options_of_an_agent_that_cannot_be_had_are_refused_by_name(app: faust.App) -> None:
    topic = app.topic("in")
    with pytest.raises(ConfigError, match="partitions= is not part of Ottla's Faust facade"):
        app.agent(topic, partitions=3)(reads_nothing)


def test_services_are_started_and_stopped_with_the_worker(app: faust.App) -> None:
    seen: list[str] = []

    class Service:
        async def start(self) -> None:
            seen.append("started")

        def stop(self) -> None:
            seen.append("stopped")

    assert app.service(Service) is Service
    app.service(Service())
    app.agent(app.topic("in"))(reads_nothing)
    with app.ottla.test():
        assert seen == ["started"] * 2
    assert seen == ["started"] * 2 + ["stopped"] * 2


def test_faust_s_service_is_that_of_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="pip install mode-streaming"):
        _ = faust.Service
    mode = ModuleType("mode")
    mode.Service = object  # type: ignore[attr-defined]
    mode.__spec__ = ModuleSpec("mode", None)
    monkeypatch.setitem(sys.modules, "mode", mode)
    assert faust.Service is object


def test_options_may_be_set_after_the_app_was_made(app: faust.App) -> None:
    app.conf.broker = "kafka://elsewhere"
    app.conf.broker_commit_interval = 2.0
    app.conf.stream_buffer_maxsize = 5
    app.on_configured.connect(lambda _, conf: setattr(conf, "store", "rocksdb://"))
    app.agent(app.topic("in"))(reads_nothing)
    config = app.ottla.config
    assert (config.broker, config.commit_interval_ms, config.store) == ("kafka://elsewhere:9092", 2_000, "rocksdb")
    with pytest.raises(ConfigError, match=r"faust.App\(colour=...\) is not known"):
        app.conf.colour = "red"
    with pytest.raises(ConfigError, match=r"producer_partitioner=...\) has no meaning"):
        app.conf.producer_partitioner = "secret"


def test_the_version_is_said_from_the_beginning(app: faust.App) -> None:
    app.conf.version = 2
    with pytest.raises(ConfigError, match=r"version= names topics .* give it to faust.App\(\)"):
        app.finalize()


def test_agents_and_timers_are_functions_with_some_of_their_arguments(app: faust.App) -> None:
    numbers, out = app.topic("in", value_type=int), app.topic("out")

    async def add(more: int, stream: faust.Stream[int]) -> AsyncIterator[int]:
        async for number in stream.filter(lambda number: number < 100):
            yield number + more

    async def beat(topic: faust.Topic) -> None:
        await topic.send(value="beat")

    app.agent(numbers, name="add", sink=[out])(partial(add, 10))
    app.timer(1.0)(partial(beat, out))
    app.crontab("0 0 1 1 *")(partial(lambda topic: None, out))  # noqa: ARG005 - it is not its day
    assert [*app.declared.jobs.timers, *app.declared.jobs.cron] == [f"{__name__}.beat", f"{__name__}.<lambda>"]
    with app.ottla.test() as driver:
        for number in (5, 500):
            driver.send("in", value=number)
        driver.advance(1)
        assert sorted(map(str, values(driver, "out"))) == ["15", "beat"]


def test_signals_of_the_class_are_those_of_every_app(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(faust.App.on_configured, "_own", [])

    @faust.App.on_configured.connect()
    def configured(app: faust.App, conf: Any) -> None:
        seen.append(f"{app.conf.id} {conf.store}")

    apps = [faust.App(name) for name in ("first", "second")]
    apps[1].on_configured.connect(lambda _, conf: seen.append(f"own {conf.id}"))
    for each in apps:
        each.finalize()
    assert seen == ["first memory", "second memory", "own second"]


def test_lists_have_the_times_of_their_values(app: faust.App) -> None:
    seen: list[list[Any]] = []

    @app.agent(app.topic("in", value_type=None))
    async def take(stream: faust.Stream[Any]) -> None:
        async for values in stream.take_with_timestamp(2, 10.0, "at"):
            seen.append(values)  # noqa: PERF401

    with app.ottla.test() as driver:
        driver.send("in", value={"a": 1}, timestamp=1_500)
        driver.send("in", value="plain", timestamp=2_000)
        driver.run()
    assert seen == [[{"a": 1, "at": 1.5}, "plain"]]
