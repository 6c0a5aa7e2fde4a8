"""Snapshots of cluster metadata: what they hold, when they are taken, and that no crash makes them lose anything."""

import asyncio
import copy
import itertools
import random
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ottla_broker.cluster import snapshots
from ottla_broker.cluster.image import ClusterImage
from ottla_broker.cluster.metadata_log import MetadataLog, SnapshotPolicy
from ottla_broker.cluster.records import (
    ConfigRecord,
    FeatureLevelRecord,
    MetadataRecord,
    PartitionChangeRecord,
    ProducerIdsRecord,
)
from ottla_broker.cluster.topics import delete_topic
from ottla_broker.log.config import LogConfig
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.memory_disk import MemoryDisk, MemoryFile
from ottla_broker.log.partition import PartitionLog
from ottla_wire.records import iter_batches

DIRECTORY = Path("/data/__cluster_metadata-0")
CONFIG = LogConfig(cleanup_policy=frozenset())
ALWAYS = SnapshotPolicy(max_bytes=400, max_interval_ms=0)
NEVER = SnapshotPolicy(max_bytes=2**40, max_interval_ms=0)


def held(image: ClusterImage) -> dict[str, Any]:
    """All that an image says, whichever way it came to be."""
    return {name: value for name, value in vars(image).items() if name != "topics_offset"}


def level(name: str, value: int) -> list[MetadataRecord]:
    return [FeatureLevelRecord(name=name, feature_level=value)]


class Life:
    """One life of a metadata log on a disk, until it is stopped or the power goes."""

    def __init__(self, disk: MemoryDisk, policy: SnapshotPolicy, now_ms: Callable[[], int] = lambda: 1_000) -> None:
        disk.make_directory(DIRECTORY)
        self.disk = disk
        self.log = PartitionLog.open(
            DIRECTORY, "__cluster_metadata", 0, CONFIG, disk=disk, now_ms=0, clean_shutdown=False
        )
        self.metadata = MetadataLog(self.log, self._flush, ClusterImage(), now_ms, self._publish, policy, disk)
        self.deleted = self.metadata.replay()

    async def _flush(self, log: PartitionLog) -> None:
        log.flush()

    async def _publish(self, _changes: object) -> None:
        return None

    async def decide(self, records: list[MetadataRecord]) -> None:
        await self.metadata.submit(lambda: (records, None))

    def live(self, scenario: Callable[["Life"], Awaitable[None]]) -> None:
        async def main() -> None:
            self.metadata.start()
            try:
                await scenario(self)
            finally:
                await self.metadata.stop()

        asyncio.run(main())

    def snapshots(self) -> list[str]:
        return sorted(name for name in self.disk.list(DIRECTORY) if name.endswith(".checkpoint"))


def test_a_snapshot_holds_all_that_the_image_says(new_cluster: Any) -> None:
    cluster, disk = new_cluster(1, 2, 3), MemoryDisk()
    disk.make_directory(DIRECTORY)
    cluster.create("a", partitions=3, replication_factor=2, config={"retention.ms": "5", "cleanup.policy": "compact"})
    gone = cluster.create("gone")
    cluster.create("z")
    cluster.replay(delete_topic(cluster.image.topics_by_id[gone.id]))
    topic_id = cluster.image.topics["a"].id
    cluster.replay([PartitionChangeRecord(partition_id=1, topic_id=topic_id, leader=3, isr=[3], adding_replicas=[2])])
    cluster.replay([ConfigRecord(resource_type=4, resource_name="", name="log.retention.ms", value="7")])
    cluster.replay([ProducerIdsRecord(broker_id=1, next_producer_id=5_000)])
    snapshots.write(disk, DIRECTORY, cluster.image, 1, 1_000)
    read, snapshot = ClusterImage(), snapshots.newest(disk, DIRECTORY)
    assert snapshot is not None
    snapshots.load(disk, snapshot, read)
    assert held(read) == held(cluster.image)
    assert list(read.topics) == ["a", "z"]
    assert read.topics_offset == read.offset
    assert snapshot.path.name == f"{read.offset + 1:020d}-0000000001.checkpoint"


