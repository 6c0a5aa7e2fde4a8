"""Reading: whole batches, the bounds, and finding records by time."""

import dataclasses
import errno
from collections.abc import Callable

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_broker.log.config import LogConfig
from ottla_broker.log.memory_disk import MemoryFile
from ottla_broker.log.partition import PartitionLog
from ottla_broker.log.segment import LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import Compression, NewRecord, RecordBatch, build_batch, iter_batches

MakeBatch = Callable[..., bytearray]
ReadAll = Callable[[PartitionLog], list[RecordBatch]]

SMALL = LogConfig(segment_bytes=2000, index_interval_bytes=200)


def batches(log: PartitionLog, offset: int, max_bytes: int, **options: bool) -> list[tuple[int, int]]:
    """The (base offset, last offset) of what a read returns."""
    region = log.read(offset, max_bytes, **options).region
    if region is None:
        return []
    data = log.read_bytes(region)
    found = list(iter_batches(data))
    assert sum(batch.size for batch in found) == len(data), "only whole batches"
    return [(batch.base_offset, batch.last_offset) for batch in found]


@pytest.mark.parametrize("offset", range(6))
def test_19_the_whole_batch_that_contains_the_offset_is_returned(bench, one_batch: MakeBatch, offset: int) -> None:
    log = bench.open()
    bench.append(log, one_batch(3))
    bench.append(log, one_batch(3))
    assert batches(log, offset, 10**6)[0] == ((0, 2) if offset < 3 else (3, 5))


def test_20_the_first_batch_is_returned_even_if_it_is_too_large(bench, one_batch: MakeBatch) -> None:
    log = bench.open()
    bench.append(log, one_batch(100))
    bench.append(log, one_batch())
    assert batches(log, 0, 10) == [(0, 99)]
    assert batches(log, 0, 10, min_one=False) == []
    assert log.read(0, 10, min_one=False).size == 0


def test_21_offsets_outside_the_log_are_out_of_range(bench, one_batch: MakeBatch) -> None:
    log = bench.open()
    bench.append(log, one_batch(5))
    log.delete_records_before(2)
    for offset in (-1, 0, 1, 6):
        with pytest.raises(KafkaError) as refusal:
            log.read(offset, 100)
        assert refusal.value.code is ErrorCode.OFFSET_OUT_OF_RANGE
    assert batches(log, 2, 100) == [(0, 4)]
    assert log.read(5, 100).region is None


def test_21_between_high_watermark_and_log_end_there_is_nothing_and_no_error(bench, one_batch: MakeBatch) -> None:
    log = bench.open()
    bench.append(log, one_batch(2))
    log.append(one_batch(2), leader_epoch=0, now_ms=bench.now_ms)
    assert log.high_watermark == 2
    assert batches(log, 0, 10**6) == [(0, 1)]
    for offset in (2, 3, 4):
        assert log.read(offset, 100).region is None
    log.update_high_watermark(99)
    assert log.high_watermark == 4
    assert batches(log, 2, 100) == [(2, 3)]


@settings(max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=60), st.integers(1, 3000), st.data())
def test_reads_agree_with_the_list_of_batches(new_bench, sizes: list[int], max_bytes: int, data: st.DataObject) -> None:
    bench = new_bench()
    bench.config = SMALL
    log = bench.open()
    appended = []
    for size in sizes:
        batch = build_batch([NewRecord(b"k", b"v" * 10, bench.now_ms)] * size)
        appended.append((*bench.append_at(log, batch), len(batch)))
    if data.draw(st.booleans(), "reopen"):
        bench.close(log)
        log = bench.open()
    bases = [segment.base_offset for segment in log.segments]
    for _ in range(10):
        offset = data.draw(st.integers(0, log.log_end_offset - 1), "offset")
        expected, used = [], 0
        for base, last, size in appended:
            if last >= offset:
                if expected and (used + size > max_bytes or base in bases):
                    break
                expected.append((base, last))
                used += size
        assert batches(log, offset, max_bytes) == expected


