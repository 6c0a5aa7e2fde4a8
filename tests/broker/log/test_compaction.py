"""Compaction: what stays, what goes and when, and crashes on the way."""

import dataclasses
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_broker.log.config import LogConfig
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.pace import Pace
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_broker.log.segment import LOG_SUFFIX
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.records import Compression, NewRecord, Record, RecordBatch, build_batch

MakeBatch = Callable[..., bytearray]
ReadAll = Callable[[PartitionLog], list[RecordBatch]]

COMPACT = LogConfig(
    cleanup_policy=frozenset({"compact"}),
    segment_bytes=2000,
    index_interval_bytes=200,
    min_cleanable_dirty_ratio=0.0,
    delete_retention_ms=1000,
)
KEYS = 10**6


def compact(bench, log: PartitionLog, max_keys: int = KEYS) -> bool:
    """One round; whether there was anything to do."""
    plan = log.plan_compaction(max_keys, bench.now_ms)
    if plan is None:
        return False
    log.flush()
    for path in log.finish_compaction(plan.run(Pace())):
        bench.disk.remove(path)
    return True


@pytest.fixture
def put(bench):
    """Appends records, given as key=value; a value of None is a tombstone."""

    def append(log: PartitionLog, **values: str | None) -> None:
        records = [
            NewRecord(key.encode(), None if value is None else value.encode(), bench.now_ms)
            for key, value in values.items()
        ]
        bench.append(log, build_batch(records))

    return append


@pytest.fixture
def records(read_all: ReadAll) -> Callable[[PartitionLog], list[Record]]:
    """All records of a log, the broker's own left out."""
    return lambda log: [record for batch in read_all(log) if not batch.is_control for record in batch.records()]


def content(records: list[Record]) -> list[tuple[int, str | None, str | None]]:
    def text(data: bytes | None) -> str | None:
        return None if data is None else data.decode()

    return [(record.offset, text(record.key), text(record.value)) for record in records]


def test_41_only_the_last_record_of_each_key_stays_with_its_offset(bench, put, records) -> None:
    bench.config = COMPACT
    log = bench.open()
    put(log, a="1", b="1", c="1")
    put(log, a="2", b="2")
    put(log, a="3")
    log.roll(bench.now_ms)
    put(log, c="active")
    assert compact(bench, log)
    assert content(records(log)) == [(2, "c", "1"), (4, "b", "2"), (5, "a", "3"), (6, "c", "active")]
    assert not compact(bench, log), "nothing is dirty any more"


@pytest.mark.parametrize("compression", Compression)
def test_a_batch_that_is_kept_in_part_keeps_its_compression(
    bench, read_all: ReadAll, records, compression: Compression
) -> None:
    bench.config = COMPACT
    log = bench.open()
    batch = [NewRecord(str(n % 10).encode(), str(n).encode(), bench.now_ms + n, [("h", b"x")]) for n in range(25)]
    bench.append(log, build_batch(batch, compression=compression))
    log.roll(bench.now_ms)
    compact(bench, log)
    (kept,) = read_all(log)
    kept.validate()
    assert kept.compression == compression
    assert [(r.offset, r.timestamp - bench.now_ms, r.headers) for r in records(log)] == [
        (n, n, (("h", b"x"),)) for n in range(15, 25)
    ]
    assert (kept.base_offset, kept.last_offset) == (0, 24)


def test_41_tombstones_go_only_after_the_delete_horizon(bench, put, records) -> None:
    bench.config = COMPACT
    log = bench.open()
    put(log, a="1", b="1")
    put(log, a=None)
    log.roll(bench.now_ms)
    compact(bench, log)
    assert content(records(log)) == [(1, "b", "1"), (2, "a", None)]
    for waited, stays in ((999, True), (1, False)):
        bench.now_ms += waited
        put(log, z=str(waited))
        log.roll(bench.now_ms)
        compact(bench, log)
        assert ((2, "a", None) in content(records(log))) is stays


