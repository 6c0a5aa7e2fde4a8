"""Apache Kafka's own dump tool reads what the log writes.

OTTLA_KAFKA_CLASSPATH is the class path of an Apache Kafka 4.x installation, such as `/opt/kafka/libs/*`.
"""

import os
import re
import subprocess
import uuid
from pathlib import Path

import pytest

from ottla_broker.cluster import snapshots
from ottla_broker.cluster.image import ClusterImage
from ottla_broker.cluster.records import (
    ConfigRecord,
    FeatureLevelRecord,
    MetadataRecord,
    PartitionRecord,
    ProducerIdsRecord,
    RegisterBrokerRecord,
    TopicRecord,
)
from ottla_broker.log.config import LogConfig
from ottla_broker.log.disk import LocalDisk, Rewrites
from ottla_broker.log.pace import Pace
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.records import Compression, NewRecord, build_batch

NOW_MS = 1_700_000_000_000
CLASSPATH = os.environ.get("OTTLA_KAFKA_CLASSPATH")

pytestmark = pytest.mark.skipif(CLASSPATH is None, reason="OTTLA_KAFKA_CLASSPATH is not set")


def write_log(directory: Path) -> PartitionLog:
    """Two producers whose transactions commit and abort, every compression type, several segments and epochs."""
    config = LogConfig(segment_bytes=15_000, index_interval_bytes=500)
    log = PartitionLog.open(directory, "orders", 0, config, now_ms=NOW_MS, clean_shutdown=True)
    sequences = {7: 0, 8: 0}
    for number in range(300):
        producer_id, now_ms, epoch = 7 + number % 2, NOW_MS + number, number // 100
        batch = build_batch(
            [NewRecord(b"key", b"value" * 4, now_ms), NewRecord(None, None, now_ms, [("header", b"x")])],
            compression=Compression(number % 5),
            producer_id=producer_id,
            producer_epoch=1,
            base_sequence=sequences[producer_id],
            transactional=True,
        )
        sequences[producer_id] += 2
        log.append(batch, leader_epoch=epoch, now_ms=now_ms)
        if number % 10 in (8, 9):
            marker = build_end_txn_marker(
                commit=number % 20 < 10,
                producer_id=producer_id,
                producer_epoch=1,
                coordinator_epoch=3,
                timestamp=now_ms,
            )
            log.append(marker, leader_epoch=epoch, now_ms=now_ms, origin=Origin.COORDINATOR)
    log.update_high_watermark(log.log_end_offset)
    return log


def stop(log: PartitionLog) -> None:
    """Leave the files as a clean stop does."""
    rewrites = Rewrites(LocalDisk())
    log.settle(rewrites)
    rewrites.commit(log.directory)
    log.close(durable=True)


def dump(files: list[Path], *options: str) -> str:
    """What the tool prints, with its complaints."""
    names = ",".join(map(str, files))
    command = ["java", "-cp", str(CLASSPATH), "org.apache.kafka.tools.DumpLogSegments", *options, "--files", names]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("data") / "orders-0"
    log = write_log(directory)
    assert log.log_end_offset == 660
    assert len(log.segments) == 3
    stop(log)
    return sorted(directory.glob("0*"))


def test_43_every_record_is_read(files: list[Path]) -> None:
    printed = dump([path for path in files if path.suffix == ".log"], "--deep-iteration", "--print-data-log")
    offsets = [int(offset) for offset in re.findall(r"^\| offset: (\d+)", printed, re.MULTILINE)]
    assert offsets == list(range(660))
    assert printed.count("payload: valuevaluevaluevalue") == 300
    assert printed.count("endTxnMarker: COMMIT") == printed.count("endTxnMarker: ABORT") == 30
    assert "isvalid: false" not in printed
    assert {f"partitionLeaderEpoch: {epoch}" for epoch in range(3)} <= set(
        re.findall(r"partitionLeaderEpoch: \d+", printed)
    )


@pytest.mark.parametrize("option", ["--index-sanity-check", "--verify-index-only"])
def test_43_the_offset_and_time_indexes_hold(files: list[Path], option: str) -> None:
    indexes = [path for path in files if path.suffix in (".index", ".timeindex", ".log")]
    printed = dump(indexes, option)
    assert not re.search(r"mismatch|exception|not.*(found|indexed)|corrupt", printed, re.IGNORECASE), printed
    if option == "--index-sanity-check":
        assert printed.count("passed sanity check") == 6


