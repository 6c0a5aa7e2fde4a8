"""What is left after a crash: the longest valid prefix, at every byte."""

import dataclasses
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ottla_broker.log.checkpoints import LEADER_EPOCHS
from ottla_broker.log.config import LogConfig
from ottla_broker.log.memory_disk import MemoryDisk
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_broker.log.segment import LOG_SUFFIX
from ottla_broker.log.transactions import AbortedTransaction
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.records import NewRecord, RecordBatch, build_batch, iter_batches

ReadAll = Callable[[PartitionLog], list[RecordBatch]]

TAIL = 4096
LEADER_EPOCH_BYTES = range(12, 16)  # of a batch; neither its checksum nor its neighbours can vouch for them


class Damaged:
    """A flushed log of one segment whose file a test damages, and what then must be recovered."""

    def __init__(self, bench) -> None:
        self.bench = bench
        log = bench.open()
        rng = random.Random(4)
        while log.size_bytes < TAIL + 2000:
            size = rng.randint(1, 200)
            bench.append(log, build_batch([NewRecord(b"k", rng.randbytes(size), bench.now_ms)] * rng.randint(1, 3)))
        self.path: Path = log.segments.active.path(LOG_SUFFIX)
        log.flush()
        self.contents = log.segments.active.file.read(log.size_bytes, 0)
        self.ends = [0]
        for batch in iter_batches(self.contents):
            self.ends.append(self.ends[-1] + batch.size)

    def recovered_size(self, contents: bytes) -> int:
        """Put these contents into the file, start after a crash, and check that what is there can be read."""
        file = self.bench.disk.open(self.path)
        file.truncate(0)
        file.write(contents, 0)
        log = self.bench.open(clean=False)
        size = log.size_bytes
        region = log.read(0, 10**6).region
        found = b"" if region is None else log.read_bytes(region)
        assert len(found) == size
        assert size in self.ends
        count = self.ends.index(size)
        assert log.log_end_offset == sum(batch.record_count for batch in iter_batches(self.contents[:size]))
        assert len(list(iter_batches(found))) == count
        return size

    def batch_at(self, position: int) -> int:
        """Where the batch that holds a byte begins."""
        return max(end for end in self.ends if end <= position)


@pytest.fixture
def damaged(bench) -> Damaged:
    return Damaged(bench)


def test_a_segment_cut_at_every_byte_of_its_last_4_kb(damaged: Damaged) -> None:
    whole = len(damaged.contents)
    for size in range(whole - TAIL, whole + 1):
        assert damaged.recovered_size(damaged.contents[:size]) == damaged.batch_at(size)


def test_a_bit_flipped_in_every_byte_of_the_last_4_kb(damaged: Damaged) -> None:
    whole = len(damaged.contents)
    rng = random.Random(8)
    for position in range(whole - TAIL, whole):
        contents = bytearray(damaged.contents)
        contents[position] ^= 1 << rng.randrange(8)
        start = damaged.batch_at(position)
        expected = whole if position - start in LEADER_EPOCH_BYTES else start
        assert damaged.recovered_size(bytes(contents)) == expected, position


@pytest.mark.parametrize("garbage", [bytes(500), b"\xff" * 500, bytes(range(256)) * 2])
def test_garbage_behind_the_last_batch_is_cut_off(damaged: Damaged, garbage: bytes) -> None:
    assert damaged.recovered_size(damaged.contents + garbage) == len(damaged.contents)


def test_a_hole_of_zeros_ends_the_log(damaged: Damaged) -> None:
    position = damaged.ends[-5]
    contents = damaged.contents[:position] + bytes(50) + damaged.contents[position + 50 :]
    assert damaged.recovered_size(contents) == position


def test_a_stale_batch_behind_the_last_one_is_cut_off(damaged: Damaged) -> None:
    first = damaged.contents[: damaged.ends[1]]
    assert damaged.recovered_size(damaged.contents + first) == len(damaged.contents)


def test_damage_in_an_unflushed_segment_removes_the_later_ones(
    bench, read_all: ReadAll, caplog: pytest.LogCaptureFixture
) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    bench.fill(log, 60)
    log.flush()
    bases = [segment.base_offset for segment in log.segments]
    path = log.segments[2].path(LOG_SUFFIX)
    bench.disk.open(path).write(b"\x00", 400)
    bench.disk.crash(random.Random(1))
    bench.disk.open(path).write(b"\x00", 400)
    log = bench.open(clean=False, recovery_point=bases[1])
    assert bases[2] < log.log_end_offset < bases[3]
    assert [segment.base_offset for segment in log.segments] == bases[:3]
    cut, dropped = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(rf".*: \d+ bytes after offset {log.log_end_offset - 1} are damaged or incomplete .*", cut)
    assert f"offsets {log.log_end_offset} to {bases[3] - 1} are missing or damaged" in dropped
    assert [batch.base_offset for batch in read_all(log)] == list(range(log.log_end_offset))
    bench.fill(log, 60)
    assert [batch.base_offset for batch in read_all(log)] == list(range(log.log_end_offset))


