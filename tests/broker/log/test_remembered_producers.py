"""What a partition knows of its producers outlives records, segments, snapshots and processes, until it expires."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_broker.log.config import LogConfig
from ottla_broker.log.pace import Pace
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import NewRecord, build_batch

DELETE = LogConfig(segment_bytes=600, index_interval_bytes=100, retention_bytes=2_000, retention_ms=-1)
COMPACT = replace(DELETE, cleanup_policy=frozenset({"compact"}), min_cleanable_dirty_ratio=0.0, delete_retention_ms=0)
BOTH = replace(COMPACT, cleanup_policy=frozenset({"compact", "delete"}))
DAY_MS = 86_400_000

producer_ids = st.integers(1, 3)
steps = st.one_of(
    st.tuples(st.just("write"), producer_ids, st.integers(1, 3)),
    st.tuples(st.just("write"), producer_ids, st.integers(1, 3)),
    st.tuples(st.just("write"), producer_ids, st.integers(1, 3)),
    st.tuples(st.just("end"), producer_ids, st.booleans()),
    st.tuples(st.just("end"), producer_ids, st.booleans()),
    st.tuples(st.just("begin_epoch"), producer_ids),
    st.tuples(st.just("write_plainly"), st.integers(1, 5)),
    st.tuples(st.just("delete_records"), st.floats(0, 1)),
    st.tuples(st.just("retain")),
    st.tuples(st.just("compact")),
    st.tuples(st.just("roll")),
    st.tuples(st.just("flush")),
    st.tuples(st.just("wait"), st.sampled_from([1_000, DAY_MS // 2])),
    st.tuples(st.just("start_anew"), st.booleans()),
)


@dataclass
class Producer:
    """What a client knows of itself."""

    id: int
    transactional: bool
    epoch: int = 0
    next_sequence: int = 0
    last_batch: bytes = b""
    last_heard_ms: int = 0
    open_since: int = -1


class History:
    """A log under test, and its producers."""

    def __init__(self, bench, config: LogConfig) -> None:
        self._bench = bench
        bench.config = config
        self.log: PartitionLog = bench.open()
        self.producers = {number: Producer(number, transactional=number > 1) for number in (1, 2, 3)}

    def write(self, producer_id: int, records: int) -> None:
        producer = self.producers[producer_id]
        batch = build_batch(
            [NewRecord(b"k%d" % producer_id, b"v" * 30, self._bench.now_ms)] * records,
            producer_id=producer_id,
            producer_epoch=producer.epoch,
            base_sequence=producer.next_sequence,
            transactional=producer.transactional,
        )
        producer.last_batch = bytes(batch)
        appended = self._bench.append(self.log, batch)
        assert not appended.duplicate
        producer.next_sequence += records
        producer.last_heard_ms = self._bench.now_ms
        if producer.transactional and producer.open_since < 0:
            producer.open_since = appended.base_offset

    def end(self, producer_id: int, commit: bool) -> None:
        producer = self.producers[producer_id]
        if producer.open_since < 0:
            return
        marker = build_end_txn_marker(
            commit=commit,
            producer_id=producer_id,
            producer_epoch=producer.epoch,
            coordinator_epoch=0,
            timestamp=self._bench.now_ms,
        )
        self._bench.append(self.log, marker, origin=Origin.COORDINATOR)
        producer.open_since = -1
        producer.last_heard_ms = self._bench.now_ms

    def begin_epoch(self, producer_id: int) -> None:
        self.end(producer_id, commit=False)
        producer = self.producers[producer_id]
        producer.epoch, producer.next_sequence, producer.last_batch = producer.epoch + 1, 0, b""

    def write_plainly(self, records: int) -> None:
        self._bench.append(self.log, build_batch([NewRecord(b"k", b"v" * 30, self._bench.now_ms)] * records))

    def delete_records(self, share: float) -> None:
        self.log.delete_records_before(int(self.log.last_stable_offset * share))

    def retain(self) -> None:
        self.remove(self.log.enforce_retention(self._bench.now_ms))

    def compact(self) -> None:
        self.log.roll(self._bench.now_ms)
        plan = self.log.plan_compaction(100, self._bench.now_ms)
        if plan is not None:
            self.log.flush()
            self.remove(self.log.finish_compaction(plan.run(Pace())))

    def remove(self, paths) -> None:
        for path in paths:
            self._bench.disk.remove(path)

    def roll(self) -> None:
        self.log.roll(self._bench.now_ms)

    def flush(self) -> None:
        self.log.flush()

    def wait(self, time_ms: int) -> None:
        self._bench.now_ms += time_ms
        self.log.expire_producers(self._bench.now_ms, DAY_MS)

    def start_anew(self, clean: bool) -> None:
        before = self.log.last_stable_offset
        if clean:
            self._bench.close(self.log)
        else:
            self.log.close(durable=False)
        self.log = self._bench.open(
            clean=clean, recovery_point=self.log.recovery_point, log_start_offset=self.log.log_start_offset
        )
        assert self.log.last_stable_offset == before

    def check(self) -> None:
        log = self.log
        opened = [producer.open_since for producer in self.producers.values() if producer.open_since >= 0]
        assert log.last_stable_offset == max(log.log_start_offset, min([*opened, log.log_end_offset]))
        for producer in self.producers.values():
            if not producer.last_batch:
                continue
            expired = self._bench.now_ms - producer.last_heard_ms >= DAY_MS and producer.open_since < 0
            if expired:
                continue
            state = log.producers.get(producer.id)
            assert state is not None, f"{producer} was forgotten"
            assert (state.epoch, state.transaction_first_offset) == (producer.epoch, producer.open_since)
            assert state.last_sequence == producer.next_sequence - 1
            if producer.open_since >= 0 or not producer.transactional:
                assert self._bench.append(log, producer.last_batch).duplicate
                self.check_gap(producer)

    def check_gap(self, producer: Producer) -> None:
        batch = build_batch(
            [NewRecord(b"k", b"", self._bench.now_ms)],
            producer_id=producer.id,
            producer_epoch=producer.epoch,
            base_sequence=producer.next_sequence + 1,
            transactional=producer.transactional,
        )
        with pytest.raises(KafkaError) as refusal:
            self._bench.append(self.log, batch)
        assert refusal.value.code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


@settings(max_examples=150)
@given(st.sampled_from([DELETE, COMPACT, BOTH]), st.lists(steps, min_size=4, max_size=40))
def test_a_producer_is_known_until_it_expires(new_bench, config: LogConfig, taken: list) -> None:
    history = History(new_bench(), config)
    for step, *arguments in taken:
        getattr(history, step)(*arguments)
        history.check()
    history.start_anew(clean=True)
    history.check()
    history.start_anew(clean=False)
    history.check()
