"""Blueprints, views, their cache and errors: pages that need no table, served without a worker."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

import ottla.faust as faust
from ottla.errors import ConfigError, TopologyError
from ottla.faust import web
from ottla.faust.web.cache import CacheUnavailable, MemoryCache
from ottla.outlet import Collected
from ottla.web.endpoints import Endpoints

Asking = Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]


class Account(faust.Record, namespace="blueprints.Account"):
    name: str


def serve(app: faust.App, ask: Asking) -> None:
    async def scenario() -> None:
        out: Any = Collected
        served = Endpoints(app.ottla, CollectorRegistry(), lambda: None, out).starlette()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://worker") as http:
            await ask(http)

    asyncio.run(scenario())


def users() -> web.Blueprint:
    blueprint = web.Blueprint("users")

    @blueprint.route("/", name="list")
    class Users(web.View):
        async def get(self, _: web.Request) -> web.Response:
            return self.json({"ann": self.path_for("users:detail", user="a/n"), "at": self.url_for("users:list")})

        @web.takes_model(Account)
        @web.gives_model(Account)
        async def post(self, _: web.Request, account: Account) -> Account:
            return account

    @blueprint.route("/{user}/", name="detail")
    async def detail(self: web.View, request: web.Request, user: str) -> web.Response:
        if user == "bob":
            raise self.NotFound("bob is gone", since=2019)
        return self.text(f"{user} of {request.path}")

    @blueprint.route("/number/{number:[0-9]{2}}")
    async def number(self: web.View, _: web.Request, number: str) -> web.Response:
        return self.html(number)

    return blueprint


def test_a_blueprint_is_served_under_its_prefix() -> None:
    app = faust.App("blueprints", web_host="example.org", web_port=80)
    app.web.blueprints.add("/users/", users())

    async def ask(http: httpx.AsyncClient) -> None:
        listed = await http.get("/users/")
        assert listed.json() == {"ann": "/users/a%2Fn/", "at": "http://example.org:80/users/"}
        assert (await http.get("/users/ann/")).text == "ann of /users/ann/"
        assert (await http.head("/users/ann/")).status_code == 200
        assert (await http.post("/users/ann/")).status_code == 405
        gone = await http.get("/users/bob/")
        assert (gone.status_code, gone.json()) == (404, {"error": "bob is gone", "since": 2019})
        assert (await http.get("/users/number/42")).text == "42"
        assert (await http.get("/users/number/4x")).status_code == 404

    serve(app, ask)


def test_a_view_takes_and_gives_models() -> None:
    app = faust.App("models")
    users().register(app, url_prefix="/users")

    async def ask(http: httpx.AsyncClient) -> None:
        taken = await http.post("/users/", json={"name": "ann"})
        assert taken.json() == {"name": "ann", "__faust": {"ns": "blueprints.Account"}}
        refused = await http.post("/users/", json={"nick": "ann"})
        assert refused.status_code == 400
        assert refused.json()["error"].startswith("a Account was expected: ")

    serve(app, ask)


def test_a_blueprint_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    app = faust.App("named")
    monkeypatch.setattr("ottla.faust.web.views.blueprint", users(), raising=False)
    app.web.blueprints.add("/named", "ottla.faust.web.views:blueprint")

    async def ask(http: httpx.AsyncClient) -> None:
        assert (await http.get("/named/ann/")).text == "ann of /named/ann/"

    serve(app, ask)
    with pytest.raises(TopologyError, match="before the app runs"):
        app.web.blueprints.add("/late", users())
    other = faust.App("nameless")
    other.web.blueprints.add("", "ottla.faust.web.views:View")
    with pytest.raises(ConfigError, match=r"names no web\.Blueprint: write MODULE:NAME"):
        other.finalize()


def test_files_of_a_directory_are_served(tmp_path: Path) -> None:
    (tmp_path / "site.css").write_text("p { color: red }")
    app = faust.App("files")
    blueprint = web.Blueprint("files", url_prefix="/static")
    blueprint.static("/", tmp_path, name="assets")
    blueprint.register(app)

    async def ask(http: httpx.AsyncClient) -> None:
        path = app.web.url_for("files.assets", filename="site.css")
        assert (await http.get(path)).text == "p { color: red }"
        assert (await http.get("/static/other.css")).status_code == 404

    serve(app, ask)
    with pytest.raises(ConfigError, match="there is no directory"):
        app.web.add_static("/more", tmp_path / "more")


class Away:
    """A cache that cannot be reached."""

    async def get(self, key: str) -> bytes | None:
        raise CacheUnavailable(key)

    async def set(self, key: str, value: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        raise CacheUnavailable(key, value, timeout)

    async def delete(self, key: str) -> None:
        raise CacheUnavailable(key)


@pytest.mark.parametrize(("backend", "counted"), [(None, [1, 1, 2, 2]), (Away(), [1, 2, 3, 4])])
def test_answers_of_views_are_kept(backend: Away | None, counted: list[int]) -> None:
    app = faust.App("cached")
    blueprint = web.Blueprint("cached")
    cache = blueprint.cache(timeout=300.0, backend=backend)
    calls = []

    @blueprint.route("/")
    class Counted(web.View):
        @cache.view()
        async def get(self, request: web.Request) -> web.Response:
            calls.append(request)
            return self.json(len(calls), headers={"x-of": "all"})

    blueprint.register(app, url_prefix="/counted/")

    async def ask(http: httpx.AsyncClient) -> None:
        answers = [await http.get(f"/counted/{query}") for query in ("", "", "?other", "?other")]
        assert [answer.json() for answer in answers] == counted
        assert {answer.headers["x-of"] for answer in answers} == {"all"}

    serve(app, ask)


def test_the_cache_in_memory_forgets() -> None:
    now = 0.0
    cache = MemoryCache(lambda: now)

    async def scenario() -> None:
        nonlocal now
        await cache.set("a", b"1", timeout=2.0)
        await cache.set("b", b"2")
        assert await cache.get("a") == b"1"
        now = 2.0
        assert [await cache.get("a"), await cache.get("b")] == [None, b"2"]
        for number in range(1_000):
            await cache.set(str(number), b"")
        assert await cache.get("b") is None
        await cache.delete("0")
        assert await cache.get("0") is None

    asyncio.run(scenario())


SHOP, OTHER = "https://shop.example", "https://other.example"


def with_origins() -> faust.App:
    """An app that lets any origin read, and one page that lets the shop write, too."""
    app = faust.App("cors", web_cors_options={"*": web.ResourceOptions(expose_headers="*")})

    @app.page("/read/")
    async def read(self: web.View, _: web.Request) -> web.Response:
        return self.json(1, headers={"x-count": "1"})

    options = web.ResourceOptions(
        allow_credentials=True, allow_headers=["Content-Type"], max_age=60, allow_methods=["PUT"]
    )

    @app.page("/write/", cors_options={SHOP: options})
    class Write(web.View):
        async def put(self, _: web.Request) -> web.Response:
            return self.json(2)

    return app


def test_an_origin_may_read_what_its_options_say() -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        read = (await http.get("/read/", headers={"origin": OTHER})).headers
        assert (read["access-control-allow-origin"], read["vary"]) == (OTHER, "Origin")
        assert "x-count" in read["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in read
        written = (await http.put("/write/", headers={"origin": SHOP})).headers
        assert written["access-control-allow-credentials"] == "true"
        assert "access-control-allow-origin" not in (await http.get("/read/")).headers

    serve(with_origins(), ask)


def test_a_browser_asks_before_it_writes() -> None:
    async def ask(http: httpx.AsyncClient) -> None:
        async def may(origin: str, method: str, headers: str = "") -> httpx.Response:
            asked = {"origin": origin, "access-control-request-method": method}
            more = {"access-control-request-headers": headers} if headers else {}
            return await http.options("/write/", headers={**asked, **more})

        allowed = await may(SHOP, "PUT", "content-type")
        assert allowed.status_code == 200
        assert {name: value for name, value in allowed.headers.items() if name.startswith("access-control-")} == {
            "access-control-allow-origin": SHOP,
            "access-control-allow-credentials": "true",
            "access-control-allow-methods": "PUT",
            "access-control-allow-headers": "content-type",
            "access-control-max-age": "60",
        }
        assert (await may(OTHER, "PUT")).status_code == 200
        refused = [await may(SHOP, "DELETE"), await may(SHOP, "PUT", "x-token"), await http.options("/write/")]
        assert [each.status_code for each in refused] == [403, 403, 403]

    serve(with_origins(), ask)


def test_pages_without_options_say_nothing_of_origins() -> None:
    app = faust.App("shop")
    users().register(app)

    async def ask(http: httpx.AsyncClient) -> None:
        answer = await http.get("/", headers={"origin": SHOP})
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert (await http.options("/")).status_code == 405

    serve(app, ask)
