"""What needs more time or rights than the default tests have: two hundred kills, and a disk that is really full."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ottla_wire.errors import ErrorCode
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from ottla_wire.records import NewRecord, build_batch, iter_batches

from ..broker.kills import KilledBroker, Wire, kill_often

KILLS = 200
DISK_MB = 24
VALUE_BYTES = 200_000


@pytest.mark.timeout(1800)
def test_a_broker_that_is_killed_two_hundred_times_loses_nothing_and_leaves_no_gap(tmp_path: Path) -> None:
    broker = kill_often(tmp_path / "data", KILLS, seed=2)
    assert broker.kills == KILLS
    for producer in broker.producers:
        assert producer.acknowledged > 10 * broker.kills, f"{producer.topic} was hardly written to"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 24 MB. Mounting one takes root."""
    if os.geteuid() != 0:
        pytest.skip("a small filesystem is mounted for this, which takes root")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"a small filesystem cannot be mounted here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def produce(wire: Wire, topic: str, value: bytes) -> ErrorCode:
    records = build_batch([NewRecord(None, value, 1_700_000_000_000)])
    topics = [TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=0, records=records)])]
    answer = wire.ask(ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=topics), ProduceResponse)
    return ErrorCode(answer.responses[0].partition_responses[0].error_code)


def values(wire: Wire, topic: str) -> list[bytes | None]:
    """All there is in a topic, checked against the checksums."""
    found: list[bytes | None] = []
    while True:
        partition = FetchPartition(partition=0, fetch_offset=len(found), partition_max_bytes=10_000_000)
        topics = [FetchTopic(topic=topic, partitions=[partition])]
        answer = wire.ask(FetchRequest(max_wait_ms=0, min_bytes=0, topics=topics), FetchResponse)
        data = answer.responses[0].partitions[0]
        assert data.error_code == 0, data
        batches = list(iter_batches(data.records or b""))
        if not batches:
            return found
        for batch in batches:
            batch.validate()
            assert batch.base_offset == len(found)
            found += [record.value for record in batch.records()]


def test_a_topic_that_a_full_disk_has_no_room_for_is_made_once_there_is_some(small_disk: Path) -> None:
    filler = small_disk / "filler"
    broker = KilledBroker(small_disk / "data", seed=4)
    try:
        broker.start()
        wire = broker.wire()
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1_000_000))
        broker.create_topics()
        assert produce(wire, "plain", b"early") is ErrorCode.KAFKA_STORAGE_ERROR
        filler.unlink()
        deadline = time.monotonic() + 100
        while (code := produce(wire, "plain", b"late")) is ErrorCode.KAFKA_STORAGE_ERROR:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert code is ErrorCode.NONE
        assert values(wire, "plain") == [b"late"]
        wire.close()
    finally:
        broker.kill()


@pytest.mark.parametrize("topic", ["plain", "flushed"])
def test_a_full_disk_is_an_error_to_producers_only_and_passes_without_a_restart(small_disk: Path, topic: str) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(DISK_MB * 1_000_000 // 2))
    broker = KilledBroker(small_disk / "data", seed=3)
    try:
        broker.start()
        broker.create_topics()
        wire = broker.wire()
        sent: list[bytes | None] = []

        def fill() -> ErrorCode:
            """Produce until the broker refuses; what it said."""
            while len(sent) * VALUE_BYTES < 2 * DISK_MB * 1_000_000:
                value = len(sent).to_bytes(4, "big") + bytes(VALUE_BYTES)
                if (code := produce(wire, topic, value)) is not ErrorCode.NONE:
                    return code
                sent.append(value)
            return ErrorCode.NONE

        assert fill() is ErrorCode.KAFKA_STORAGE_ERROR
        before = len(sent)
        assert before > 10
        assert fill() is ErrorCode.KAFKA_STORAGE_ERROR
        assert values(wire, topic) == sent  # reads go on

        filler.unlink()
        assert fill() is ErrorCode.KAFKA_STORAGE_ERROR  # at the end of the room that this made
        assert len(sent) > before + 10
        assert values(wire, topic) == sent
        wire.close()

        broker.kill()
        (small_disk / "data" / "broker.address").unlink(missing_ok=True)
        broker.start()
        wire = broker.wire()
        assert values(wire, topic) == sent
        wire.close()
    finally:
        broker.kill()