def test_what_is_in_a_snapshot_goes_from_the_log_which_stays_small() -> None:
    disk = MemoryDisk()

    async def many(life: Life) -> None:
        for number in range(500):
            await life.decide(level("abc"[number % 3], number))
            life.log.enforce_retention(2_000)
        assert len(life.snapshots()) == 1
        assert life.log.log_start_offset > 490
        assert life.log.size_bytes < 2 * ALWAYS.max_bytes

    Life(disk, ALWAYS).live(many)
    again = Life(disk, ALWAYS)
    assert again.metadata.image.features == {"a": 498, "b": 499, "c": 497}
    assert again.metadata.image.offset == 499
    assert again.metadata.end_offset == 500


def test_a_snapshot_is_taken_when_what_it_lacks_is_old_and_more_comes() -> None:
    disk, now_ms = MemoryDisk(), 1_000

    async def early(life: Life) -> None:
        await life.decide(level("a", 1))
        assert life.snapshots() == []

    async def late(life: Life) -> None:
        await life.decide(level("a", 2))
        await life.metadata.submit(lambda: ([], None))
        assert life.snapshots() == ["00000000000000000002-0000000001.checkpoint"]

    policy = SnapshotPolicy(2**40, 5_000)
    Life(disk, policy, lambda: now_ms).live(early)
    now_ms = 5_999
    Life(disk, policy, lambda: now_ms).live(lambda _life: asyncio.sleep(0))
    assert Life(disk, policy).snapshots() == []
    now_ms = 6_000  # the first record's age counts, whenever the log was opened
    Life(disk, policy, lambda: now_ms).live(late)


def test_topics_that_were_deleted_since_the_snapshot_are_known_when_the_log_is_opened(cluster: Any) -> None:
    disk, ids = MemoryDisk(), []
    records: list[list[MetadataRecord]] = []

    class Recording(ClusterImage):
        def replay(self, record: MetadataRecord, offset: int) -> None:
            records.append([record])
            super().replay(record, offset)

    cluster.image = Recording()
    cluster.register(1)
    for name in ("early", "late"):
        ids.append(cluster.create(name).id)
        cluster.replay(delete_topic(cluster.image.topics_by_id[ids[-1]]))
    before = next(number for number, [record] in enumerate(records) if getattr(record, "name", None) == "late")

    async def all_of(life: Life, some: list[list[MetadataRecord]]) -> None:
        for record in some:
            await life.decide(record)

    Life(disk, SnapshotPolicy(1, 0)).live(lambda life: all_of(life, records[:before]))
    Life(disk, NEVER).live(lambda life: all_of(life, records[before:]))
    assert Life(disk, NEVER).deleted == {ids[1]}


def test_without_room_for_a_snapshot_decisions_go_on_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    disk = MemoryDisk()

    async def scenario(life: Life) -> None:
        await life.decide(level("x" * 300, 1))
        disk.capacity = disk.used() + 400  # for a decision, and not for a snapshot
        await life.decide(level("a", 1))
        await life.decide(level("a", 2))
        assert life.snapshots() == []
        assert life.log.log_start_offset == 0
        disk.capacity = None
        for number in range(3, 10):
            await life.decide(level("a", number))
        assert len(life.snapshots()) == 1

    Life(disk, ALWAYS).live(scenario)
    assert "No snapshot of" in caplog.text
    assert Life(disk, ALWAYS).metadata.image.features == {"x" * 300: 1, "a": 9}


