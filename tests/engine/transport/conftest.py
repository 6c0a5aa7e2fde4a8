"""Brokers for the contract suite: memory always, a Kafka cluster where `OTTLA_KAFKA_BOOTSTRAP` names one."""

import os
import uuid
from collections.abc import Callable

import pytest

from ottla.transport.contract import Transport
from ottla.transport.kafka import KafkaTransport
from ottla.transport.kafka_settings import KafkaSettings
from ottla.transport.memory import MemoryBroker, MemoryTransport

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")


@pytest.fixture(params=["memory", *(["kafka"] if KAFKA else [])])
def make_transport(request: pytest.FixtureRequest) -> Callable[..., Transport]:
    """Makes transports that meet one broker: `make_transport(app_id, worker_id="w0", exactly_once=True)`."""
    broker = MemoryBroker()

    def make(app_id: str, worker_id: str = "w0", *, exactly_once: bool = True) -> Transport:
        if request.param == "memory":
            return MemoryTransport(broker, app_id, worker_id, exactly_once=exactly_once)
        assert KAFKA is not None
        return KafkaTransport(KafkaSettings(KAFKA, app_id, worker_id, exactly_once, session_timeout_ms=6_000))

    return make


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Makes names that no earlier test used, since a cluster outlives a test."""
    run = uuid.uuid4().hex[:8]
    return lambda name: f"{name}-{run}"
