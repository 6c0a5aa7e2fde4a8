"""Window tables: the results of windows kept by key and window, and what is made of them."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla import Windowed, count, hopping, session, tumbling
from ottla.testing import Driver

MS = timedelta(milliseconds=1)


def views(app: ottla.App, topic: str = "views", **options: Any) -> ottla.WindowTable[str, Any]:
    """Views by page in tumbling windows of 10 ms, kept for 100 ms after their ends."""
    stream = app.stream(app.topic(topic, key=str, value=str))
    results = stream.window(tumbling(10 * MS)).aggregate(f"{topic}-counts", emit="update", n=count())
    return results.to_window_table(f"{topic}-kept", retention=100 * MS, **options)


def n_of(counts: Any) -> int:
    n: int = counts.n
    return n


def send(driver: Driver, *times: int, key: str = "/", topic: str = "views") -> None:
    for time in times:
        driver.send(topic, key=key, value="v", timestamp=time)


def counts_of(table: Any) -> dict[str, dict[int, int]]:
    return {key: {start: counts.n for start, counts in windows.items()} for key, windows in table.items()}


def test_a_key_has_its_values_by_the_starts_of_its_windows(app: ottla.App) -> None:
    table = views(app)
    with app.test() as driver:
        send(driver, 3, key="/tea")
        send(driver, 1, 2, 12)
        assert counts_of(driver.table(table)) == {"/": {0: 2, 10: 1}, "/tea": {0: 1}}


def test_windows_stay_when_they_are_closed_until_their_retention_is_over(app: ottla.App) -> None:
    table = views(app)
    with app.test() as driver:
        send(driver, 1, 109)
        assert counts_of(driver.table(table)) == {"/": {0: 1, 100: 1}}
        send(driver, 110)
        assert counts_of(driver.table(table)) == {"/": {100: 1, 110: 1}}


def test_what_is_over_is_deleted_from_the_changelog(app: ottla.App) -> None:
    table = views(app)
    with app.test() as driver:
        send(driver, 1)
        driver.run()
        send(driver, 500)
        driver.run()
        changelog = driver._broker.topics[table.spec.changelog][0]
        assert [each.value() for each in changelog.messages(0, len(changelog.entries))][-1] is None


def test_it_is_restored(app: ottla.App) -> None:
    table = views(app)
    with app.test() as driver:
        send(driver, 1, 12)
        driver.run()
        driver.crash_and_restart(lose_state=True)
        send(driver, 13)
        assert counts_of(driver.table(table)) == {"/": {0: 1, 10: 2}}


def test_windows_that_close_are_kept_too(app: ottla.App) -> None:
    stream = app.stream(app.topic("views", key=str, value=str))
    results = stream.window(tumbling(10 * MS)).aggregate("counts", n=count())
    table = results.to_window_table("kept", retention=timedelta(hours=1))
    with app.test() as driver:
        send(driver, 1, 2)
        assert counts_of(driver.table(table)) == {}
        send(driver, 30)
        assert counts_of(driver.table(table)) == {"/": {0: 2}}


def test_sessions_that_become_one_are_one(app: ottla.App) -> None:
    stream = app.stream(app.topic("views", key=str, value=str))
    results = stream.window(session(10 * MS, grace=10 * MS)).aggregate("visits", emit="update", n=count())
    table = results.to_window_table("kept", retention=100 * MS)
    results.to_window_table("again", retention=100 * MS).to_stream().to(app.topic("told", key=str))
    with app.test() as driver:
        send(driver, 0, 20, 10)
        assert counts_of(driver.table(table)) == {"/": {0: 3}}
        told = [event.value for event in driver.read("told")]
        assert [(each["start"], each["end"], each["value"] and each["value"]["n"]) for each in told] == [
            (0, 0, 1),
            (20, 20, 1),
            (0, 0, None),
            (20, 20, None),
            (0, 20, 3),
        ]


def test_agents_fetch_the_windows_of_a_time(app: ottla.App) -> None:
    table = views(app)
    found: list[Any] = []

    @app.agent(app.topic("asked", key=str, value=str))
    async def look(stream: ottla.Stream[str]) -> AsyncIterator[None]:
        async for page in stream:
            windows = table.fetch(page, 10, 20, newest_first=True)
            found.append([(each.start, each.end, each.value.n) for each in windows])
            found.append((page in table, "nowhere" in table, table.get("nowhere"), len(table[page])))
            yield None

    with app.test() as driver:
        send(driver, 1, 11, 12, 29, 31)
        driver.run()
        driver.send("asked", key="/", value="/")
        driver.run()
    assert found == [[(20, 30, 1), (10, 20, 2)], (True, False, None, 4)]


def test_only_results_write_it(app: ottla.App) -> None:
    table = views(app)
    refused: list[str] = []

    @app.agent(app.topic("asked", key=str, value=str), uses=[table])
    async def write(stream: ottla.Stream[str]) -> AsyncIterator[None]:
        async for page in stream:
            with pytest.raises(ottla.TopologyError) as error:
                table[page] = {}
            refused.append(str(error.value))
            yield None

    with app.test() as driver:
        driver.send("asked", key="/", value="/")
        driver.run()
    assert refused == ["table 'views-kept' is made of other events: only they can change it"]


def test_a_view_is_followed_with_its_windows(app: ottla.App) -> None:
    told = app.topic("told", key=str, value=Windowed[str, int | None])
    view = views(app).map_values(n_of).filter(lambda n: n != 2)
    view.to_stream().to(told)
    with app.test() as driver:
        send(driver, 11, 12, 13)
        results = [(event.key, event.value, event.timestamp) for event in driver.read(told)]
    assert results == [
        ("/", Windowed("/", 10, 20, 1), 11),
        ("/", Windowed("/", 10, 20, None), 12),
        ("/", Windowed("/", 10, 20, 3), 13),
    ]


@pytest.mark.parametrize("less", [0, 1], ids=["one and two", "none and one"])
def test_changes_have_the_value_before(app: ottla.App, less: int) -> None:
    seen: list[Any] = []
    views(app).map_values(lambda each: n_of(each) - less, type=int).changes().call(seen.append)
    with app.test() as driver:
        send(driver, 1, 2)
        driver.run()
    assert seen == [
        ottla.Change(None, Windowed("/", 0, 10, 1 - less)),
        ottla.Change(Windowed("/", 0, 10, 1 - less), Windowed("/", 0, 10, 2 - less)),
    ]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("join", [(0, "2/1"), (0, "2/2")]),
        ("left_join", [(0, "1/-"), (0, "2/-"), (0, "2/1"), (0, "2/2"), (10, "1/-")]),
        ("outer_join", [(0, "1/-"), (0, "2/-"), (0, "2/1"), (0, "2/2"), (10, "1/-"), (20, "-/1")]),
    ],
)
def test_tables_are_joined_by_key_and_window(app: ottla.App, how: str, expected: Any) -> None:
    clicks = views(app, "clicks")
    told: list[Any] = []

    def rate(viewed: Any, clicked: Any) -> str:
        return f"{viewed.n if viewed else '-'}/{clicked.n if clicked else '-'}"

    getattr(views(app), how)(clicks, rate).to_stream().call(told.append)
    with app.test() as driver:
        send(driver, 1, 2)
        send(driver, 3, 4, topic="clicks")
        send(driver, 11)
        send(driver, 22, topic="clicks")
        driver.run()
    assert [(each.start, each.value) for each in told] == expected


@pytest.mark.parametrize("how", ["join", "left_join"])
def test_each_window_meets_the_row_that_its_value_names(app: ottla.App, how: str) -> None:
    """What comes of it is kept by key and window again, and follows both sides."""
    names = app.Table("names", source=app.topic("names", key=str, value=str))
    numbers = views(app).map_values(n_of)
    table = getattr(numbers, how)(names, lambda n, name: f"{n} is {name}", on=str, name="named", type=str)
    told: list[Any] = []
    table.to_stream().call(told.append)
    with app.test() as driver:
        driver.send("names", key="1", value="one")
        send(driver, 1, 12)
        driver.run()
        send(driver, 13)
        driver.run()
        driver.send("names", key="2", value="two")
        kept = dict(driver.table("named"))
    between = "2 is None" if how == "left_join" else None
    assert [(each.start, each.value) for each in told] == [
        (0, "1 is one"),
        (10, "1 is one"),
        (10, between),
        (10, "2 is two"),
    ]
    assert kept == {"/": {0: "1 is one", 10: "2 is two"}}


def test_rows_are_grouped_by_their_window(app: ottla.App) -> None:
    """How many pages were seen in each window: the key at hand has the window."""

    def window_start(_: Any) -> int:
        start: int = ottla.current_event().key.start
        return start

    pages = views(app).group_by(window_start, name="by-window").aggregate("pages", pages=count())
    with app.test() as driver:
        send(driver, 3, key="/tea")
        send(driver, 1, 2, 12)
        assert {start: row.pages for start, row in driver.table(pages).items()} == {0: 2, 10: 1}


def test_a_view_is_kept_for_as_long_as_its_windows(app: ottla.App) -> None:
    kept = views(app).map_values(n_of).to_table("numbers")
    with app.test() as driver:
        send(driver, 1, 2, 109)
        assert dict(driver.table(kept)) == {"/": {0: 2, 100: 1}}
        send(driver, 119)
        assert dict(driver.table(kept)) == {"/": {100: 1, 110: 1}}


def test_changes_of_a_window_are_held_back(app: ottla.App) -> None:
    told: list[Any] = []
    views(app).map_values(n_of, type=int).suppress(5 * MS).to_stream().call(told.append)
    with app.test() as driver:
        send(driver, 1, 2, 3, 7)
        driver.run()
    assert [(each.start, each.value) for each in told] == [(0, 4)]


def test_windows_of_several_streams_are_kept_too(app: ottla.App) -> None:
    stream = app.stream(app.topic("views", key=str, value=str))
    both = stream.cogroup(lambda n, _: n + 1).window(hopping(10 * MS, 5 * MS))
    table = both.aggregate("both", initial=0, emit="update").to_window_table("kept", retention=50 * MS)
    with app.test() as driver:
        send(driver, 7)
        assert dict(driver.table(table)) == {"/": {0: 1, 5: 1}}


REFUSED: dict[str, tuple[Callable[[ottla.App, Any], object], str]] = {
    "a short retention": (
        lambda _, stream: (
            stream.window(tumbling(10, grace=60)).aggregate("c", n=count()).to_window_table("k", retention=59)
        ),
        "retention=0:00:59 is less than the 0:01:00 for which a window may still change",
    ),
    "a retention shorter than a session's gap": (
        lambda _, stream: stream.window(session(60)).aggregate("c", n=count()).to_window_table("k", retention=59),
        "less than the 0:01:00",
    ),
    "windows of a number of events": (
        lambda _, stream: stream.window(ottla.counting(2)).aggregate("c", n=count()).to_window_table("k", retention=60),
        "have no bounds",
    ),
    "a join with a table of keys alone": (
        lambda app, _: views(app).join(app.Table("plain", source=app.topic("p", key=str, value=str)), max),
        r"keys of window\[text\] and .* of text",
    ),
    "a stream's join": (
        lambda app, stream: stream.join(views(app), max),
        r"keys of text and .* of window\[text\]",
    ),
    "a foreign key": (
        lambda app, _: app.Table("plain", source=app.topic("p", key=str, value=str)).join(
            views(app), max, on=str, type=str
        ),
        "what a value names is one key",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(app: ottla.App, case: str) -> None:
    declare, complaint = REFUSED[case]
    with pytest.raises(ottla.TopologyError, match=complaint):
        declare(app, app.stream(app.topic("in", key=str, value=str)))


def test_without_a_changelog_it_has_none_whatever_joins_it(app: ottla.App) -> None:
    other = views(app, "clicks")
    views(app, changelog=False).join(other, lambda viewed, clicked: viewed.n + clicked.n, type=int)
    stores = {spec.name: spec.logged for part in app.topology.subtopologies for spec in part.stores}
    assert (stores["views-kept"], stores["clicks-kept"]) == (False, True)
