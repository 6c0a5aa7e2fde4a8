"""Workers on a broker in memory, on an event loop of the test's own.

A test that asks for `play_anywhere` runs on a Kafka cluster too, where `OTTLA_KAFKA_BOOTSTRAP` names one.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

import ottla
from ottla.cluster.view import ClusterView
from ottla.state.memory import MemoryStores
from ottla.state.store import Stores
from ottla.transport.contract import Message, OutputRecord, TopicPartition, Transport
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.worker.worker import Worker, WorkerSummary

from ..real_broker import RealBroker

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")

Scenario = Callable[["Cluster"], Coroutine[Any, Any, None]]


class Cluster:
    """A broker in memory or a real one, and the workers of any apps on it. Workers with one id share stores, as on one
    disk.
    """

    def __init__(self, broker: Any = None) -> None:
        self.broker = MemoryBroker() if broker is None else broker
        self.stores: dict[tuple[str, str], Stores] = {}

    def worker(self, app: ottla.App, worker_id: str = "w0", **options: Any) -> Worker:
        stores = self.stores.setdefault((app.id, worker_id), MemoryStores())
        exactly_once = app.config.processing_guarantee == "exactly_once"
        transport: Transport
        if isinstance(self.broker, RealBroker):
            settings = KafkaSettings(self.broker.address, app.id, worker_id, exactly_once, session_timeout_ms=6_000)
            transport = KafkaTransport(settings)
        else:
            transport = MemoryTransport(self.broker, app.id, worker_id, exactly_once=exactly_once)
        return Worker(app.topology, app.config, transport, stores, jobs=app.jobs, **options)

    async def run_to_end(self, app: ottla.App, worker_id: str = "w0", **options: Any) -> WorkerSummary:
        return await self.worker(app, worker_id, until_end=True, **options).run()

    @asynccontextmanager
    async def running(self, app: ottla.App, worker_id: str = "w0", **options: Any) -> AsyncIterator[Worker]:
        """A worker that runs meanwhile, and is stopped gracefully at the end. What it raises is raised there."""
        worker = self.worker(app, worker_id, **options)
        run = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await run

    def send(self, topic: str, *pairs: tuple[str, str], partition: int | None = None, at_ms: int = 1_000) -> None:
        """Writes (key, value) pairs, a millisecond apart."""
        records = [
            OutputRecord(topic, key.encode(), value.encode(), at_ms + number, None, partition)
            for number, (key, value) in enumerate(pairs)
        ]
        self.broker.append(records)

    def offsets(self, app_id: str) -> dict[TopicPartition, int]:
        """The committed offsets of the app's inputs."""
        real = isinstance(self.broker, RealBroker)
        offsets = self.broker.offsets(app_id) if real else self.broker.groups[app_id].offsets
        return {where: offset for where, offset in offsets.items() if where.topic != f"{app_id}-assignment"}

    def forget_offsets(self, app_id: str) -> None:
        """As if the app, no worker of which runs, had committed nothing."""
        if isinstance(self.broker, RealBroker):
            self.broker.forget_offsets(app_id)
        else:
            self.broker.groups[app_id].offsets.clear()

    def members(self, app_id: str) -> set[str]:
        """The workers that are members of the app's group."""
        if isinstance(self.broker, RealBroker):
            return self.broker.members(app_id)
        return set(self.broker.groups[app_id].members)

    def view(self, app_id: str) -> ClusterView:
        """What the app's control topic says."""
        view = ClusterView()
        view.take(self.broker.messages(f"{app_id}-assignment"))
        return view

    def warm(self, app_id: str, worker_id: str) -> list[str]:
        """The tasks of which the worker says that it keeps the state up."""
        report = self.view(app_id).reports.get(worker_id)
        return [] if report is None else report.warm

    def values(self, topic: str) -> list[str]:
        return [_text(message) for message in self.broker.messages(topic)]

    def latest(self, topic: str) -> dict[str, str]:
        """The last value of each key."""
        return {(message.key() or b"").decode(): _text(message) for message in self.broker.messages(topic)}

    def state(self, changelog: str) -> dict[str, Any]:
        """What a changelog's records add up to."""
        return {
            (message.key() or b"").decode(): msgspec.msgpack.decode(message.value() or b"")
            for message in self.broker.messages(changelog)
        }


def _text(message: Message) -> str:
    return (message.value() or b"").decode()


async def eventually(holds: Callable[[], bool]) -> None:
    """Returns when it holds; the scenario's bound is the test's bound."""
    while not holds():  # noqa: ASYNC110 - what is waited for is no event of ours
        await asyncio.sleep(0.005)


async def bounded(scenario: Scenario, cluster: Cluster, seconds: float = 100) -> None:
    async with asyncio.timeout(seconds):
        await scenario(cluster)


@pytest.fixture
def play() -> Callable[[Scenario], None]:
    """Runs a scenario with a cluster of its own, within a bound."""
    return lambda scenario: asyncio.run(bounded(scenario, Cluster()))


@pytest.fixture(params=["memory", *(["kafka"] if KAFKA else [])])
def play_anywhere(request: pytest.FixtureRequest) -> Iterator[Callable[[Scenario], None]]:
    """As `play`, for a scenario that has no need of a broker in memory."""
    if request.param == "memory":
        yield lambda scenario: asyncio.run(bounded(scenario, Cluster()))
        return
    broker = RealBroker(str(KAFKA))
    broker.clear()
    yield lambda scenario: asyncio.run(bounded(scenario, Cluster(broker), 250))
    broker.clear()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[[Callable[[], bool]], Coroutine[Any, Any, None]]:
    return eventually
