"""Agents beside the async function over a stream: plain functions, whole batches, several instances; and sinks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Stream, Taken
from ottla.testing import Driver


def send(driver: Driver, *values: int) -> None:
    for value in values:
        driver.send("in", key=f"k{value % 3}", value=value, timestamp=value, headers=[("n", b"%d" % value)])


def results(driver: Driver) -> list[Any]:
    return [event.value for event in driver.read("out")]


@pytest.fixture
def numbers(app: ottla.App) -> ottla.Topic[str, int]:
    return app.topic("in", key=str, value=int)


@pytest.fixture
def out(app: ottla.App) -> ottla.Topic[str, int]:
    return app.topic("out", key=str, value=int)


class TestPlainFunctions:
    def test_what_a_function_returns_is_a_result_unless_it_is_none(
        self, app: ottla.App, numbers: Any, out: Any
    ) -> None:
        @app.agent(numbers, sink=[out])
        def double_odd(number: int) -> int | None:
            return number * 2 if number % 2 else None

        with app.test() as driver:
            send(driver, 1, 2, 3)
            events = driver.read(out)
        assert [(event.key, event.value, event.timestamp, event.headers) for event in events] == [
            ("k1", 2, 1, [("n", b"1")]),
            ("k0", 6, 3, [("n", b"3")]),
        ]

    def test_what_a_generator_yields_always_is(self, app: ottla.App, numbers: Any, out: Any) -> None:
        @app.agent(numbers, sink=[out])
        def count(number: int) -> Iterator[int | None]:
            yield from range(number)
            yield None

        with app.test() as driver:
            send(driver, 2, 0)
            assert results(driver) == [0, 1, None, None]

    def test_an_event_that_failed_leaves_no_trace_and_is_retried(self, make_app: Callable[..., ottla.App]) -> None:
        app = make_app(retries=1)
        table = app.Table("seen", key=str, default=int)
        attempts: list[int] = []

        @app.agent(app.topic("in", key=str, value=int), sink=[app.topic("out", value=int)])
        def work(number: int) -> Iterator[int]:
            attempts.append(number)
            table["all"] += 1
            yield number
            if number == 13 or (number == 5 and attempts.count(5) == 1):
                raise ValueError("bad luck")

        with app.test() as driver:
            send(driver, 1, 5, 13, 2)
            assert results(driver) == [1, 5, 2]
            assert driver.table("seen")["all"] == 3
            [letter] = driver.dead_letters()
        assert attempts == [1, 5, 5, 13, 13, 2]
        assert (letter.key, letter.value) == (b"k1", b"13")

    def test_the_event_at_hand_is_known(self, app: ottla.App, numbers: Any) -> None:
        seen: list[Any] = []

        @app.agent(numbers)
        def look(_: int) -> None:
            seen.append(ottla.current_event())

        with app.test() as driver:
            send(driver, 4)
            driver.run()
        assert seen == [ottla.Event("k1", 4, 4, [("n", b"4")], "in", 0, 0)]
        assert ottla.current_event() is None

    def test_concurrency_is_refused(self, app: ottla.App, numbers: Any) -> None:
        with pytest.raises(ottla.TopologyError, match="is a plain function, which never waits"):
            app.agent(numbers, name="work", concurrency=2)(abs)


class TestWholeBatches:
    def test_a_function_gets_lists_and_gives_a_result_for_each(self, app: ottla.App, numbers: Any, out: Any) -> None:
        sizes: list[int] = []

        @app.agent(numbers, batch=True, sink=[out])
        def double(values: Taken[int]) -> list[int | None]:
            sizes.append(len(values))
            return [value * 2 if value % 2 else None for value in values]

        with app.test() as driver:
            send(driver, 1, 2, 3)
            events = driver.read(out)
            send(driver, 4)
            assert driver.read(out) == []
        assert sizes == [3, 1]
        assert [(event.key, event.value, event.timestamp, event.headers) for event in events] == [
            ("k1", 2, 1, [("n", b"1")]),
            ("k0", 6, 3, [("n", b"3")]),
        ]

    def test_an_async_agent_iterates_lists(self, app: ottla.App, numbers: Any, out: Any) -> None:
        seen: list[Any] = []

        @app.agent(numbers, batch=True, sink=[out])
        async def ranks(stream: Stream[Any]) -> AsyncIterator[list[int]]:
            async for values in stream:
                seen.append((values.keys, values.timestamps, [event.offset for event in values.events]))
                yield [rank for rank, _ in enumerate(values)]

        with app.test() as driver:
            send(driver, 5, 6)
            assert results(driver) == [0, 1]
        assert seen == [(["k2", "k0"], [5, 6], [0, 1])]

    def test_a_list_of_another_length_fails_and_each_event_is_dead_lettered(
        self, app: ottla.App, numbers: Any, out: Any
    ) -> None:
        table = app.Table("seen", key=str, default=int)

        @app.agent(numbers, batch=True, sink=[out])
        def short(values: Taken[int]) -> list[int]:
            table["all"] += len(values)
            return values[1:]

        with app.test() as driver:
            send(driver, 1, 2)
            letters = driver.dead_letters()
            assert dict(driver.table("seen")) == {}
            assert results(driver) == []
        assert [letter.value for letter in letters] == [b"1", b"2"]
        reason = dict(letters[0].headers)["ottla.error.reason"]
        assert b"2 were expected, and a list of 1 came" in (reason or b"")

    def test_concurrency_is_refused(self, app: ottla.App, numbers: Any) -> None:
        with pytest.raises(ottla.TopologyError, match="leave concurrency= out"):

            @app.agent(numbers, batch=True, concurrency=2)
            async def work(stream: Stream[int]) -> None: ...


class TestConcurrency:
    @staticmethod
    def gauge(app: ottla.App, concurrency: int, waits: Callable[[int], float] = lambda _: 0.001) -> list[int]:
        """An agent that waits for each of its events, and how many of them it had at hand at each."""
        at_hand: list[int] = []
        busy = 0

        @app.agent(app.topic("in", key=str, value=int), concurrency=concurrency, sink=[app.topic("out", value=int)])
        async def work(stream: Stream[int]) -> AsyncIterator[int]:
            nonlocal busy
            async for number in stream:
                busy += 1
                at_hand.append(busy)
                await asyncio.sleep(waits(number))
                busy -= 1
                yield number

        return at_hand

    def test_several_events_are_waited_for_at_once(self, app: ottla.App) -> None:
        at_hand = self.gauge(app, 3)
        with app.test() as driver:
            for number in range(9):
                driver.send("in", value=number)
            assert results(driver) == list(range(9))
        assert max(at_hand) == 3

    def test_results_go_on_in_the_order_of_the_events(self, app: ottla.App) -> None:
        self.gauge(app, 3, waits=lambda number: 0.002 * (9 - number))
        with app.test() as driver:
            for number in range(9):
                driver.send("in", value=number)
            assert results(driver) == list(range(9))

    @given(st.lists(st.integers(0, 30), max_size=25), st.integers(1, 4))
    @settings(max_examples=20)
    def test_events_of_one_key_stay_in_order_and_their_state_is_right(self, given: list[int], concurrency: int) -> None:
        app = ottla.App("shop")
        sums = app.Table("sums", key=str, default=int)
        seen: dict[str, list[int]] = {}

        @app.agent(app.topic("in", key=str, value=int), concurrency=concurrency)
        async def add(stream: Stream[int]) -> None:
            async for event in stream.events():
                if event.value % 7 == 0:
                    sums[event.key] += 1_000
                    raise ValueError("no sevens")
                before = sums[event.key]
                await asyncio.sleep(0)
                sums[event.key] = before + event.value
                seen.setdefault(event.key, []).append(event.value)

        with app.test() as driver:
            send(driver, *given)
            driver.run()
            kept = [value for value in given if value % 7]
            assert {key: sum(values) for key, values in seen.items()} == dict(driver.table(sums))
            assert len(driver.dead_letters()) == len(given) - len(kept)
        for key, values in seen.items():
            assert values == [value for value in kept if f"k{value % 3}" == key]

    @pytest.mark.parametrize("key", ["a", "b", "c", "d", "e"])
    def test_results_of_one_key_have_their_events_contexts(self, app: ottla.App, key: str) -> None:
        self.gauge(app, 4)
        with app.test() as driver:
            driver.send("in", key=key, value=1, timestamp=5)
            assert [(event.key, event.value, event.timestamp) for event in driver.read("out")] == [(key, 1, 5)]

    def test_a_failed_event_takes_back_only_what_it_sent_itself(self, app: ottla.App) -> None:
        numbers = app.topic("in", key=str, value=int)
        out = app.topic("out", value=int)

        @app.agent(numbers, concurrency=3)
        async def work(stream: Stream[int]) -> None:
            async for number in stream:
                await out.send(value=number)
                await asyncio.sleep(0.001 * number)
                await out.send(value=number * 10)
                if number == 2:
                    raise ValueError("no twos")

        with app.test() as driver:
            for number in (1, 2, 3):
                driver.send(numbers, value=number)
            assert sorted(results(driver)) == [1, 3, 10, 30]

    def test_all_instances_end_with_the_task(self, app: ottla.App, numbers: Any) -> None:
        ended: list[int] = []

        @app.agent(numbers, concurrency=3)
        async def work(stream: Stream[int]) -> None:
            try:
                async for _ in stream:
                    pass
            finally:
                ended.append(1)

        with app.test() as driver:
            for number in range(6):
                driver.send(numbers, value=number)
            driver.run()
        assert len(ended) == 3


class TestSinks:
    def test_results_go_to_topics_agents_and_functions(self, app: ottla.App, numbers: Any, out: Any) -> None:
        called: list[Any] = []
        doubled = app.topic("doubled", key=str, value=int)

        @app.agent(doubled, sink=[out])
        def double(number: int) -> int:
            return number * 2

        async def waits(value: int) -> None:
            await asyncio.sleep(0)
            called.append(("async", value))

        def calls(value: int) -> None:
            called.append(("sync", value))

        @app.agent(numbers, sink=[out, double, calls, waits])
        async def work(stream: Stream[int]) -> AsyncIterator[int]:
            async for number in stream:
                yield number

        with app.test() as driver:
            send(driver, 7)
            assert [(event.key, event.value) for event in driver.read(out)] == [("k1", 7), ("k1", 14)]
        assert called == [("sync", 7), ("async", 7)]

    def test_what_is_none_of_these_is_refused(self, app: ottla.App, numbers: Any) -> None:
        with pytest.raises(ottla.TopologyError, match="must be a topic, an agent or a function"):
            app.agent(numbers, name="work", sink=["out"])(abs)  # type: ignore[list-item]

    def test_an_agent_that_reads_no_topic_is_refused(self, app: ottla.App, numbers: Any) -> None:
        inner = app.agent(app.stream(numbers).filter(bool), name="inner")(abs)
        with pytest.raises(ottla.TopologyError, match="nothing can be sent to it"):
            app.agent(numbers, name="work", sink=[inner])(abs)


def test_an_event_is_forwarded_with_its_context(app: ottla.App, numbers: Any, out: Any) -> None:
    @app.agent(numbers)
    async def forward(stream: Stream[int]) -> None:
        async for event in stream.events():
            await event.forward(out)
            await event.forward(out, key=None, value=0)

    with app.test() as driver:
        send(driver, 4)
        events = driver.read(out)
    assert [(event.key, event.value, event.timestamp, event.headers) for event in events] == [
        ("k1", 4, 4, [("n", b"4")]),
        (None, 0, 4, [("n", b"4")]),
    ]