def test_a_consumer_that_follows_on_needs_no_index(bench, monkeypatch, read_all: ReadAll) -> None:
    bench.config = LogConfig(index_interval_bytes=200)
    log = bench.open()
    bench.fill(log, 2000)
    lookups = []
    index = log.segments.active.offset_index
    lookup = type(index).lookup
    monkeypatch.setattr(type(index), "lookup", lambda self, offset: lookups.append(offset) or lookup(self, offset))
    assert len(read_all(log)) == 2000
    assert lookups == [0]


def test_a_reader_at_the_end_reads_nothing_from_the_disk(bench, monkeypatch) -> None:
    log = bench.open()
    bench.fill(log, 1000)
    monkeypatch.setattr(type(log.segments.active.file), "read", None)
    bench.fill(log, 1)
    assert log.read(log.log_end_offset - 1, 10**6).size > 0
    assert log.read(log.log_end_offset - 100, 300).size > 0
    assert log.read(log.log_end_offset, 10**6).region is None


@pytest.mark.parametrize("suffix", [OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX])
@pytest.mark.parametrize("damage", ["missing", "garbled", "cut", "empty"])
def test_a_missing_or_damaged_index_is_rebuilt(bench, read_all: ReadAll, suffix: str, damage: str) -> None:
    bench.config = SMALL
    log = bench.open()
    bench.fill(log, 100)
    before = [bytes(batch.buffer) for batch in read_all(log)]
    times = [log.offset_for_timestamp(bench.now_ms - n * 1000) for n in range(100)]
    paths = [segment.path(suffix) for segment in log.segments]
    bench.close(log)
    for path in paths:
        file = bench.disk.open(path)
        if damage == "missing":
            bench.disk.remove(path)
        elif damage == "garbled":
            file.write(b"\x55" * file.size(), 0)
        else:
            file.truncate(0 if damage == "empty" else file.size() - 1)
    log = bench.open()
    for offset in range(99, 0, -7):
        assert batches(log, offset, 1)[0] == (offset, offset)
    assert [bytes(batch.buffer) for batch in read_all(log)] == before
    assert [log.offset_for_timestamp(bench.now_ms - n * 1000) for n in range(100)] == times


def test_an_index_with_plausible_but_wrong_positions_is_rebuilt(bench) -> None:
    bench.config = LogConfig(index_interval_bytes=200)
    log = bench.open()
    bench.fill(log, 100)
    path = log.segments.active.path(OFFSET_INDEX_SUFFIX)
    log.roll(bench.now_ms)
    bench.close(log)
    file = bench.disk.open(path)
    entries = bytearray(file.read(file.size(), 0))
    for position in range(7, len(entries), 8):
        entries[position] ^= 1
    file.write(entries, 0)
    log = bench.open()
    for offset in range(0, 100, 9):
        assert batches(log, offset, 1) == [(offset, offset)]


def test_29_finding_offsets_by_time(bench) -> None:
    bench.config = SMALL
    log = bench.open()
    assert log.offset_for_timestamp(0) is None
    assert log.max_timestamp() is None
    start = bench.now_ms
    for second in (1, 2, 3, 3, 9, 5, 6, 12, 11):
        stamps = [start + second * 1000 + n for n in range(3)]
        bench.append(log, build_batch([NewRecord(b"k", b"v" * 200, stamp) for stamp in stamps]), leader_epoch=2)

    def found(milliseconds: int) -> tuple[int, int] | None:
        result = log.offset_for_timestamp(start + milliseconds)
        return None if result is None else (result.timestamp - start, result.offset)

    def check() -> None:
        assert found(-(10**9)) == (1000, 0)
        assert found(1001) == (1001, 1)
        assert found(1003) == (2000, 3)
        assert found(3000) == (3000, 6)
        assert found(3003) == (9000, 12), "the first record that is late enough, not the nearest"
        assert found(9003) == (12000, 21)
        assert found(12002) == (12002, 23)
        assert found(12003) is None
        assert log.max_timestamp() == (start + 12002, 23, 2)

    check()
    assert len(log.segments) > 2
    bench.close(log)
    log = bench.open()
    check()
    log.delete_records_before(7)
    assert found(-1) == (3001, 7)


