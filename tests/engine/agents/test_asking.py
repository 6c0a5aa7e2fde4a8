"""Asking agents: answers, errors, order, bounds; in tests, in workers, and from clients."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import ottla
from ottla import Stream, Taken
from ottla.agents.client import Client
from ottla.outlet import outlet
from ottla.state.memory import MemoryStores
from ottla.transport.contract import OutputRecord
from ottla.transport.errors import TransportError
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.worker.worker import Worker


class Price(msgspec.Struct):
    currency: str
    amount: int


def prices(app: ottla.App) -> ottla.Agent[int, Price]:
    @app.agent(app.topic("in", key=str, value=int, partitions=1), sink=[app.topic("out", value=Price, partitions=1)])
    async def price(stream: Stream[int]) -> AsyncIterator[Price]:
        async for number in stream:
            if number == 13:
                raise ValueError("no thirteens")
            if number:
                yield Price("EUR", number * 10)
                yield Price("USD", number * 11)

    return price


def function_agent(app: ottla.App) -> ottla.Agent[int, Price]:
    @app.agent(app.topic("in", key=str, value=int))
    def price(number: int) -> Iterator[Price]:
        if number == 13:
            raise ValueError("no thirteens")
        if number:
            yield Price("EUR", number * 10)

    return price


def batch_agent(app: ottla.App) -> ottla.Agent[int, Price]:
    @app.agent(app.topic("in", key=str, value=int), batch=True)
    def price(numbers: Taken[int]) -> list[Price | None]:
        if 13 in numbers:
            raise ValueError("no thirteens")
        return [Price("EUR", number * 10) if number else None for number in numbers]

    return price


KINDS = pytest.mark.parametrize("declare", [prices, function_agent, batch_agent])
Declare = Callable[[ottla.App], ottla.Agent[int, Price]]


@KINDS
def test_the_answer_is_the_first_thing_the_agent_yields_in_its_type(app: ottla.App, declare: Declare) -> None:
    price = declare(app)
    with app.test() as driver:
        assert driver.ask(price, 2, key="k") == Price("EUR", 20)


@KINDS
def test_an_event_for_which_nothing_is_yielded_is_answered_by_none(app: ottla.App, declare: Declare) -> None:
    price = declare(app)
    with app.test() as driver:
        assert driver.ask(price, 0) is None


@KINDS
def test_an_error_travels_back_and_the_event_goes_where_the_policy_says(app: ottla.App, declare: Declare) -> None:
    price = declare(app)
    with app.test() as driver:
        with pytest.raises(ottla.AgentFailed, match="agent 'price' failed: ValueError: no thirteens"):
            driver.ask(price, 13)
        assert len(driver.dead_letters()) == 1


def test_an_agent_with_instances_answers_too(app: ottla.App) -> None:
    @app.agent(app.topic("in", key=str, value=int), concurrency=3)
    async def double(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            await asyncio.sleep(0)
            yield number * 2

    with app.test() as driver:
        assert driver.call(lambda: double.join(range(10))) == [number * 2 for number in range(10)]


def test_join_keeps_the_order_and_map_gives_answers_as_they_come(app: ottla.App) -> None:
    price = prices(app)

    async def ask_many() -> tuple[list[Any], list[Any], list[Any]]:
        async def pairs() -> AsyncIterator[tuple[str, int]]:
            for number in (3, 1):
                yield f"k{number}", number

        mapped = [answer.amount async for answer in price.map([5, 6]) if answer is not None]
        joined = await price.join([3, 0, 2], key="k")
        return mapped, joined, await price.kvjoin(pairs())

    with app.test() as driver:
        mapped, joined, by_pair = driver.call(ask_many)
    assert sorted(mapped) == [50, 60]
    assert joined == [Price("EUR", 30), None, Price("EUR", 20)]
    assert by_pair == [Price("EUR", 30), Price("EUR", 10)]


def test_only_the_agent_that_was_asked_answers(app: ottla.App) -> None:
    price = prices(app)
    answers: list[Any] = []

    @app.agent(app.topic("out", value=Price, partitions=1))
    def other(found: Price) -> str:
        answers.append(found.currency)
        return "not you"

    with app.test() as driver:
        assert driver.ask(price, 1) == Price("EUR", 10)
    assert answers == ["EUR", "USD"], "the headers of the request came along"


def test_another_agent_can_get_the_answer(app: ottla.App) -> None:
    price = prices(app)
    seen: list[Any] = []

    @app.agent(app.topic("found", key=str, value=Price))
    async def show(stream: Stream[Price]) -> None:
        async for item in stream.items():
            seen.append(item)  # noqa: PERF401

    async def send() -> None:
        await price.send(key="k", value=4, reply_to=show)

    with app.test() as driver:
        driver.call(send)
        driver.run()
    assert seen == [("k", Price("EUR", 40))]


def test_asking_within_an_agent_is_refused(app: ottla.App) -> None:
    price = prices(app)

    @app.agent(app.topic("questions", value=int))
    async def asks(stream: Stream[int]) -> None:
        async for number in stream:
            await price.ask(number)

    with app.test() as driver:
        driver.send("questions", value=1)
        [letter] = driver.dead_letters()
    assert b"cannot be asked from within an agent" in (dict(letter.headers)["ottla.error.reason"] or b"")


def test_asking_outside_of_everything_is_refused(app: ottla.App) -> None:
    with pytest.raises(ottla.NotInTask, match="asking agent 'price' works"):
        asyncio.run(prices(app).ask(1))


def run_worker_and(app: ottla.App, meanwhile: Callable[[MemoryBroker], Coroutine[Any, Any, None]]) -> None:
    """Runs a worker on a broker in memory, and this beside it."""

    async def scenario() -> None:
        broker = MemoryBroker()
        worker = Worker(app.topology, app.config, MemoryTransport(broker, app.id, "w0"), MemoryStores(), jobs=app.jobs)
        run = asyncio.create_task(worker.run())
        try:
            while "in" not in broker.topics:  # noqa: ASYNC110 - the worker creates it
                await asyncio.sleep(0.005)
            await meanwhile(broker)
        finally:
            worker.stop()
            await run

    async def bounded() -> None:
        async with asyncio.timeout(100):
            await scenario()

    asyncio.run(bounded())


@pytest.fixture
def quick(make_app: Callable[..., ottla.App]) -> ottla.App:
    return make_app(commit_interval=timedelta(milliseconds=5))


def test_a_client_asks_a_worker_and_sends_to_its_topics(quick: ottla.App) -> None:
    price = prices(quick)

    async def ask(broker: MemoryBroker) -> None:
        async with Client(quick.config, MemoryTransport(broker, quick.id, "client", exactly_once=False)):
            assert await price.ask(2) == Price("EUR", 20)
            with pytest.raises(ottla.AgentFailed):
                await price.ask(13)
            assert len(await price.join(range(20, 200))) == 180
            await asyncio.gather(*(price.cast(number) for number in range(5)))
            assert len(broker.messages("in")) == 187
        with pytest.raises(ottla.NotInTask):
            await price.cast(1)

    run_worker_and(quick, ask)


def test_a_task_of_the_worker_asks_its_agents(quick: ottla.App) -> None:
    price = prices(quick)
    answers: list[Any] = []

    @quick.timer(timedelta(milliseconds=5))
    async def look() -> None:
        answers.append(await price.ask(3))

    async def wait(_: MemoryBroker) -> None:
        while len(answers) < 2:  # noqa: ASYNC110 - what is waited for is no event of ours
            await asyncio.sleep(0.005)

    run_worker_and(quick, wait)
    assert answers[0] == Price("EUR", 30)


def test_an_answer_that_does_not_come_is_waited_for_within_a_bound(quick: ottla.App) -> None:
    price = prices(quick)

    async def ask() -> None:
        broker = MemoryBroker({"in": 1})
        async with Client(quick.config, MemoryTransport(broker, quick.id, "client", exactly_once=False)):
            with pytest.raises(ottla.NoAnswer, match=r"did not answer within 0\.02 s"):
                await price.ask(1, within=0.02)

    asyncio.run(ask())


@pytest.mark.parametrize("failing", ["produce", "abort"])
def test_whoever_sends_by_a_client_is_told_whatever_fails(quick: ottla.App, failing: str) -> None:
    price = prices(quick)

    async def fail(*_: Any) -> None:
        raise TypeError("no such record") if failing == "produce" else TransportError("the broker is gone")

    async def send() -> None:
        transport = MemoryTransport(MemoryBroker({"in": 1}), quick.id, "client", exactly_once=False)
        async with Client(quick.config, transport):
            setattr(transport, failing, fail)
            if failing == "abort":
                transport.commit = fail  # type: ignore[assignment, method-assign]
            async with asyncio.timeout(10):
                for _ in range(2):
                    with pytest.raises(TypeError if failing == "produce" else TransportError):
                        await price.cast(1)

    asyncio.run(send())


def test_who_waits_for_an_answer_is_told_when_none_can_come_any_more(quick: ottla.App) -> None:
    price = prices(quick)

    async def ask() -> None:
        broker = MemoryBroker({"in": 1})
        async with Client(quick.config, MemoryTransport(broker, quick.id, "client", exactly_once=False)):
            asked = asyncio.create_task(price.ask(1))
            while not broker.messages("in"):  # noqa: ASYNC110 - what is waited for is no event of ours
                await asyncio.sleep(0.005)
        with pytest.raises(ottla.NoAnswer, match="the worker or client that asked has ended"):
            await asked

    asyncio.run(ask())


@pytest.mark.parametrize("topic", [b"nowhere", b"\xff", b""])
def test_a_request_for_a_topic_that_is_not_the_apps_is_no_request(quick: ottla.App, topic: bytes) -> None:
    price = prices(quick)

    async def ask(broker: MemoryBroker) -> None:
        forged: list[tuple[str, bytes | None]] = [("ottla.reply.agent", b"price"), ("ottla.reply.to", topic)]
        async with Client(quick.config, MemoryTransport(broker, quick.id, "client", exactly_once=False)):
            await price.cast(1, headers=[*forged, ("ottla.reply.partition", b"0")])
            assert await price.ask(2) == Price("EUR", 20)
        assert len(broker.messages("out")) == 4

    run_worker_and(quick, ask)


def test_a_partition_that_the_topic_does_not_have_is_not_answered_to(app: ottla.App) -> None:
    prices(app)
    with app.test() as driver:
        headers: list[tuple[str, bytes | None]] = [
            ("ottla.reply.agent", b"price"),
            ("ottla.reply.to", b"shop-replies"),
            ("ottla.reply.partition", b"99"),
            ("ottla.reply.id", b"x"),
        ]
        driver.send("in", key="k", value=1, headers=headers)
        assert len(driver.read("out")) == 2


def test_a_request_that_makes_state_too_large_is_answered_with_that(make_app: Callable[..., ottla.App]) -> None:
    app = make_app(broker_options={"message.max.bytes": 1_000})
    texts = app.Table("texts", key=str, value=str, default=str)

    @app.agent(app.topic("in", key=str, value=int))
    async def append(stream: Stream[int]) -> AsyncIterator[int]:
        async for key, number in stream.items():
            texts[key] += "x" * number
            yield len(texts[key])

    with app.test() as driver:
        assert driver.ask(append, 1, key="k") == 1
        for _ in range(2):
            with pytest.raises(ottla.AgentFailed, match="'append' failed: RecordTooLarge: 'texts' holds a value that"):
                driver.ask(append, 2_000, key="k")
        assert driver.ask(append, 2, key="k") == 3


def test_a_request_after_which_an_aggregate_is_too_large_is_answered_with_that(
    make_app: Callable[..., ottla.App],
) -> None:
    app = make_app(broker_options={"message.max.bytes": 1_000})

    @app.agent(app.topic("in", key=str, value=str))
    async def echo(stream: Stream[str]) -> AsyncIterator[str]:
        async for text in stream:
            yield text

    app.stream(echo).aggregate("all", found=ottla.collect())

    with app.test() as driver:
        assert driver.ask(echo, "a", key="k") == "a"
        with pytest.raises(ottla.AgentFailed, match="'echo' failed: RecordTooLarge: 'all' holds a value that cannot"):
            driver.ask(echo, "a" * 2_000, key="k")
        assert driver.ask(echo, "b", key="k") == "b"


@pytest.mark.parametrize("on_error", ["dead_letter", "skip"])
def test_a_request_that_fails_before_it_comes_to_the_agent_is_answered_with_that(
    make_app: Callable[..., ottla.App], on_error: str
) -> None:
    app = make_app(on_error=on_error)
    requests = app.topic("in", key=str, value=int)

    def halved(number: int) -> int:
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number // 2

    @app.agent(app.stream(requests).map(halved))
    async def half(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield number

    @app.agent(requests)
    async def number(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield number

    def asked(to: str, value: Any) -> Any:
        async def ask() -> Any:
            out = outlet.get()
            request = await (await out.replies()).expect()
            headers = [
                ("ottla.reply.agent", to.encode()),
                ("ottla.reply.to", request.reply_to.topic.encode()),
                ("ottla.reply.partition", b"%d" % request.reply_to.partition),
                ("ottla.reply.id", request.id),
            ]
            await out.request([OutputRecord("in", b"k", value, 0, headers, None)])
            return dict((await request.answer).headers() or ()).get("ottla.reply.error")

        return driver.call(ask)

    with app.test() as driver:
        assert asked("half", b"8") is None
        assert b"ValueError: 7 is odd" in asked("half", b"7")
        assert b"DecodeError: the value is no" in asked("half", b"seven")
        assert asked("number", b"7") is None, "another agent is none of its business"
