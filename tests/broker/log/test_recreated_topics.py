"""A topic is deleted and made again while something is still being done with the files of the first one."""

import asyncio
import dataclasses
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from ottla_broker.log.checkpoints import LOG_START_OFFSETS, read_offsets
from ottla_broker.log.config import LogConfig, LogManagerConfig
from ottla_broker.log.disk import LocalDisk
from ottla_broker.log.manager import LogManager
from ottla_broker.log.partition import PartitionLog

MakeBatch = Callable[..., bytearray]

NOW_MS = 1_700_000_000_000
CONFIG = LogConfig(segment_bytes=1000, cleanup_policy=frozenset({"compact"}), file_delete_delay_ms=0)


class SlowDisk(LocalDisk):
    """A real one, on which one kind of work waits in its thread until it is let go on."""

    def __init__(self) -> None:
        self.waits_for = ""
        self.waiting = threading.Event()
        self.go_on = threading.Event()

    def open(self, path: Path, *, create: bool = False):
        if self.waits_for and path.name.endswith(self.waits_for):
            self.waits_for = ""
            self.waiting.set()
            assert self.go_on.wait(20)
        return super().open(path, create=create)


class Node:
    """A data directory on a slow disk, and who manages it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.disk = SlowDisk()

    def open(self) -> LogManager:
        manager = LogManager(self.path, LogManagerConfig(), lambda: NOW_MS, self.disk)
        manager.open(node_id=1)
        return manager

    def append(self, log: PartitionLog, batch: bytearray) -> None:
        log.append(batch, leader_epoch=0, now_ms=NOW_MS)
        log.update_high_watermark(log.log_end_offset)

    async def is_waiting(self) -> None:
        assert await asyncio.to_thread(self.disk.waiting.wait, 20)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize("at", [".log.cleaned", ".timeindex.cleaned.tmp"])
def test_a_compaction_of_the_first_leaves_the_second_alone(node: Node, one_batch: MakeBatch, at: str) -> None:
    async def scenario() -> None:
        manager = node.open()
        first = manager.create("state", uuid.UUID(int=1), 0, CONFIG)
        for _ in range(15):
            node.append(first, one_batch(key=b"one"))
        node.disk.waits_for = at
        compacting = asyncio.create_task(manager.compact(first))
        await node.is_waiting()
        deleting = asyncio.create_task(manager.delete("state", 0))
        await asyncio.sleep(0)
        node.disk.go_on.set()
        await deleting
        second = manager.create("state", uuid.UUID(int=2), 0, CONFIG)
        for _ in range(3):
            node.append(second, one_batch(key=b"two"))
        await asyncio.gather(compacting, return_exceptions=True)
        assert sorted(path.name for path in (node.path / "state-0").iterdir()) == [
            "00000000000000000000.log",
            "partition.metadata",
        ]
        await manager.close()
        manager = node.open()
        await manager.load(lambda _: CONFIG)
        again = manager.get("state", 0)
        assert again is not None
        assert (again.topic_id, again.log_end_offset) == (uuid.UUID(int=2), 3)
        await manager.close()

    asyncio.run(scenario())


def test_a_checkpoint_that_is_being_written_says_nothing_of_the_second(node: Node, one_batch: MakeBatch) -> None:
    async def scenario() -> None:
        config = dataclasses.replace(CONFIG, cleanup_policy=frozenset({"delete"}))
        manager = node.open()
        first = manager.create("orders", uuid.UUID(int=1), 0, config)
        for _ in range(50):
            node.append(first, one_batch())
        first.delete_records_before(40)
        node.disk.waits_for = f"{LOG_START_OFFSETS}.tmp"
        writing = asyncio.create_task(manager._checkpoint_starts())
        await node.is_waiting()
        await manager.delete("orders", 0)
        threading.Timer(0.05, node.disk.go_on.set).start()
        second = manager.create("orders", uuid.UUID(int=2), 0, config)
        node.append(second, one_batch())
        await writing
        assert read_offsets(node.disk, node.path / LOG_START_OFFSETS).get(("orders", 0), 0) == 0
        await manager.close()

    asyncio.run(scenario())
