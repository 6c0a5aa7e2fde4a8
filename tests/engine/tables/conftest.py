"""What the tests of tables share: an app whose agent does with its table what events say."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import ottla
from ottla import Stream

Body = Callable[[Any, str], Any]


@pytest.fixture
def answers() -> Callable[..., list[Any]]:
    """Runs `body(table, command)` for each command, an event each, and returns what it returned.

    `make(app)` makes the table. Commands are `text` or `(text, timestamp)`.
    """

    def run(make: Callable[[ottla.App], Any], body: Body, *commands: str | tuple[str, int]) -> list[Any]:
        app = ottla.App("shop")
        topic = app.topic("commands", key=str, value=str)
        table = make(app)
        results: list[Any] = []

        @app.agent(topic, uses=[table])
        async def work(stream: Stream[str]) -> AsyncIterator[None]:
            async for command in stream:
                results.append(body(table, command))
                yield None

        with app.test() as driver:
            for command in commands:
                text, timestamp = command if isinstance(command, tuple) else (command, None)
                driver.send(topic, key="k", value=text, timestamp=timestamp)
            assert [dict(letter.headers)["ottla.error.reason"] for letter in driver.dead_letters()] == []
        return results

    return run