def test_a_batch_whose_records_cannot_be_read_is_found_by_time_as_a_whole(bench) -> None:
    log = bench.open()
    bench.fill(log, 2)
    damaged = build_batch([NewRecord(b"k", b"v" * 100, bench.now_ms + n) for n in (1, 2)], compression=Compression.ZSTD)
    damaged[-8:] = bytes(8)
    damaged[17:21] = crc32c(bytes(damaged[21:])).to_bytes(4, "big")
    bench.append(log, damaged)
    assert log.offset_for_timestamp(bench.now_ms + 1) == (bench.now_ms + 2, 2, 0)
    assert log.offset_for_timestamp(bench.now_ms - 500) == (bench.now_ms, 1, 0)
    assert log.max_timestamp() == (bench.now_ms + 2, 2, 0)


def test_a_disk_that_cannot_be_read_is_an_error_of_the_protocol(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    log = bench.open()
    bench.fill(log, 3)
    monkeypatch.setattr(MemoryFile, "read", fail)
    for ask in (lambda: log.offset_for_timestamp(bench.now_ms), log.max_timestamp):
        with pytest.raises(KafkaError, match="Reading events-0 failed: Input/output error") as error:
            ask()
        assert error.value.code is ErrorCode.KAFKA_STORAGE_ERROR


def test_records_without_a_time_are_never_found_by_time(bench, one_batch: MakeBatch) -> None:
    log = bench.open()
    bench.append(log, one_batch(timestamp=-1))
    assert log.offset_for_timestamp(0) is None
    assert log.max_timestamp() is None


def test_42_deleting_records_moves_the_log_start_offset(bench) -> None:
    bench.config = SMALL
    log = bench.open()
    bench.fill(log, 100)
    bases = [segment.base_offset for segment in log.segments]
    assert log.delete_records_before(bases[2] + 1) == bases[2] + 1
    assert log.delete_records_before(5) == bases[2] + 1, "it never moves back"
    files = log.enforce_retention(bench.now_ms)
    assert log.segments[0].base_offset == bases[2]
    assert all(path.name.endswith(".deleted") for path in files)
    assert log.delete_records_before(-1) == 100
    with pytest.raises(KafkaError) as refusal:
        log.delete_records_before(101)
    assert refusal.value.code is ErrorCode.OFFSET_OUT_OF_RANGE


def test_a_slice_outlives_the_deletion_of_its_segment(bench) -> None:
    bench.config = SMALL
    log = bench.open()
    bench.fill(log, 100)
    region = log.read(0, 10**6).region
    assert region is not None
    before = log.read_bytes(region)
    log.delete_records_before(90)
    for path in log.enforce_retention(bench.now_ms):
        bench.disk.remove(path)
    assert log.read_bytes(region) == before


def test_retention_frees_a_full_disk(bench) -> None:
    bench.config = dataclasses.replace(SMALL, retention_ms=1_000)
    log = bench.open()
    bench.fill(log, 60)
    bench.now_ms += 60_000
    bench.disk.capacity = bench.disk.used()
    for expected in (1, 0):
        for path in log.enforce_retention(bench.now_ms):
            bench.disk.remove(path)
        assert sum(segment.size > 0 for segment in log.segments) == expected
    assert log.log_start_offset == log.log_end_offset == 60


def test_retention_by_time_leaves_an_empty_log_that_goes_on(bench, one_batch: MakeBatch) -> None:
    bench.config = dataclasses.replace(SMALL, retention_ms=1000)
    log = bench.open()
    bench.fill(log, 100)
    bench.now_ms += 10_000
    assert log.enforce_retention(bench.now_ms)
    assert (log.log_start_offset, log.log_end_offset, log.size_bytes) == (100, 100, 0)
    assert log.enforce_retention(bench.now_ms) == []
    assert bench.append(log, one_batch()).base_offset == 100
    bench.close(log)
    log = bench.open(log_start_offset=100)
    assert (log.log_start_offset, log.log_end_offset) == (100, 101)
    assert bench.disk.exists(log.segments.active.path(LOG_SUFFIX))
