"""Transactions in one partition: the last stable offset, aborted lists, and what survives a restart."""

from collections.abc import Callable

import msgspec
import pytest

from ottla_broker.log.config import LogConfig
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import RecordBatch

MakeBatch = Callable[..., bytearray]


class Producers:
    """Transactional producers that write to a bench's log, by their ids."""

    def __init__(self, bench, one_batch: MakeBatch) -> None:
        self._bench = bench
        self._one_batch = one_batch
        self._sequences: dict[int, int] = {}

    def write(self, log: PartitionLog, producer_id: int, records: int = 1) -> int:
        """Write in the producer's transaction; the base offset."""
        sequence = self._sequences.get(producer_id, 0)
        batch = self._one_batch(
            records, producer_id=producer_id, producer_epoch=0, base_sequence=sequence, transactional=True
        )
        self._sequences[producer_id] = sequence + records
        return self._bench.append(log, batch).base_offset

    def end(self, log: PartitionLog, producer_id: int, *, commit: bool, coordinator_epoch: int = 0) -> int:
        """Write the marker; its offset."""
        marker = build_end_txn_marker(
            commit=commit,
            producer_id=producer_id,
            producer_epoch=0,
            coordinator_epoch=coordinator_epoch,
            timestamp=self._bench.now_ms,
        )
        return self._bench.append(log, marker, origin=Origin.COORDINATOR).base_offset


@pytest.fixture
def producers(bench, one_batch: MakeBatch) -> Producers:
    return Producers(bench, one_batch)


def aborted(log: PartitionLog, offset: int, max_bytes: int = 10**6) -> list[tuple[int, int]] | None:
    return log.read(offset, max_bytes, committed_only=True).aborted


def is_open(log: PartitionLog, producer_id: int) -> bool:
    """Whether there are records of this producer that no marker has settled."""
    state = log.producers.get(producer_id)
    return state is not None and state.transaction_first_offset >= 0


def test_23_the_first_open_transaction_holds_the_last_stable_offset(
    bench, one_batch: MakeBatch, producers: Producers
) -> None:
    log = bench.open()
    bench.append(log, one_batch())
    assert log.last_stable_offset == 1
    producers.write(log, 1)
    producers.write(log, 2)
    bench.append(log, one_batch())
    assert log.last_stable_offset == 1
    producers.end(log, 1, commit=True)
    assert log.last_stable_offset == 2
    producers.end(log, 2, commit=False)
    assert log.last_stable_offset == log.log_end_offset == 6


def test_23_a_marker_above_the_high_watermark_settles_nothing_yet(
    bench, one_batch: MakeBatch, producers: Producers
) -> None:
    log = bench.open()
    bench.append(log, one_batch())
    producers.write(log, 1)
    marker = build_end_txn_marker(
        commit=True, producer_id=1, producer_epoch=0, coordinator_epoch=0, timestamp=bench.now_ms
    )
    log.append(marker, leader_epoch=0, now_ms=bench.now_ms, origin=Origin.COORDINATOR)
    assert (log.log_end_offset, log.high_watermark, log.last_stable_offset) == (3, 2, 1)
    log.update_high_watermark(3)
    assert log.last_stable_offset == 3


def test_read_committed_stops_at_the_last_stable_offset(bench, one_batch: MakeBatch, producers: Producers) -> None:
    log = bench.open()
    bench.append(log, one_batch(2))
    producers.write(log, 1)
    bench.append(log, one_batch(2))
    committed = log.read(0, 10**6, committed_only=True)
    assert committed.region is not None
    assert RecordBatch(log.read_bytes(committed.region)).size == committed.size
    assert log.read(2, 10**6, committed_only=True).region is None
    assert log.read(2, 10**6).size > 0


def test_24_aborted_transactions_are_sorted_by_first_offset_and_null_for_read_uncommitted(
    bench, producers: Producers
) -> None:
    log = bench.open()
    for producer_id in (5, 4, 3):
        producers.write(log, producer_id)
    for producer_id in (3, 4, 5):
        producers.end(log, producer_id, commit=False)
    assert aborted(log, 0) == [(5, 0), (4, 1), (3, 2)]
    assert log.read(0, 100).aborted is None


