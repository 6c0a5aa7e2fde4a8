"""A disk that is full now here, now there, under a producer of transactions: nothing is lost, torn or stuck by it."""

import asyncio
import errno
import random

import pytest

from ottla_broker.log.disk import LocalDisk, LocalFile
from ottla_broker.log.manager import LogManager
from ottla_broker.node import Node
from ottla_wire.errors import KafkaError

from ..virtual_time import let_nodes_live_in, run
from .test_killed_transactions import ID, OUTPUTS, RETRY_S, TIMEOUT_MS, World, settings

TRANSACTIONS = 30
BOUND_S = 5.0
"""How soon all is well once there is room."""


class FillingDisk(LocalDisk):
    """Has no room where `full`, a part of a path, is found in the path of a file."""

    def __init__(self):
        self.full = None
        self.refused = 0

    def refuse(self, path):
        if self.full is not None and self.full in str(path):
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")

    def open(self, path, *, create=False):
        if create:
            self.refuse(path)
        return FillingFile(super().open(path, create=create), self, path)


class FillingFile(LocalFile):
    __slots__ = ("_disk", "_path")

    def __init__(self, file, disk, path):
        self.descriptor = file.descriptor
        self._disk, self._path = disk, path

    def write(self, data, position):
        self._disk.refuse(self._path)
        return super().write(data, position)


async def fill(disk, rng):
    """Let the disk be full for a while, again and again."""
    while True:
        await asyncio.sleep(rng.uniform(0.05, 1))
        disk.full = rng.choice(["__transaction_state", "__consumer_offsets", "output-0", "output", "/"])
        await asyncio.sleep(rng.uniform(0.05, 2))
        disk.full = None


async def persist(act):
    """What a client does: try again until it works."""
    while True:
        try:
            return await act()
        except KafkaError:
            await asyncio.sleep(RETRY_S)


@pytest.mark.parametrize("flush", [False, True], ids=["page cache", "flushed"])
@pytest.mark.parametrize("seed", range(6))
def test_transactions_under_a_disk_that_is_full_at_times(monkeypatch, node_directory, seed, flush):
    rng, disk = random.Random(seed), FillingDisk()

    async def main(loop):
        let_nodes_live_in(loop, monkeypatch)
        monkeypatch.setattr("ottla_broker.node.LogManager", lambda *arguments: LogManager(*arguments, disk))
        config = settings(node_directory, **({"log.flush.interval.messages": "1"} if flush else {}))
        node = await Node.start(config)
        try:
            world = World(loop, node, seed % 2 * 2)
            await world.broker.groups.locate("group")
            await world.broker.transactions.locate(ID)
            await world.broker.controller.ensure_topics(["input", "output"])
            filling = asyncio.create_task(fill(disk, rng))
            certain, possible = [], []
            producer = await persist(lambda: init(world))
            for number in range(TRANSACTIONS):
                await asyncio.sleep(rng.uniform(0, 0.3))
                commit = rng.random() < 0.7
                try:
                    if commit:
                        possible.append(number)
                    producer = await world.transaction(producer, number, commit)
                    certain += [number] * commit
                except KafkaError:
                    producer = await persist(lambda: init(world))
            filling.cancel()
            disk.full = None
            await asyncio.wait_for(persist(lambda: init(world)), BOUND_S)
            await world.until(world.stable, BOUND_S, "moving the last stable offset")
            first, *others = [await world.committed(partition) for partition in OUTPUTS]
            assert all(other == first for other in others), f"partitions disagree: {first}, {others}"
            assert world.offset() == first[-1]
            assert set(certain) <= set(first) <= set(possible)
            assert first == sorted(first)
            assert disk.refused
            assert not node.reasons_not_ready()
        finally:
            disk.full = None
            await node.stop()

    run(main, stall=lambda: rng.uniform(0, 0.05))


async def init(world):
    return await world.broker.transactions.init_producer_id(ID, TIMEOUT_MS, None)
