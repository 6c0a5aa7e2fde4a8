"""Pages of Faust apps, served by a worker on a broker in memory."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx

import ottla.faust as faust
from ottla.state.memory import MemoryStores
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.web.server import Listener, WebServer
from ottla.worker.worker import Worker


class Word(faust.Record, namespace="pages.Word"):
    text: str


def pages() -> faust.App:
    app = faust.App("shop", store="memory://", broker_commit_interval=timedelta(milliseconds=5))
    words = app.topic("words", key_type=str, value_type=str, partitions=2)
    counts = app.Table("counts", default=int, key_type=str, value_type=int)

    @app.agent(words)
    async def count(stream: faust.Stream[str]) -> AsyncIterator[int]:
        async for word in stream:
            counts[word] += 1
            yield counts[word]

    @app.page("/count/{word}/")
    @app.table_route(counts, match_info="word")
    async def count_of(web: Any, request: Any, word: str) -> Any:
        assert request.match_info == {"word": word}
        return web.json({word: counts[word], "as": Word(word)})

    @app.page("/of/{word}/")
    class Of(faust.web.View):
        @app.topic_route(words, match_info="word")
        async def get(self, _: Any, word: str) -> Any:
            return self.json([word, counts[word]])

        @app.table_route(counts, exact_key="cat")
        async def put(self, _: Any, word: str) -> Any:
            return self.json([word, counts["cat"]])

    @app.page("/add/")
    class Add(faust.web.View):
        async def get(self, request: Any) -> Any:
            return self.text(f"post a word, not {request.query['word']}")

        async def post(self, request: Any) -> Any:
            body = await request.json()
            return self.json({"counted": await count.ask(body["word"], key=body["word"])}, status=201)

    @app.page("/all/")
    async def all_counts(web: Any, _: Any) -> Any:
        return web.json(dict(counts))

    @app.page("/missing/")
    async def missing(web: Any, request: Any) -> Any:
        return web.notfound(f"{request.method} finds nothing")

    return app


def test_pages_read_tables_and_send_to_agents() -> None:
    async def scenario() -> None:
        app = pages().ottla
        app.held_parts = lambda spec: worker.insight.held(spec) if worker.insight else []
        listener = Listener("127.0.0.1:0")
        broker = MemoryBroker()
        worker = Worker(
            app.topology, app.config, MemoryTransport(broker, app.id, "w0"), MemoryStores(), jobs=app.jobs,
            address=listener.address,
        )  # fmt: skip
        async with WebServer(app, worker, listener), httpx.AsyncClient(base_url=f"http://{listener.address}") as http:
            running = asyncio.create_task(worker.run())
            while (await http.get("/health/ready")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            added = await http.post("/add/", json={"word": "cat"})
            assert (added.status_code, added.json()) == (201, {"counted": 1})
            expected = {"cat": 1, "as": {"text": "cat", "__faust": {"ns": "pages.Word"}}}
            while (await http.get("/count/cat/")).json() != expected:  # noqa: ASYNC110 - an answer may come first
                await asyncio.sleep(0.01)
            assert (await http.get("/of/cat/")).json() == ["cat", 1]
            assert (await http.put("/of/dog/")).json() == ["dog", 1]
            assert (await http.get("/all/")).json() == {"cat": 1}
            assert (await http.get("/add/", params={"word": "x"})).text == "post a word, not x"
            missing = await http.get("/missing/")
            assert (missing.status_code, missing.json()) == (404, {"error": "GET finds nothing"})
            worker.stop()
            await running
        listener.close()

    async def bounded() -> None:
        async with asyncio.timeout(100):
            await scenario()

    asyncio.run(bounded())