def test_only_the_aborted_transactions_of_the_range_are_listed(bench, producers: Producers) -> None:
    log = bench.open()
    for number in range(6):
        producers.write(log, number)
        producers.end(log, number, commit=number % 2 == 0)
    assert aborted(log, 0) == [(1, 2), (3, 6), (5, 10)]
    assert aborted(log, 3) == [(1, 2), (3, 6), (5, 10)], "its marker is still ahead"
    assert aborted(log, 4) == [(3, 6), (5, 10)]
    assert aborted(log, 4, 1) == []
    assert aborted(log, 6, 1) == [(3, 6)]
    assert aborted(log, 12) == []


def test_a_marker_in_a_later_segment_is_found(bench, producers: Producers, one_batch: MakeBatch) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    producers.write(log, 1)
    for _ in range(30):
        bench.append(log, one_batch())
    producers.end(log, 1, commit=False)
    assert len(log.segments) > 2
    assert aborted(log, 0) == [(1, 0)]


@pytest.mark.parametrize("stop", ["clean", "crash", "crash, flushed", "clean, indexes lost"])
def test_transactions_survive_a_restart(bench, producers: Producers, one_batch: MakeBatch, stop: str) -> None:
    bench.config = LogConfig(segment_bytes=1500)
    log = bench.open()
    for number in range(40):
        producers.write(log, number % 7)
        if number % 3 == 0:
            producers.end(log, number % 7, commit=number % 2 == 0)
        bench.append(log, one_batch())
    expected = aborted(log, 0), log.last_stable_offset, log.log_end_offset
    states = [msgspec.structs.replace(state, last_timestamp=0, batches=state.batches[-1:]) for state in log.producers]
    assert expected[0]
    if stop.startswith("crash"):
        log.flush()
        bench.disk.crash()
        log = bench.open(clean=False, recovery_point=log.recovery_point if "flushed" in stop else 0)
    else:
        paths = [segment.path(".txnindex") for segment in log.segments]
        bench.close(log)
        for path in paths if "lost" in stop else []:
            if bench.disk.exists(path):
                bench.disk.open(path).truncate(5)
        log = bench.open()
    assert (aborted(log, 0), log.last_stable_offset, log.log_end_offset) == expected
    restored = [msgspec.structs.replace(state, last_timestamp=0, batches=state.batches[-1:]) for state in log.producers]
    strip = [
        (state.producer_id, state.epoch, state.last_sequence, state.transaction_first_offset) for state in restored
    ]
    assert sorted(strip) == sorted(
        (state.producer_id, state.epoch, state.last_sequence, state.transaction_first_offset) for state in states
    )


def test_40_a_marker_from_an_old_coordinator_is_fenced(bench, producers: Producers) -> None:
    log = bench.open()
    producers.write(log, 1)
    producers.end(log, 1, commit=True, coordinator_epoch=3)
    with pytest.raises(KafkaError) as refusal:
        producers.end(log, 1, commit=True, coordinator_epoch=2)
    assert refusal.value.code is ErrorCode.TRANSACTION_COORDINATOR_FENCED


def test_an_append_that_fails_on_disk_opens_no_transaction(bench, producers: Producers) -> None:
    log = bench.open()
    bench.disk.capacity = bench.disk.used()
    with pytest.raises(KafkaError):
        producers.write(log, 1)
    assert not is_open(log, 1)
    assert log.last_stable_offset == 0
    bench.disk.capacity = None
    producers.write(log, 2)
    assert is_open(log, 2)


def test_truncation_takes_transactions_back(bench, producers: Producers, one_batch: MakeBatch) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    for _ in range(12):
        bench.append(log, one_batch())
    producers.write(log, 1)
    end = producers.end(log, 1, commit=False)
    assert aborted(log, 12) == [(1, 12)]
    log.truncate_to(end, bench.now_ms)
    assert log.last_stable_offset == 12
    assert is_open(log, 1)
    log.truncate_to(5, bench.now_ms)
    assert log.last_stable_offset == log.log_end_offset == 5
    assert not is_open(log, 1)
    assert log.producers.get(1) is None