def test_retention_goes_on_where_somebody_has_removed_files(bench) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    bench.fill(log, 60)
    log.flush()
    gone = log.segments[2].base_offset
    for name in bench.disk.list(bench.directory):
        if name.startswith(f"{gone:020d}"):
            bench.disk.remove(bench.directory / name)
    log.config = dataclasses.replace(bench.config, retention_bytes=1)
    left = log.enforce_retention(bench.now_ms)
    assert len(list(log.segments)) == 1
    assert sorted(left) == sorted(
        bench.directory / name for name in bench.disk.list(bench.directory) if name.endswith(".deleted")
    )


def test_segments_below_the_recovery_point_are_trusted(bench, monkeypatch) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    bench.fill(log, 60)
    log.flush()
    bench.disk.crash()
    checked: list[int] = []
    recover = type(log.segments.active).recover
    monkeypatch.setattr(
        type(log.segments.active),
        "recover",
        lambda self, *args, **options: checked.append(self.base_offset) or recover(self, *args, **options),
    )
    bases = [segment.base_offset for segment in log.segments]
    bench.open(clean=False, recovery_point=bases[-2] + 3)
    assert checked == bases[-2:]


@pytest.mark.parametrize("seed", range(40))
def test_a_power_cut_leaves_a_prefix_that_holds_all_that_was_flushed(bench, read_all: ReadAll, seed: int) -> None:
    rng = random.Random(seed)
    bench.config = LogConfig(segment_bytes=rng.choice([800, 3000, 10**6]), index_interval_bytes=100)
    log = bench.open()
    for _ in range(rng.randint(1, 4)):
        bench.fill(log, rng.randint(0, 40), records=rng.randint(1, 4))
        if rng.random() < 0.6:
            log.flush(closed_only=rng.random() < 0.5)
    before = [bytes(batch.buffer) for batch in read_all(log)]
    flushed, start = log.recovery_point, log.log_start_offset
    bench.disk.crash(rng)
    log = bench.open(clean=False, recovery_point=rng.choice([0, flushed]))
    after = [bytes(batch.buffer) for batch in read_all(log)]
    assert after == before[: len(after)]
    assert log.log_end_offset >= flushed
    assert log.log_start_offset == start
    bench.fill(log, 5)
    assert [batch.base_offset for batch in read_all(log)][len(after) :] == list(
        range(log.log_end_offset - 5, log.log_end_offset)
    )


def test_leader_epochs_are_found_again_in_the_batches(bench, one_batch) -> None:
    log = bench.open()
    for epoch in (0, 0, 3, 3, 7):
        bench.append(log, one_batch(), leader_epoch=epoch)
    log.flush()
    bench.disk.remove(bench.directory / LEADER_EPOCHS)
    bench.disk.crash(random.Random(3))
    log = bench.open(clean=False)
    assert [tuple(log.epoch_end_offset(epoch)) for epoch in (0, 3, 7)] == [(0, 2), (3, 4), (7, 5)]


def test_leader_epochs_survive_a_clean_restart(bench, one_batch) -> None:
    log = bench.open()
    for epoch in (2, 5):
        bench.append(log, one_batch(), leader_epoch=epoch)
    bench.close(log)
    assert tuple(bench.open().epoch_end_offset(2)) == (2, 1)


@pytest.mark.parametrize("suffix", [".deleted", ".tmp", ".cleaned"])
def test_leftovers_of_unfinished_work_are_removed(bench, suffix: str) -> None:
    log = bench.open()
    bench.fill(log, 3)
    bench.close(log)
    leftover = bench.directory / f"{0:020d}.log{suffix}"
    orphan = bench.directory / f"{77:020d}.index"
    for path in (leftover, orphan):
        bench.disk.open(path, create=True)
    assert bench.open().log_end_offset == 3
    assert not bench.disk.exists(leftover)
    assert not bench.disk.exists(orphan)


def test_a_log_that_ends_before_its_start_offset_begins_anew_there(bench, one_batch) -> None:
    log = bench.open()
    bench.fill(log, 5)
    bench.close(log)
    log = bench.open(log_start_offset=9)
    assert (log.log_start_offset, log.log_end_offset) == (9, 9)
    assert bench.append(log, one_batch()).base_offset == 9
    assert [segment.base_offset for segment in log.segments] == [9]


