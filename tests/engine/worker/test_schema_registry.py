"""A worker asks a schema registry beside its work: nothing waits for the answer but the events that need it."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

import ottla
from ottla.serdes import SchemaRegistry
from ottla.transport.contract import OutputRecord, TopicSpec

Play = Callable[[Callable[..., Any]], None]


class Order(msgspec.Struct):
    item: str
    count: int = 1


@dataclass
class Slow:
    """The client of a registry that takes its time, or does not answer the first `away` requests for a schema."""

    client: Any
    away: int = 0
    takes_s: float = 0.0
    threads: list[str] = field(default_factory=list)

    def get_schema(self, schema_id: int) -> Any:
        self.threads.append(threading.current_thread().name)
        time.sleep(self.takes_s)
        self.away -= 1
        if self.away >= 0:
            raise ConnectionError("nobody answers")
        return self.client.get_schema(schema_id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ottla.worker.recovery._FIRST_BACKOFF_S", 0.0001)


@pytest.fixture
def registry() -> SchemaRegistry:
    registry = SchemaRegistry("mock://")
    registry._client = Slow(registry._client)
    return registry


def latest_app(registry: SchemaRegistry) -> ottla.App:
    """Keeps the latest order of each key, as the registry's Avro, and tells the one before it."""
    app = ottla.App("latest")
    latest = app.Table("latest", key=str, value=registry.avro(Order))
    before = app.topic("before", key=str, value=registry.avro(Order), partitions=1)

    @app.agent(app.topic("orders", key=str, value=registry.avro(Order), partitions=1), sink=[before])
    async def keep(orders: ottla.Stream[Order]) -> AsyncIterator[Order]:
        async for key, order in orders.items():
            if key in latest:
                yield latest[key]
            latest[key] = order

    return app


def send(cluster: Any, registry: SchemaRegistry, *orders: Order) -> None:
    codec = registry.avro(Order).codec("orders", "value")
    cluster.broker.create_topic(TopicSpec("orders", 1))
    cluster.broker.append(OutputRecord("orders", b"k", codec.encode(order), 1_000) for order in orders)


def told(cluster: Any, registry: SchemaRegistry) -> list[Order]:
    codec = registry.avro(Order).codec("before", "value")
    return [codec.decode(message.value()) for message in cluster.broker.messages("before")]


def test_the_event_loop_does_not_wait_for_the_registry(
    play: Play, registry: SchemaRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(cluster: Any) -> None:
        send(cluster, registry, Order("tea"), Order("milk"))
        client: Any = registry._client
        client.takes_s = 0.2
        with caplog.at_level(logging.WARNING):
            await cluster.run_to_end(latest_app(registry))
            # The next worker reads the schemas of the input and of the state, which it has not written itself
            send(cluster, registry, Order("rice"))
            await cluster.run_to_end(latest_app(registry))
        assert client.threads
        assert threading.current_thread().name not in client.threads
        client.takes_s = 0.0
        assert told(cluster, registry) == [Order("tea"), Order("milk")]

    play(scenario)
    assert caplog.messages == []


@pytest.mark.parametrize("requests", [1, 7])
def test_a_registry_that_is_away_is_waited_for(
    play: Play, registry: SchemaRegistry, caplog: pytest.LogCaptureFixture, requests: int
) -> None:
    async def scenario(cluster: Any) -> None:
        send(cluster, registry, Order("tea"), Order("milk"))
        client: Any = registry._client
        client.away = requests
        with caplog.at_level(logging.WARNING, "ottla.worker"):
            await cluster.run_to_end(latest_app(registry))
        assert told(cluster, registry) == [Order("tea")]
        assert cluster.values("latest-dead-letter") == []

    play(scenario)
    away = "the schema registry at mock:// cannot be reached for schema 1: nobody answers"
    assert caplog.messages == [f"going back to the last commit: {away}"] * requests


def test_an_unknown_schema_is_asked_for_once_for_all_its_events(play: Play, registry: SchemaRegistry) -> None:
    async def scenario(cluster: Any) -> None:
        send(cluster, registry, Order("tea"))
        cluster.broker.append(OutputRecord("orders", b"k", b"\0\0\0\0\x63oops", 1_000) for _ in range(20))
        send(cluster, registry, Order("milk"))
        await cluster.run_to_end(latest_app(registry))
        client: Any = registry._client
        assert len(client.threads) == 2
        assert told(cluster, registry) == [Order("tea")]
        assert len(cluster.values("latest-dead-letter")) == 20

    play(scenario)


def test_a_registry_that_never_answers_does_not_keep_a_worker_from_stopping(
    play: Play, registry: SchemaRegistry
) -> None:
    async def scenario(cluster: Any) -> None:
        send(cluster, registry, Order("tea"))
        client: Any = registry._client
        client.away = 10**9
        async with cluster.running(latest_app(registry)):
            while len(client.threads) < 3:  # noqa: ASYNC110 - what is waited for is no event of ours
                await asyncio.sleep(0.005)
        assert cluster.offsets("latest") == {}

    play(scenario)
