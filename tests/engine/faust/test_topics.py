"""Topics of Faust apps on a broker: those that are missing are created, those that are there are taken as they are."""

import asyncio
from typing import Any

import pytest

import ottla.faust as faust
from ottla import TopologyError
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.worker.provisioning import provision_topics


def counts_after_the_start(app: faust.App, **there: int) -> dict[str, int]:
    @app.agent(app.topic("in", partitions=3))
    async def work(stream: faust.Stream[Any]) -> None:
        async for _ in stream:
            await app.send("out", value=1)

    app.topic("out")
    broker = MemoryBroker(there)
    asyncio.run(provision_topics(app.topology, MemoryTransport(broker, app.conf.app_id, "w0")))
    return {topic: len(partitions) for topic, partitions in broker.topics.items() if topic in ("in", "out")}


def test_a_missing_topic_is_created() -> None:
    assert counts_after_the_start(faust.App("shop", topic_partitions=5)) == {"in": 3, "out": 5}


def test_a_topic_that_is_there_has_the_partitions_that_it_has() -> None:
    assert counts_after_the_start(faust.App("shop"), **{"in": 2, "out": 1}) == {"in": 2, "out": 1}


def test_an_app_may_leave_the_making_of_topics_to_others() -> None:
    with pytest.raises(TopologyError, match="topic 'out' does not exist; create it"):
        counts_after_the_start(faust.App("shop", topic_allow_declare=False))


def test_a_topic_is_declared_like_another() -> None:
    app = faust.App("shop")
    orders = app.topic("orders", value_type=int, partitions=3, internal=True)
    by_names, by_affixes = orders.derive("a", "b"), orders.derive_topic(prefix="old-", suffix="-1", partitions=4)
    assert (by_names.topics, by_affixes.topics) == (["a", "b"], ["old-orders-1"])
    assert (by_names.value_type, by_names.partitions, by_affixes.partitions) == (int, 3, 4)
    assert (orders.partitions, orders.internal, orders.compacting) == (3, True, None)
