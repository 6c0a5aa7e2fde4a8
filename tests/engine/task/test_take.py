"""Taking events by lists, as a step and inside an agent, with their contexts, in time, and across restarts."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Stream, Taken, TopologyError
from ottla.testing import Driver


def as_step(app: ottla.App, most: int, within: float) -> None:
    app.stream(app.topic("in", key=str, value=int)).take(most, within).map(list).to(app.topic("out", value=list))


def in_agent(app: ottla.App, most: int, within: float) -> None:
    @app.agent(app.topic("in", key=str, value=int), sink=[app.topic("out", value=list)])
    async def lists(stream: Stream[int]) -> AsyncIterator[list[int]]:
        async for values in stream.take(most, within=within):
            yield list(values)


WAYS = pytest.mark.parametrize("declare", [as_step, in_agent])
Declare = Callable[[ottla.App, int, float], None]


def send(driver: Driver, *values: int) -> None:
    for value in values:
        driver.send("in", key=f"key-{value}", value=value, timestamp=value * 10, headers=[("n", b"%d" % value)])


def lists(driver: Driver) -> list[Any]:
    return [event.value for event in driver.read("out")]


@WAYS
def test_a_list_is_given_when_it_is_full(app: ottla.App, declare: Declare) -> None:
    declare(app, 3, 60)
    with app.test() as driver:
        send(driver, 1, 2)
        assert lists(driver) == []
        send(driver, 3, 4, 5, 6, 7)
        assert lists(driver) == [[1, 2, 3], [4, 5, 6]]


@WAYS
def test_a_list_is_given_when_its_time_is_over_which_begins_with_its_first_event(
    app: ottla.App, declare: Declare
) -> None:
    declare(app, 3, 60)
    with app.test() as driver:
        driver.advance(100)
        send(driver, 1)
        driver.advance(59)
        send(driver, 2)
        assert lists(driver) == []
        driver.advance(1)
        assert lists(driver) == [[1, 2]]
        driver.advance(600)
        assert lists(driver) == []


@WAYS
def test_the_end_of_the_input_gives_what_there_is(app: ottla.App, declare: Declare) -> None:
    declare(app, 3, 60)
    with app.test() as driver:
        send(driver, 1, 2, 3, 4)
        driver.end_of_input()
        assert lists(driver) == [[1, 2, 3], [4]]


@WAYS
def test_a_list_has_the_key_time_and_headers_of_its_last_event(app: ottla.App, declare: Declare) -> None:
    declare(app, 2, 60)
    with app.test() as driver:
        send(driver, 1, 2)
        [event] = driver.read("out")
        assert (event.key, event.timestamp, event.headers) == ("key-2", 20, [("n", b"2")])


@WAYS
@pytest.mark.parametrize("lose_state", [False, True])
def test_what_waits_survives_a_crash(app: ottla.App, declare: Declare, lose_state: bool) -> None:
    declare(app, 3, 60)
    with app.test() as driver:
        # Given one event that waits and is committed, and one that is not
        send(driver, 1)
        driver.run()
        send(driver, 2)
        driver.crash_and_restart(lose_state=lose_state)
        # When the list fills, each is in it once
        send(driver, 3)
        assert lists(driver) == [[1, 2, 3]]


@WAYS
def test_what_waits_is_given_after_a_restart_although_nothing_comes(app: ottla.App, declare: Declare) -> None:
    declare(app, 3, 60)
    with app.test() as driver:
        driver.advance(1_000_000)
        send(driver, 1, 2)
        driver.run()
        driver.crash_and_restart()
        assert lists(driver) == []
        driver.advance(60)
        assert lists(driver) == [[1, 2]]


@WAYS
def test_what_waits_at_a_restart_is_given_at_the_end(app: ottla.App, declare: Declare) -> None:
    declare(app, 3, 60)
    with app.test() as driver:
        send(driver, 1, 2)
        driver.run()
        driver.crash_and_restart()
        driver.end_of_input()
        assert lists(driver) == [[1, 2]]


def test_events_keep_their_contexts_even_across_a_restart(app: ottla.App) -> None:
    seen: list[Taken[int]] = []
    app.stream(app.topic("in", key=str, value=int)).take(2, 60).map(seen.append)
    with app.test() as driver:
        send(driver, 1)
        driver.run()
        driver.crash_and_restart()
        send(driver, 2)
        driver.run()
    [taken] = seen
    assert taken == [1, 2]
    assert [(event.key, event.value, event.timestamp) for event in taken.events] == [("key-1", 1, 10), ("key-2", 2, 20)]
    assert [(event.topic, event.partition, event.offset) for event in taken.events] == [("in", 0, 0), ("in", 0, 1)]
    assert [event.headers for event in taken.events] == [[("n", b"1")], [("n", b"2")]]


def test_null_keys_and_values_are_taken_as_they_are(app: ottla.App) -> None:
    as_step(app, 2, 60)
    with app.test() as driver:
        driver.send("in", key=None, value=1)
        driver.run()
        driver.crash_and_restart(lose_state=True)
        driver.send("in", key="a", value=None)
        assert lists(driver) == [[1, None]]


def test_each_event_of_a_list_that_fails_is_dead_lettered(app: ottla.App) -> None:
    def total(values: Taken[int]) -> int:
        return 10 // (sum(values) - 3)

    app.stream(app.topic("in", key=str, value=int)).take(2, 60).map(total).to(app.topic("out", value=int))
    with app.test() as driver:
        send(driver, 1)
        driver.run()
        driver.crash_and_restart()
        send(driver, 2, 3, 4)
        assert lists(driver) == [2]
        letters = driver.dead_letters()
        assert driver.counts.dead_lettered == 2
    assert [(letter.key, letter.value) for letter in letters] == [(b"key-1", b"1"), (b"key-2", b"2")]
    assert [dict(letter.headers)["ottla.origin.offset"] for letter in letters] == [b"0", b"1"]


def test_an_agent_that_raises_gets_its_list_again_and_then_the_next(make_app: Callable[..., ottla.App]) -> None:
    app = make_app(retries=1)
    tries: list[list[int]] = []
    done = app.Table("done", key=int, default=int)

    @app.agent(app.topic("in", key=str, value=int))
    async def lists(stream: Stream[int]) -> None:
        async for values in stream.take(2, within=60):
            tries.append(list(values))
            for value in values:
                done[value] += 1
            if 3 in values:
                raise ValueError("three")

    with app.test() as driver:
        send(driver, 1, 2, 3, 4, 5)
        driver.end_of_input()
        assert tries == [[1, 2], [3, 4], [3, 4], [5]]
        assert dict(driver.table(done)) == {1: 1, 2: 1, 5: 1}
        assert [letter.value for letter in driver.dead_letters()] == [b"3", b"4"]


def test_a_list_of_results_that_no_message_made_is_dead_lettered_as_text(app: ottla.App) -> None:
    windows = (
        app.stream(app.topic("in", key=str, value=int)).window(ottla.tumbling(0.05)).aggregate("w", n=ottla.count())
    )
    windows.take(2, 60).map(lambda values: values.missing).to(app.topic("out", value=int))
    with app.test() as driver:
        send(driver, 1, 6)
        driver.end_of_input()
        [letter] = driver.dead_letters()
    assert b"[Windowed(key='key-1', start=0" in letter.value


def test_an_agent_may_take_lists_only_from_the_start(app: ottla.App) -> None:
    @app.agent(app.topic("in", key=str, value=int), sink=[app.topic("out", value=int)])
    async def mixed(stream: Stream[int]) -> AsyncIterator[int]:
        async for value in stream:
            yield value
            break
        async for values in stream.take(2, within=1):
            yield sum(values)

    with app.test() as driver:
        send(driver, 1, 2, 3)
        driver.run()
        reasons = [dict(letter.headers)["ottla.error.reason"] or b"" for letter in driver.dead_letters()]
    assert all(b"take lists from the first event on" in reason for reason in reasons)


def test_an_agent_whose_values_have_no_type_is_told_what_to_do(app: ottla.App) -> None:
    @app.agent(app.stream(app.topic("in", key=str, value=int)).map(lambda n: n))
    async def lists(stream: Stream[int]) -> None:
        async for _ in stream.take(2, within=1):
            pass

    with app.test() as driver:
        send(driver, 1)
        [letter] = driver.dead_letters()
    assert b"give it the lists, as in @app.agent(app.stream(topic).take(100, within=10))" in (
        dict(letter.headers)["ottla.error.reason"] or b""
    )


def test_a_list_of_no_events_is_refused(app: ottla.App) -> None:
    with pytest.raises(TopologyError, match="has at least one"):
        app.stream(app.topic("in", value=int)).take(0, 1)
    with pytest.raises(ottla.ConfigError, match="must not be negative"):
        app.stream(app.topic("in", value=int)).take(1, -1)


@settings(max_examples=60)
@given(
    polls=st.lists(
        st.tuples(st.integers(0, 7), st.integers(0, 20), st.sampled_from(["commit", "crash", "lose"])), max_size=8
    ),
    most=st.integers(1, 4),
    declare=st.sampled_from([as_step, in_agent]),
)
def test_each_event_is_in_one_list_in_order_whatever_crashes(
    polls: list[tuple[int, int, str]], most: int, declare: Declare
) -> None:
    app = ottla.App("shop")
    declare(app, most, 10)
    given_lists: list[list[int]] = []
    number = 0
    with app.test() as driver:
        for count, seconds, then in polls:
            send(driver, *range(number, number + count))
            number += count
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            given_lists += lists(driver)
            driver.advance(seconds)
        driver.end_of_input()
        given_lists += lists(driver)
    assert [value for values in given_lists for value in values] == list(range(number))
    assert all(1 <= len(values) <= most for values in given_lists)


def test_an_agent_numbers_its_events(app: ottla.App) -> None:
    @app.agent(app.topic("in", key=str, value=int), sink=[app.topic("out", value=list)])
    async def numbered(stream: Stream[int]) -> AsyncIterator[list[int]]:
        async for number, value in stream.enumerate(1):
            yield [number, value]

    with app.test() as driver:
        send(driver, 7)
        driver.run()
        send(driver, 8, 9)
        assert lists(driver) == [[1, 7], [2, 8], [3, 9]]
