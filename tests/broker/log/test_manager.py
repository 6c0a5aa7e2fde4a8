"""All logs of a node: the lock, starting again, deleting, and the work that comes round."""

import asyncio
import dataclasses
import errno
import random
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from ottla_broker.log.checkpoints import FIRST_DIRTY_OFFSETS, LOG_START_OFFSETS, RECOVERY_POINTS, read_offsets
from ottla_broker.log.config import LogConfig, LogManagerConfig
from ottla_broker.log.disk import LocalDisk, write_whole
from ottla_broker.log.errors import DataDirectoryError, DataDirectoryInUse, LogError
from ottla_broker.log.manager import LogManager
from ottla_broker.log.memory_disk import MemoryDisk
from ottla_broker.log.partition import PartitionLog
from ottla_wire.errors import KafkaError

MakeBatch = Callable[..., bytearray]

TOPIC_ID = uuid.UUID(int=77)
DATA = Path("/data")
CONFIG = LogConfig(segment_bytes=1000, file_delete_delay_ms=500)
# Intervals so short that the driver is seen at work.
BUSY = LogManagerConfig(
    retention_check_interval_ms=1,
    flush_scheduler_interval_ms=1,
    flush_offset_checkpoint_interval_ms=1,
    flush_start_offset_checkpoint_interval_ms=1,
    producer_id_expiration_check_interval_ms=1,
    producer_id_expiration_ms=1000,
)


class Node:
    """A node on a disk in memory, which can stop cleanly or crash, and start again."""

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.now_ms = 1_700_000_000_000

    def open(self, config: LogManagerConfig | None = None) -> LogManager:
        manager = LogManager(DATA, config or LogManagerConfig(), lambda: self.now_ms, self.disk)
        manager.open(node_id=1)
        return manager

    def append(self, log: PartitionLog, batch: bytearray) -> None:
        log.append(batch, leader_epoch=0, now_ms=self.now_ms)
        log.update_high_watermark(log.log_end_offset)


class PowerCut(Exception):  # noqa: N818 - what happens, not what goes wrong
    """Nothing happens after this."""


@pytest.fixture
def node() -> Node:
    return Node()


