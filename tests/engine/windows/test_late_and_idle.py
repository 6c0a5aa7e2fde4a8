"""What becomes of late events, and of windows whose partition falls silent."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla import Event
from ottla.testing import Driver
from ottla.windows.definitions import AnyWindow
from ottla.windows.stream import Late

MS = timedelta(milliseconds=1)


def late_app(app: ottla.App, window: AnyWindow, late: Late[str]) -> None:
    app.stream(app.topic("in", key=str, value=str)).window(window).aggregate("w", n=ottla.count(), late=late).to(
        app.topic("out", key=str, value=Any)
    )


def send(driver: Driver, *events: tuple[str, str, int]) -> None:
    for key, value, timestamp in events:
        driver.send("in", key=key, value=value, timestamp=timestamp, headers=[("h", value.encode())])


@pytest.mark.parametrize(
    "window", [ottla.tumbling(10 * MS), ottla.hopping(10 * MS, 5 * MS), ottla.sliding(10 * MS), ottla.session(10 * MS)]
)
class TestLateEvents:
    def test_go_to_a_topic_as_they_are(self, app: ottla.App, window: AnyWindow) -> None:
        late_app(app, window, app.topic("late", key=str, value=str))
        with app.test() as driver:
            send(driver, ("a", "x", 100), ("b", "late", 50), ("b", "in time", 100), ("c", "late too", 51))
            found = [(event.key, event.value, event.timestamp, event.headers) for event in driver.read("late")]
            assert found == [("b", "late", 50, [("h", b"late")]), ("c", "late too", 51, [("h", b"late too")])]
            driver.end_of_input()
            assert {event.key for event in driver.read("out")} == {"a", "b"}

    def test_go_to_a_function_that_may_keep_them_in_a_table(self, app: ottla.App, window: AnyWindow) -> None:
        missed = app.Table("missed", key=str, default=int)
        seen: list[Event[str]] = []

        def count(event: Event[str]) -> None:
            seen.append(event)
            missed[event.key] += 1

        late_app(app, window, count)
        with app.test() as driver:
            send(driver, ("a", "x", 100), ("b", "late", 50))
            assert dict(driver.table("missed")) == {"b": 1}
            [event] = seen
            assert (event.key, event.value, event.timestamp, event.offset) == ("b", "late", 50, 1)


def test_a_late_event_can_be_sent_on_by_an_async_function(app: ottla.App) -> None:
    other = app.topic("other", key=str, value=str)

    async def resend(event: Event[str]) -> None:
        await other.send(key=event.key, value=event.value.upper())

    late_app(app, ottla.tumbling(10 * MS), resend)
    with app.test() as driver:
        send(driver, ("a", "x", 100), ("b", "late", 50))
        assert [(event.key, event.value, event.timestamp) for event in driver.read("other")] == [("b", "LATE", 50)]


def test_what_a_handler_did_before_it_raised_is_taken_back(app: ottla.App) -> None:
    missed = app.Table("missed", key=str, default=int)
    other = app.topic("other", key=str, value=str)

    async def fail(event: Event[str]) -> None:
        missed[event.key] += 1
        await other.send(key=event.key, value=event.value)
        if event.value == "bad":
            raise ValueError(event.value)

    late_app(app, ottla.tumbling(10 * MS), fail)
    with app.test() as driver:
        send(driver, ("a", "x", 100), ("b", "good", 50), ("b", "bad", 50), ("b", "good", 50))
        assert dict(driver.table("missed")) == {"b": 2}
        assert [event.value for event in driver.read("other")] == ["good", "good"]
        [letter] = driver.dead_letters()
        assert dict(letter.headers)["ottla.error.step"] == b"w.late"


def test_an_event_that_is_in_time_for_one_of_its_windows_is_not_late(app: ottla.App) -> None:
    late_app(app, ottla.hopping(10 * MS, 5 * MS), app.topic("late", key=str, value=str))
    with app.test() as driver:
        send(driver, ("z", "z", 10), ("a", "x", 7))
        assert driver.read("late") == []
        assert driver.counts.late_dropped == 1


IDLE = 60


def idle_windows() -> list[AnyWindow]:
    return [
        ottla.tumbling(10, idle=IDLE),
        ottla.hopping(10, 5, idle=IDLE),
        ottla.sliding(10, idle=IDLE),
        ottla.session(10, idle=IDLE),
    ]


@pytest.mark.parametrize("window", idle_windows())
class TestASilentPartition:
    def app(self, window: AnyWindow) -> ottla.App:
        app = ottla.App("shop")
        late_app(app, window, app.topic("late", key=str, value=str))
        return app

    def test_closes_its_windows_with_the_clock(self, window: AnyWindow) -> None:
        with self.app(window).test() as driver:
            driver.advance(1_000_000)
            send(driver, ("a", "x", 12_000))
            driver.advance(IDLE - 1)
            assert driver.read("out") == []
            driver.advance(1)
            assert {event.key for event in driver.read("out")} == {"a"}
            # And its stream time is where the clock has taken it
            send(driver, ("a", "late", 12_000))
            assert [event.value for event in driver.read("late")] == ["late"]

    def test_waits_anew_after_each_event(self, window: AnyWindow) -> None:
        with self.app(window).test() as driver:
            send(driver, ("a", "x", 12_000))
            driver.advance(IDLE - 1)
            send(driver, ("a", "x", 12_000))
            driver.advance(IDLE - 1)
            assert driver.read("out") == []

    def test_waits_anew_after_a_restart(self, window: AnyWindow) -> None:
        with self.app(window).test() as driver:
            send(driver, ("a", "x", 12_000))
            driver.run()
            driver.advance(IDLE)
            driver.crash_and_restart()
            driver.run()
            driver.crash_and_restart()
            driver.advance(IDLE - 1)
            driver.advance(1)
            assert {event.key for event in driver.read("out")} == {"a"}


def test_without_idle_time_windows_wait_for_events(app: ottla.App) -> None:
    late_app(app, ottla.tumbling(10), app.topic("late", key=str, value=str))
    with app.test() as driver:
        send(driver, ("a", "x", 12_000))
        driver.advance(1_000_000)
        assert driver.read("out") == []


def test_a_long_window_closes_when_the_clock_has_gone_on_to_its_end(app: ottla.App) -> None:
    late_app(app, ottla.tumbling(hours=1, idle=60), app.topic("late", key=str, value=str))
    with app.test() as driver:
        send(driver, ("a", "x", 600_000))
        driver.advance(60)
        assert driver.read("out") == []
        driver.advance(49 * 60 - 1)
        assert driver.read("out") == []
        driver.advance(1)
        assert [event.key for event in driver.read("out")] == ["a"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ottla.session(), "gap must be positive"),
        (lambda: ottla.session(5, minutes=1), "gap once"),
        (lambda: ottla.sliding(0), "difference must be positive"),
        (lambda: ottla.tumbling(10, idle=-1), "idle time must not be negative"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ottla.ConfigError, match=message):
        make()
