"""Tables without a changelog: their state is where it was written, and nowhere else."""

from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.testing import Driver


def counting(app: ottla.App, **options: Any) -> ottla.Table[str, int]:
    table = app.Table("counts", key=str, value=int, default=int, changelog=False, **options)

    @app.agent(app.topic("in", value=int))
    async def count(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            table[key] += value

    return table


def count(driver: Driver, table: Any) -> int:
    driver.send("in", key="k", value=1)
    return int(driver.table(table)["k"])


def test_nothing_is_written_and_no_topic_is_made(app: ottla.App) -> None:
    table = counting(app)
    with app.test() as driver:
        assert [count(driver, table), count(driver, table)] == [1, 2]
        assert "shop-counts-changelog" not in driver._broker.topics
    [spec] = app.topology.subtopologies[0].stores
    assert spec.changelog not in {topic.name for topic in app.topology.plan({"in": 1}).internal_topics}


def test_it_is_as_it_was_at_the_last_commit_after_a_crash(app: ottla.App) -> None:
    table = counting(app)
    with app.test() as driver:
        count(driver, table)
        driver.send("in", key="k", value=10)
        driver.crash_and_restart()
        assert count(driver, table) == 12


def test_it_begins_empty_where_it_was_not_written(app: ottla.App) -> None:
    table = counting(app)
    with app.test() as driver:
        count(driver, table)
        driver.crash_and_restart(lose_state=True)
        assert count(driver, table) == 1


def test_what_others_have_gone_on_from_is_not_taken_up_again(app: ottla.App) -> None:
    table = counting(app)
    with app.test() as driver:
        count(driver, table)
        before, driver._stores = driver._stores, type(driver._stores)()
        driver.crash_and_restart()
        count(driver, table)
        driver._stores = before
        driver.crash_and_restart()
        assert count(driver, table) == 1


def test_other_tables_of_the_task_keep_theirs(app: ottla.App) -> None:
    local = counting(app)
    kept = app.Table("kept", key=str, value=int, default=int)

    @app.agent(app.topic("in", value=int), uses=[local])
    async def keep(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            kept[key] += value

    with app.test() as driver:
        count(driver, local)
        driver.crash_and_restart(lose_state=True)
        assert (count(driver, local), driver.table(kept)["k"]) == (1, 2)


@pytest.mark.parametrize("options", [{"ttl": timedelta(hours=1)}, {"versioned": timedelta(hours=1)}])
def test_tables_of_other_kinds_may_do_without_too(app: ottla.App, options: dict[str, Any]) -> None:
    table = counting(app, **options)
    with app.test() as driver:
        assert [count(driver, table), count(driver, table)] == [1, 2]
        driver.crash_and_restart(lose_state=True)
        assert count(driver, table) == 1


def test_set_tables_may_do_without_too(app: ottla.App) -> None:
    members = app.SetTable("members", key=str, value=int, changelog=False)

    @app.agent(app.topic("in", value=int))
    async def add(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            members[key].add(value)

    with app.test() as driver:
        driver.send("in", key="k", value=1)
        driver.run()
        driver.crash_and_restart(lose_state=True)
        driver.send("in", key="k", value=2)
        assert driver.table(members)["k"] == {2}


def test_windows_may_do_without_too(app: ottla.App) -> None:
    views = app.Table("views", key=str, value=int, default=int, changelog=False).tumbling(10)

    @app.agent(app.topic("in", value=int))
    async def add(stream: ottla.Stream[int]) -> None:
        async for key, value in stream.items():
            views[key] += value

    assert [spec.logged for spec in app.topology.subtopologies[0].stores] == [False]


def test_a_table_that_is_read_from_a_topic_may_not(app: ottla.App) -> None:
    with pytest.raises(ottla.ConfigError, match="has a source and changelog=False"):
        app.Table("prices", source=app.topic("prices", value=int), changelog=False)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "declare",
    [
        lambda stream: stream.aggregate("kept", changelog=False, n=ottla.count()),
        lambda stream: stream.cogroup(max).aggregate("kept", initial=0, changelog=False),
        lambda stream: stream.window(ottla.tumbling(10)).aggregate("kept", changelog=False, n=ottla.count()),
        lambda stream: stream.cogroup(max).window(ottla.tumbling(10)).aggregate("kept", initial=0, changelog=False),
        lambda stream: (
            stream.to_table("rows").group_by(str, name="by").aggregate("kept", changelog=False, n=ottla.count())
        ),
    ],
    ids=["aggregate", "cogroup", "window", "windowed cogroup", "groups"],
)
def test_aggregates_may_do_without_too(app: ottla.App, declare: Any) -> None:
    declare(app.stream(app.topic("in", value=int)))
    stores = {spec.name: spec for part in app.topology.subtopologies for spec in part.stores}
    assert not stores["kept"].logged
    assert "shop-kept-changelog" not in {topic.name for topic in app.topology.plan({"in": 1}).internal_topics}


@pytest.mark.parametrize("changelog", [True, False])
def test_an_upgrade_to_or_from_a_changelog_is_refused(changelog: bool) -> None:
    apps = [ottla.App("shop"), ottla.App("shop")]
    for app, kept in zip(apps, (changelog, not changelog), strict=True):
        app.stream(app.topic("in", value=int)).aggregate("kept", changelog=kept, n=ottla.count())
    before, after = apps
    with before.test() as driver, pytest.raises(ottla.IncompatibleState, match="without a changelog"):
        after.test(after=driver)
