"""`Table(on_window_close=)`: called once with each window of a key, by the time of events, or the clock."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla.faust as faust

NOON = 1_600_000_000


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop", store="memory://", table_cleanup_interval=timedelta(seconds=1))


@pytest.fixture
def closed() -> list[Any]:
    return []


def counting(app: faust.App, on_window_close: Callable[..., Any], expires: float | None = 5.0, **hopping: float) -> Any:
    table = app.Table("views", default=int, on_window_close=on_window_close)
    views = table.hopping(10, expires=expires, **hopping) if hopping else table.tumbling(10, expires=expires)
    out = app.topic("out", value_type=int)

    @app.agent(app.topic("in", key_type=str, value_type=str), sink=[out])
    async def count(stream: faust.Stream[str]) -> Any:
        async for page in stream:
            views[page] += 1
            yield views[page].current()

    return views


def view(driver: Any, page: str, at_s: float) -> None:
    driver.send("in", key="k", value=page, timestamp=int((NOON + at_s) * 1000))
    driver.run()


def later(driver: Any, seconds: float = 1.0) -> None:
    driver.advance(seconds)
    driver.run()


def window(begin_s: int) -> tuple[float, float]:
    return NOON + begin_s, NOON + begin_s + 9.9


def test_events_that_are_late_enough_close_windows_once(app: faust.App, closed: list[Any]) -> None:
    counting(app, lambda key, value: closed.append((key, value)))
    with app.ottla.test(now=0) as driver:
        for page, at_s in (("home", 0), ("cart", 1), ("home", 9), ("home", 12)):
            view(driver, page, at_s)
        view(driver, "home", 14.9)
        later(driver)
        assert closed == []
        view(driver, "home", 15)
        later(driver)
        assert sorted(closed) == [(("cart", window(0)), 1), (("home", window(0)), 2)]
        view(driver, "cart", 3)  # It is late, and begins the window anew.
        view(driver, "home", 16)
        later(driver)
        assert len(closed) == 2
        assert driver.counts.late_dropped == 1


def test_the_clock_closes_windows_where_no_events_come(app: faust.App, closed: list[Any]) -> None:
    counting(app, lambda key, value: closed.append((key, value)))
    with app.ottla.test(now=NOON * 1000) as driver:
        view(driver, "home", 2)
        later(driver, 14)
        assert closed == []
        later(driver)
        assert closed == [(("home", window(0)), 1)]


def test_what_waited_in_the_topic_is_not_cut_short_by_the_clock(app: faust.App, closed: list[Any]) -> None:
    counting(app, lambda key, value: closed.append((key, value)))
    with app.ottla.test(now=(NOON + 3600) * 1000) as driver:
        for at_s in range(5):
            view(driver, "home", at_s)
            later(driver)
            assert closed == []
        later(driver)
        assert closed == [(("home", window(0)), 5)]


def test_hopping_windows_close_one_by_one(app: faust.App, closed: list[Any]) -> None:
    counting(app, lambda key, value: closed.append((key[1][0] - NOON, value)), step=5)
    with app.ottla.test(now=0) as driver:
        for at_s in (7, 20):
            view(driver, "home", at_s)
            later(driver)
    assert closed == [(0, 1), (5, 1)]


def test_what_it_sends_and_writes_is_in_the_task_s_transaction(app: faust.App) -> None:
    totals = app.Table("totals", default=int)
    lines = app.topic("lines", value_type=str)

    async def close(key: Any, value: int) -> None:
        totals[key[0]] += value
        lines.send_soon(value=f"{key[0]} {value}")
        await lines.send(value=f"in all {totals[key[0]]}")

    counting(app, close)
    with app.ottla.test(now=0) as driver:
        for at_s in (0, 1, 15, 30):
            view(driver, "home", at_s)
            later(driver)
        assert [event.value for event in driver.read("lines")] == ["home 2", "in all 2", "home 1", "in all 3"]
        assert dict(driver.table("totals")) == {"home": 3}


def test_one_that_raises_leaves_nothing_but_a_dead_letter(app: faust.App, closed: list[Any]) -> None:
    lines = app.topic("lines", value_type=str)

    def close(key: Any, value: int) -> None:
        lines.send_soon(value=key[0])
        if key[0] == "bad":
            raise ValueError("no such page")
        closed.append((key[0], value))

    counting(app, close)
    with app.ottla.test(now=0) as driver:
        view(driver, "bad", 0)
        view(driver, "good", 0)
        view(driver, "good", 15)
        later(driver, 1)
        later(driver, 1)
        assert closed == [("good", 1)]
        assert [event.value for event in driver.read("lines")] == ["good"]
        (letter,) = driver.dead_letters()
        assert dict(letter.headers)["ottla.error.step"] == b"views.close"


def test_windows_that_never_expire_do_not_close(app: faust.App, closed: list[Any]) -> None:
    counting(app, lambda key, value: closed.append((key, value)), expires=None)
    with app.ottla.test(now=NOON * 1000) as driver:
        view(driver, "home", 0)
        later(driver, 100_000)
    assert closed == []


def test_how_far_windows_have_closed_is_kept(app: faust.App, closed: list[Any]) -> None:
    counting(app, lambda key, value: closed.append((key, value)))
    with app.ottla.test(now=(NOON + 3600) * 1000) as driver:
        for at_s in (0, 15, 16):
            view(driver, "home", at_s)
            later(driver)
        assert closed == [(("home", window(0)), 1)]
        driver.crash_and_restart(lose_state=True)
        view(driver, "home", 3)  # Too late, after a start as before it.
        later(driver)
        assert len(closed) == 1
        assert driver.counts.late_dropped == 1
        driver.crash_and_restart()
        later(driver)  # The clock is an hour later, but who has just begun does not know what waits.
        assert len(closed) == 1
        later(driver)
        assert closed[1:] == [(("home", window(10)), 2)]


def test_the_time_may_be_that_of_a_field(app: faust.App, closed: list[Any]) -> None:
    class View(faust.Record):
        page: str
        at: float

    table = app.Table("views", default=list, on_window_close=lambda key, views: closed.append((key, views)))
    views = table.tumbling(10, expires=5).relative_to_field(View.at)

    @app.agent(app.topic("in", value_type=View))
    async def collect(stream: faust.Stream[View]) -> None:
        async for view in stream:
            pages = views["all"].value()
            pages.append(view.page)
            views["all"] = pages

    with app.ottla.test(now=0) as driver:
        for page, at_s in (("home", 1), ("cart", 2), ("late", 15)):
            driver.send("in", value=View(page, NOON + at_s), timestamp=0)
            driver.run()
        later(driver)
    assert closed == [(("all", window(0)), ["home", "cart"])]
