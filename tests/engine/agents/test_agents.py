"""Agents: what they are given, what they yield, and what becomes of an event that they fail on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import ottla
from ottla import Stream
from ottla.testing import Driver


def values(events: list[ottla.Event]) -> list[object]:
    return [event.value for event in events]


def test_what_an_agent_yields_keeps_key_time_and_headers_of_its_event(app: ottla.App) -> None:
    # Given an agent that yields some of its events, changed, to a topic
    numbers = app.topic("numbers", value=int)
    doubled = app.topic("doubled", value=int)

    @app.agent(numbers, sink=[doubled])
    async def double(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            if number % 2:
                yield number * 2

    with app.test() as driver:
        # When events come in one batch
        for number in range(4):
            driver.send(
                numbers, key=f"k{number}", value=number, timestamp=100 + number, headers=[("n", b"%d" % number)]
            )

        # Then each result is its event's
        events = driver.read(doubled)
    assert [(event.key, event.value, event.timestamp, event.headers) for event in events] == [
        ("k1", 2, 101, [("n", b"1")]),
        ("k3", 6, 103, [("n", b"3")]),
    ]


def test_an_agent_may_yield_several_results_for_an_event(app: ottla.App) -> None:
    words = app.topic("words", value=str)
    letters = app.topic("letters", value=str)

    @app.agent(words)
    async def spell(stream: Stream[str]) -> AsyncIterator[str]:
        async for word in stream:
            for letter in word:
                yield letter

    app.stream(spell).map(str.upper).to(letters)

    with app.test() as driver:
        driver.send(words, key="a", value="ab")
        driver.send(words, key="b", value="c")
        assert [(event.key, event.value) for event in driver.read(letters)] == [("a", "A"), ("a", "B"), ("b", "C")]


def test_an_agent_that_yields_nothing_is_a_plain_async_function(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    seen: list[int] = []

    @app.agent(numbers)
    async def collect(stream: Stream[int]) -> None:
        async for number in stream:
            seen.append(number)  # noqa: PERF401

    with app.test() as driver:
        for number in range(3):
            driver.send(numbers, value=number)
        driver.run()
        driver.send(numbers, value=3)
        driver.run()
    assert seen == [0, 1, 2, 3]


def test_items_and_events_give_keys_and_context(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    items: list[tuple[str, int]] = []
    events: list[ottla.Event[int]] = []

    @app.agent(numbers)
    async def by_item(stream: Stream[int]) -> None:
        async for item in stream.items():
            items.append(item)  # noqa: PERF401

    @app.agent(numbers)
    async def by_event(stream: Stream[int]) -> None:
        async for event in stream.events():
            events.append(event)  # noqa: PERF401

    with app.test() as driver:
        driver.send(numbers, key="a", value=1, timestamp=7, headers=[("h", None)])
        driver.send(numbers, key="b", value=2, timestamp=8)
        driver.run()
    assert items == [("a", 1), ("b", 2)]
    assert events == [
        ottla.Event("a", 1, 7, [("h", None)], "numbers", 0, 0),
        ottla.Event("b", 2, 8, [], "numbers", 0, 1),
    ]


def test_an_agent_may_wait_for_other_things(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    results = app.topic("results", value=int)

    @app.agent(numbers, sink=[results])
    async def ask(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            await asyncio.sleep(0)
            async with asyncio.timeout(100):
                answer = await asyncio.gather(asyncio.sleep(0.001, number), asyncio.sleep(0, 1))
            yield sum(answer)

    with app.test() as driver:
        for number in range(3):
            driver.send(numbers, value=number)
        assert values(driver.read(results)) == [1, 2, 3]


def test_state_of_an_agents_own_lives_as_long_as_its_task(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    totals = app.topic("totals", value=int)

    @app.agent(numbers, sink=[totals])
    async def total(stream: Stream[int]) -> AsyncIterator[int]:
        so_far = 0
        async for number in stream:
            so_far += number
        yield so_far

    with app.test() as driver:
        for number in range(5):
            driver.send(numbers, value=number)
            driver.run()
        assert driver.read(totals) == []
        driver.end_of_input()
        assert values(driver.read(totals)) == [10]


def test_an_agent_that_stops_iterating_begins_again_with_the_next_event(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    results = app.topic("results", value=int)

    @app.agent(numbers, sink=[results])
    async def pairs(stream: Stream[int]) -> AsyncIterator[int]:
        first = None
        async for number in stream:
            if first is not None:
                yield first * 10 + number
                break
            first = number

    with app.test() as driver:
        for number in range(1, 8):
            driver.send(numbers, value=number)
        assert values(driver.read(results)) == [12, 34, 56]
        driver.send(numbers, value=8)
        assert values(driver.read(results)) == [78]


def test_an_agent_can_iterate_its_stream_in_turns(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    results = app.topic("results", value=int)

    @app.agent(numbers, sink=[results])
    async def header_then_rows(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            base = number
            break
        async for number in stream:
            yield base + number

    with app.test() as driver:
        for number in (100, 1, 2):
            driver.send(numbers, value=number)
        assert values(driver.read(results)) == [101, 102]


def test_send_and_cast_join_the_commit_of_the_event(app: ottla.App) -> None:
    orders = app.topic("orders", value=int)
    bills = app.topic("bills", value=int)
    paid = app.topic("paid", value=int)

    @app.agent(bills, sink=[paid])
    async def pay(stream: Stream[int]) -> AsyncIterator[int]:
        async for bill in stream:
            yield bill

    @app.agent(orders)
    async def order(stream: Stream[int]) -> None:
        async for amount in stream:
            await pay.cast(amount, key="customer")
            await bills.send(key="other", value=amount + 1, timestamp=5, headers=[("h", b"1")])

    with app.test() as driver:
        driver.send(orders, value=10, timestamp=3)
        events = driver.read(paid)
    assert [(event.key, event.value, event.timestamp, event.headers) for event in events] == [
        ("customer", 10, 3, []),
        ("other", 11, 5, [("h", b"1")]),
    ]


def test_one_agent_can_follow_another(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    results = app.topic("results", value=int)

    @app.agent(numbers)
    async def first(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield number + 1

    @app.agent(first, sink=[results])
    async def second(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield number * 10

    with app.test() as driver:
        driver.send(numbers, value=1)
        assert values(driver.read(results)) == [20]


class TestFailures:
    """An agent that counts, sends and yields, and raises for 13 after it did all that."""

    @pytest.fixture
    def failing(self, make_app: Callable[..., ottla.App]) -> Callable[..., tuple[ottla.App, list[int]]]:
        def make(**options: object) -> tuple[ottla.App, list[int]]:
            app = make_app(**options)
            numbers = app.topic("numbers", value=int)
            sent = app.topic("sent", value=int)
            yielded = app.topic("yielded", value=int)
            seen_table = app.Table("seen", key=str, default=int)
            attempts: list[int] = []

            @app.agent(numbers, sink=[yielded])
            async def work(stream: Stream[int]) -> AsyncIterator[int]:
                async for number in stream:
                    attempts.append(number)
                    seen_table["all"] += 1
                    seen_table[f"n{number}"] = 1
                    await sent.send(value=number)
                    yield number
                    if number == 13 and attempts.count(13) <= 2:
                        raise ValueError("bad luck")

            return app, attempts

        return make

    def send(self, driver: Driver) -> None:
        for number in (12, 13, 14):
            driver.send("numbers", key=f"k{number}", value=number, headers=[("h", b"1")])

    def test_an_event_that_failed_leaves_no_trace_but_its_dead_letter(self, failing: Callable[..., tuple]) -> None:
        app, attempts = failing()
        with app.test() as driver:
            self.send(driver)
            assert values(driver.read("yielded")) == values(driver.read("sent")) == [12, 14]
            assert dict(driver.table("seen")) == {"all": 2, "n12": 1, "n14": 1}
            [letter] = driver.dead_letters()
            assert attempts == [12, 13, 14]
            assert driver.counts.dead_lettered == 1
        headers = dict(letter.headers)
        assert (letter.key, letter.value) == (b"k13", b"13")
        assert headers["ottla.error.reason"] == b"ValueError: bad luck"
        assert headers["ottla.error.type"] == b"ValueError"
        assert headers["ottla.error.step"] == b"work"
        assert b'raise ValueError("bad luck")' in headers["ottla.error.stack"]
        assert headers["ottla.origin.topic"] == b"numbers"
        assert headers["ottla.origin.partition"] == b"0"
        assert headers["ottla.origin.offset"] == b"1"
        assert headers["h"] == b"1"

    def test_a_retry_waits_longer_each_time_and_takes_the_event_once(self, failing: Callable[..., tuple]) -> None:
        app, attempts = failing(retries=3, retry_backoff=1)
        with app.test() as driver:
            self.send(driver)
            assert values(driver.read("yielded")) == values(driver.read("sent")) == [12, 13, 14]
            assert driver.table("seen")["all"] == 3
            assert driver.dead_letters() == []
            assert attempts == [12, 13, 13, 13, 14]
            assert driver.now_ms == 1_000 + 2_000
            assert driver.counts.retried == 2

    def test_skip_goes_on_without_a_dead_letter(self, failing: Callable[..., tuple]) -> None:
        app, _ = failing(on_error="skip")
        with app.test() as driver:
            self.send(driver)
            assert values(driver.read("yielded")) == [12, 14]
            assert driver.dead_letters() == []
            assert driver.counts.skipped == 1

    def test_fail_stops_with_the_place_and_the_cause_and_commits_nothing(self, failing: Callable[..., tuple]) -> None:
        app, _ = failing(on_error="fail")
        with app.test() as driver:
            self.send(driver)
            expected = r"work failed on the event at numbers\[0\] offset 1: ValueError: bad luck"
            with pytest.raises(ottla.ProcessingFailed, match=expected) as raised:
                driver.run()
            assert isinstance(raised.value.__cause__, ValueError)

    def test_failures_of_the_last_event_of_a_batch_are_dead_lettered_too(self, failing: Callable[..., tuple]) -> None:
        app, _ = failing()
        with app.test() as driver:
            driver.send("numbers", value=13)
            assert driver.read("yielded") == []
            driver.send("numbers", value=14)
            assert values(driver.read("yielded")) == [14]
            assert len(driver.dead_letters()) == 1


def test_an_agent_that_never_reads_its_stream_gets_its_events_rejected(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)

    @app.agent(numbers)
    async def idle(stream: Stream[int]) -> None:
        assert stream is not None

    with app.test() as driver:
        driver.send(numbers, value=1)
        driver.send(numbers, value=2)
        reasons = [dict(letter.headers)["ottla.error.reason"] for letter in driver.dead_letters()]
    assert len(reasons) == 2
    assert b"returned without reading its stream" in reasons[0]


def test_an_agent_can_clean_up_when_its_task_ends(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    closed: list[str] = []

    @app.agent(numbers)
    async def work(stream: Stream[int]) -> None:
        try:
            async for _ in stream:
                pass
        finally:
            await asyncio.sleep(0)
            closed.append("work")

    with app.test() as driver:
        driver.send(numbers, value=1)
        driver.run()
    assert closed == ["work"]


def test_a_stream_of_the_topology_cannot_be_iterated(app: ottla.App) -> None:
    stream = app.stream(app.topic("numbers", value=int))
    with pytest.raises(ottla.TopologyError, match="only the stream that an agent is given can be iterated"):
        stream.__aiter__()


def test_operators_cannot_be_added_while_an_agent_runs(app: ottla.App) -> None:
    @app.agent(app.topic("numbers", value=int))
    async def work(stream: Stream[int]) -> None:
        async for _ in stream.filter(bool):
            pass

    with app.test() as driver:
        driver.send("numbers", value=1)
        [letter] = driver.dead_letters()
    assert b"operators cannot be added to <stream topic.numbers>" in (dict(letter.headers)["ottla.error.reason"] or b"")


def test_an_async_agent_that_takes_its_stream_for_a_value_is_told(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)

    @app.agent(numbers)
    async def double(number: Any) -> None:
        number.bit_length()

    @app.agent(numbers)
    async def every(stream: Any) -> None:
        for _ in stream:
            pass

    with app.test() as driver:
        driver.send(numbers, value=1)
        reasons = [dict(letter.headers)["ottla.error.reason"] or b"" for letter in driver.dead_letters()]
    assert [reason.partition(b";")[0] for reason in reasons] == [
        b"AttributeError: an async agent is given its stream, which has no 'bit_length': values are read from it with "
        b"`async for`",
        b"TypeError: the stream of an agent is read with `async for`, not with `for`",
    ]


def test_an_agent_reads_a_stream_of_operators(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    results = app.topic("results", value=int)

    @app.agent(app.stream(numbers).filter(lambda number: number > 1), sink=[results])
    async def work(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            yield number * 10

    with app.test() as driver:
        for number in range(4):
            driver.send(numbers, value=number)
        assert values(driver.read(results)) == [20, 30]


def test_sending_outside_a_task_is_refused(app: ottla.App) -> None:
    with pytest.raises(ottla.NotInTask, match="sending to topic 'numbers' works in an agent"):
        asyncio.run(app.topic("numbers", value=int).send(value=1))


def test_a_cancellation_of_what_an_agent_waits_for_fails_its_event_alone(app: ottla.App) -> None:
    @app.agent(app.topic("in", key=str, value=int), sink=[app.topic("out", key=str, value=int)])
    async def wait(stream: ottla.Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            waited = asyncio.ensure_future(asyncio.sleep(0))
            if number == 2:
                waited.cancel()
            await waited
            yield number

    with app.test() as driver:
        for number in (1, 2, 3):
            driver.send("in", key="k", value=number)
        assert [event.value for event in driver.read("out")] == [1, 3]
        [letter] = driver.dead_letters()
        assert dict(letter.headers)["ottla.error.type"] == b"CancelledError"
