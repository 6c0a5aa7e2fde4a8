"""Whatever is written, aborted, compacted and started anew: who reads what is committed finds each key's last value."""

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ottla_broker.log.config import LogConfig
from ottla_broker.log.pace import Pace
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_wire.control_records import ControlType, build_end_txn_marker, control_type
from ottla_wire.records import NewRecord, build_batch, iter_batches

RETENTION_MS = 1_000
COMPACT = LogConfig(
    cleanup_policy=frozenset({"compact"}),
    segment_bytes=1_500,
    index_interval_bytes=200,
    min_cleanable_dirty_ratio=0.0,
    delete_retention_ms=RETENTION_MS,
)
Values = dict[bytes, bytes | None]

keys = st.integers(0, 3).map(lambda number: b"k%d" % number)
values = st.one_of(st.none(), st.integers(0, 99).map(lambda number: b"%d" % number))
producer_ids = st.integers(1, 3)
steps = st.one_of(
    st.tuples(st.just("put"), keys, values),
    st.tuples(st.just("write"), producer_ids, st.lists(st.tuples(keys, values), min_size=1, max_size=3)),
    st.tuples(st.just("write"), producer_ids, st.lists(st.tuples(keys, values), min_size=1, max_size=3)),
    st.tuples(st.just("end"), producer_ids, st.booleans()),
    st.tuples(st.just("end"), producer_ids, st.booleans()),
    st.tuples(st.just("compact"), st.integers(1, 6)),
    st.tuples(st.just("wait"), st.sampled_from([RETENTION_MS // 2, 2 * RETENTION_MS])),
    st.tuples(st.just("start anew"), st.booleans()),
)

ABORTED_IN_A_LATER_SEGMENT = [
    ("write", 1, [(b"k3", None)]),
    ("compact", 1),
    ("write", 2, [(b"k0", None)]),
    ("end", 1, False),
    ("compact", 1),
]
"""The last stable offset lies between the records of an aborted transaction and its marker."""


@dataclass
class Producer:
    """A transactional producer: what it has written in the transaction that is open."""

    sequence: int = 0
    open: list[tuple[int, bytes, bytes | None]] = field(default_factory=list)


class History:
    """A log under test, and what was written to it."""

    def __init__(self, bench) -> None:
        self._bench = bench
        bench.config = COMPACT
        self.log: PartitionLog = bench.open()
        self._producers: dict[int, Producer] = {}
        self.committed: list[tuple[int, bytes, bytes | None]] = []
        """The offset, key and value of every committed record."""

    def put(self, key: bytes, value: bytes | None) -> None:
        batch = build_batch([NewRecord(key, value, self._bench.now_ms)])
        self.committed.append((self._bench.append(self.log, batch).base_offset, key, value))

    def write(self, producer_id: int, records: list[tuple[bytes, bytes | None]]) -> None:
        producer = self._producers.setdefault(producer_id, Producer())
        batch = build_batch(
            [NewRecord(key, value, self._bench.now_ms) for key, value in records],
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=producer.sequence,
            transactional=True,
        )
        producer.sequence += len(records)
        base = self._bench.append(self.log, batch).base_offset
        producer.open += [(base + number, key, value) for number, (key, value) in enumerate(records)]

    def end(self, producer_id: int, commit: bool) -> None:
        producer = self._producers.get(producer_id)
        if producer is None or not producer.open:
            return
        marker = build_end_txn_marker(
            commit=commit, producer_id=producer_id, producer_epoch=0, coordinator_epoch=0, timestamp=self._bench.now_ms
        )
        self._bench.append(self.log, marker, origin=Origin.COORDINATOR)
        if commit:
            self.committed += producer.open
        producer.open = []

    def end_all(self) -> None:
        for producer_id in self._producers:
            self.end(producer_id, commit=False)

    def compact(self, most_keys: int) -> None:
        self.log.roll(self._bench.now_ms)
        rounds = 0
        while (plan := self.log.plan_compaction(most_keys, self._bench.now_ms)) is not None:
            rounds += 1
            assert rounds <= self.log.log_end_offset, "each round comes further"
            self.log.flush()
            for path in self.log.finish_compaction(plan.run(Pace())):
                self._bench.disk.remove(path)

    def wait(self, time_ms: int) -> None:
        self._bench.now_ms += time_ms

    def start_anew(self, clean: bool) -> None:
        if clean:
            self._bench.close(self.log)
        recovery_point, high_watermark = self.log.recovery_point, self.log.high_watermark
        if not clean:
            self.log.close(durable=False)
        self.log = self._bench.open(clean=clean, recovery_point=recovery_point)
        self.log.update_high_watermark(high_watermark)

    def last_values(self, start: int) -> Values:
        """What was committed at `start` or after it."""
        return {key: value for offset, key, value in sorted(self.committed) if offset >= start}


def read_committed(log: PartitionLog, start: int, max_bytes: int) -> Values:
    """What a client finds that reads so many bytes at a time, and leaves out what it is told was aborted."""
    found: Values = {}
    offset = start
    while (part := log.read(offset, max_bytes, committed_only=True)).region is not None:
        coming, aborting = list(part.aborted or ()), set[int]()
        for batch in iter_batches(log.read_bytes(part.region)):
            while coming and coming[0].first_offset <= batch.last_offset:
                aborting.add(coming.pop(0).producer_id)
            if batch.is_control:
                if control_type(next(batch.records())) == ControlType.ABORT:
                    aborting.discard(batch.producer_id)
            elif not (batch.is_transactional and batch.producer_id in aborting):
                found |= {record.key or b"": record.value for record in batch.records() if record.offset >= start}
            assert batch.next_offset > offset
            offset = batch.next_offset
    return found


def without_deleted(values: Values) -> Values:
    return {key: value for key, value in values.items() if value is not None}


@settings(max_examples=80)
@given(st.lists(steps, min_size=4, max_size=40), st.sampled_from([100, 400, 10_000]))
@example([("put", b"k3", b"0"), *ABORTED_IN_A_LATER_SEGMENT], 100)
def test_the_last_committed_value_of_every_key_stays(new_bench, taken: list[tuple], max_bytes: int) -> None:
    history = History(new_bench())
    for step, *arguments in taken:
        getattr(history, step.replace(" ", "_"))(*arguments)
    history.end_all()
    log = history.log
    assert log.last_stable_offset == log.log_end_offset
    for start in range(log.log_end_offset):
        assert without_deleted(read_committed(log, start, max_bytes)) == without_deleted(history.last_values(start))


@settings(max_examples=40)
@given(st.lists(steps.filter(lambda step: step[0] != "wait"), min_size=4, max_size=40))
def test_deletions_stay_until_their_time_is_over(new_bench, taken: list[tuple]) -> None:
    history = History(new_bench())
    for step, *arguments in taken:
        getattr(history, step.replace(" ", "_"))(*arguments)
    history.end_all()
    for start in range(history.log.log_end_offset):
        assert read_committed(history.log, start, 10_000) == history.last_values(start)
