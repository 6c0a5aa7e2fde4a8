"""A log that was compacted, after a crash: missing offsets are no damage, whatever its settings have become."""

import asyncio
import uuid
from pathlib import Path

import pytest

from ottla_broker.log.checkpoints import RECOVERY_POINTS
from ottla_broker.log.config import LogConfig, LogManagerConfig
from ottla_broker.log.disk import write_whole
from ottla_broker.log.manager import LogManager
from ottla_broker.log.memory_disk import MemoryDisk
from ottla_broker.log.partition import PartitionLog
from ottla_broker.log.segment import OFFSET_INDEX_SUFFIX
from ottla_wire.records import NewRecord, build_batch, iter_batches

DATA = Path("/data")
SEGMENT_BYTES = 1_000
COMPACT = LogConfig(cleanup_policy=frozenset({"compact"}), segment_bytes=SEGMENT_BYTES, min_cleanable_dirty_ratio=0.0)
DELETE = LogConfig(segment_bytes=SEGMENT_BYTES, retention_ms=-1)


def open_manager(disk: MemoryDisk) -> LogManager:
    manager = LogManager(DATA, LogManagerConfig(), lambda: 1_700_000_000_000, disk)
    manager.open(node_id=1)
    return manager


async def compacted(disk: MemoryDisk) -> dict[int, bytes | None]:
    """A log that lacks offsets at the beginning, between and at the end of its segments; what it holds."""
    manager = open_manager(disk)
    log = manager.create("t", uuid.UUID(int=7), 0, COMPACT)
    for number in range(60):
        key = b"late" if number % 13 > 8 else b"%d" % (number % 17)
        log.append(build_batch([NewRecord(key, b"v" * 60, 1_000)] * 2), leader_epoch=0, now_ms=0)
        log.update_high_watermark(log.log_end_offset)
    await manager.compact(log)
    log.flush()
    return everything(log)


def everything(log: PartitionLog) -> dict[int, bytes | None]:
    """All records by offset; each offset, also of a record that is gone, is a place to begin at."""
    found: dict[int, bytes | None] = {}
    for offset in range(log.log_start_offset, log.log_end_offset):
        region = log.read(offset, 1).region
        assert region is not None
        (batch,) = iter_batches(log.read_bytes(region))
        assert batch.last_offset >= offset
        found |= {record.offset: record.key for record in batch.records()}
    return found


@pytest.mark.parametrize("config", [COMPACT, DELETE], ids=["compact", "delete"])
@pytest.mark.parametrize("kept", [True, False], ids=["recovery point", "damaged recovery point"])
def test_nothing_is_lost_with_the_recovery_points_and_another_policy(config: LogConfig, kept: bool) -> None:
    async def scenario() -> None:
        disk = MemoryDisk()
        held = await compacted(disk)
        assert len(held) < 60
        disk.crash()
        if not kept:
            write_whole(disk, DATA / RECOVERY_POINTS, b"garbage")
        manager = open_manager(disk)
        await manager.load(lambda _: config)
        log = manager.get("t", 0)
        assert log is not None
        log.update_high_watermark(log.log_end_offset)
        assert log.log_end_offset == 120
        assert everything(log) == held

    asyncio.run(scenario())


def test_indexes_that_are_made_anew_know_of_what_is_missing_at_the_end_of_a_segment() -> None:
    async def scenario() -> None:
        disk = MemoryDisk()
        held = await compacted(disk)
        disk.crash()
        for name in disk.list(DATA / "t-0"):
            if name.endswith(OFFSET_INDEX_SUFFIX):
                disk.remove(DATA / "t-0" / name)
        manager = open_manager(disk)
        await manager.load(lambda _: COMPACT)
        log = manager.get("t", 0)
        assert log is not None
        log.update_high_watermark(log.log_end_offset)
        assert everything(log) == held

    asyncio.run(scenario())
