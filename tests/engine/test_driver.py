"""`app.test()` itself: what users rely on in their own tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

import ottla
from ottla import Stream


@pytest.fixture
def echo(app: ottla.App) -> ottla.App:
    numbers = app.topic("numbers", key=str, value=int, partitions=3)
    app.stream(numbers).to(app.topic("echo", key=str, value=int, partitions=3))
    return app


def test_each_event_is_read_once_per_topic(echo: ottla.App) -> None:
    with echo.test() as driver:
        driver.send("numbers", key="a", value=1)
        assert [event.value for event in driver.read("echo")] == [1]
        assert driver.read("echo") == []
        driver.send("numbers", key="a", value=2)
        assert [event.value for event in driver.read("echo")] == [2]
        assert [event.value for event in driver.read("numbers")] == [1, 2]


def test_equal_keys_go_to_one_partition_unless_one_is_given(echo: ottla.App) -> None:
    with echo.test() as driver:
        for key in ("a", "b", "c", "a", "b", "c"):
            driver.send("numbers", key=key, value=1)
        placed = {(event.key, event.partition) for event in driver.read("numbers")}
        assert len(placed) == 3
        for partition in range(3):
            driver.send("numbers", key="a", value=2, partition=partition)
        assert [event.partition for event in driver.read("numbers")] == [0, 1, 2]


def test_an_event_without_a_timestamp_is_of_the_clocks_time(echo: ottla.App) -> None:
    with echo.test() as driver:
        driver.send("numbers", key="a", value=1)
        driver.advance(seconds=1.5)
        driver.send("numbers", key="a", value=2)
        assert [event.timestamp for event in driver.read("echo")] == [0, 1500]


def test_events_and_headers_come_out_decoded(echo: ottla.App) -> None:
    with echo.test() as driver:
        driver.send("numbers", key="a", value=1, headers=[("trace", b"1")])
        [event] = driver.read("echo")
        assert (event.topic, event.offset, event.headers) == ("echo", 0, [("trace", b"1")])


def test_a_value_that_the_topic_cannot_hold_is_refused_at_once(app: ottla.App) -> None:
    topic = app.topic("names", key=str, value=str)
    app.stream(topic)
    with app.test() as driver, pytest.raises(ottla.EncodeError, match="1 cannot be a value of topic 'names'"):
        driver.send("names", value=1)


def test_nothing_can_be_sent_after_the_end(echo: ottla.App) -> None:
    with echo.test() as driver:
        driver.end_of_input()
        driver.end_of_input()
        with pytest.raises(ottla.OttlaError, match="input was ended"):
            driver.send("numbers", value=1)


def test_names_that_were_not_declared_are_refused(echo: ottla.App) -> None:
    with echo.test() as driver:
        with pytest.raises(ottla.TopologyError, match="no topic 'number' is declared; there is echo, numbers"):
            driver.send("number", value=1)
        with pytest.raises(ottla.TopologyError, match="no table 'counts' is declared; there is none at all"):
            driver.table("counts")


def test_a_topic_without_a_count_has_as_many_partitions_as_those_it_meets(app: ottla.App) -> None:
    orders = app.topic("orders", key=str, value=str, partitions=4)
    names = app.Table("names", source=app.topic("names", key=str, value=str))
    app.stream(orders).join(names, lambda order, name: order + name).to(app.topic("joined", key=str, value=str))
    with app.test() as driver:
        for key in "abcdef":
            driver.send("names", key=key, value=key.upper())
            driver.send(orders, key=key, value=key)
        assert sorted(event.value for event in driver.read("joined")) == ["aA", "bB", "cC", "dD", "eE", "fF"]


def test_counts_that_are_declared_unequal_are_refused(app: ottla.App) -> None:
    orders = app.topic("orders", key=str, value=str, partitions=4)
    names = app.Table("names", source=app.topic("names", key=str, value=str, partitions=2))
    app.stream(orders).join(names, lambda order, name: order + name)
    with pytest.raises(ottla.CopartitionError, match="topic 'names' has 2, topic 'orders' has 4"):
        app.test()


def test_it_can_be_driven_where_an_event_loop_runs(app: ottla.App) -> None:
    numbers, doubled = app.topic("numbers", key=str, value=int), app.topic("doubled", key=str, value=int)

    @app.agent(numbers, sink=[doubled])
    async def double(stream: ottla.Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            await asyncio.sleep(0)
            yield number * 2

    async def test() -> list[int]:
        with app.test() as driver:
            driver.send(numbers, key="k", value=2)
            return [event.value for event in driver.read(doubled)]

    assert asyncio.run(test()) == [4]


def test_a_crash_loses_what_was_not_committed_and_a_restart_does_it_again(app: ottla.App) -> None:
    numbers = app.topic("numbers", key=str, value=int)
    results = app.topic("results", key=str, value=int)
    runs: list[int] = []

    @app.agent(numbers, sink=[results])
    async def work(stream: Stream[int]) -> AsyncIterator[int]:
        async for number in stream:
            runs.append(number)
            yield number

    with app.test() as driver:
        driver.send(numbers, value=1)
        driver.run()
        driver.send(numbers, value=2)
        driver.crash_and_restart()
        assert [event.value for event in driver.read(results)] == [1, 2]
    assert runs == [1, 2, 2]


def test_the_clock_begins_where_it_is_told(echo: ottla.App) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    with echo.test(now=noon) as driver:
        driver.send("numbers", key="a", value=1)
        assert [event.timestamp for event in driver.read("echo")] == [int(noon.timestamp() * 1000)]
    with pytest.raises(ottla.ConfigError, match="names no time zone"):
        echo.test(now=noon.replace(tzinfo=None))


def test_where_a_worker_would_stop_or_wait_the_driver_goes_back_to_its_last_commit(
    make_app: Callable[..., ottla.App],
) -> None:
    app = make_app(on_error="fail")
    numbers, results = app.topic("numbers", key=str, value=int), app.topic("results", key=str, value=int)
    counts = app.Table("counts", key=str, default=int)
    failures = [ottla.Unavailable("the service is away"), ValueError("bad luck")]

    @app.agent(numbers, sink=[results])
    async def work(stream: Stream[int]) -> AsyncIterator[int]:
        async for key, number in stream.items():
            counts[key] += number
            yield counts[key]
            if number == 2 and failures:
                raise failures.pop(0)

    with app.test() as driver:
        driver.send(numbers, key="a", value=1)
        driver.run()
        driver.send(numbers, key="a", value=2)
        with pytest.raises(ottla.Unavailable):
            driver.read(results)
        with pytest.raises(ottla.ProcessingFailed, match="ValueError: bad luck"):
            driver.table(counts)
        assert [event.value for event in driver.read(results)] == [1, 3]
        assert driver.table(counts)["a"] == 3


def counting_app(value: Any) -> ottla.App:
    app = ottla.App("shop")
    sums = app.Table("sums", key=str, value=value, default=value)

    @app.agent(app.topic("numbers", key=str, value=int))
    async def add(stream: Stream[int]) -> None:
        async for key, number in stream.items():
            sums[key] = value(sums[key] + number)

    return app


def test_a_new_version_goes_on_with_what_the_old_one_left() -> None:
    with counting_app(int).test() as older:
        older.send("numbers", key="a", value=1)
        older.advance(seconds=5)
        older.run()
    with counting_app(float).test(after=older) as newer:
        newer.send("numbers", key="a", value=2)
        assert newer.table("sums")["a"] == 3.0
        assert newer.now_ms == 5_000
    with pytest.raises(ottla.IncompatibleState, match="'sums': the value was 'msgpack\\[float\\]' and is 'text'"):
        counting_app(str).test(after=newer)


def test_a_driver_that_is_closed_says_so(echo: ottla.App) -> None:
    with echo.test() as driver:
        driver.run()
    with pytest.raises(ottla.OttlaError, match="this driver is closed"):
        driver.run()
    driver.close()


def test_what_it_raises_stands_alone(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)
    app.stream(numbers).map(lambda number: 1 // number).on_error("fail")
    with app.test() as driver:
        driver.send(numbers, value=0)
        with pytest.raises(ottla.ProcessingFailed) as failed:
            driver.run()
        assert isinstance(failed.value.__cause__, ZeroDivisionError)
        assert failed.value.__cause__.__context__ is None


def test_what_fails_is_on_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = ottla.App("shop")
    app.stream(app.topic("numbers", key=str, value=int)).map(lambda number: 1 // number).to(
        app.topic("out", key=str, value=int)
    )
    with app.test() as driver:
        driver.send("numbers", key="a", value=0)
        assert driver.read("out") == []
    (message,) = caplog.messages
    assert message.startswith("topic.numbers.map failed on the event at numbers[0] offset 0: ZeroDivisionError: ")
