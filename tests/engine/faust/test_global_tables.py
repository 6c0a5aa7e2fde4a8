"""Tables of a Faust app that every worker has whole."""

from typing import Any

import pytest

import ottla.faust as faust
from ottla import ConfigError, NotInTask


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop", store="memory://")


def counting(app: faust.App) -> tuple[Any, Any]:
    topic = app.topic("in", key_type=str, value_type=int, partitions=3)
    counts = app.GlobalTable("counts", default=int, key_type=str, value_type=int, help="of all")

    @app.agent(topic)
    async def count(stream: Any) -> None:
        async for key, value in stream.items():
            counts[key] += value

    return topic, counts


def test_agents_write_it_and_everybody_reads_it(app: faust.App) -> None:
    topic, counts = counting(app)
    found: list[Any] = []

    @app.agent(app.topic("asked", value_type=str, partitions=3))
    async def look(stream: Any) -> None:
        async for key in stream:
            items = sorted(counts.items())
            found.append((items, key in counts))

    with app.ottla.test() as driver:
        for key, value in (("a", 1), ("b", 2), ("c", 3), ("a", 10)):
            driver.send(topic.declared[0], key=key, value=value)
        driver.run()
        driver.send("asked", key=b"any", value="nowhere")
        driver.run()
        assert dict(driver.table("counts")) == {"a": 11, "b": 2, "c": 3}
    assert found == [([("a", 11), ("b", 2), ("c", 3)], False)]


def test_it_is_read_outside_agents_and_not_written(app: faust.App) -> None:
    topic, counts = counting(app)
    seen: list[Any] = []

    @app.timer(1.0)
    async def look() -> None:
        seen.append(dict(counts))
        with pytest.raises(NotInTask, match="tables are written by agents"):
            counts["a"] = 5

    with app.ottla.test() as driver:
        driver.send(topic.declared[0], key="a", value=1)
        driver.run()
        driver.advance(1)
        driver.run()
    assert seen == [{"a": 1}]
    assert isinstance(counts, faust.GlobalTable)


@pytest.mark.parametrize("option", ["on_changelog_event", "use_partitioner"])
def test_options_that_it_has_not_are_refused(app: faust.App, option: str) -> None:
    with pytest.raises(ConfigError, match=f"{option}= is not part of Ottla's Faust facade"):
        app.GlobalTable("counts", **{option: True})


def test_sets_that_every_worker_has(app: faust.App) -> None:
    begun: list[str] = []
    members = app.SetGlobalTable(
        "members", key_type=str, value_type=str, help="of teams", on_recover=lambda: begun.append("members")
    )
    found: list[Any] = []

    @app.agent(app.topic("joined", key_type=str, value_type=str, partitions=3))
    async def join(stream: Any) -> None:
        async for team, name in stream.items():
            if name == "-":
                members[team].clear()
            else:
                members[team].add(name)
            found.append(len(members[team]))

    @app.agent(app.topic("asked", value_type=str, partitions=3))
    async def look(stream: Any) -> None:
        async for team in stream:
            teams = sorted(members)
            found.append((team, "ann" in members[team], teams))

    @app.agent(app.topic("strayed", key_type=str, value_type=str, partitions=3))
    async def stray(stream: Any) -> None:
        async for team in stream:
            members[team].add("me")

    @app.timer(1.0)
    async def show() -> None:
        found.append(set(members["red"]))

    with app.ottla.test() as driver:
        for team, name in (("red", "ann"), ("red", "bob"), ("red", "ann"), ("blue", "cid"), ("blue", "-")):
            driver.send("joined", key=team, value=name)
        driver.run()
        assert sorted(found) == [0, 1, 1, 2, 2]
        found.clear()
        driver.send("asked", value="red")
        driver.advance(1)
        driver.run()
        assert found == [("red", True, ["red"]), {"ann", "bob"}]
        assert dict(driver.table("members")) == {"red": {"ann", "bob"}}
        driver.crash_and_restart(lose_state=True)
        assert dict(driver.table("members")) == {"red": {"ann", "bob"}}
        for team in ("red", "blue", "green"):
            driver.send("strayed", key="k", value=team)
        letters = driver.dead_letters()
    assert letters
    assert all(
        b"is written by the tasks of partition" in (dict(each.headers)["ottla.error.reason"] or b"") for each in letters
    )
    assert isinstance(members, faust.SetGlobalTable)
    assert begun == ["members"]