async def until(condition: Callable[[], bool]) -> None:
    """Give the driver time, as long as the test may last."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens on a disk
        await asyncio.sleep(0.001)


def test_a_clean_stop_and_a_start(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        manager = node.open()
        for index in range(3):
            log = manager.create("orders", TOPIC_ID, index, CONFIG)
            for _ in range(20):
                node.append(log, one_batch())
        await manager.close()
        manager = node.open()
        assert manager.directory.clean_shutdown
        await manager.load(lambda topic: {"orders": CONFIG}[topic])
        assert sorted(log.index for log in manager) == [0, 1, 2]
        log = manager.get("orders", 1)
        assert log is not None
        assert (log.topic_id, log.log_end_offset, log.high_watermark, log.config) == (TOPIC_ID, 20, 20, CONFIG)
        await manager.close()

    asyncio.run(scenario())


def test_a_crash_and_a_start(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        manager = node.open()
        log = manager.create("orders", TOPIC_ID, 0, CONFIG)
        for _ in range(20):
            node.append(log, one_batch())
        await manager.flush(log)
        for _ in range(20):
            node.append(log, one_batch())
        node.disk.crash()
        manager = node.open()
        assert not manager.directory.clean_shutdown
        await manager.load(lambda _: CONFIG)
        log = manager.get("orders", 0)
        assert log is not None
        assert (log.topic_id, log.log_end_offset) == (TOPIC_ID, 20)

    asyncio.run(scenario())


def test_a_directory_in_use_is_refused_in_one_sentence(tmp_path: Path) -> None:
    first = LogManager(tmp_path, LogManagerConfig(), lambda: 0)
    first.open(node_id=1)
    with pytest.raises(DataDirectoryInUse, match=rf"^The data directory {tmp_path} is in use by another broker;") as no:
        LogManager(tmp_path, LogManagerConfig(), lambda: 0).open(node_id=1)
    assert "\n" not in str(no.value)
    asyncio.run(first.close())
    LogManager(tmp_path, LogManagerConfig(), lambda: 0).open(node_id=1)


def test_a_directory_that_cannot_be_made_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataDirectoryError, match=r"cannot be used: (File exists|Not a directory)"):
        LogManager(tmp_path / "file", LogManagerConfig(), lambda: 0).open(node_id=1)


def test_a_directory_belongs_to_one_node_and_cluster(node: Node) -> None:
    async def scenario() -> None:
        manager = node.open()
        cluster_id = manager.directory.properties.cluster_id
        assert len(cluster_id) == 22
        await manager.close()
        for node_id, other, complaint in ((2, None, "belongs to node 1"), (1, "elsewhere", "belongs to cluster")):
            with pytest.raises(DataDirectoryError, match=complaint):
                LogManager(DATA, LogManagerConfig(), lambda: 0, node.disk).open(node_id, other)
        again = LogManager(DATA, LogManagerConfig(), lambda: 0, node.disk)
        again.open(1, cluster_id)
        await again.close()

    asyncio.run(scenario())


def test_creating_twice_gives_the_same_log(node: Node) -> None:
    manager = node.open()
    log = manager.create("orders", TOPIC_ID, 0, CONFIG)
    assert manager.create("orders", TOPIC_ID, 0, CONFIG) is log
    assert manager.get("orders", 1) is None
    assert len(manager) == 1


def test_another_topic_of_the_same_name_is_not_mixed_up(node: Node) -> None:
    async def scenario() -> None:
        manager = node.open()
        manager.create("orders", TOPIC_ID, 0, CONFIG)
        await manager.close()
        manager = node.open()
        with pytest.raises(LogError, match="belongs to the topic id"):
            manager.create("orders", uuid.UUID(int=78), 0, CONFIG)

    asyncio.run(scenario())


def test_deleting_renames_at_once_and_removes_later(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        manager = node.open(BUSY)
        log = manager.create("orders", TOPIC_ID, 0, CONFIG)
        for _ in range(3):
            node.append(log, one_batch())
        region = log.read(0, 1000).region
        await manager.delete("orders", 0)
        assert manager.get("orders", 0) is None
        (name,) = (name for name in node.disk.list(DATA) if name.startswith("orders-0."))
        assert name.endswith("-delete")
        assert region is not None
        assert len(log.read_bytes(region)) == region.size
        assert manager.take_due_removals() == []
        node.now_ms += 500
        manager.start()
        await until(lambda: not node.disk.exists(DATA / name))
        await manager.close()

    asyncio.run(scenario())


def test_what_was_deleted_before_a_crash_is_removed_after_it(node: Node) -> None:
    async def scenario() -> None:
        manager = node.open()
        manager.create("orders", TOPIC_ID, 0, CONFIG)
        await manager.delete("orders", 0)
        await manager.close()
        manager = node.open(BUSY)
        await manager.load(lambda _: CONFIG)
        assert len(manager) == 0
        manager.start()
        await until(lambda: not any(name.endswith("-delete") for name in node.disk.list(DATA)))
        await manager.close()

    asyncio.run(scenario())


def test_a_recreated_topic_inherits_nothing_from_the_checkpoints(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        manager = node.open()
        log = manager.create("orders", TOPIC_ID, 0, CONFIG)
        for _ in range(50):
            node.append(log, one_batch())
        log.delete_records_before(40)
        await manager.close()
        manager = node.open()
        await manager.load(lambda _: CONFIG)
        assert read_offsets(node.disk, DATA / LOG_START_OFFSETS) == {("orders", 0): 40}
        await manager.delete("orders", 0)
        log = manager.create("orders", uuid.UUID(int=78), 0, CONFIG)
        for _ in range(5):
            node.append(log, one_batch())
        await manager.flush(log)
        node.disk.sync_directory(DATA)
        node.disk.crash()
        manager = node.open()
        await manager.load(lambda _: CONFIG)
        log = manager.get("orders", 0)
        assert log is not None
        assert (log.log_start_offset, log.log_end_offset) == (0, 5)

    asyncio.run(scenario())


def test_callers_share_a_flush_that_began_after_their_appends(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        manager = node.open()
        log = manager.create("orders", TOPIC_ID, 0, CONFIG)
        node.append(log, one_batch())
        await manager.flush(log)
        before = node.disk.syncs
        await manager.flush(log)
        assert node.disk.syncs == before, "nothing to do"
        flushes = []
        for _ in range(10):
            node.append(log, one_batch())
            flushes.append(asyncio.ensure_future(manager.flush(log)))
        await asyncio.gather(*flushes)
        assert log.recovery_point == 11
        assert node.disk.syncs - before <= 2

    asyncio.run(scenario())


def test_the_driver_does_what_is_due(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        config = LogConfig(segment_bytes=1000, flush_ms=100, retention_ms=5000, file_delete_delay_ms=10)
        manager = node.open(BUSY)
        log = manager.create("orders", TOPIC_ID, 0, config)
        for sequence in range(30):
            options = {"producer_id": 1, "producer_epoch": 0, "base_sequence": sequence}
            node.append(log, one_batch(timestamp=node.now_ms, **options))
        manager.start()
        node.now_ms += 100
        await until(lambda: log.recovery_point == 30)
        await until(lambda: read_offsets(node.disk, DATA / RECOVERY_POINTS) == {("orders", 0): 30})
        node.now_ms += 900
        await until(lambda: log.producers.get(1) is None)
        node.now_ms += 4001
        await until(lambda: log.log_start_offset == 30)
        node.now_ms += 10
        await until(lambda: not any(name.endswith(".deleted") for name in node.disk.list(log.directory)))
        await until(lambda: read_offsets(node.disk, DATA / LOG_START_OFFSETS) == {("orders", 0): 30})
        await manager.close()

    asyncio.run(scenario())


def test_the_driver_goes_by_settings_that_change(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        manager = node.open(dataclasses.replace(BUSY, producer_id_expiration_ms=10_000))
        log = manager.create("orders", TOPIC_ID, 0, CONFIG)
        manager.start()
        node.append(log, one_batch(producer_id=4, producer_epoch=0, base_sequence=0, timestamp=node.now_ms))
        node.now_ms += 5_000
        node.append(log, one_batch(producer_id=5, producer_epoch=0, base_sequence=0, timestamp=node.now_ms))
        node.now_ms += 5_000
        await until(lambda: log.producers.get(4) is None)
        assert log.producers.get(5) is not None, "its time is not over yet"
        manager.configure(BUSY)
        await until(lambda: log.producers.get(5) is None)
        await manager.close()

    asyncio.run(scenario())


def test_closed_segments_are_flushed_soon_so_that_a_crash_leaves_little_to_check(
    node: Node, one_batch: MakeBatch
) -> None:
    async def scenario() -> None:
        manager = node.open(BUSY)
        log = manager.create("orders", TOPIC_ID, 0, CONFIG)
        for _ in range(50):
            node.append(log, one_batch())
        assert len(log.segments) > 2
        manager.start()
        await until(lambda: log.recovery_point == log.segments.active.base_offset)
        assert log.recovery_point < log.log_end_offset
        await until(lambda: read_offsets(node.disk, DATA / RECOVERY_POINTS) == {("orders", 0): log.recovery_point})
        assert all(segment.indexes_stored for segment in list(log.segments)[:-1]), "nor are indexes kept in memory"
        await abandon(manager)

        node.disk.crash()
        manager = node.open()
        await manager.load(lambda _: CONFIG)
        recovered = manager.get("orders", 0)
        assert recovered is not None
        assert recovered.log_end_offset >= log.recovery_point
        await manager.close()

    asyncio.run(scenario())


async def abandon(manager: LogManager) -> None:
    """Stop what the manager does, as a crash would."""
    for job in manager._jobs:
        job.cancel()
    await asyncio.gather(*manager._jobs, return_exceptions=True)


def test_trouble_with_one_log_does_not_keep_the_others_from_their_turn(
    node: Node, one_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rename = node.disk.rename

    def refuse(source: Path, target: Path) -> None:
        if source.parent.name == "orders-0":
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    async def scenario() -> None:
        config = dataclasses.replace(CONFIG, retention_bytes=1000)
        manager = node.open(BUSY)
        logs = [manager.create("orders", TOPIC_ID, index, config) for index in range(2)]
        for log in logs:
            for _ in range(50):
                node.append(log, one_batch())
        monkeypatch.setattr(node.disk, "rename", refuse)
        manager.start()
        await until(lambda: logs[1].log_start_offset > 0)
        monkeypatch.undo()
        await until(lambda: logs[0].log_start_offset > 0)
        await manager.close()

    asyncio.run(scenario())
    assert "orders-0" in caplog.text


def test_a_fault_of_ours_does_not_end_the_work_that_comes_round(
    node: Node, one_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan = PartitionLog.plan_compaction

    def fail(log: PartitionLog, *args: int) -> object:
        if log.index == 0:
            raise struct.error("int too large to convert")
        return plan(log, *args)

    async def scenario() -> None:
        config = LogConfig(segment_bytes=1000, cleanup_policy=frozenset({"compact"}), file_delete_delay_ms=0)
        manager = node.open(dataclasses.replace(BUSY, cleaner_backoff_ms=1))
        logs = [manager.create("state", TOPIC_ID, index, config) for index in range(2)]
        for log in logs:
            for _ in range(50):
                node.append(log, one_batch(key=b"one"))
        monkeypatch.setattr(PartitionLog, "plan_compaction", fail)
        manager.start()
        await until(lambda: logs[1].first_dirty_offset > 0)
        monkeypatch.undo()
        await until(lambda: logs[0].first_dirty_offset > 0)
        await manager.close()

    asyncio.run(scenario())
    assert "has failed for a reason of ours" in caplog.text


def test_what_cannot_be_removed_is_tried_again(
    node: Node, one_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(path))

    async def scenario() -> None:
        manager = node.open(BUSY)
        for index in range(2):
            node.append(manager.create("orders", TOPIC_ID, index, CONFIG), one_batch())
            await manager.delete("orders", index)
        node.now_ms += CONFIG.file_delete_delay_ms
        monkeypatch.setattr(node.disk, "remove_tree", refuse)
        await manager._remove_due()
        assert sum(name.endswith("-delete") for name in node.disk.list(DATA)) == 2
        monkeypatch.undo()
        node.now_ms += 60_000
        await manager._remove_due()
        assert not any(name.endswith("-delete") for name in node.disk.list(DATA))
        await manager.close()

    asyncio.run(scenario())
    assert "will be tried again" in caplog.text


def test_the_driver_compacts_and_remembers_how_far(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        config = LogConfig(segment_bytes=1000, cleanup_policy=frozenset({"compact"}), file_delete_delay_ms=0)
        manager = node.open(dataclasses.replace(BUSY, cleaner_backoff_ms=1))
        log = manager.create("state", TOPIC_ID, 0, config)
        for _ in range(50):
            node.append(log, one_batch(key=b"one"))
        manager.start()
        await until(lambda: log.first_dirty_offset > 0)
        assert log.size_bytes < 1500
        compacted = log.first_dirty_offset
        await until(lambda: read_offsets(node.disk, DATA / FIRST_DIRTY_OFFSETS) == {("state", 0): compacted})
        assert read_offsets(node.disk, DATA / RECOVERY_POINTS) == {("state", 0): 50}
        await manager.close()
        manager = node.open()
        await manager.load(lambda _: config)
        log = manager.get("state", 0)
        assert log is not None
        assert (log.first_dirty_offset, log.log_end_offset) == (compacted, 50)
        await manager.close()

    asyncio.run(scenario())


def test_a_log_that_cannot_be_flushed_prevents_the_clean_shutdown_marker(
    node: Node, one_batch: MakeBatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        manager = node.open()
        node.append(manager.create("orders", TOPIC_ID, 0, CONFIG), one_batch())
        node.disk.fail_sync = errno.EIO
        await manager.close()

    asyncio.run(scenario())
    assert "could not be flushed" in caplog.text
    node.disk.fail_sync = None
    assert not node.open().directory.clean_shutdown


def test_a_log_that_has_failed_before_prevents_it_too(
    node: Node, one_batch: MakeBatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        manager = node.open()
        log = manager.create("orders", TOPIC_ID, 0, CONFIG)
        node.append(log, one_batch())
        node.disk.fail_sync = errno.EIO
        with pytest.raises(KafkaError):
            await manager.flush(log)
        node.disk.fail_sync = None
        await manager.close()

    asyncio.run(scenario())
    assert "could not be closed cleanly" in caplog.text
    assert not node.open().directory.clean_shutdown


def test_a_stop_waits_for_the_device_a_few_times_however_many_logs_there_are(node: Node, one_batch: MakeBatch) -> None:
    async def scenario(count: int) -> int:
        manager = node.open()
        await manager.load(lambda _: CONFIG)
        for index in range(count):
            node.append(manager.create("orders", TOPIC_ID, index, CONFIG), one_batch())
        before = node.disk.syncs
        await manager.close()
        return node.disk.syncs - before

    few = asyncio.run(scenario(2))
    assert asyncio.run(scenario(200)) == few < 10


def test_a_stop_writes_nothing_for_logs_that_nothing_has_happened_to(node: Node, one_batch: MakeBatch) -> None:
    async def scenario(*, appends: bool) -> None:
        manager = node.open()
        await manager.load(lambda _: CONFIG)
        for index in range(2):
            log = manager.create("orders", TOPIC_ID, index, CONFIG)
            if appends and index == 0:
                node.append(log, one_batch())
        await manager.close()

    asyncio.run(scenario(appends=True))
    assert node.disk.list(DATA / "orders-1") == ["partition.metadata", "00000000000000000000.log"]
    node.now_ms = node.disk.now_ms = 1_800_000_000_000
    asyncio.run(scenario(appends=False))
    for directory in (DATA / "orders-0", DATA / "orders-1"):
        for name in node.disk.list(directory):
            assert node.disk.modified_ms(directory / name) < node.now_ms, name


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_while_stopping_costs_nothing_that_was_flushed(
    node: Node, one_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    syncs, cut_at = 0, seed % 2
    sync = node.disk.sync_filesystem

    def cut(path: Path) -> None:
        nonlocal syncs
        if syncs == cut_at:
            node.disk.crash(chance)
            raise PowerCut
        syncs += 1
        sync(path)

    async def stop() -> None:
        manager = node.open()
        for index in range(5):
            log = manager.create("orders", TOPIC_ID, index, CONFIG)
            for _ in range(10):
                node.append(log, one_batch())
            await manager.flush(log)
            for _ in range(10):
                node.append(log, one_batch())
        monkeypatch.setattr(node.disk, "sync_filesystem", cut)
        with pytest.raises(PowerCut):
            await manager.close()
        monkeypatch.undo()

    async def start() -> None:
        manager = node.open()
        assert not manager.directory.clean_shutdown
        await manager.load(lambda _: CONFIG)
        for index in range(5):
            log = manager.get("orders", index)
            assert log is not None
            assert 10 <= log.log_end_offset <= 20
            assert log.epoch_at(9) == 0
            node.append(log, one_batch())
        await manager.close()

    asyncio.run(stop())
    asyncio.run(start())


def test_a_damaged_checkpoint_costs_a_recovery_and_no_data(
    node: Node, one_batch: MakeBatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        manager = node.open()
        log = manager.create("orders", TOPIC_ID, 0, CONFIG)
        for _ in range(30):
            node.append(log, one_batch())
        await manager.close()
        write_whole(node.disk, DATA / RECOVERY_POINTS, b"garbage")
        manager = node.open()
        await manager.load(lambda _: CONFIG)
        log = manager.get("orders", 0)
        assert log is not None
        assert log.log_end_offset == 30
        await manager.close()

    asyncio.run(scenario())
    assert "Ignoring a damaged checkpoint" in caplog.text


def test_a_data_directory_on_a_real_disk(tmp_path: Path, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        for round_number in range(3):
            manager = LogManager(tmp_path, LogManagerConfig(), lambda: 1_700_000_000_000, LocalDisk())
            manager.open(node_id=1)
            await manager.load(lambda _: CONFIG)
            log = manager.create("orders", TOPIC_ID, 0, CONFIG)
            assert log.log_end_offset == round_number * 30
            for _ in range(30):
                log.append(one_batch(), leader_epoch=0, now_ms=1_700_000_000_000)
            log.update_high_watermark(log.log_end_offset)
            region = log.read(round_number * 30, 10**6).region
            assert region is not None
            assert len(log.read_bytes(region)) == region.size
            manager.create("gone", TOPIC_ID, 0, CONFIG)
            await manager.delete("gone", 0)
            await manager.close()
        assert (tmp_path / "orders-0" / "partition.metadata").exists()

    asyncio.run(scenario())
