"""What a worker's log says of events that failed."""

import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import ottla
from ottla.task.processor import TaskCounts
from ottla.worker.failures import FailureLog

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


PRICE = "price", ValueError


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "failed" in message]


def test_the_first_failure_is_said_at_once_and_those_after_it_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog("shop-dead-letter")
    failures.tell(0.0)
    failures.note(TaskCounts(), TaskCounts(dead_lettered=1), {PRICE: "price failed on the event at orders[0] offset 7"})
    failures.tell(1.0)
    for count in range(1, 4):
        failures.note(
            TaskCounts(dead_lettered=count), TaskCounts(dead_lettered=count + 1, skipped=1), {PRICE: f"no. {count}"}
        )
        failures.tell(1.0 + count)
    failures.tell(11.0)
    failures.tell(math.inf)
    assert said(caplog) == [
        "price failed on the event at orders[0] offset 7; failed events: 1 in 'shop-dead-letter'",
        "no. 1; failed events: 3 in 'shop-dead-letter', 3 skipped",
    ]


@pytest.mark.parametrize("on_error", ["dead_letter", "skip"])
def test_a_worker_says_that_events_failed_and_why(on_error: Any, play: Play, caplog: pytest.LogCaptureFixture) -> None:
    app = ottla.App("shop", on_error=on_error)
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    app.stream(numbers).map(lambda number: 1 // number).to(app.topic("out", key=str, value=int, partitions=1))

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(app)
        cluster.send("numbers", ("a", "1"), ("a", "0"), ("a", "0"), ("a", "oops"))
        await cluster.run_to_end(app)

    play(scenario)
    undecoded, unprocessed = said(caplog)
    end = "3 in 'shop-dead-letter'" if on_error == "dead_letter" else "3 skipped"
    assert undecoded.startswith("topic.numbers failed on the event at numbers[0] offset 3: DecodeError: ")
    assert unprocessed.startswith("topic.numbers.map failed on the event at numbers[0] offset 1: ZeroDivisionError: ")
    assert unprocessed.endswith(f"; failed events: {end}")
