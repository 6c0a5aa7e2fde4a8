"""Agents of Faust apps: topics by pattern, the event at hand, errors, and the context in which they are tested."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import ottla.faust as faust
from ottla import ConfigError, TopologyError
from ottla.errors import NotInTask


class Order(faust.Record):
    account: str
    amount: int


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop")


def test_an_agent_reads_all_topics_that_match(app: faust.App) -> None:
    logs = app.topic(pattern="logs-.+", value_type=str)
    seen: list[tuple[str, str]] = []

    @app.agent(logs)
    async def read(stream: faust.Stream[str]) -> None:
        async for event in stream.events():
            seen.append((event.message.topic, event.value))  # noqa: PERF401

    assert logs.pattern is not None
    assert logs.pattern.pattern == "logs-.+"
    with app.ottla.test() as driver:
        for name in ("logs-a", "logs-b"):
            driver.create_topic(name)
            driver.send(name, value=name)
        driver.run()
    assert seen == [("logs-a", "logs-a"), ("logs-b", "logs-b")]
    with pytest.raises(TopologyError, match="cannot be sent to: it is several topics"):
        logs.one("sent to")
    with pytest.raises(ConfigError, match="the names of topics, or pattern="):
        app.topic("a", pattern="b")


def test_the_event_at_hand_is_known_without_the_app(app: faust.App) -> None:
    seen: list[Any] = []

    @app.agent(app.topic("in", value_type=int))
    async def look(stream: faust.Stream[int]) -> None:
        async for _ in stream:
            event = faust.current_event()
            assert event is not None
            seen.append((event.value, event.message.topic, event.app))

    with app.ottla.test() as driver:
        driver.send("in", value=3)
        driver.run()
    assert seen == [(3, "in", app)]
    assert faust.current_event() is None


@pytest.mark.parametrize("yields", [True, False])
def test_what_on_error_does_stays_and_what_the_event_did_does_not(app: faust.App, yields: bool) -> None:
    numbers, sent, failed = app.topic("in", value_type=int), app.topic("sent"), app.topic("failed")
    counts = app.Table("counts", default=int, key_type=str)

    async def on_error(agent: faust.Agent, error: BaseException) -> None:
        await asyncio.sleep(0)
        counts["failed"] += 1
        await failed.send(value=[agent.name, str(error)])

    async def work(value: int) -> int:
        counts["seen"] += 1
        await sent.send(value=value)
        return 6 // value

    async def invert(stream: faust.Stream[int]) -> AsyncIterator[int]:
        async for value in stream:
            yield await work(value)

    async def consume(stream: faust.Stream[int]) -> None:
        async for value in stream:
            assert counts is not None
            await work(value)

    app.agent(numbers, name="invert", on_error=on_error)(invert if yields else consume)

    @app.agent(numbers)
    async def keep(stream: faust.Stream[int]) -> None:
        async for _ in stream:
            counts["kept"] += 1

    with app.ottla.test() as driver:
        for value in (1, 0, 3, 0):
            driver.send("in", value=value)
        assert [event.value for event in driver.read("failed")] == [
            ["invert", "integer division or modulo by zero"]
        ] * 2
        assert [event.value for event in driver.read("sent")] == [1, 3]
        assert dict(driver.table("counts")) == {"failed": 2, "seen": 2, "kept": 4}
        assert len(driver.dead_letters()) == 2


def test_on_error_that_raises_is_logged(app: faust.App, caplog: pytest.LogCaptureFixture) -> None:
    def on_error(_: faust.Agent, __: BaseException) -> None:
        raise LookupError("no sentry")

    @app.agent(app.topic("in", value_type=int), on_error=on_error)
    async def fail(stream: faust.Stream[int]) -> None:
        async for value in stream:
            raise ValueError(value)

    with app.ottla.test() as driver:
        driver.send("in", value=1)
        assert len(driver.dead_letters()) == 1
    assert f"on_error of agent {__name__}.fail failed" in caplog.messages


def test_an_agent_is_tested_event_by_event(app: faust.App) -> None:
    totals = app.Table("totals", default=int)
    out = app.topic("out")

    @app.agent(app.topic("orders", key_type=str, value_type=Order), sink=[out])
    async def add(orders: faust.Stream[Order]) -> AsyncIterator[int]:
        async for order in orders:
            if order.amount < 0:
                raise ValueError("a negative amount")
            totals[order.account] += order.amount
            yield totals[order.account]

    async def scenario() -> None:
        async with add.test_context() as agent:
            for amount, total in ((5, 5), (7, 12)):
                event = await agent.put(Order("ann", amount), key="ann")
                assert agent.results[event.message.offset] == total
                assert event.value == Order("ann", amount)
            with pytest.raises(ValueError, match="a negative amount"):
                await agent.put(Order("ann", -1))
            await agent.put(Order("ann", 1), wait=False)
            await agent.put(Order("ann", 2))
            assert list(agent.results.values()) == [5, 12, 13, 15]
            assert agent.name == f"{__name__}.add"

    asyncio.run(scenario())


def test_an_agent_without_results_is_tested_by_what_it_was_given(app: faust.App) -> None:
    told: list[BaseException] = []

    @app.agent(app.channel())
    async def see(values: faust.Stream[int]) -> None:
        async for value in values:
            if not value:
                raise ValueError("nothing")

    async def on_error(_: faust.Agent, error: BaseException) -> None:
        told.append(error)

    async def scenario() -> None:
        async with see.test_context(on_error=on_error) as agent:
            event = await agent.put(3)
            assert agent.results == {event.message.offset: 3}
            with pytest.raises(ValueError, match="nothing"):
                await agent.put(0)

    asyncio.run(scenario())
    assert [str(error) for error in told] == ["nothing"]


def test_an_agent_and_its_topic_have_the_names_that_faust_gives_them() -> None:
    app = faust.App("shop", version=2)

    @app.agent()
    async def count(stream: faust.Stream[Any]) -> None:
        async for _ in stream:
            pass

    assert app.agents == {f"{__name__}.count": count}
    assert count.channel.get_topic_name() == f"shop-v2-{__name__}.count"


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_an_agent_asks_another(guarantee: str) -> None:
    app = faust.App("rpc", processing_guarantee=guarantee)
    said: list[Any] = []

    @app.agent(app.topic("pow", partitions=2))
    async def power(stream: faust.Stream[Any]) -> AsyncIterator[int]:
        async for base, exponent in stream:
            yield base**exponent

    @app.agent(app.topic("in", partitions=1))
    async def ask(stream: faust.Stream[Any]) -> None:
        async for value in stream:
            said.append(await power.ask(value=[value, 2]))
            with pytest.raises(NotInTask, match="within one, await ask"):
                await power.ask_nowait(value)

    with app.ottla.test() as driver:
        driver.send("in", value=3)
        letters = driver.dead_letters()
    if guarantee == "at_least_once":
        assert (said, letters) == ([9], [])
    else:
        [letter] = letters
        assert b'run the app with processing_guarantee="at_least_once"' in (
            dict(letter.headers)["ottla.error.reason"] or b""
        )


def test_answers_are_sent_to_a_topic_too(app: faust.App) -> None:
    @app.agent(app.topic("in"))
    async def double(stream: faust.Stream[Any]) -> AsyncIterator[int]:
        async for value in stream:
            yield value * 2

    async def ask() -> list[Any]:
        asked = [
            await double.ask(1, key="a", reply_to="answers"),
            await double.ask(2, reply_to=app.conf.reply_to),
            await (await double.ask_nowait(3, reply_to=app.topic("answers"))),
        ]
        mapped = [answer async for answer in double.map([4], reply_to="answers")]
        pairs = [answer async for answer in double.kvmap([("k", 5)], reply_to="answers")]
        joined = await double.join([6, 7], reply_to="answers") + await double.kvjoin([("k", 8)], reply_to="answers")
        return [*asked, *mapped, *pairs, *joined]

    app.topic("answers")
    with app.ottla.test() as driver:
        assert driver.call(ask) == [2, 4, 6, 8, 10, 12, 14, 16]
        sent = driver.read("answers")
    assert [event.value for event in sent] == [2, 6, 8, 10, 12, 14, 16]
    assert sent[0].key == b"a"


def test_what_an_agent_was_declared_with(app: faust.App) -> None:
    @app.agent(app.topic("in"), concurrency=2, help="Reads.")
    async def read(stream: faust.Stream[Any]) -> None:
        """Does more."""
        async for _ in stream:
            pass

    assert (read.concurrency, read.help) == (2, "Reads.")
    with pytest.raises(TopologyError, match=r"test_context\(channel=\) is not part of .* what put\(\) says"):
        read.test_context("other")


def test_answers_are_awaited_later(app: faust.App) -> None:
    @app.agent(app.topic("in"))
    async def double(stream: faust.Stream[Any]) -> AsyncIterator[int]:
        async for value in stream:
            yield value * 2

    async def ask() -> list[int]:
        promises = [await double.ask_nowait(number) for number in range(3)]
        return [await promise for promise in promises]

    with app.ottla.test() as driver:
        assert driver.call(ask) == [0, 2, 4]