def test_41_compaction_stops_at_the_last_stable_offset(bench, put, one_batch: MakeBatch, records) -> None:
    bench.config = COMPACT
    log = bench.open()
    put(log, a="1")
    put(log, a="2")
    log.roll(bench.now_ms)
    bench.append(log, one_batch(key=b"a", producer_id=1, producer_epoch=0, base_sequence=0, transactional=True))
    log.roll(bench.now_ms)
    put(log, a="3")
    log.roll(bench.now_ms)
    compact(bench, log)
    assert [record.offset for record in records(log)] == [1, 2, 3]


def end_transaction(bench, log: PartitionLog, producer_id: int, *, commit: bool) -> None:
    marker = build_end_txn_marker(
        commit=commit, producer_id=producer_id, producer_epoch=0, coordinator_epoch=0, timestamp=bench.now_ms
    )
    bench.append(log, marker, origin=Origin.COORDINATOR)


def transactional(one_batch: MakeBatch, producer_id: int, sequence: int, key: bytes) -> bytearray:
    return one_batch(
        key=key, producer_id=producer_id, producer_epoch=0, base_sequence=sequence, transactional=True, value=b"t"
    )


def test_aborted_records_go_and_hide_nothing(bench, put, one_batch: MakeBatch, records) -> None:
    bench.config = COMPACT
    log = bench.open()
    put(log, a="1")
    bench.append(log, transactional(one_batch, 1, 0, b"a"))
    end_transaction(bench, log, 1, commit=False)
    bench.append(log, transactional(one_batch, 1, 1, b"b"))
    end_transaction(bench, log, 1, commit=True)
    log.roll(bench.now_ms)
    assert log.read(0, 10**6, committed_only=True).aborted == [(1, 1)]
    compact(bench, log)
    assert content(records(log)) == [(0, "a", "1"), (3, "b", "t")]
    assert log.read(0, 10**6, committed_only=True).aborted == [(1, 1)], "as long as the marker stays"


def test_41_markers_go_only_after_the_delete_horizon(bench, put, one_batch: MakeBatch, read_all: ReadAll) -> None:
    bench.config = COMPACT
    log = bench.open()
    for sequence in range(4):
        bench.append(log, transactional(one_batch, 1, sequence, b"a"))
        end_transaction(bench, log, 1, commit=sequence % 2 == 1)

    def markers() -> list[int]:
        return [batch.base_offset for batch in read_all(log) if batch.is_control and batch.record_count]

    seen = [markers()]
    for waited in (0, 0, 1000):
        bench.now_ms += waited
        put(log, **{f"z{len(seen)}": "1"})
        log.roll(bench.now_ms)
        compact(bench, log)
        seen.append(markers())
    # First the records go; the next round finds their markers idle and starts the clock; then these go.
    assert seen == [[1, 3, 5, 7], [1, 3, 5, 7], [1, 3, 5, 7], [7]]
    assert log.read(0, 10**6, committed_only=True).aborted == []


def test_41_an_empty_batch_keeps_a_producers_last_sequence(bench, put, one_batch: MakeBatch, read_all: ReadAll) -> None:
    bench.config = COMPACT
    log = bench.open()
    for sequence in range(3):
        bench.append(log, one_batch(key=b"a", producer_id=5, producer_epoch=0, base_sequence=sequence))
    put(log, a="later")
    put(log, b="later")
    log.roll(bench.now_ms)
    compact(bench, log)
    assert [(b.base_offset, b.record_count, b.last_sequence) for b in read_all(log)] == [
        (2, 0, 2),
        (3, 1, -1),
        (4, 1, -1),
    ]
    log.flush()
    for name in bench.disk.list(bench.directory):
        if name.endswith(".snapshot"):
            bench.disk.remove(bench.directory / name)
    log = bench.open(clean=False, recovery_point=log.recovery_point)
    again = one_batch(key=b"a", producer_id=5, producer_epoch=0, base_sequence=2)
    assert bench.append(log, again).duplicate


def test_the_log_end_does_not_move_when_its_last_records_go(bench, put, read_all: ReadAll) -> None:
    bench.config = COMPACT
    log = bench.open()
    put(log, a="1")
    put(log, a=None)
    log.roll(bench.now_ms)
    compact(bench, log)
    bench.now_ms += 1001
    put(log, b="1")
    put(log, b="2")
    log.roll(bench.now_ms)
    compact(bench, log)
    assert [(b.base_offset, b.record_count) for b in read_all(log)] == [(3, 1)]
    bench.close(log)
    assert bench.open().log_end_offset == 4


