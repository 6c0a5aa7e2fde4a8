"""The driver of cluster metadata, over a real log."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.cluster.metadata_log import Changes, MetadataLog, SnapshotPolicy
from ottla_broker.cluster.records import FeatureLevelRecord, MetadataRecord
from ottla_broker.log.config import LogConfig
from ottla_broker.log.disk import LocalDisk
from ottla_broker.log.partition import PartitionLog
from ottla_wire.errors import ErrorCode, KafkaError

NAMES = ("a", "b", "c")
NEVER = SnapshotPolicy(2**40, 0)


def level(name: str, value: int) -> list[MetadataRecord]:
    return [FeatureLevelRecord(name=name, feature_level=value)]


def open_log(directory: Path) -> PartitionLog:
    return PartitionLog.open(directory, "__cluster_metadata", 0, LogConfig(), now_ms=0, clean_shutdown=False)


def run(directory: Path, scenario: Callable[[MetadataLog], Awaitable[None]], flush: Any = None) -> list[Changes]:
    published: list[Changes] = []

    async def publish(changes: Changes) -> None:
        published.append(changes)

    async def flush_now(log: PartitionLog) -> None:
        log.flush()

    async def main() -> None:
        metadata = MetadataLog(
            open_log(directory), flush or flush_now, ClusterImage(), lambda: 1_000, publish, NEVER, LocalDisk()
        )
        metadata.replay()
        metadata.start()
        try:
            await scenario(metadata)
        finally:
            await metadata.stop()

    asyncio.run(main())
    return published


def test_decisions_are_durable_and_visible_when_they_are_answered(tmp_path: Path) -> None:
    async def decide(metadata: MetadataLog) -> None:
        assert await metadata.submit(lambda: (level("a", 1), "reply")) == "reply"
        assert metadata.image.features == {"a": 1}

    async def look(metadata: MetadataLog) -> None:
        assert metadata.image.features == {"a": 1}

    assert len(run(tmp_path, decide)) == 1
    assert run(tmp_path, look) == []


def test_each_decision_sees_those_before_it(tmp_path: Path) -> None:
    async def scenario(metadata: MetadataLog) -> None:
        def count() -> Any:
            following = metadata.image.features.get("a", 0) + 1
            return level("a", following), following

        assert sorted(await asyncio.gather(*(metadata.submit(count) for _ in range(20)))) == list(range(1, 21))

    run(tmp_path, scenario)


def test_a_refusal_reaches_who_asked_and_nobody_else(tmp_path: Path) -> None:
    def refuse() -> Any:
        raise ValueError("no")

    async def scenario(metadata: MetadataLog) -> None:
        with pytest.raises(ValueError, match="no"):
            await metadata.submit(refuse)
        assert await metadata.submit(lambda: (level("a", 1), 2)) == 2

    run(tmp_path, scenario)


def test_a_decision_without_records_writes_nothing(tmp_path: Path) -> None:
    async def scenario(metadata: MetadataLog) -> None:
        assert await metadata.submit(lambda: ([], "reply")) == "reply"
        assert metadata.image.offset == -1

    assert run(tmp_path, scenario) == []


def test_a_caller_that_goes_away_does_not_stop_its_decision(tmp_path: Path) -> None:
    async def scenario(metadata: MetadataLog) -> None:
        gone = asyncio.ensure_future(metadata.submit(lambda: (level("a", 1), None)))
        await asyncio.sleep(0)
        gone.cancel()
        await metadata.submit(lambda: (level("b", 1), None))
        assert metadata.image.features == {"a": 1, "b": 1}

    run(tmp_path, scenario)


def test_records_are_not_visible_before_they_are_durable(tmp_path: Path) -> None:
    images: list[ClusterImage] = []
    seen_at_flush: list[dict[str, int]] = []

    async def flush(log: PartitionLog) -> None:
        assert log.log_end_offset == 1
        seen_at_flush.append(dict(images[0].features))

    async def scenario(metadata: MetadataLog) -> None:
        images.append(metadata.image)
        await metadata.submit(lambda: (level("a", 1), None))
        assert metadata.image.features == {"a": 1}

    run(tmp_path, scenario, flush)
    assert seen_at_flush == [{}]


def test_a_decision_in_the_log_waits_for_room_and_others_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ottla_broker.cluster.metadata_log._FLUSH_RETRY_S", 0.001)
    full = 3

    async def flush(log: PartitionLog) -> None:
        nonlocal full
        if full:
            full -= 1
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "No space left on device")
        log.flush()

    async def scenario(metadata: MetadataLog) -> None:
        def count() -> Any:
            following = metadata.image.features.get("a", 0) + 1
            return level("a", following), following

        assert await asyncio.gather(metadata.submit(count), metadata.submit(count)) == [1, 2]
        assert metadata.image.offset == metadata.end_offset - 1

    run(tmp_path, scenario, flush)
    assert full == 0


def test_a_stop_does_not_wait_for_room_and_the_next_start_finds_the_decision(tmp_path: Path) -> None:
    refused: list[BaseException | int] = []

    async def flush(_log: PartitionLog) -> None:
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "No space left on device")

    async def scenario(metadata: MetadataLog) -> None:
        asked = [asyncio.ensure_future(metadata.submit(lambda: (level("a", 1), 1))) for _ in range(2)]
        while metadata.end_offset == 0:  # noqa: ASYNC110 - nobody says so
            await asyncio.sleep(0)
        await asyncio.wait_for(metadata.stop(), 60)
        refused.extend(await asyncio.gather(*asked, return_exceptions=True))

    async def look(metadata: MetadataLog) -> None:
        assert metadata.image.features == {"a": 1}
        assert metadata.end_offset == 1

    run(tmp_path, scenario, flush)
    assert [type(error) for error in refused] == [KafkaError, KafkaError]
    run(tmp_path, look)


def test_the_log_is_read_back_in_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def decide(metadata: MetadataLog) -> None:
        for number in range(50):
            await metadata.submit(lambda number=number: (level(NAMES[number % 3], number), None))

    async def look(metadata: MetadataLog) -> None:
        assert metadata.image.features == {"a": 48, "b": 49, "c": 47}
        assert metadata.image.offset == 49

    run(tmp_path, decide)
    monkeypatch.setattr("ottla_broker.cluster.metadata_log._READ_BYTES", 200)
    run(tmp_path, look)
