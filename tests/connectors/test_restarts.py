"""Restarts: what is retriable is tried again with growing delays, a bounded number of times in a row."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ottla_connectors.errors import BrokerUnavailable, ConfigError, ConnectorError, Fenced
from ottla_connectors.runtime.restarts import Backoff, supervise


class Task:
    """Fails with each of `failures` in turn, after running for the seconds beside it, and then returns."""

    def __init__(self, failures: Sequence[tuple[float, ConnectorError]]) -> None:
        self._failures = list(failures)
        self.now = 0.0
        self.slept: list[float] = []

    async def run(self) -> None:
        if self._failures:
            seconds, error = self._failures.pop(0)
            self.now += seconds
            raise error

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def supervised(task: Task, backoff: Backoff) -> None:
    asyncio.run(supervise("c", task.run, backoff, clock=lambda: task.now, sleep=task.sleep))


UNAVAILABLE = BrokerUnavailable("away")


def test_a_task_is_started_again_until_it_returns() -> None:
    task = Task([(0, UNAVAILABLE)] * 4)

    supervised(task, Backoff(restarts=8, first_s=1, longest_s=5))

    assert task.slept == [1, 2, 4, 5]


def test_it_gives_up_after_so_many_failures_in_a_row() -> None:
    task = Task([(0, UNAVAILABLE)] * 9)

    with pytest.raises(BrokerUnavailable):
        supervised(task, Backoff(restarts=3))
    assert len(task.slept) == 3


def test_a_task_that_ran_long_begins_anew() -> None:
    task = Task([(0, UNAVAILABLE), (0, UNAVAILABLE), (60, UNAVAILABLE), (0, UNAVAILABLE)])

    supervised(task, Backoff(restarts=2, first_s=1, longest_s=60))

    assert task.slept == [1, 2, 1, 2]


@pytest.mark.parametrize("error", [ConfigError("wrong"), Fenced("taken over")])
def test_what_another_try_cannot_mend_is_raised_at_once(error: ConnectorError) -> None:
    task = Task([(0, error)])

    with pytest.raises(type(error)):
        supervised(task, Backoff())
    assert task.slept == []