def test_small_segments_are_put_together(bench, put) -> None:
    bench.config = COMPACT
    log = bench.open()
    for number in range(10):
        put(log, **{f"k{number}": "1"})
        log.roll(bench.now_ms)
    assert len(log.segments) == 11
    compact(bench, log)
    assert len(log.segments) == 2
    assert log.segments[0].next_offset == 10


@pytest.mark.parametrize(
    ("changes", "waited", "due"),
    [
        pytest.param({"min_cleanable_dirty_ratio": 0.5}, 0, True, id="all is dirty"),
        pytest.param({"min_cleanable_dirty_ratio": 1.0}, 0, False, id="never dirty enough"),
        pytest.param({"min_cleanable_dirty_ratio": 1.0, "max_compaction_lag_ms": 500}, 500, False, id="not too old"),
        pytest.param({"min_cleanable_dirty_ratio": 1.0, "max_compaction_lag_ms": 500}, 501, True, id="too old"),
        pytest.param({"min_compaction_lag_ms": 500}, 499, False, id="too young"),
        pytest.param({"min_compaction_lag_ms": 500}, 500, True, id="old enough"),
        pytest.param({"cleanup_policy": frozenset({"delete"})}, 0, False, id="another policy"),
    ],
)
def test_when_compaction_is_due(bench, put, changes: dict[str, object], waited: int, due: bool) -> None:
    bench.config = dataclasses.replace(COMPACT, **changes)
    log = bench.open()
    put(log, a="1")
    put(log, a="2")
    log.roll(bench.now_ms)
    bench.now_ms += waited
    assert compact(bench, log) is due


def test_max_compaction_lag_closes_the_active_segment(bench, put) -> None:
    bench.config = dataclasses.replace(COMPACT, max_compaction_lag_ms=1000)
    log = bench.open()
    put(log, a="1")
    bench.now_ms += 1001
    put(log, a="2")
    assert len(log.segments) == 2


def test_more_keys_than_fit_take_several_rounds(bench, put, records) -> None:
    bench.config = COMPACT
    log = bench.open()
    for value in ("1", "2"):
        for number in range(20):
            put(log, **{f"k{number}": value})
    log.roll(bench.now_ms)
    rounds = 0
    while compact(bench, log, max_keys=7):
        rounds += 1
    assert rounds > 3
    assert [value for _, _, value in content(records(log))] == ["2"] * 20


def test_a_batch_with_more_keys_than_fit_takes_several_rounds(bench, put, records) -> None:
    bench.config = COMPACT
    log = bench.open()
    for value in ("1", "2"):
        put(log, **{f"k{number}": value for number in range(20)})
    log.roll(bench.now_ms)
    rounds = 0
    while rounds < 20 and compact(bench, log, max_keys=7):
        rounds += 1
    assert 3 < rounds < 20
    assert [value for _, _, value in content(records(log))] == ["2"] * 20


def test_long_keys_are_told_apart(bench, records) -> None:
    bench.config = COMPACT
    log = bench.open()
    keys = [b"x" * 100 + bytes([n]) for n in range(5)] + [b"x" * n for n in (15, 16, 17)]
    for _ in range(2):
        bench.append(log, build_batch([NewRecord(key, b"v", bench.now_ms) for key in keys]))
    log.roll(bench.now_ms)
    compact(bench, log)
    assert [record.key for record in records(log)] == keys


def test_a_result_is_discarded_if_its_segments_have_gone(bench, put) -> None:
    bench.config = COMPACT
    log = bench.open()
    for number in range(5):
        put(log, a=str(number))
        log.roll(bench.now_ms)
    plan = log.plan_compaction(KEYS, bench.now_ms)
    assert plan is not None
    result = plan.run(Pace())
    log.delete_records_before(2)
    log.enforce_retention(bench.now_ms)
    assert log.finish_compaction(result) == []
    assert not any(name.endswith((".swap", ".cleaned")) for name in bench.disk.list(bench.directory))
    assert log.segments[0].base_offset == 2


