"""Results of windows that are told at most so often: the last of each key and window."""

from datetime import timedelta
from typing import Any

import ottla
from ottla.testing import Driver


def counting(app: ottla.App, window: Any = None, emit: Any = timedelta(seconds=4)) -> None:
    windows = app.stream(app.topic("in", value=int)).window(window or ottla.tumbling(10, grace=60))
    windows.aggregate("counts", emit=emit, n=ottla.count()).to(app.topic("out", value=Any))


def send(driver: Driver, *seconds: int, key: str = "k") -> None:
    for second in seconds:
        driver.send("in", key=key, value=1, timestamp=second * 1_000)


def told(driver: Driver) -> list[tuple[str, int, int | None]]:
    return [
        (event.key, event.value["start"] // 1_000, None if event.value["value"] is None else event.value["value"]["n"])
        for event in driver.read("out")
    ]


def test_of_many_updates_the_last_is_told_when_the_wait_is_over(app: ottla.App) -> None:
    counting(app)
    with app.test() as driver:
        send(driver, 0, 1, 3)
        assert told(driver) == []
        send(driver, 4, 5)
        assert told(driver) == [("k", 0, 4)]
        send(driver, 11)
        assert told(driver) == [("k", 0, 5)]


def test_each_window_of_each_key_waits_by_itself(app: ottla.App) -> None:
    counting(app)
    with app.test() as driver:
        send(driver, 8)
        send(driver, 9, key="other")
        send(driver, 11, 12)
        assert told(driver) == [("k", 0, 1)]
        send(driver, 15)
        assert told(driver) == [("other", 0, 1), ("k", 10, 3)]


def test_what_waits_outlives_a_crash_and_is_told_at_the_end(app: ottla.App) -> None:
    counting(app)
    with app.test() as driver:
        send(driver, 0, 1)
        driver.run()
        driver.crash_and_restart(lose_state=True)
        send(driver, 2)
        driver.end_of_input()
        assert told(driver) == [("k", 0, 3)]


def test_sessions_that_grow_are_one_result(app: ottla.App) -> None:
    counting(app, ottla.session(5, grace=60))
    with app.test() as driver:
        send(driver, 0, 1, 3)
        assert told(driver) == []
        send(driver, 4, 7)
        assert told(driver) == [("k", 0, 4)]
        send(driver, 30)
        assert told(driver) == [("k", 0, 5)]


def test_the_topology_shows_what_waits(app: ottla.App) -> None:
    counting(app)
    assert "Processor: counts-suppressed (stores: [counts-suppressed])  # suppress" in app.topology.describe()
