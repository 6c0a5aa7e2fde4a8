"""The files of a data directory: a damaged one is found out and costs no more than it must, or is refused."""

import random
import uuid
from pathlib import Path
from typing import NamedTuple

from ottla_broker.log import checkpoints
from ottla_broker.log.config import LogConfig
from ottla_broker.log.disk import Rewrites, read_whole, write_whole
from ottla_broker.log.errors import CorruptFile, LogError
from ottla_broker.log.index import OffsetIndex, TimeIndex
from ottla_broker.log.memory_disk import MemoryDisk
from ottla_broker.log.partition import PartitionLog
from ottla_broker.log.producers import Origin, Producers
from ottla_broker.log.transactions import TransactionIndex
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.errors import KafkaError
from ottla_wire.records import NewRecord, build_batch, iter_batches

from .campaign import campaign
from .mutation import mutate
from .samples import NOW_MS, Sampler

DATA = Path("/data")
DIRECTORY = DATA / "t-0"
CONFIG = LogConfig(segment_bytes=2_000, index_interval_bytes=200)


def _filled(chance: random.Random) -> tuple[MemoryDisk, list[bytes]]:
    """A partition that was stopped cleanly, and its batches."""
    disk = MemoryDisk()
    log = PartitionLog.open(
        DIRECTORY, "t", 0, CONFIG, disk=disk, now_ms=NOW_MS, clean_shutdown=True, topic_id=uuid.UUID(int=5)
    )
    for number in range(chance.randint(5, 25)):
        transactional = chance.random() < 0.3
        options = {"producer_id": number, "producer_epoch": 0, "base_sequence": 0, "transactional": True}
        if not transactional:
            options = {"producer_id": -1}
        log.append(Sampler(chance).batch(**options), leader_epoch=number // 5, now_ms=NOW_MS)
        if transactional and chance.random() < 0.7:
            marker = build_end_txn_marker(
                commit=chance.random() < 0.5,
                producer_id=number,
                producer_epoch=0,
                coordinator_epoch=0,
                timestamp=NOW_MS,
            )
            log.append(marker, leader_epoch=number // 5, now_ms=NOW_MS, origin=Origin.COORDINATOR)
    log.update_high_watermark(log.log_end_offset)
    stored = _batches(log)
    rewrites = Rewrites(disk)
    log.settle(rewrites)
    rewrites.commit(DATA)
    log.close(durable=True)
    return disk, stored


def _batches(log: PartitionLog) -> list[bytes]:
    found, offset = [], log.log_start_offset
    while offset < log.log_end_offset:
        region = log.read(offset, 1_000_000).region
        if region is None:
            break
        for batch in iter_batches(log.read_bytes(region)):
            found.append(bytes(batch.buffer))
            offset = batch.next_offset
    return found


class Damage(NamedTuple):
    """A file of a partition, as it was and as it is now."""

    disk: MemoryDisk
    stored: list[bytes]
    name: str
    now: bytes


def _damage(chance: random.Random) -> Damage:
    disk, stored = _filled(chance)
    name = chance.choice(sorted(disk.list(DIRECTORY)))
    return Damage(disk, stored, name, mutate(chance, read_whole(disk, DIRECTORY / name)))


def _costs_no_more_than_it_must(damage: Damage) -> None:
    disk, stored, name, now = damage
    write_whole(disk, DIRECTORY / name, now)
    # What was unclean is checked; what was clean is trusted, but for what is beside the segments.
    try:
        log = PartitionLog.open(DIRECTORY, "t", 0, CONFIG, disk=disk, now_ms=NOW_MS, clean_shutdown=False)
    except LogError:
        assert name == checkpoints.PARTITION_METADATA
        return
    log.update_high_watermark(log.log_end_offset)
    found = _batches(log)
    if name.endswith(".log"):
        assert found == stored[: len(found)] or _only_epochs_differ(found, stored)
    else:
        assert found == stored
    log.append(build_batch([NewRecord(b"k", b"v", NOW_MS)]), leader_epoch=9, now_ms=NOW_MS)


def _only_epochs_differ(found: list[bytes], stored: list[bytes]) -> bool:
    """The leader epoch is the only part of a batch that no checksum covers."""
    blank = [batch[:12] + bytes(4) + batch[16:] for batch in found]
    return blank == [batch[:12] + bytes(4) + batch[16:] for batch in stored[: len(found)]]


def test_a_damaged_file_of_a_partition_costs_no_more_than_it_must() -> None:
    campaign("partition files", 300, _damage, _costs_no_more_than_it_must)


def _indexed(chance: random.Random) -> Damage:
    """Damage to an index or a snapshot of a directory that counts as clean, so that they are taken as they are."""
    while True:
        disk, stored = _filled(chance)
        names = [name for name in disk.list(DIRECTORY) if not name.endswith((".log", checkpoints.PARTITION_METADATA))]
        if names:
            name = chance.choice(sorted(names))
            return Damage(disk, stored, name, mutate(chance, read_whole(disk, DIRECTORY / name)))


def _is_rebuilt(damage: Damage) -> None:
    disk, stored, name, now = damage
    write_whole(disk, DIRECTORY / name, now)
    log = PartitionLog.open(DIRECTORY, "t", 0, CONFIG, disk=disk, now_ms=NOW_MS, clean_shutdown=True)
    log.update_high_watermark(log.log_end_offset)
    assert _batches(log) == stored
    for offset in range(log.log_start_offset, log.log_end_offset):
        region = log.read(offset, 1).region
        assert region is not None
        (first,) = iter_batches(log.read_bytes(region))
        assert first.base_offset <= offset <= first.last_offset
    log.read(0, 1_000, committed_only=True)
    log.offset_for_timestamp(NOW_MS)


def test_a_damaged_index_or_snapshot_is_made_anew() -> None:
    campaign("indexes and snapshots", 300, _indexed, _is_rebuilt)


def _small_files(chance: random.Random) -> tuple[str, bytes]:
    disk = MemoryDisk()
    disk.make_directory(DATA)
    checkpoints.write_offsets(disk, DATA / checkpoints.RECOVERY_POINTS, {("t", 0): 7, ("é", 3): 2**63 - 1})
    properties = checkpoints.MetaProperties("cluster", 1, uuid.UUID(int=8))
    checkpoints.write_meta_properties(disk, DATA, properties)
    checkpoints.write_topic_id(disk, DATA, uuid.UUID(int=9))
    write_whole(disk, DATA / checkpoints.LEADER_EPOCHS, b"0\n2\n0 0\n3 17\n")
    name = chance.choice(sorted(disk.list(DATA)))
    return name, mutate(chance, read_whole(disk, DATA / name))


def _is_read_or_refused(given: tuple[str, bytes]) -> None:
    name, contents = given
    disk = MemoryDisk()
    disk.make_directory(DATA)
    write_whole(disk, DATA / name, contents)
    readers = {
        checkpoints.RECOVERY_POINTS: lambda: checkpoints.read_offsets(disk, DATA / name),
        checkpoints.LEADER_EPOCHS: lambda: checkpoints.read_epochs(disk, DATA / name),
        checkpoints.PARTITION_METADATA: lambda: checkpoints.read_topic_id(disk, DATA),
    }
    try:
        readers.get(name, lambda: checkpoints.read_meta_properties(disk, DATA))()
    except CorruptFile:
        return


def test_a_checkpoint_or_metadata_file_is_read_or_refused() -> None:
    campaign("checkpoints", 1_000, _small_files, _is_read_or_refused)


def _bytes(chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([0, 1, 8, 12, 34, 68, chance.randint(0, 200)]))


def _is_loaded_or_refused(data: bytes) -> None:
    for load in (
        lambda: OffsetIndex.load(100, data, 10_000),
        lambda: TimeIndex.load(100, data, 1_000),
        lambda: TransactionIndex.load(100, data),
        lambda: Producers.decode(data),
    ):
        try:
            load()
        except (CorruptFile, KafkaError):
            continue


def test_any_bytes_are_an_index_or_snapshot_or_refused() -> None:
    campaign("index bytes", 2_000, _bytes, _is_loaded_or_refused)
