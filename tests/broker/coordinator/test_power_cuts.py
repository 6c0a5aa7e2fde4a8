"""Transactions where everything is flushed (log.flush.interval.messages=1), and the power goes at a write or a flush.

As in `test_killed_transactions`, but what was not flushed may be lost, torn or there: chance decides.
What was acknowledged must be there, and each transaction in all of its partitions or in none.
"""

import asyncio
import copy
import random

import pytest

from ottla_broker.coordinator.transaction import TRANSACTIONS_V1, TRANSACTIONS_V2
from ottla_broker.log.manager import LogManager
from ottla_broker.log.memory_disk import MemoryDisk, MemoryFile
from ottla_broker.node import Node

from ..virtual_time import let_nodes_live_in, run
from .test_killed_transactions import BOUND_S, ID, OUTPUTS, World, settings

STORY = [True, False, True, True]
SLOWEST_FLUSH_S = 0.05
INITIALIZATION_S = 60


async def tell(loop, monkeypatch, config, disk, version):
    """Tell the story; the disk at each write and flush, with how many transactions were begun and ended by then."""
    copies, known = [], [0, 0]
    write, sync = MemoryFile.write, MemoryFile.sync

    def noted(work):
        def act(*arguments):
            result = work(*arguments)
            copies.append((copy.deepcopy(disk), *known))
            return result

        return act

    node = await Node.start(config)
    world = World(loop, node, version)
    broker = world.broker
    await broker.groups.locate("group")
    await broker.transactions.locate(ID)
    await broker.controller.ensure_topics(["input", "output"])
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFile, "write", noted(write))
        patch.setattr(MemoryFile, "sync", noted(sync))
        producer = await world.init()
        for number, commit in enumerate(STORY):
            known[0] += 1
            producer = await world.transaction(producer, number, commit, flush=True)
            known[1] += 1
    await node.stop()
    return copies


async def recover(loop, config, version, begun, ended):
    """Start a node on what the power cut has left, and check the outcome."""
    node = await Node.start(config)
    try:
        world = World(loop, node, version)
        coordinators = world.broker.transactions, world.broker.groups
        await world.until(lambda: not any(each.loading for each in coordinators), BOUND_S, "loading")
        await asyncio.wait_for(world.init(), INITIALIZATION_S)
        await world.until(world.stable, BOUND_S, "moving the last stable offset")
        first, *others = [await world.committed(partition) for partition in OUTPUTS]
        assert all(other == first for other in others), f"partitions disagree: {first}, {others}"
        assert world.offset() == (first[-1] if first else -1)
        certain, possible = ([number for number in range(end) if STORY[number]] for end in (ended, begun))
        assert first in (certain, possible), f"told of {ended} of {begun}: {first}"
    finally:
        await node.stop()


@pytest.mark.parametrize("version", [TRANSACTIONS_V1, TRANSACTIONS_V2], ids=["v1", "v2"])
def test_whenever_the_power_goes_what_was_flushed_and_acknowledged_is_there_and_nothing_half(
    monkeypatch, node_directory, version
):
    rng = random.Random(version)
    node_directory.mkdir()
    config = settings(node_directory, **{"log.flush.interval.messages": "1"})
    disks = [MemoryDisk()]

    def main(scenario):
        async def live(loop):
            let_nodes_live_in(loop, monkeypatch)
            monkeypatch.setattr("ottla_broker.node.LogManager", lambda *arguments: LogManager(*arguments, disks[-1]))
            return await scenario(loop)

        return run(live, stall=lambda: rng.uniform(0, SLOWEST_FLUSH_S))

    copies = main(lambda loop: tell(loop, monkeypatch, config, disks[-1], version))
    assert len(copies) > 10 * len(STORY)
    for number, (disk, begun, ended) in enumerate(copies):
        disk.crash(rng)
        disks.append(disk)
        try:
            main(lambda loop, begun=begun, ended=ended: recover(loop, config, version, begun, ended))
        except BaseException as error:
            error.add_note(f"the power went at step {number} of {len(copies)}")
            raise
