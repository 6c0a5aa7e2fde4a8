"""Brokers for the contract suite: memory and `ottla broker`, and a cluster where `OTTLA_KAFKA_BOOTSTRAP` names one."""

import asyncio
import os
import uuid
from collections.abc import Callable, Iterator

import pytest

from ottla.transport.contract import Transport
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.worker.embedded import serving

from .bench import DEADLINE_S, Scenario, bench_of

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")


@pytest.fixture(scope="session")
def ottla_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(f"embedded://{tmp_path_factory.mktemp('broker')}") as address:
        yield address


@pytest.fixture(params=["memory", "ottla", *(["kafka"] if KAFKA else [])])
def make_transport(request: pytest.FixtureRequest) -> Callable[..., Transport]:
    """Makes transports that meet one broker: `make_transport(app_id, worker_id="w0", exactly_once=True)`."""
    if request.param == "memory":
        broker = MemoryBroker()

        def in_memory(app_id: str, worker_id: str = "w0", *, exactly_once: bool = True) -> Transport:
            return MemoryTransport(broker, app_id, worker_id, exactly_once=exactly_once)

        return in_memory
    bootstrap = KAFKA if request.param == "kafka" else request.getfixturevalue("ottla_broker")

    def to_cluster(app_id: str, worker_id: str = "w0", *, exactly_once: bool = True) -> Transport:
        # No scenario is as long as a session without a sign of life, or a transaction, may be.
        settings = KafkaSettings(
            bootstrap,
            app_id,
            worker_id,
            exactly_once,
            transaction_timeout_ms=60_000,
            session_timeout_ms=60_000,
            options={"heartbeat.interval.ms": 300},
        )
        return KafkaTransport(settings)

    return to_cluster


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Makes names that no earlier test used, since a cluster outlives a test."""
    run = uuid.uuid4().hex[:8]
    return lambda name: f"{name}-{run}"


@pytest.fixture
def play(make_transport: Callable[..., Transport], unique: Callable[[str], str]) -> Callable[[Scenario], None]:
    """Runs a scenario on an event loop of its own, within a bound."""

    async def bounded(scenario: Scenario) -> None:
        async with asyncio.timeout(2 * DEADLINE_S), bench_of(make_transport, unique) as bench:
            await scenario(bench)

    return lambda scenario: asyncio.run(bounded(scenario))
