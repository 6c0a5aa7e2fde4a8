"""What a worker serves: its own pages, health, metrics, and the pages of the app, on the worker that has the key."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

import pytest

import ottla
from ottla.web.server import Listener

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]
WORDS = [f"word-{number}" for number in range(6)]


async def until_counted(site: Any, address: str) -> None:
    site.send("words", *[(word, word) for word in WORDS])
    for word in WORDS:
        while (await site.get(address, f"/tables/counts/keys/{word}")).status_code != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_a_page_runs_where_the_key_is(play: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app(), "w0") as first, site.worker(app(), "w1") as second:
            await site.ready(first, second)
            await until_counted(site, first)
            for address in (first, second):
                for word in WORDS:
                    assert await site.json(address, f"/count/{word}") == {"word": word, "count": 1}
                    assert await site.json(address, f"/read/{word}") == {word: 1}
                    answer = await site.get(address, "/asked", word=word)
                    assert answer.text == f"{word}: 1"
                    assert answer.headers["content-type"].startswith("text/html")
                assert len(await site.json(address, "/first")) == 1

    play(scenario)


ODD_KEYS = ["a/b", "//", "%2F", ".", "..", "a?b=c", "a#b", "a\tb", "+", " ", "ü/ß", "😀", '"q"']


def test_a_page_has_the_key_that_was_asked_for_on_whichever_worker(play: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app(), "w0") as first, site.worker(app(), "w1") as second:
            await site.ready(first, second)
            site.send("words", *[(key, key) for key in ODD_KEYS])
            for key in ODD_KEYS:
                written = quote(key, safe="").replace(".", "%2E")
                for address in (first, second):
                    while (await site.get(address, f"/tables/counts/keys/{written}")).status_code != 200:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                    assert await site.json(address, f"/count/{written}") == {"word": key, "count": 1}

    play(scenario)


def test_a_page_cannot_write(play: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app()) as address:
            await site.ready(address)
            await until_counted(site, address)
            answer = await site.get(address, f"/spoil/{WORDS[0]}")
            assert answer.status_code == 500
            assert "pages only read" in answer.json()["error"]
            assert await site.json(address, f"/count/{WORDS[0]}") == {"word": WORDS[0], "count": 1}

    play(scenario)


def test_a_request_without_the_key_is_refused(play: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app()) as address:
            await site.ready(address)
            answer = await site.get(address, "/asked")
            assert (answer.status_code, answer.json()["error"]) == (400, "the request lacks word, a key of 'counts'")

    play(scenario)


def test_the_first_page_shows_the_app(play: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app()) as address:
            assert (await site.get(address, "/health/live")).text == "ok\n"
            await site.ready(address)
            page = (await site.get(address, "/")).text
            for shown in ("counting", "w0", "0_3", "words", "counts", "<svg", address):
                assert shown in page
            assert (await site.json(address, "/tables")) == {
                "tables": [{"name": "counts", "key": "text", "value": "msgpack[int]", "parts": 4}]
            }
            metrics = (await site.get(address, "/metrics")).text
            assert 'ottla_tasks{app="counting"} 4.0' in metrics

    play(scenario)


def test_the_status_says_who_has_what(play_anywhere: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app(), "w0") as first, site.worker(app(), "w1") as second:
            await site.ready(first, second)
            status = await site.json(first, "/status")
            while len(status["workers"]) < 2 or len(status["tasks"]) != 2 or status["not_ready"] is not None:
                await asyncio.sleep(0.01)
                status = await site.json(first, "/status")
            assert (status["app"], status["worker"], status["not_ready"]) == ("counting", "w0", None)
            addresses = {each["worker"]: each["address"] for each in status["workers"]}
            assert addresses == {"w0": first, "w1": second}
            parts = status["tables"]["counts"]
            assert [each["part"] for each in parts] == [0, 1, 2, 3]
            own = {f"0_{each['part']}" for each in parts if each["worker"] == "w0"}
            assert own == {each["task"] for each in status["tasks"]}

    play_anywhere(scenario)


def test_an_app_is_paused_and_resumed_on_any_of_its_workers(play_anywhere: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        async with site.worker(app(), "w0") as first, site.worker(app(), "w1") as second:
            await site.ready(first, second)
            for path, role in (("/pause", "paused"), ("/resume", "active")):
                assert (await site.http.post(f"http://{first}{path}")).status_code == 202
                while f"<td>{role}" not in (await site.get(second, "/")).text:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            refused = await site.http.post(f"http://{first}/pause", params={"step": "nobody"})
            assert refused.status_code == 404
            assert "no step 'nobody' to pause" in refused.json()["error"]
            assert (await site.get(first, "/pause")).status_code == 405

    play_anywhere(scenario)


def test_a_worker_says_why_it_is_not_ready(play: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        declared, prepared = app(), asyncio.Event()

        @declared.on_start
        async def prepare() -> None:
            await prepared.wait()

        async with site.worker(declared) as address:
            answer = await site.get(address, "/health/ready")
            assert answer.status_code == 503
            assert answer.text.endswith("\n")
            prepared.set()
            await site.ready(address)

    play(scenario)


def test_declaring_a_page_twice_or_wrongly_is_refused(app: Callable[..., ottla.App]) -> None:
    declared = app()
    counts = declared.declared_table("counts")
    with pytest.raises(ottla.DuplicateName, match="two pages '/first'"):
        declared.page("/first")
    with pytest.raises(ottla.ConfigError, match="begins with a slash"):
        declared.page("first")
    with pytest.raises(ottla.ConfigError, match="either match_info= or query_param="):
        declared.table_route(counts)
    with pytest.raises(ottla.ConfigError, match="leads nowhere: every worker has it"):
        declared.table_route(declared.GlobalTable("rates", key=str, value=float), match_info="currency")
    with pytest.raises(ottla.NotInTask, match="--web-listen"):
        declared.query(counts)


@pytest.mark.parametrize("listen", ["", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "203.0.113.1:1"])
def test_an_address_that_cannot_be_listened_on_is_refused(listen: str) -> None:
    with pytest.raises(ottla.ConfigError, match=f"web='{listen}'"):
        Listener(listen)


def test_a_port_alone_is_that_of_this_machine() -> None:
    listener = Listener("0")
    assert listener.address == f"127.0.0.1:{listener.port}"
    listener.close()


def test_who_has_no_password_sees_nothing_but_the_health(play: Play, app: Callable[..., ottla.App]) -> None:
    async def scenario(site: Any) -> None:
        protected = app(web_auth="ann:s3cr:et")
        assert "s3cr" not in repr(protected.config)
        async with site.worker(protected, "w0") as first, site.worker(app(web_auth="ann:s3cr:et"), "w1") as second:
            await site.ready(first, second)
            for path in ("/", "/metrics", "/tables", "/tables/counts/keys/bee", "/count/bee", "/nowhere"):
                answer = await site.get(first, path)
                assert (answer.status_code, answer.headers["www-authenticate"][:5]) == (401, "Basic")
            wrong = await site.http.get(f"http://{first}/", auth=("ann", "secret"))
            assert wrong.status_code == 401
            # Given the password, workers ask each other with it, too
            site.http.auth = ("ann", "s3cr:et")
            await until_counted(site, first)
            for address in (first, second):
                assert (await site.get(address, "/")).status_code == 200
                for word in WORDS:
                    assert await site.json(address, f"/count/{word}") == {"word": word, "count": 1}
                    assert await site.json(address, f"/tables/counts/keys/{word}") == {"key": word, "value": 1}

    play(scenario)


@pytest.mark.parametrize("credentials", ["ann", "ann:", ":secret", ""])
def test_a_password_that_is_none_is_refused(app: Callable[..., ottla.App], credentials: str) -> None:
    with pytest.raises(ottla.ConfigError, match="must be USER:PASSWORD; it has no user, or no password"):
        app(web_auth=credentials)


def test_the_logs_of_a_web_server_around_the_worker_stay(
    play: Play, app: Callable[..., ottla.App], monkeypatch: pytest.MonkeyPatch
) -> None:
    host, access = logging.getLogger("uvicorn.error"), logging.getLogger("uvicorn.access")
    monkeypatch.setattr(host, "level", logging.INFO)
    monkeypatch.setattr(access, "propagate", True)

    async def scenario(site: Any) -> None:
        async with site.worker(app()) as address:
            await site.ready(address)
        assert (host.level, access.propagate) == (logging.INFO, True)

    play(scenario)