@pytest.mark.parametrize("seed", range(2))
def test_wherever_the_power_goes_every_decision_that_was_answered_is_there(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    rng = random.Random(seed)
    disk, answered = MemoryDisk(), 0
    copies: list[tuple[MemoryDisk, int]] = []
    # Snapshots are written in a thread: one changes the disk or copies it, at a time.
    alone = threading.RLock()

    def guarded(work: Callable[..., Any], *, noted: bool) -> Callable[..., Any]:
        def act(*arguments: Any, **options: Any) -> Any:
            with alone:
                if not noted:
                    return work(*arguments, **options)
                copies.append((copy.deepcopy(disk), answered))
                result = work(*arguments, **options)
                copies.append((copy.deepcopy(disk), answered))
                return result

        return act

    async def scenario(life: Life) -> None:
        nonlocal answered
        for number in range(1, 31):
            await life.decide(level("a", number))
            answered = number
            if number % 7 == 0:
                for path in life.log.enforce_retention(1_000):
                    disk.remove(path)

    with monkeypatch.context() as patch:
        for kind, names in ((MemoryFile, ("write", "sync")), (MemoryDisk, ("rename", "remove", "sync_directory"))):
            for name in names:
                patch.setattr(kind, name, guarded(getattr(kind, name), noted=True))
        patch.setattr(MemoryFile, "truncate", guarded(MemoryFile.truncate, noted=False))
        patch.setattr(MemoryDisk, "open", guarded(MemoryDisk.open, noted=False))
        Life(disk, SnapshotPolicy(250, 0)).live(scenario)
    assert sum(name.endswith(".checkpoint") for name in disk.list(DIRECTORY)) == 1
    for number, (left, known) in enumerate(copies):
        left.crash(rng)
        try:
            life = Life(left, NEVER)
            found = life.metadata.image.features.get("a", 0)
            assert found in (known, known + 1)
            assert life.metadata.image.offset == found - 1
            life.live(lambda life, found=found: life.decide(level("a", found + 1)))
            assert Life(left, NEVER).metadata.image.features == {"a": found + 1}
        except BaseException as error:
            error.add_note(f"the power went at step {number} of {len(copies)}, seed {seed}")
            raise


def kept(disk: MemoryDisk) -> Path:
    snapshot = snapshots.newest(disk, DIRECTORY)
    assert snapshot is not None
    return snapshot.path


def filled() -> MemoryDisk:
    disk = MemoryDisk()

    async def scenario(life: Life) -> None:
        for number in range(20):
            await life.decide(level("a", number))
        life.log.enforce_retention(1_000)

    Life(disk, ALWAYS).live(scenario)
    return disk


def test_a_snapshot_that_is_cut_or_damaged_anywhere_is_refused_by_name() -> None:
    disk = filled()
    path = kept(disk)
    whole = bytes(disk.view(path))
    file = disk.open(path)
    for cut in range(len(whole)):
        file.truncate(cut)
        with pytest.raises(CorruptFile, match=path.name):
            Life(disk, NEVER)
        file.truncate(0)
        file.write(whole, 0)
    starts = itertools.accumulate((batch.size for batch in iter_batches(whole)), initial=0)
    unchecked = {start + at for start in starts for at in (*range(8), *range(12, 16))}  # offset and epoch: nobody reads
    for at in set(range(len(whole))) - unchecked:
        file.write(bytes([whole[at] ^ 0x40]), at)
        try:
            with pytest.raises(CorruptFile, match=path.name):
                Life(disk, NEVER)
        except BaseException as error:
            error.add_note(f"byte {at}")
            raise
        file.write(whole, 0)


def test_a_log_whose_beginning_is_gone_with_its_snapshot_is_refused() -> None:
    disk = filled()
    disk.remove(kept(disk))
    with pytest.raises(CorruptFile, match="there is no snapshot of what came before"):
        Life(disk, NEVER)


def test_a_log_that_ends_before_its_snapshot_is_refused() -> None:
    disk = filled()
    for name in disk.list(DIRECTORY):
        if not name.endswith(".checkpoint"):
            disk.remove(DIRECTORY / name)
    with pytest.raises(CorruptFile, match=r"ends at offset 0, its snapshot .* later"):
        Life(disk, NEVER)


def test_ids_in_a_snapshot_are_those_of_the_log(cluster: Any) -> None:
    created = cluster.create("t")
    image = ClusterImage()
    image.restore(cluster.image.records(), 100)
    assert isinstance(created.id, uuid.UUID)
    assert image.topics_by_id == cluster.image.topics_by_id
    assert image.offset == 99