def test_what_is_written_meanwhile_to_a_segment_that_was_empty_stays(bench, put, records) -> None:
    """As one is after a crash between its first append and the last flush, or when the disk had no room for that."""
    bench.config = COMPACT
    log = bench.open()
    put(log, a="1", b="1")
    put(log, a="2")
    log.roll(bench.now_ms)
    plan = log.plan_compaction(100, bench.now_ms)
    assert plan is not None
    put(log, c="3")
    result = plan.run(Pace())
    put(log, d="4")
    log.finish_compaction(result)
    put(log, e="5")
    assert [(record.key, record.value) for record in records(log)] == [
        (b"b", b"1"),
        (b"a", b"2"),
        (b"c", b"3"),
        (b"d", b"4"),
        (b"e", b"5"),
    ]


def test_a_full_disk_leaves_the_log_as_it_was(bench, put, records) -> None:
    bench.config = COMPACT
    log = bench.open()
    for number in range(20):
        put(log, a=str(number), **{f"k{number}": "1"})
    log.roll(bench.now_ms)
    before = content(records(log))
    plan = log.plan_compaction(KEYS, bench.now_ms)
    assert plan is not None
    bench.disk.capacity = bench.disk.used() + 300
    with pytest.raises(OSError, match="No space left"):
        plan.run(Pace())
    assert not any(name.endswith((".swap", ".cleaned")) for name in bench.disk.list(bench.directory))
    assert content(records(log)) == before


def test_a_damaged_segment_is_not_compacted(bench, put) -> None:
    bench.config = COMPACT
    log = bench.open()
    for number in range(20):
        put(log, a=str(number))
    log.roll(bench.now_ms)
    bench.disk.open(log.segments[0].path(LOG_SUFFIX)).write(b"\xff", 300)
    plan = log.plan_compaction(KEYS, bench.now_ms)
    assert plan is not None
    with pytest.raises(CorruptFile, match="damaged at byte"):
        plan.run(Pace())


@pytest.mark.parametrize("seed", range(30))
def test_a_power_cut_at_any_step_keeps_the_last_value_of_every_key(bench, put, records, seed: int) -> None:
    rng = random.Random(seed)
    bench.config = COMPACT
    log = bench.open()
    latest: dict[str, str] = {}
    for number in range(100):
        key = f"k{rng.randrange(12)}"
        latest[key] = str(number)
        put(log, **{key: str(number)})
    log.flush()
    recovery_point = log.recovery_point
    plan = log.plan_compaction(KEYS, bench.now_ms)
    assert plan is not None
    result = plan.run(Pace())
    step = seed % 3
    if step >= 1:
        files = log.finish_compaction(result)
        if step == 2:
            log.flush()
            for path in files:
                bench.disk.remove(path)
    bench.disk.crash(rng)
    log = bench.open(clean=False, recovery_point=recovery_point)
    assert log.log_end_offset == 100
    assert {key: value for _, key, value in content(records(log))} == latest
    assert not any(name.endswith((".swap", ".cleaned")) for name in bench.disk.list(bench.directory))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60),
    st.lists(st.integers(0, 59), max_size=6),
    st.integers(1, 10),
)
def test_the_last_value_of_every_key_survives_any_rounds(
    new_bench, entries: list[tuple[int, int]], rolls: list[int], max_keys: int
) -> None:
    bench = new_bench()
    bench.config = COMPACT
    log = bench.open()
    latest: dict[bytes, bytes | None] = {}
    for number, (key, value) in enumerate(entries):
        data = None if value == 0 else str(value).encode()
        latest[str(key).encode()] = data
        bench.append(log, build_batch([NewRecord(str(key).encode(), data, bench.now_ms)]))
        if number in rolls:
            log.roll(bench.now_ms)
            compact(bench, log, max_keys)
    found: dict[bytes | None, bytes | None] = {}
    offset = log.log_start_offset
    last = -1
    while offset < log.high_watermark:
        region = log.read(offset, 100).region
        assert region is not None
        batch = RecordBatch(log.read_bytes(region))
        for record in batch.records():
            assert record.offset > last
            last = record.offset
            found[record.key] = record.value
        offset = batch.next_offset
    assert found == latest
