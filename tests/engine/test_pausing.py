"""Pausing an app and parts of it: what rests meanwhile, and that nothing is lost."""

import asyncio
from datetime import timedelta

import pytest

import ottla
from ottla.testing import Driver


@pytest.fixture
def app() -> ottla.App:
    """Two parts that share nothing: one counts orders, one passes visits on."""
    app = ottla.App("shop")
    app.stream(app.topic("orders", value=int)).aggregate("totals", count=ottla.count())

    @app.agent(app.topic("visits", value=str), sink=[app.topic("out", value=str)])
    async def greet(visits):  # type: ignore[no-untyped-def]
        async for visit in visits:
            yield f"hello {visit}"

    return app


def orders(driver: Driver) -> int:
    totals = driver.table("totals")
    return totals["k"].count if "k" in totals else 0


def send(driver: Driver) -> None:
    driver.send("orders", key="k", value=1)
    driver.send("visits", key="k", value="ann")


def test_while_an_app_is_paused_nothing_is_processed_and_afterwards_all_is(app: ottla.App) -> None:
    with app.test() as driver:
        send(driver)
        assert (orders(driver), len(driver.read("out"))) == (1, 1)
        driver.call(app.pause)
        send(driver)
        send(driver)
        assert (orders(driver), driver.read("out")) == (1, [])
        driver.call(app.resume)
        assert (orders(driver), len(driver.read("out"))) == (3, 2)


def test_a_part_is_paused_by_the_name_of_one_of_its_steps(app: ottla.App) -> None:
    with app.test() as driver:
        driver.call(lambda: app.pause("greet"))
        send(driver)
        assert (orders(driver), driver.read("out")) == (1, [])
        driver.call(lambda: app.pause())
        driver.call(lambda: app.resume("greet"))
        send(driver)
        assert (orders(driver), driver.read("out")) == (1, [])
        driver.call(app.resume)
        assert (orders(driver), len(driver.read("out"))) == (2, 2)


def test_a_step_that_is_not_there_is_refused(app: ottla.App) -> None:
    with app.test() as driver, pytest.raises(ottla.TopologyError, match="no step 'welcome' to pause; there is greet, "):
        driver.call(lambda: app.pause("welcome"))


def test_outside_of_all_it_says_where_it_works(app: ottla.App) -> None:
    with pytest.raises(ottla.NotInTask, match="pausing the app works in"):
        asyncio.run(app.pause())


def test_it_outlives_a_crash(app: ottla.App) -> None:
    with app.test() as driver:
        driver.call(app.pause)
        driver.crash_and_restart()
        send(driver)
        assert orders(driver) == 0


def test_punctuators_rest_too() -> None:
    app = ottla.App("shop")
    called: list[int] = []

    @app.punctuate(app.topic("orders", value=int), every=timedelta(seconds=1), time="wall")
    def look(now_ms: int) -> None:
        called.append(now_ms)

    with app.test() as driver:
        driver.advance(1)
        driver.run()
        driver.call(app.pause)
        before = len(called)
        driver.advance(5)
        driver.run()
        assert len(called) == before > 0
        driver.call(app.resume)
        driver.run()
        assert len(called) > before


def test_an_agent_may_pause_its_app_with_the_event_that_it_is_at() -> None:
    app = ottla.App("shop")

    @app.agent(app.topic("orders", value=int), sink=[app.topic("out", value=int)])
    async def ship(orders):  # type: ignore[no-untyped-def]
        async for order in orders:
            if order < 0:
                await app.pause()
            yield order

    with app.test() as driver:
        driver.send("orders", key="k", value=-1)
        assert [event.value for event in driver.read("out")] == [-1]
        driver.send("orders", key="k", value=1)
        assert driver.read("out") == []
        driver.call(app.resume)
        assert [event.value for event in driver.read("out")] == [1]
