"""Tables read over HTTP, wherever their parts are: keys, ranges, prefixes, copies, and what is refused."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import ottla
from ottla import serdes

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
WORDS = [f"{letter}{number}" for letter in "abcd" for number in range(2)]


async def counted(site: Any, address: str, word: str, count: int) -> None:
    expected = f'{{"key":"{word}","value":{count}}}'
    while (await site.get(address, f"/tables/counts/keys/{word}")).text != expected:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def all_counted(site: Any, *addresses: str) -> None:
    await site.ready(*addresses)
    site.send("words", *[(word, word) for word in WORDS])
    for word in WORDS:
        await counted(site, addresses[0], word, 1)


def test_every_worker_answers_for_every_key(play_anywhere: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app(), "w0") as first, site.worker(app(), "w1") as second:
            await all_counted(site, first, second)
            for address in (first, second):
                found = [await site.json(address, f"/tables/counts/keys/{word}") for word in WORDS]
                assert found == [{"key": word, "value": 1} for word in WORDS]
                missing = await site.get(address, "/tables/counts/keys/nothing")
                assert (missing.status_code, missing.json()) == (404, {"error": "table 'counts' has no such key"})

    play_anywhere(scenario)


async def all_pages(site: Any, address: str, asked: dict[str, str]) -> list[str]:
    items: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await site.json(address, "/tables/counts", limit="3", **asked, **cursor)
        items += [item["key"] for item in page["items"]]
        if page["cursor"] is None:
            return items
        cursor = {"cursor": page["cursor"]}


def test_ranges_and_prefixes_come_whole_piece_by_piece(play_anywhere: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app(), "w0") as first, site.worker(app(), "w1") as second:
            await all_counted(site, first, second)
            for address in (first, second):
                for asked, expected in (
                    ({}, WORDS),
                    ({"prefix": "b"}, [word for word in WORDS if word[0] == "b"]),
                    ({"start": "a1", "end": "c"}, [word for word in WORDS if "a1" <= word < "c"]),
                ):
                    everything = await site.json(address, "/tables/counts", limit="1000", **asked)
                    back = await all_pages(site, address, {**asked, "reverse": "true"})
                    assert back == [item["key"] for item in everything["items"]][::-1]
                    items, cursor, pages = [], None, 0
                    while pages == 0 or cursor is not None:
                        more = {} if cursor is None else {"cursor": cursor}
                        page = await site.json(address, "/tables/counts", limit="3", **asked, **more)
                        assert len(page["items"]) <= 3
                        items += [item["key"] for item in page["items"]]
                        cursor, pages = page["cursor"], pages + 1
                    assert sorted(items) == expected
                    assert pages >= len(expected) / 3

    play_anywhere(scenario)


def test_reads_do_not_see_what_is_not_committed(play_anywhere: Play) -> None:
    async def scenario(site: Any) -> None:
        app = ottla.App("slow", commit_interval=60)
        words = app.topic("words", key=str, value=str, partitions=1)
        counts = app.Table("counts", key=str, value=int, default=int)
        seen = asyncio.Event()

        @app.agent(words)
        async def count(words: ottla.Stream[str]) -> None:
            async for word in words:
                counts[word] += 1
                seen.set()

        async with site.worker(app) as address:
            await site.ready(address)
            member = site.workers["w0"]._member
            while "w0" not in member.view.reports or member.has_news:  # noqa: ASYNC110 - its first report is a commit, too
                await asyncio.sleep(0.01)
            site.send("words", ("a", "a"))
            await seen.wait()
            assert (await site.get(address, "/tables/counts/keys/a")).status_code == 404

    play_anywhere(scenario)


def test_a_copy_answers_stale_reads_when_its_worker_is_gone(play_anywhere: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(site.worker(app(standbys=1), "w0"))
            second = await stack.enter_async_context(site.worker(app(standbys=1), "w1"))
            await all_counted(site, first, second)
            every = {"stale": "true"}
            while len((await site.json(first, "/tables/counts", **every))["items"]) < len(WORDS):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            # When the second is silent, but not given up yet
            tasks = site.workers["w1"].insight.tasks()
            its_own = {task.task for task in tasks if task.role == "active"}
            assert len(its_own) == 2
            site.workers["w1"].insight._tasks = {}
            refused = [word for word in WORDS if (await site.get(first, f"/tables/counts/keys/{word}")).is_error]
            assert refused
            answer = await site.get(first, f"/tables/counts/keys/{refused[0]}")
            assert answer.status_code == 503
            assert "stale=true" in answer.json()["error"]
            # Then the copy here answers, for those who say that they take it
            found = await site.json(first, f"/tables/counts/keys/{refused[0]}", stale="true")
            assert found == {"key": refused[0], "value": 1}

    play_anywhere(scenario)


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/tables/nothing", 404, "no table 'nothing' is declared"),
        ("/tables/counts?limit=0", 400, "limit='0' must be from 1 to 1000"),
        ("/tables/counts?limit=2000", 400, "limit='2000' must be from 1 to 1000"),
        ("/tables/counts?limit=many", 400, "limit='many'"),
        pytest.param(f"/tables/counts/keys/a?as_of={'9' * 5000}", 400, "must be a time", id="as_of"),
        ("/tables/counts?cursor=x", 400, "'x' is not a cursor"),
        ("/tables/counts?prefix=a&start=b", 400, "by start and end, or by a prefix"),
        ("/tables/counts/parts/9/range", 421, "part 9 of table 'counts' is not here"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    play: Play, app: Callable[..., ottla.App], path: str, status: int, sentence: str
) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app()) as address:
            await site.ready(address)
            response = await site.get(address, path.partition("?")[0], **_parameters(path))
            assert response.status_code == status
            assert sentence in response.text

    play(scenario)


def _parameters(path: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in path.partition("?")[2].split("&") if pair]
    return {name: value for name, _, value in pairs}


def shop() -> ottla.App:
    """Keeps tables of all kinds of the words it is sent, each under the word."""
    app = ottla.App("shop", commit_interval=timedelta(milliseconds=5))
    words = app.topic("words", key=str, value=str, partitions=4)
    letters = app.SetTable("letters", key=str, value=str)
    windows = app.Table("windows", key=str, default=int).tumbling(1)
    versions = app.Table("versions", key=str, value=str, versioned=60)
    lately = app.Table("lately", key=str, value=str, ttl=60)
    app.stream(words).aggregate("totals", words=ottla.count(), last=ottla.last(type=str))
    counts = app.stream(words).window(ottla.tumbling(1)).aggregate("counts", emit="update", words=ottla.count())
    counts.to_window_table("kept", retention=3600)
    everywhere = app.GlobalTable("everywhere", key=str, value=str)

    @app.agent(words, uses=[everywhere])
    async def keep(words: ottla.Stream[str]) -> None:
        async for key, word in words.items():
            letters[key].update(word)
            windows[key] += 1
            versions[key] = lately[key] = everywhere[key] = word

    return app


async def value_of(site: Any, address: str, table: str, key: str) -> Any:
    while (found := await site.get(address, f"/tables/{table}/keys/{key}")).status_code != 200:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return found.json()["value"]


def test_tables_of_all_kinds_are_read_wherever_they_are(play_anywhere: Play) -> None:
    expected = {
        "letters": ["o", "w"],
        "windows": {"1000": 1},
        "versions": "wow",
        "lately": "wow",
        "totals": {"words": 1, "last": "wow"},
        "kept": {"1000": {"words": 1}},
        "everywhere": "wow",
    }

    async def scenario(site: Any) -> None:
        async with site.worker(shop(), "w0") as first, site.worker(shop(), "w1") as second:
            await site.ready(first, second)
            words = WORDS[:3]
            site.send("words", *[(word, "wow") for word in words])
            for address in (first, second):
                for table, value in expected.items():
                    for word in words:
                        read = await value_of(site, address, table, word)
                        assert (sorted(read) if table == "letters" else read) == value
                    page = await site.get(address, f"/tables/{table}", start="a", end="b")
                    if table == "windows":
                        assert "has windows: ask for a key" in page.json()["error"]
                    else:
                        assert [item["key"] for item in page.json()["items"]] == ["a0", "a1"]

    play_anywhere(scenario)


@pytest.mark.parametrize("page", [False, True])
def test_a_table_whose_values_need_a_schema_registry_is_read_without_holding_the_worker_up(
    play: Play, *, page: bool
) -> None:
    class Order(msgspec.Struct):
        item: str

    threads: list[str] = []
    away = iter([not page])

    def app_of(registry: serdes.SchemaRegistry) -> ottla.App:
        app = ottla.App("ordering", commit_interval=timedelta(milliseconds=5))
        latest = app.Table("latest", key=str, value=registry.avro(Order))

        @app.page("/item/{name}")
        @app.table_route(latest, match_info="name")
        async def item(request: Any, name: str) -> str:  # noqa: ARG001 - as pages are called
            found = latest.get(name)
            return "nothing yet" if found is None else found.item

        @app.agent(app.topic("orders", key=str, value=str, partitions=1))
        async def keep(items: ottla.Stream[str]) -> None:
            async for key, item in items.items():
                latest[key] = Order(item)

        return app

    async def scenario(site: Any) -> None:
        registry = serdes.SchemaRegistry("mock://")
        fetch = registry._client.get_schema

        def slowly(schema_id: int) -> Any:
            threads.append(threading.current_thread().name)
            if next(away, False):
                raise ConnectionError("nobody answers")
            return fetch(schema_id)

        registry._client.get_schema = slowly  # type: ignore[method-assign]
        async with site.worker(app_of(registry)) as address:
            await site.ready(address)
            site.send("orders", ("ann", "tea"))
            if page:
                while (await site.get(address, "/item/ann")).text != "tea":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                return
            while (answer := await site.get(address, "/tables/latest/keys/ann")).status_code == 404:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            assert (answer.status_code, answer.json()["error"]) == (
                503,
                "the schema registry at mock:// cannot be reached for schema 1: nobody answers",
            )
            assert await site.json(address, "/tables/latest/keys/ann") == {"key": "ann", "value": {"item": "tea"}}
            found = await site.json(address, "/tables/latest")
            assert found["items"] == [{"key": "ann", "value": {"item": "tea"}}]

    play(scenario)
    assert len(threads) == (1 if page else 2)
    assert threading.current_thread().name not in threads


def test_versions_are_read_as_of_a_time_wherever_they_are(play_anywhere: Play) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(shop(), "w0") as first, site.worker(shop(), "w1") as second:
            await site.ready(first, second)
            for time, word in ((1_000, "one"), (2_000, "two")):
                site.send("words", *[(key, word) for key in WORDS[:3]], at_ms=time)
            for key in WORDS[:3]:
                while await value_of(site, first, "versions", key) != "two":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                for address in (first, second):
                    asked = f"/tables/versions/keys/{key}"
                    for as_of, value in ((1_000, "one"), (1_999, "one"), (2_000, "two"), (9_000, "two")):
                        assert (await site.json(address, asked, as_of=str(as_of)))["value"] == value
                    assert (await site.get(address, asked, as_of="999")).status_code == 404
                one = {"value": "one", "timestamp": 1_000, "valid_to": 2_000}
                two = {"value": "two", "timestamp": 2_000, "valid_to": None}
                for address in (first, second):
                    asked = f"/tables/versions/history/{key}"
                    assert await site.json(address, asked) == {"key": key, "versions": [one, two]}
                    assert (await site.json(address, asked, reverse="true"))["versions"] == [two, one]
                    assert (await site.json(address, asked, to="1500"))["versions"] == [one]
                    assert (await site.json(address, asked, **{"from": "2500"}))["versions"] == [two]
            refused = await site.get(first, f"/tables/lately/history/{WORDS[0]}")
            assert (refused.status_code, "does not know its past" in refused.json()["error"]) == (400, True)
            refused = await site.get(first, f"/tables/lately/keys/{WORDS[0]}", as_of="1")
            assert (refused.status_code, "does not know its past" in refused.json()["error"]) == (400, True)
            refused = await site.get(first, f"/tables/versions/keys/{WORDS[0]}", as_of="noon")
            assert "must be a time in milliseconds" in refused.json()["error"]

    play_anywhere(scenario)
