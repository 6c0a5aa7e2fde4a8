"""Changes of a table that are held back: what is told when, what waits, and how much may."""

from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.testing import Driver

SECOND = timedelta(seconds=1)


def prices(app: ottla.App, within: timedelta = 10 * SECOND, **options: Any) -> ottla.View[str, int]:
    table = app.Table("prices", source=app.topic("in", key=str, value=int))
    view = table.suppress(within, **options)
    view.to_stream().to(app.topic("out", key=str, value=int))
    return view


def send(driver: Driver, *changes: tuple[str, int | None, int]) -> None:
    """Changes with their times in seconds."""
    for key, value, seconds in changes:
        driver.send("in", key=key, value=value, timestamp=seconds * 1_000)


def told(driver: Driver) -> list[tuple[str, int | None, int]]:
    return [(event.key, event.value, event.timestamp // 1_000) for event in driver.read("out")]


def test_the_last_of_several_changes_is_told_when_the_wait_of_the_first_is_over(app: ottla.App) -> None:
    prices(app)
    with app.test() as driver:
        send(driver, ("tea", 1, 0), ("tea", 2, 4), ("tea", 3, 9))
        assert told(driver) == []
        send(driver, ("rum", 7, 10))
        assert told(driver) == [("tea", 3, 9)]
        send(driver, ("tea", 4, 11), ("rum", None, 20))
        assert told(driver) == [("rum", None, 20)]
        send(driver, ("gin", 1, 21))
        assert told(driver) == [("tea", 4, 11)]


def test_headers_are_those_of_the_change_that_is_told_also_after_a_crash(app: ottla.App) -> None:
    prices(app)
    with app.test() as driver:
        for number in range(2):
            driver.send("in", key="tea", value=number, timestamp=number, headers=[("n", b"%d" % number)])
        driver.run()
        driver.crash_and_restart(lose_state=True)
        send(driver, ("rum", 1, 60))
        [event] = driver.read("out")
        assert (event.value, event.headers) == (1, [("n", b"1")])


def test_what_waits_and_how_late_it_is_outlives_a_crash(app: ottla.App) -> None:
    prices(app, max_records=2)
    with app.test() as driver:
        send(driver, ("tea", 1, 5), ("rum", 2, 6))
        driver.run()
        driver.crash_and_restart(lose_state=True)
        send(driver, ("gin", 3, 1))
        assert told(driver) == [("gin", 3, 1)]
        send(driver, ("ale", 4, 7))
        assert told(driver) == [("tea", 1, 5)]


def test_more_keys_than_may_wait_are_told_early_the_oldest_first(app: ottla.App) -> None:
    prices(app, max_records=1)
    with app.test() as driver:
        send(driver, ("tea", 1, 0), ("rum", 2, 1), ("gin", 3, 2))
        assert told(driver) == [("tea", 1, 0), ("rum", 2, 1)]


def test_more_bytes_than_may_wait_are_told_early(app: ottla.App) -> None:
    prices(app, max_bytes=100)
    with app.test() as driver:
        send(driver, ("tea", 1, 0), ("rum", 2, 1), ("gin", 3, 2), ("gin", 4, 2))
        assert told(driver)[0] == ("tea", 1, 0)
        send(driver, ("ale", 5, 30))
        assert ("gin", 4, 2) in told(driver)


def test_a_full_buffer_stops_the_app_where_that_was_asked_for(app: ottla.App) -> None:
    prices(app, max_records=1, when_full="fail")
    with app.test() as driver:
        send(driver, ("tea", 1, 0), ("tea", 2, 1))
        driver.run()
        send(driver, ("rum", 3, 2))
        with pytest.raises(ottla.ProcessingFailed, match=r"prices-suppressed holds 2 changes back.*raise max_records="):
            driver.run()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_records": -1}, "max_records=-1 must be 0 or more"),
        ({"when_full": "wait"}, '"emit" or "fail"'),
        ({"when_full": "fail"}, "it is never full"),
    ],
)
def test_limits_that_make_no_sense_are_refused(app: ottla.App, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ottla.ConfigError, match=message):
        prices(app, **options)


def test_the_end_of_the_input_tells_all(app: ottla.App) -> None:
    prices(app)
    with app.test() as driver:
        send(driver, ("tea", 1, 3), ("rum", 2, 1))
        driver.end_of_input()
        assert told(driver) == [("rum", 2, 1), ("tea", 1, 3)]


def test_who_looks_a_key_up_finds_what_was_told_last(app: ottla.App) -> None:
    view = prices(app)
    orders = app.stream(app.topic("orders", key=str, value=int))
    orders.left_join(view, lambda _, price: price, type=int).to(app.topic("seen", key=str, value=Any))

    def seen(driver: Driver, seconds: int) -> Any:
        driver.send("orders", key="tea", value=0, timestamp=seconds * 1_000)
        return driver.read("seen")[-1].value

    with app.test() as driver:
        send(driver, ("tea", 1, 0))
        assert seen(driver, 1) is None
        send(driver, ("rum", 1, 10))
        assert seen(driver, 11) == 1
        send(driver, ("tea", 2, 12))
        assert seen(driver, 13) == 1


def test_the_value_before_a_change_is_the_one_that_was_told(app: ottla.App) -> None:
    view = prices(app)
    view.changes().map(lambda change: [change.old, change.new], type=list[Any]).to(app.topic("changes", value=Any))
    with app.test() as driver:
        send(driver, ("tea", 1, 0), ("rum", 0, 10), ("tea", 2, 11), ("tea", 3, 12), ("rum", 0, 30))
        assert [event.value for event in driver.read("changes") if event.key == "tea"] == [[None, 1], [1, 3]]


def test_the_topology_shows_the_step_and_its_store(app: ottla.App) -> None:
    prices(app)
    assert "Processor: prices-suppressed (stores: [prices-suppressed])  # suppress, 0:00:10" in app.topology.describe()
    assert [spec.changelog for spec in app.topology.subtopologies[0].stores][-1] == "shop-prices-suppressed-changelog"
