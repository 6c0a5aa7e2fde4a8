"""Copies of state that come and go while they are read."""

import asyncio
from collections.abc import Collection, Iterable, Mapping

from ottla.cluster.standby import Standbys, TaskStores
from ottla.state.memory import MemoryStores
from ottla.topology.topology import TaskId
from ottla.transport.contract import Follower, OffsetRange, OutputRecord, Polled, TopicPartition
from ottla.transport.memory import MemoryBroker, MemoryMessage, MemoryTransport

CHANGELOG = TopicPartition("log", 0)
TASK = TaskId(0, 0)


class Told(asyncio.Queue[Polled]):
    """A follower whose polls bring what the test puts in."""

    def add(self, positions: Mapping[TopicPartition, int]) -> None: ...
    def remove(self, partitions: Collection[TopicPartition]) -> None: ...

    async def poll(self, timeout_s: float) -> Polled:
        async with asyncio.timeout(timeout_s + 100):
            return await self.get()

    async def close(self) -> None: ...


class SlowToSay(MemoryTransport):
    """Says where partitions end when it may."""

    def __init__(self, follower: Follower) -> None:
        super().__init__(MemoryBroker({CHANGELOG.topic: 1}), "app", "w0")
        self.may_say = asyncio.Event()
        self._follower = follower

    def follower(self) -> Follower:
        return self._follower

    async def offset_ranges(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
        await self.may_say.wait()
        return await super().offset_ranges(partitions)


def test_a_copy_that_is_made_again_takes_what_a_poll_brings_before_its_changelog_was_looked_at() -> None:
    async def scenario() -> None:
        stores, follower = MemoryStores(), Told()
        transport = SlowToSay(follower)

        def open_stores(task: TaskId) -> TaskStores:
            return {CHANGELOG: stores.open(str(task), "table")}

        standbys = Standbys(transport, open_stores)
        transport.may_say.set()
        await standbys.keep([TASK])
        for store in standbys.hand_over(TASK).values():
            store.close()
        transport.may_say.clear()
        again = asyncio.create_task(standbys.keep([TASK]))
        await asyncio.sleep(0)
        record = OutputRecord(CHANGELOG.topic, b"a", b"1", 1_000, None, 0)
        follower.put_nowait(Polled({CHANGELOG: [MemoryMessage(record, 0, 0)]}))
        while stores.offset(str(TASK), "table") is None:
            await asyncio.sleep(0)
            standbys.check()
        transport.may_say.set()
        await again
        await standbys.close()

    asyncio.run(scenario())
