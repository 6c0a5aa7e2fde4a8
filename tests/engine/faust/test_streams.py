"""Streams of Faust apps: combined ones."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla.faust as faust
from ottla import TopologyError


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop", store="memory://")


def by_operator(app: faust.App) -> Callable[..., AsyncIterator[Any]]:
    async def every(stream: faust.Stream[Any]) -> AsyncIterator[Any]:
        async for value in stream & app.topic("b").stream() & app.stream("c"):
            yield value

    return every


def by_name(app: faust.App) -> Callable[..., AsyncIterator[Any]]:
    async def every(stream: faust.Stream[Any]) -> AsyncIterator[Any]:
        async for event in stream.combine(app.topic("b", "c").stream()).events():
            yield event.value

    return every


@pytest.mark.parametrize("combined", [by_operator, by_name])
def test_an_agent_has_the_events_of_several_topics(app: faust.App, combined: Callable[..., Any]) -> None:
    app.agent(app.topic("a"), sink=[app.topic("out")])(combined(app))
    with app.ottla.test() as driver:
        for topic in "abcb":
            driver.send(topic, value=topic)
        assert sorted(event.value for event in driver.read("out")) == ["a", "b", "b", "c"]


def test_what_is_combined_can_be_changed_before_and_after(app: faust.App) -> None:
    counts = app.Table("counts", default=int)

    @app.agent(app.topic("a", key_type=str))
    async def count(stream: faust.Stream[int]) -> None:
        large = app.topic("b", key_type=str).stream().filter(lambda number: number > 5)
        async for number in (stream & large).group_by(parity, name="parity"):
            counts[parity(number)] += 1

    with app.ottla.test() as driver:
        for topic, number in (("a", 1), ("a", 2), ("b", 3), ("b", 7)):
            driver.send(topic, value=number)
        assert dict(driver.table("counts")) == {"odd": 2, "even": 1}


def parity(number: int) -> str:
    return "odd" if number % 2 else "even"


def test_the_functions_of_steps_may_be_async(app: faust.App) -> None:
    class Order(faust.Record):
        country: str
        amount: int

    async def large(order: Order) -> bool:
        await asyncio.sleep(0)
        return order.amount > 5

    async def country_of(order: Order) -> str:
        return order.country

    totals = app.Table("totals", default=int, key_type=str)

    @app.agent(app.topic("orders", value_type=Order))
    async def total(stream: faust.Stream[Order]) -> None:
        async for country, order in stream.filter(large).group_by(country_of, name="by-country").items():
            totals[country] += order.amount

    with app.ottla.test() as driver:
        for country, amount in (("NO", 6), ("SE", 7), ("NO", 1), ("NO", 10)):
            driver.send("orders", value=Order(country, amount))
        assert dict(driver.table("totals")) == {"NO": 16, "SE": 7}
    assert "shop-by-country-repartition" in {topic.name for topic in app.topology.repartitions}


def test_a_list_may_wait_until_it_is_full(app: faust.App) -> None:
    @app.agent(app.topic("a"), sink=[app.topic("out")])
    async def lists(stream: faust.Stream[int]) -> AsyncIterator[list[int]]:
        async for three in stream.take(3):
            yield three

    with app.ottla.test() as driver:
        driver.send("a", value=1)
        driver.send("a", value=2)
        driver.run()
        driver.advance(timedelta(days=400))
        assert driver.read("out") == []
        driver.send("a", value=3)
        assert [event.value for event in driver.read("out")] == [[1, 2, 3]]


def test_a_processor_may_skip_events(app: faust.App) -> None:
    def positive(number: int) -> int:
        if number < 0:
            raise faust.exceptions.Skip
        return number

    @app.agent(app.topic("a"), sink=[app.topic("out")])
    async def roots(stream: faust.Stream[int]) -> AsyncIterator[float]:
        stream.add_processor(positive)
        async for number in stream:
            yield number**0.5

    with app.ottla.test() as driver:
        for number in (4, -1, 9):
            driver.send("a", value=number)
        assert [event.value for event in driver.read("out")] == [2.0, 3.0]


def test_only_topics_are_combined(app: faust.App) -> None:
    @app.agent(app.topic("a"))
    async def both(stream: Any) -> None:
        async for _ in stream & stream:
            pass

    with pytest.raises(TopologyError, match=r"cannot be combined with a stream: it must be a topic's"):
        app.finalize()


def test_processors_are_added_to_the_stream_that_an_agent_is_given(app: faust.App) -> None:
    @app.agent(app.topic("a"))
    async def both(stream: Any) -> None:
        async for _ in stream & app.stream("b", processors=[abs]).filter(bool):
            pass

    with pytest.raises(TopologyError, match="processors are added to the stream that an agent is given"):
        app.finalize()
