"""Workers that listen, on a broker in memory, and a client for their pages.

A test that asks for `play_anywhere` runs on a Kafka cluster too, where `OTTLA_KAFKA_BOOTSTRAP` names one.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

import ottla
from ottla.state.memory import MemoryStores
from ottla.transport.contract import OutputRecord, Transport
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.web.server import Listener, WebServer
from ottla.worker.worker import Worker

from ..real_broker import RealBroker

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")

Scenario = Callable[["Site"], Coroutine[Any, Any, None]]


class Site:
    """A broker in memory or a real one, and workers that listen. Each is of an app of its own, as in processes of
    their own.
    """

    def __init__(self, http: httpx.AsyncClient, broker: Any = None) -> None:
        self.broker = MemoryBroker() if broker is None else broker
        self.http = http
        self.workers: dict[str, Worker] = {}

    @asynccontextmanager
    async def worker(self, app: ottla.App, worker_id: str = "w0") -> AsyncIterator[str]:
        """The address of a worker that runs meanwhile."""
        listener = Listener("127.0.0.1:0")
        transport: Transport
        if isinstance(self.broker, RealBroker):
            transport = KafkaTransport(KafkaSettings(self.broker.address, app.id, worker_id, session_timeout_ms=6_000))
        else:
            transport = MemoryTransport(self.broker, app.id, worker_id)
        worker = Worker(app.topology, app.config, transport, MemoryStores(), jobs=app.jobs, address=listener.address)
        self.workers[worker_id] = worker
        async with WebServer(app, worker, listener):
            running = asyncio.create_task(worker.run())
            try:
                yield listener.address
            finally:
                worker.stop()
                await running
        listener.close()

    def send(self, topic: str, *pairs: tuple[str, str], at_ms: int = 1_000) -> None:
        self.broker.append([OutputRecord(topic, key.encode(), value.encode(), at_ms) for key, value in pairs])

    async def get(self, address: str, path: str, **parameters: str) -> httpx.Response:
        return await self.http.get(f"http://{address}{path}", params=parameters)

    async def json(self, address: str, path: str, **parameters: str) -> Any:
        response = await self.get(address, path, **parameters)
        assert response.status_code == 200, response.text
        return response.json()

    async def ready(self, *addresses: str) -> None:
        for address in addresses:
            while (await self.get(address, "/health/ready")).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


def counting_app(**options: Any) -> ottla.App:
    """Counts the words of a topic in a table; its pages read it."""
    app = ottla.App("counting", commit_interval=timedelta(milliseconds=5), **options)
    words = app.topic("words", key=str, value=str, partitions=4)
    counts = app.Table("counts", key=str, value=int, default=int)

    @app.agent(words)
    async def count(words: ottla.Stream[str]) -> None:
        async for word in words:
            counts[word] += 1

    @app.page("/count/{word:path}")
    @app.table_route(counts, match_info="word")
    async def count_of(request: Any, word: str) -> dict[str, Any]:  # noqa: ARG001
        return {"word": word, "count": counts[word]}

    @app.page("/asked")
    @app.table_route(counts, query_param="word")
    def asked(request: Any) -> str:
        return f"{request.query_params['word']}: {counts[request.query_params['word']]}"

    @app.page("/read/{word}")
    @app.topic_route(words, match_info="word")
    async def read(request: Any, word: str) -> dict[str, Any]:  # noqa: ARG001
        return {word: counts[word]}

    @app.page("/spoil/{word}")
    @app.table_route(counts, match_info="word")
    async def spoil(request: Any, word: str) -> None:  # noqa: ARG001
        counts[word] = 0

    @app.page("/first", methods=["GET", "POST"])
    async def first(request: Any) -> Any:  # noqa: ARG001
        return (await app.query(counts).range(limit=1)).items

    return app


@pytest.fixture
def app() -> Callable[..., ottla.App]:
    return counting_app


async def bounded(scenario: Scenario, broker: RealBroker | None, seconds: float) -> None:
    async with asyncio.timeout(seconds), httpx.AsyncClient(verify=False) as http:
        await scenario(Site(http, broker))


@pytest.fixture
def play() -> Callable[[Scenario], None]:
    return lambda scenario: asyncio.run(bounded(scenario, None, 100))


@pytest.fixture(params=["memory", *(["kafka"] if KAFKA else [])])
def play_anywhere(request: pytest.FixtureRequest) -> Iterator[Callable[[Scenario], None]]:
    """As `play`, for a scenario that has no need of a broker in memory."""
    if request.param == "memory":
        yield lambda scenario: asyncio.run(bounded(scenario, None, 100))
        return
    broker = RealBroker(str(KAFKA))
    broker.clear()
    yield lambda scenario: asyncio.run(bounded(scenario, broker, 250))
    broker.clear()
