"""Tables of Faust apps where no agent runs: in timers, tasks, signals and tests they show what the worker has."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

import ottla.faust as faust
from ottla import NotInTask


@pytest.fixture
def app() -> faust.App:
    return faust.App("shop", store="memory://")


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def words(app: faust.App) -> faust.Topic:
    return app.topic("words", key_type=str, value_type=str, partitions=3)


@pytest.fixture
def counts(app: faust.App, words: faust.Topic) -> Any:
    counts = app.Table("counts", default=int, key_type=str, value_type=int, help="How often.")

    @app.agent(words)
    async def count(stream: faust.Stream[str]) -> None:
        async for word in stream:
            counts[word] += 1

    return counts


def send(driver: Any, *words: str, at_s: int = 0) -> None:
    for word in words:
        driver.send("words", key=word, value=word, timestamp=at_s * 1000)
    driver.run()


def test_a_timer_reads_all_parts_that_the_worker_has(app: faust.App, counts: Any, seen: list[Any]) -> None:
    @app.timer(1.0)
    async def look() -> None:
        seen.append((counts["cat"], counts.get("cow"), "dog" in counts, sorted(counts.items()), len(counts)))

    with app.ottla.test() as driver:
        send(driver, "cat", "dog", "cat", "emu")
        driver.advance(1)
        driver.run()
    assert seen == [(2, None, True, [("cat", 2), ("dog", 1), ("emu", 1)], 3)]
    assert app.tables == {"counts": counts}
    assert counts.help == "How often."


def test_a_timer_cannot_write(app: faust.App, counts: Any, seen: list[Any]) -> None:
    @app.timer(1.0)
    async def write() -> None:
        for attempt in (lambda: counts.update(cat=1), lambda: counts.pop("cat"), lambda: counts.__delitem__("cat")):
            with pytest.raises(NotInTask, match="key 'cat': tables are written by agents"):
                attempt()
        seen.append(counts["cat"])

    with app.ottla.test() as driver:
        send(driver, "cat")
        driver.advance(1)
        driver.run()
    assert seen == [1]


def test_where_no_worker_runs_there_is_nothing_to_read(counts: Any) -> None:
    with pytest.raises(NotInTask, match=r"driver\.table\('counts'\)"):
        dict(counts)


def test_windows_and_sets_are_read_by_a_timer(app: faust.App, words: faust.Topic, seen: list[Any]) -> None:
    views = app.Table("views", default=int).tumbling(10.0, key_index=True)
    people = app.SetTable("people")

    @app.agent(words)
    async def count(stream: faust.Stream[str]) -> None:
        async for word in stream:
            views[word] += 1
            people[word[0]].add(word)

    @app.timer(1.0)
    async def look() -> None:
        with pytest.raises(NotInTask, match="no event is being processed"):
            views["cat"].current()
        seen.append((views["cat"].now(), dict(views.items().now()), dict(views.relative_to_now().items())))
        seen.append((set(people["c"]), sorted(people)))

    with app.ottla.test(now=1_007_000) as driver:
        send(driver, "cat", "cow", at_s=1005)
        send(driver, "cat", at_s=999)
        driver.advance(1)
        driver.run()
    assert seen == [(1, {"cat": 1, "cow": 1}, {"cat": 1, "cow": 1}), ({"cat", "cow"}, ["c"])]


def test_a_window_is_that_of_an_event(app: faust.App, words: faust.Topic, seen: list[Any]) -> None:
    views = app.Table("views", default=int).tumbling(10.0)

    @app.agent(words)
    async def count(stream: faust.Stream[str]) -> None:
        first = None
        async for event in stream.events():
            async with event:
                first = first or event
                views[event.value] += 1
                at = views[event.value]
                seen.append((at.current(first), at.value(first), at.value(), at.delta(10.0, event)))

    with app.ottla.test() as driver:
        send(driver, "cat", "cat", at_s=1000)
        send(driver, "cat", at_s=1010)
    assert seen == [(1, 1, 1, 0), (2, 2, 2, 0), (2, 2, 1, 2)]


def test_a_table_is_relative_to_whatever_is_given(app: faust.App, words: faust.Topic, seen: list[Any]) -> None:
    views = app.Table("views", default=int).tumbling(10.0)
    then = datetime.fromtimestamp(1000, UTC)

    @app.agent(words)
    async def count(stream: faust.Stream[str]) -> None:
        first = None
        async for event in stream.events():
            first = first or event
            views[event.value] += 1
            seen.append([views.relative_to(ts)[event.value].value() for ts in (None, 1000.0, then)])
            seen.append([dict(views.items(first)), list(views.keys(first)), list(views.values(first))])

    with app.ottla.test() as driver:
        send(driver, "cat", at_s=1001)
        send(driver, "cat", at_s=1011)
    assert seen == [[1, 1, 1], [{"cat": 1}, ["cat"], [1]], [1, 1, 1], [{"cat": 1}, ["cat"], [1]]]


def test_functions_are_called_when_a_table_is_there(app: faust.App, words: faust.Topic, seen: list[Any]) -> None:
    async def asynchronous() -> None:
        seen.append(("async", dict(counts)))

    counts = app.Table("counts", default=int, on_recover=asynchronous, recover_callbacks={lambda: seen.append("plain")})
    views = app.Table("views", default=int).tumbling(10.0)

    @views.on_recover
    def windowed() -> None:
        seen.append("windowed")

    @app.agent(words)
    async def count(stream: faust.Stream[str]) -> None:
        async for word in stream:
            counts[word] += 1
            views[word] += 1

    with app.ottla.test():
        assert seen == ["plain", ("async", {}), "windowed"]


def test_changelogs_have_configs_of_their_own(app: faust.App, counts: Any) -> None:
    big = app.Table("big", default=int, extra_topic_configs={"segment.bytes": 1_048_576}).tumbling(10.0)

    @app.agent(app.topic("in"))
    async def use(stream: faust.Stream[Any]) -> None:
        async for value in stream:
            big[value] += 1

    configs = {
        topic.name: topic.config.get("segment.bytes")
        for topic in app.topology.plan({"in": 1, "words": 3}).internal_topics
    }
    assert (configs["shop-big-changelog"], configs["shop-counts-changelog"]) == ("1048576", None)
    assert counts.name in app.tables


def test_a_table_is_drawn(app: faust.App, counts: Any, seen: list[str]) -> None:
    @app.timer(1.0)
    async def draw() -> None:
        seen.append(counts.as_ansitable(key="word", value="times", title="$$ {table.name} $$", sort=True))

    with app.ottla.test() as driver:
        send(driver, "dog", "[cat]", "dog")
        driver.advance(1)
        driver.run()
    lines = [[cell.strip() for cell in line.split("│")] for line in seen[0].splitlines()]
    assert lines[0] == ["$$ counts $$"]
    assert [line[1:3] for line in lines if len(line) == 4] == [["[cat]", "1"], ["dog", "2"]]


@pytest.fixture(autouse=True)
def no_worker_is_left(app: faust.App) -> Iterator[None]:
    yield
    assert app.declared.held_parts is None