def test_43_aborted_transactions_and_producer_states_are_read(files: list[Path]) -> None:
    printed = dump([path for path in files if path.suffix in (".txnindex", ".snapshot")])
    aborted = re.findall(r"producerId: (\d+) firstOffset: (\d+) lastOffset: (\d+) lastStableOffset: (\d+)", printed)
    assert len(aborted) == 30
    assert aborted[0] == ("7", "22", "40", "24")
    assert "producerId: 8 producerEpoch: 1 coordinatorEpoch: 3 currentTxnFirstOffset: OptionalLong.empty" in printed
    assert "firstSequence: 298 lastSequence: 299" in printed


def test_43_a_compacted_segment_is_read(tmp_path: Path) -> None:
    config = LogConfig(cleanup_policy=frozenset({"compact"}), min_cleanable_dirty_ratio=0.0)
    log = PartitionLog.open(tmp_path / "state-0", "state", 0, config, now_ms=NOW_MS, clean_shutdown=True)
    for number in range(40):
        records = [NewRecord(b"%d" % (number % 7), None if number == 39 else b"%d" % number, NOW_MS)] * 2
        options = {"producer_id": 7, "producer_epoch": 0, "base_sequence": 2 * number}
        batch = build_batch(records, compression=Compression(number % 5), **options)
        log.append(batch, leader_epoch=0, now_ms=NOW_MS)
    log.update_high_watermark(log.log_end_offset)
    log.roll(NOW_MS)
    log.flush()
    plan = log.plan_compaction(max_keys=100, now_ms=NOW_MS)
    assert plan is not None
    log.finish_compaction(plan.run(Pace()))
    path = log.segments[0].path(".log")
    stop(log)
    printed = dump([path], "--deep-iteration", "--print-data-log")
    offsets = [int(offset) for offset in re.findall(r"^\| offset: (\d+)", printed, re.MULTILINE)]
    assert offsets == list(range(67, 80, 2))
    assert "isvalid: false" not in printed
    assert f"deleteHorizonMs: OptionalLong[{NOW_MS + config.delete_retention_ms}]" in printed


def test_43_a_snapshot_of_the_metadata_log_is_read(tmp_path: Path) -> None:
    image, topic_id = ClusterImage(), uuid.uuid4()
    replicas: dict[str, list[int]] = {"replicas": [1], "isr": [1], "removing_replicas": [], "adding_replicas": []}
    records: list[MetadataRecord] = [
        FeatureLevelRecord(name="metadata.version", feature_level=25),
        RegisterBrokerRecord(
            broker_id=1, incarnation_id=uuid.uuid4(), broker_epoch=1, end_points=[], features=[], rack="r", fenced=False
        ),
        TopicRecord(name="orders", topic_id=topic_id),
        PartitionRecord(partition_id=0, topic_id=topic_id, leader=1, leader_epoch=3, partition_epoch=4, **replicas),
        ConfigRecord(resource_type=2, resource_name="orders", name="retention.ms", value="7"),
        ProducerIdsRecord(broker_id=-1, next_producer_id=3_000),
    ]
    for offset, record in enumerate(records):
        image.replay(record, offset)
    snapshot = snapshots.write(LocalDisk(), tmp_path, image, leader_epoch=1, appended_ms=NOW_MS)
    printed = dump([snapshot.path], "--cluster-metadata-decoder")
    assert "Snapshot end offset: 6, epoch: 1" in printed
    kinds = re.findall(r'SnapshotHeader|SnapshotFooter|"type":"(?:[A-Z_]+)"', printed)
    names = ("FEATURE_LEVEL", "REGISTER_BROKER", "TOPIC", "PARTITION", "CONFIG", "PRODUCER_IDS")
    assert kinds == ["SnapshotHeader", *(f'"type":"{name}_RECORD"' for name in names), "SnapshotFooter"]
    assert f'"lastContainedLogTimestamp":{NOW_MS}' in printed
    assert '"leaderEpoch":3,"partitionEpoch":4' in printed
