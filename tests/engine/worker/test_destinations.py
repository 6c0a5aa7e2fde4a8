"""Topics that steps choose while a worker runs: what it asks its broker about them, and how often."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import ottla
from ottla.transport.contract import TopicSpec
from ottla.worker import destinations as destinations_module
from ottla.worker.destinations import Destinations

Play = Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]


class Broker:
    """Counts what it is asked."""

    def __init__(self, **counts: int) -> None:
        self.counts = counts
        self.asked: list[list[str]] = []

    async def partition_counts(self, topics: list[str]) -> dict[str, int]:
        self.asked.append(sorted(topics))
        return {topic: self.counts[topic] for topic in topics if topic in self.counts}


def test_what_is_known_or_missing_is_not_asked_for_each_batch(play: Play) -> None:
    async def scenario(_: Any) -> None:
        broker: Any = Broker(one=1, three=3)
        destinations = Destinations(broker)
        assert await destinations.partition_counts({"one", "missing"}) == {"one": 1}
        assert await destinations.partition_counts({"one", "three", "missing"}) == {"one": 1, "three": 3}
        assert await destinations.partition_counts({"one", "three"}) == {"one": 1, "three": 3}
        assert broker.asked == [["missing", "one"], ["three"]]

    play(scenario)


def test_what_is_known_is_bounded_and_what_is_asked_for_is_answered(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations_module, "_MOST", 1)

    async def scenario(_: Any) -> None:
        broker: Any = Broker(one=1, two=2, three=3)
        destinations = Destinations(broker)
        assert await destinations.partition_counts({"one", "two"}) == {"one": 1, "two": 2}
        assert await destinations.partition_counts({"one", "three"}) == {"one": 1, "three": 3}
        assert sorted(destinations.topics) == ["one", "three"]

    play(scenario)


def test_a_worker_writes_where_its_events_say(play: Play) -> None:
    app = ottla.App("shop")
    app.stream(app.topic("in", value=str, partitions=1)).to(
        lambda event: event.value, partition=lambda _, __, partitions: partitions - 1
    )

    async def scenario(cluster: Any) -> None:
        for topic, partitions in (("in", 1), ("there", 2)):
            cluster.broker.create_topic(TopicSpec(topic, partitions))
        cluster.send("in", ("k", "there"), ("k", "nowhere"), ("k", "there"))
        await cluster.run_to_end(app)
        assert [(message.partition(), message.offset()) for message in cluster.broker.messages("there")] == [
            (1, 0),
            (1, 1),
        ]
        assert len(cluster.broker.messages("shop-dead-letter")) == 1

    play(scenario)
