"""`topic.send` with what cannot be written: whoever sends it is told, and nothing of it reaches the broker."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla

WRONG = pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        (
            {"headers": [("a", 5)]},
            ottla.EncodeError,
            r"\('a', 5\) cannot be a header for topic 'out': it is a name with",
        ),
        ({"headers": [("a",)]}, ottla.EncodeError, "cannot be a header"),
        ({"headers": [5]}, ottla.EncodeError, "5 cannot be a header"),
        ({"partition": 3}, ottla.NoDestination, "topic 'out' has 2 partitions, and no partition 3"),
        ({"partition": -1}, ottla.NoDestination, "no partition -1"),
        ({"partition": "0"}, ottla.NoDestination, "no partition '0'"),
        ({"timestamp": -5}, ottla.InvalidTimestamp, "must not be negative"),
        ({"timestamp": 2**63}, ottla.InvalidTimestamp, "is milliseconds in 64 bits"),
        ({"timestamp": 1.5}, ottla.InvalidTimestamp, "must be an int"),
        ({"value": object()}, ottla.EncodeError, "cannot be a value of topic 'out'"),
    ],
)


@WRONG
def test_an_event_that_sends_what_cannot_be_written_is_a_dead_letter(
    app: ottla.App, given: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    out = app.topic("out", key=str, value=int, partitions=2)

    @app.agent(app.topic("in", key=str, value=int))
    async def copy(stream: ottla.Stream[int]) -> None:
        async for number in stream:
            await out.send(**{"key": "k", "value": number, **(given if number == 2 else {})})

    with app.test() as driver:
        for number in (1, 2, 3):
            driver.send("in", key="k", value=number)
        assert [event.value for event in driver.read("out")] == [1, 3]
        [letter] = driver.dead_letters()
        headers = dict(letter.headers)
        assert headers["ottla.error.type"] == error.__name__.encode()
        assert re.search(sentence, (headers["ottla.error.reason"] or b"").decode())


@WRONG
def test_code_outside_of_agents_is_told_at_once(
    app: ottla.App, given: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    out = app.topic("out", key=str, value=int, partitions=2)
    app.stream(out)
    with app.test() as driver:
        with pytest.raises(error, match=sentence):
            driver.call(lambda: out.send(**{"key": "k", "value": 1, **given}))
        assert driver.read("out") == []


def test_an_agent_is_not_asked_what_cannot_be_written(app: ottla.App) -> None:
    @app.agent(app.topic("in", key=str, value=int))
    def double(number: int) -> int:
        return 2 * number

    with app.test() as driver:
        with pytest.raises(ottla.NoDestination, match="topic 'in' has 1 partitions, and no partition 7"):
            driver.call(lambda: double.ask(1, partition=7))
        assert driver.call(lambda: double.ask(1, partition=0, headers=[("a", b"1")])) == 2


def test_headers_may_be_a_dict_and_their_values_text(app: ottla.App) -> None:
    out: Any = app.topic("out", key=str, value=int)
    app.stream(out)
    with app.test() as driver:
        driver.call(lambda: out.send(value=1, headers={"a": "é", "b": None}))
        assert driver.read("out")[0].headers == [("a", "é".encode()), ("b", None)]


def test_a_timer_that_sends_it_is_called_again(make_app: Callable[..., ottla.App]) -> None:
    app = make_app()
    out = app.topic("out", value=int, partitions=1)
    app.stream(out)

    @app.timer(timedelta(seconds=1))
    async def send() -> None:
        await out.send(value=1, partition=9)

    with app.test() as driver:
        driver.advance(1)
        with pytest.raises(ottla.NoDestination, match="no partition 9"):
            driver.run()
