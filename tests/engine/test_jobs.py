"""Timers, cron jobs and background tasks: when they run, what becomes of what they send."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

import ottla
from ottla.jobs import CronJob, checked_cron

HOUR = 3_600


def max_of_two(one: int, two: int) -> int:
    return max(one, two)


def test_a_timer_runs_an_interval_after_the_start_and_then_on_its_beat(app: ottla.App) -> None:
    beats = app.topic("beats", value=str)
    app.stream(beats)

    @app.timer(10)
    async def beat() -> None:
        await beats.send(value="beat")

    with app.test() as driver:
        driver.advance(9)
        assert driver.read(beats) == []
        driver.advance(1)
        assert [event.timestamp for event in driver.read(beats)] == [10_000]
        driver.advance(25)
        assert len(driver.read(beats)) == 1, "beats that were missed are left out"
        driver.advance(5)
        assert [event.timestamp for event in driver.read(beats)] == [40_000]


def test_a_cron_job_runs_by_the_clock_of_its_time_zone(app: ottla.App) -> None:
    runs: list[str] = []

    @app.crontab("0 9 * * *", timezone=ZoneInfo("America/New_York"))
    def nine_in_new_york() -> None:
        runs.append("New York")

    @app.crontab("0 9 * * *")
    def nine() -> None:
        runs.append("UTC")

    with app.test() as driver:
        driver.advance(8 * HOUR)
        driver.run()
        assert runs == []
        driver.advance(1 * HOUR)
        driver.run()
        assert runs == ["UTC"]
        driver.advance(5 * HOUR)
        driver.run()
        assert runs == ["UTC", "New York"]


@pytest.mark.parametrize(
    ("expression", "begin", "times"),
    [
        ("30 2 * * *", datetime(2026, 10, 24, 23), ["25 00:30", "26 01:30"]),
        ("0 1-3 * * *", datetime(2026, 10, 24, 22), ["24 23:00", "25 00:00", "25 02:00"]),
        ("*/30 2 * * *", datetime(2026, 10, 24, 23), ["25 00:00", "25 00:30", "25 01:00", "25 01:30"]),
        ("0 * * * *", datetime(2026, 10, 24, 23, 30), ["25 00:00", "25 01:00", "25 02:00"]),
        ("@hourly", datetime(2026, 10, 24, 23, 30), ["25 00:00", "25 01:00", "25 02:00"]),
        ("@daily", datetime(2026, 10, 24, 12), ["24 22:00", "25 23:00"]),
        ("30 2 * * *", datetime(2026, 3, 28, 12), ["29 01:00", "30 00:30"]),
        ("0 * * * *", datetime(2026, 3, 28, 23, 30), ["29 00:00", "29 01:00", "29 02:00"]),
    ],
)
def test_a_time_of_day_comes_once_a_day_when_clocks_are_set(expression: str, begin: datetime, times: list[str]) -> None:
    checked, zone = checked_cron(expression, ZoneInfo("Europe/Vienna"))
    job = CronJob("job", lambda: None, checked, zone, on_leader=True, missed="run")
    due = job.first_due(round(begin.replace(tzinfo=UTC).timestamp() * 1000))
    runs = []
    for _ in times:
        runs.append(datetime.fromtimestamp(due / 1000, UTC).strftime("%d %H:%M"))
        due = job.next_due(due, due)
    assert runs == times


def test_a_job_that_raises_has_sent_nothing(app: ottla.App) -> None:
    beats = app.topic("beats", value=str)
    app.stream(beats)

    async def failing() -> None:
        await beats.send(value="beat")
        raise ValueError("no")

    with app.test() as driver:
        with pytest.raises(ValueError, match="no"):
            driver.call(failing)
        assert driver.read(beats) == []


def test_jobs_may_take_the_app_and_what_begins_and_ends_with_it_is_called(app: ottla.App) -> None:
    seen: list[object] = []

    @app.on_start
    def begin() -> None:
        seen.append("start")

    @app.timer(timedelta(seconds=1))
    def tick(given: ottla.App) -> None:
        seen.append(given)

    @app.on_stop
    async def end() -> None:
        seen.append("stop")

    app.stream(app.topic("beats"))
    with app.test() as driver:
        driver.advance(1)
        driver.run()
    assert seen == ["start", app, "stop"]


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.crontab("every day"), r"crontab\('every day'\) is not understood"),
        (lambda app: app.crontab("0 9 * * *", timezone="Europe/Paris"), "must be a tzinfo"),
        (lambda app: app.crontab("0 9 * * *", missed="all"), r"crontab\(missed='all'\) is unknown"),
        (lambda app: app.timer(0), "at least a millisecond"),
        (lambda app: app.timer(1)(max_of_two), "must take nothing or the app, not 2 arguments"),
    ],
)
def test_what_cannot_be_a_job_is_refused(app: ottla.App, declare: Callable[[ottla.App], object], message: str) -> None:
    with pytest.raises(ottla.OttlaError, match=message):
        declare(app)


def test_two_jobs_of_one_name_are_refused(app: ottla.App) -> None:
    app.timer(1, name="tick")(print)
    with pytest.raises(ottla.DuplicateName, match="named 'tick'"):
        app.crontab("* * * * *", name="tick")(print)


def test_an_app_of_cron_jobs_alone_can_run_and_one_of_nothing_cannot(make_app: Callable[..., ottla.App]) -> None:
    app = make_app()
    app.crontab("* * * * *", name="job")(lambda: None)
    assert app.topology.input_topics == ("shop-leader",)
    with pytest.raises(ottla.TopologyError, match="has nothing to run"):
        _ = make_app().topology


def test_the_leaders_topic_changes_the_number_of_no_sub_topology(app: ottla.App) -> None:
    app.crontab("* * * * *", name="job")(lambda: None)
    app.stream(app.topic("numbers"))
    assert [part.inputs for part in app.topology.subtopologies] == [("numbers",), ("shop-leader",)]