def test_a_clean_restart_reads_no_batches_that_the_index_covers(bench, monkeypatch) -> None:
    log = bench.open()
    bench.fill(log, 500)
    bench.close(log)
    read: list[int] = []
    disk_file = type(bench.disk.open(bench.directory / f"{0:020d}.log"))
    original = disk_file.read
    monkeypatch.setattr(
        disk_file, "read", lambda self, size, position: read.append(size) or original(self, size, position)
    )
    bench.open()
    assert sum(read) < 12_000


@pytest.mark.parametrize("clean", [True, False])
def test_a_wrong_index_never_shortens_a_segment(bench, read_all, clean: bool) -> None:
    bench.config = LogConfig(index_interval_bytes=200, segment_bytes=5_000)
    log = bench.open()
    bench.fill(log, 100)
    end = log.log_end_offset
    bench.close(log)
    for name in bench.disk.list(bench.directory):
        if name.endswith(".index"):
            file = bench.disk.open(bench.directory / name)
            (last,) = file.read(1, file.size() - 1)
            file.write(bytes([last ^ 2]), file.size() - 1)
    log = bench.open(clean=clean, recovery_point=end)
    assert log.log_end_offset == end
    assert [batch.base_offset for batch in read_all(log)] == list(range(end))


def test_the_five_batches_window_survives_a_crash(bench, one_batch) -> None:
    log = bench.open()
    batches = [one_batch(producer_id=3, producer_epoch=0, base_sequence=sequence) for sequence in range(7)]
    for batch in batches:
        bench.append(log, bytes(batch))
    log.flush()
    bench.disk.crash()
    log = bench.open(clean=False)
    for offset in range(2, 7):
        assert bench.append_at(log, bytes(batches[offset])) == (offset, offset)
    assert log.log_end_offset == 7


def test_a_clean_restart_remembers_the_last_batch_of_each_producer(bench, one_batch) -> None:
    log = bench.open()
    for sequence in range(3):
        batch = one_batch(producer_id=3, producer_epoch=0, base_sequence=sequence)
        bench.append(log, bytes(batch))
    bench.close(log)
    log = bench.open()
    assert bench.append(log, bytes(batch)).duplicate
    assert [path for path in bench.disk.list(bench.directory) if path.endswith(".snapshot")] == [f"{3:020d}.snapshot"]


@pytest.mark.parametrize("damage", [0, 1, 10, 40])
def test_a_damaged_snapshot_is_replaced_by_replaying_the_log(bench, one_batch, damage: int) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    for sequence in range(50):
        bench.append(log, one_batch(producer_id=3, producer_epoch=0, base_sequence=sequence))
    bench.close(log)
    for name in bench.disk.list(bench.directory):
        if name.endswith(".snapshot"):
            bench.disk.open(bench.directory / name).write(b"\xee", damage)
    log = bench.open()
    state = log.producers.get(3)
    assert state is not None
    assert state.last_sequence == 49


def test_the_disk_in_memory_loses_what_was_not_synced() -> None:
    disk, path = MemoryDisk(), Path("/d/f")
    disk.make_directory(path.parent)
    file = disk.open(path, create=True)
    file.write(b"abc", 0)
    file.sync()
    disk.sync_directory(path.parent)
    file.write(b"xyz", 1)
    disk.crash()
    with pytest.raises(OSError, match="before the crash"):
        file.size()
    assert disk.open(path).read(10, 0) == b"abc"
    disk.remove(path)
    disk.crash()
    assert disk.exists(path), "the removal was not synced"


def test_a_segment_that_was_flushed_while_active_and_then_rolled_hides_its_aborted_records(bench, one_batch) -> None:
    """The recovery point is where it ends, but its indexes were never stored, or only as of an earlier stop."""
    log = bench.open()
    options = {"producer_id": 1, "producer_epoch": 0, "transactional": True}
    bench.append(log, one_batch(base_sequence=0, **options))
    bench.close(log)
    bench.now_ms += 1
    log = bench.open()
    bench.append(log, one_batch(timestamp=bench.now_ms + 5_000))
    marker = build_end_txn_marker(
        commit=False, producer_id=1, producer_epoch=0, coordinator_epoch=0, timestamp=bench.now_ms
    )
    bench.append(log, marker, origin=Origin.COORDINATOR)
    log.flush()
    log.roll(bench.now_ms)
    bench.append(log, one_batch())
    log = bench.open(clean=False, recovery_point=log.recovery_point)
    assert log.read(0, 1_000, committed_only=True).aborted == [AbortedTransaction(1, 0)]
    newest = log.max_timestamp()
    assert newest is not None
    assert newest.offset == 1
