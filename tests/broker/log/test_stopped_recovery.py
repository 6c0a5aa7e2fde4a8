"""A node that is told to stop while it recovers after a crash: it does so soon, and the next start goes on."""

import asyncio
import copy
import shutil
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ottla_broker import process
from ottla_broker.cluster.topics import NewTopic
from ottla_broker.config import BrokerConfig
from ottla_broker.log.config import LogConfig, LogManagerConfig
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.manager import LogManager
from ottla_broker.log.memory_disk import MemoryDisk, MemoryFile
from ottla_wire.records import NewRecord, build_batch

DATA = Path("/data")
TOPIC_ID = uuid.UUID(int=77)
LOGS, SEGMENTS, BATCHES = 3, 4, 4
CONFIG = LogConfig()
TIMEOUT_S = 60
NEVER = 2**31


def open_manager(disk: MemoryDisk, threads: int = 2) -> LogManager:
    manager = LogManager(DATA, LogManagerConfig(recovery_threads=threads), lambda: 1_700_000_000_000, disk)
    manager.open(node_id=1)
    return manager


def crashed() -> MemoryDisk:
    """A node whose logs were all on the device, but nothing says so."""
    disk = MemoryDisk()
    manager = open_manager(disk)
    for index in range(LOGS):
        log = manager.create("t", TOPIC_ID, index, CONFIG)
        for number in range(SEGMENTS * BATCHES):
            if number % BATCHES == 0:
                log.roll(0)
            log.append(build_batch([NewRecord(b"k", b"v" * 200, 1)] * 10), leader_epoch=0, now_ms=0)
        log.flush()
    disk.crash()
    return disk


async def all_there(disk: MemoryDisk) -> None:
    manager = open_manager(disk)
    await manager.load(lambda _: CONFIG)
    assert {log.index: log.log_end_offset for log in manager} == dict.fromkeys(range(LOGS), SEGMENTS * BATCHES * 10)
    await manager.close()


class Steps:
    """Counts the steps of the threads that recover; does `act` at one of them, and has them wait for the end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, manager: LogManager, at: int, act: Callable[[], Any]) -> None:
        proceed, lock, self.taken = manager._proceed, threading.Lock(), 0

        def step() -> None:
            with lock:
                self.taken += 1
                now = self.taken
            if now == at:
                act()
            if now >= at:
                assert manager._told_to_stop.wait(TIMEOUT_S)
            proceed()

        monkeypatch.setattr(manager, "_proceed", step)


def test_a_stop_during_recovery_ends_it_at_once_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = crashed()

    async def scenario(at: int) -> tuple[int, int]:
        disk = copy.deepcopy(whole)
        manager = open_manager(disk)
        loop = asyncio.get_running_loop()
        steps = Steps(monkeypatch, manager, at, lambda: loop.call_soon_threadsafe(loading.cancel))
        loading = asyncio.create_task(manager.load(lambda _: CONFIG))
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(loading, TIMEOUT_S)
        recovered = len(manager)
        await manager.close()
        assert not manager.directory.clean_shutdown
        await all_there(disk)
        return steps.taken - at, recovered

    ended = [asyncio.run(scenario(at)) for at in range(1, LOGS * SEGMENTS * BATCHES)]
    assert {further for further, _ in ended} <= {0, 1}  # the other thread's
    assert ended[0][1] == 0
    assert ended[-1][1] >= 1


def test_what_was_recovered_before_a_stop_need_not_be_again(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[int] = []
    read_file = MemoryFile.read
    disk = crashed()

    def read(file: MemoryFile, size: int, position: int) -> bytes:
        checked.append(size)
        return read_file(file, size, position)

    async def count() -> int:
        manager = open_manager(copy.deepcopy(disk))
        steps = Steps(monkeypatch, manager, NEVER, lambda: None)
        await manager.load(lambda _: CONFIG)
        return steps.taken

    async def scenario(at: int) -> None:
        manager = open_manager(disk)
        loop = asyncio.get_running_loop()
        Steps(monkeypatch, manager, at, lambda: loop.call_soon_threadsafe(loading.cancel))
        loading = asyncio.create_task(manager.load(lambda _: CONFIG))
        await asyncio.wait([loading])
        await manager.close()

    async def measure(of: MemoryDisk) -> int:
        checked.clear()
        await all_there(of)
        return sum(checked)

    monkeypatch.setattr(MemoryFile, "read", read)
    anew = asyncio.run(measure(copy.deepcopy(disk)))
    asyncio.run(scenario(asyncio.run(count()) - 2))
    # Of the logs that were recovered only the active segment is looked at.
    assert asyncio.run(measure(disk)) < anew * 0.8


def test_a_log_that_cannot_be_opened_ends_the_work_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        disk = crashed()
        file = disk.open(DATA / "t-0/partition.metadata")
        file.write(b"garbled!", 0)
        manager = open_manager(disk, threads=LOGS)
        own, proceed = threading.local(), manager._proceed

        def step() -> None:
            if getattr(own, "has_begun", False):  # which the one that fails has only once
                assert manager._told_to_stop.wait(TIMEOUT_S)
            own.has_begun = True
            proceed()

        monkeypatch.setattr(manager, "_proceed", step)
        with pytest.raises(CorruptFile, match=r"partition\.metadata"):
            await asyncio.wait_for(manager.load(lambda _: CONFIG), TIMEOUT_S)
        await manager.close()
        file = disk.open(DATA / "t-1/partition.metadata")
        whole = file.read(file.size(), 0)
        disk.open(DATA / "t-0/partition.metadata").write(whole, 0)
        await all_there(disk)

    asyncio.run(scenario())


def test_a_broker_that_is_told_to_stop_while_it_recovers_ends_well(
    start_node: Any, node_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t", 4)])
            for index in range(4):
                batch = build_batch([NewRecord(b"k", b"v", 1)])
                node.broker.append(node.broker.partition("t", index), batch)
            shutil.copytree(node_directory, node_directory.with_name("crashed"))
        told, loop = asyncio.Event(), asyncio.get_running_loop()
        config = BrokerConfig.of({"listeners": "127.0.0.1:0", "log.dirs": str(node_directory.with_name("crashed"))})

        def stand_still(manager: LogManager) -> None:
            loop.call_soon_threadsafe(told.set)
            assert manager._told_to_stop.wait(TIMEOUT_S)
            proceed(manager)

        proceed = LogManager._proceed
        with monkeypatch.context() as patch:
            patch.setattr(LogManager, "load", _patched(LogManager.load, patch, stand_still))
            assert await asyncio.wait_for(process._start(config, told), TIMEOUT_S) is None
        again = await process._start(config, asyncio.Event())
        assert again is not None
        assert [again.broker.partition("t", index).log_end_offset for index in range(4)] == [1, 1, 1, 1]
        await again.stop()

    asyncio.run(main())


def _patched(load: Any, patch: pytest.MonkeyPatch, proceed: Any) -> Any:
    """`load` with another `_proceed`, which the metadata log before it does not have."""

    async def loading(manager: LogManager, config_of: Any) -> None:
        patch.setattr(LogManager, "_proceed", proceed)
        await load(manager, config_of)

    return loading
