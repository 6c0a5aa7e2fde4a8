"""What is committed of the app's own repartition topics is deleted, and nothing else."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import ottla
from ottla.transport.contract import TopicPartition
from ottla.transport.errors import TransportError
from ottla.transport.memory import MemoryTransport
from ottla.worker import purging

Play = Callable[[Callable[..., Any]], None]


def by_letter() -> ottla.App:
    app = ottla.App("words")
    words = app.stream(app.topic("words", key=str, value=str, partitions=1))
    words.group_by(lambda word: word[0], name="letters", type=str).to(
        app.topic("out", key=str, value=str, partitions=1)
    )
    return app


def starts(cluster: Any) -> dict[str, int]:
    return {name: sum(log.start for log in logs) for name, logs in cluster.broker.topics.items()}


def test_what_was_processed_is_deleted(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "PURGE_INTERVAL_S", 0.0)

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(by_letter())
        for text in ("apple", "bread"):
            cluster.send("words", ("k", text), ("k", text))
            await cluster.run_to_end(by_letter())
        found = starts(cluster)
        assert found.pop("words-letters-repartition") >= 2
        assert set(found.values()) == {0}
        assert cluster.values("out") == ["apple", "apple", "bread", "bread"]
        # A broker gives back the room of whole segments.
        assert cluster.broker.configs["words-letters-repartition"]["segment.bytes"] == "52428800"

    play(scenario)


class Asked:
    """A transport that notes what is to be deleted, and does so when it may."""

    def __init__(self) -> None:
        self.before: list[Mapping[TopicPartition, int]] = []
        self.may_answer = asyncio.Event()

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        self.before.append(before)
        await self.may_answer.wait()


def test_it_is_asked_for_from_time_to_time() -> None:
    async def scenario() -> None:
        asked = Asked()
        asked.may_answer.set()
        purge = purging.Purge(by_letter().topology, asked)  # type: ignore[arg-type]
        where, other = TopicPartition("words-letters-repartition", 0), TopicPartition("words", 0)
        for committed, now_s in ((5, 100), (7, 129), (7, 130), (7, 160)):
            purge.purge({where: committed, other: 3}, now_s)
            await asyncio.sleep(0)
        assert asked.before == [{where: 5}, {where: 7}]

    asyncio.run(scenario())


def test_nothing_waits_for_a_broker_that_does_not_answer() -> None:
    async def scenario() -> None:
        asked = Asked()
        purge = purging.Purge(by_letter().topology, asked)  # type: ignore[arg-type]
        where = TopicPartition("words-letters-repartition", 0)
        for committed, now_s in ((5, 100), (7, 200), (9, 300)):
            purge.purge({where: committed}, now_s)
            await asyncio.sleep(0)
        assert asked.before == [{where: 5}], "it is asked once, until it has answered"
        await purge.stop()

    asyncio.run(scenario())


def test_a_broker_that_refuses_is_no_reason_to_stop(
    play: Play, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(*_: Any) -> None:
        raise TransportError("deleting records is not allowed")

    monkeypatch.setattr(MemoryTransport, "delete_records", refuse)
    monkeypatch.setattr(purging, "PURGE_INTERVAL_S", 0.0)

    async def scenario(cluster: Any) -> None:
        await cluster.run_to_end(by_letter())
        cluster.send("words", ("k", "apple"))
        await cluster.run_to_end(by_letter())
        assert cluster.values("out") == ["apple"]

    play(scenario)
    assert "could not be deleted: deleting records is not allowed" in caplog.text
