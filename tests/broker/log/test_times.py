"""Which record a time stands for (ListOffsets), against a look at every record there is."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ottla_broker.log.config import LogConfig
from ottla_broker.log.pace import Pace
from ottla_broker.log.partition import PartitionLog
from ottla_wire.records import NewRecord, Record, build_batch, iter_batches

times = st.integers(0, 40)
records = st.lists(st.tuples(st.integers(0, 3), times), min_size=1, max_size=4)
steps = st.one_of(
    st.tuples(st.just("write"), records),
    st.tuples(st.just("write"), records),
    st.tuples(st.just("write_as_producer"), records),
    st.tuples(st.just("delete_records"), st.floats(0, 1)),
    st.tuples(st.just("compact")),
    st.tuples(st.just("retain")),
    st.tuples(st.just("roll")),
    st.tuples(st.just("take_times_of"), st.sampled_from(["CreateTime", "LogAppendTime"])),
    st.tuples(st.just("start_anew"), st.booleans()),
)


class History:
    """A log under test."""

    def __init__(self, bench) -> None:
        self._bench = bench
        self._base_ms = bench.now_ms
        self._sequence = 0
        self.deleted = 0
        bench.config = LogConfig(
            cleanup_policy=frozenset({"compact"}),
            segment_bytes=700,
            index_interval_bytes=150,
            min_cleanable_dirty_ratio=0.0,
        )
        self.log: PartitionLog = bench.open()

    def write(self, written: list[tuple[int, int]], **options: object) -> None:
        self._bench.now_ms += 1
        batch = build_batch(
            [NewRecord(b"k%d" % key, b"v" * 20, self._base_ms + time) for key, time in written], **options
        )
        self._bench.append(self.log, batch)

    def write_as_producer(self, written: list[tuple[int, int]]) -> None:
        self.write(written, producer_id=1, producer_epoch=0, base_sequence=self._sequence)
        self._sequence += len(written)

    def delete_records(self, share: float) -> None:
        self.deleted = self.log.delete_records_before(int(self.log.high_watermark * share))

    def compact(self) -> None:
        self.roll()
        plan = self.log.plan_compaction(100, self._bench.now_ms)
        if plan is not None:
            self.log.flush()
            for path in self.log.finish_compaction(plan.run(Pace())):
                self._bench.disk.remove(path)

    def retain(self) -> None:
        for path in self.log.enforce_retention(self._bench.now_ms):
            self._bench.disk.remove(path)

    def roll(self) -> None:
        self.log.roll(self._bench.now_ms)

    def take_times_of(self, timestamp_type: str) -> None:
        self._bench.config = LogConfig(
            cleanup_policy=frozenset({"compact"}),
            segment_bytes=700,
            index_interval_bytes=150,
            min_cleanable_dirty_ratio=0.0,
            message_timestamp_type=timestamp_type,
        )
        self.log.config = self._bench.config

    def start_anew(self, clean: bool) -> None:
        if clean:
            self._bench.close(self.log)
        else:
            self.log.close(durable=False)
        self.log = self._bench.open(
            clean=clean, recovery_point=self.log.recovery_point, log_start_offset=self.log.log_start_offset
        )

    def records(self) -> list[Record]:
        """All that a consumer gets from the start."""
        found: list[Record] = []
        offset = start = self.log.log_start_offset
        while (region := self.log.read(offset, 10_000).region) is not None:
            for batch in iter_batches(self.log.read_bytes(region)):
                offset = batch.next_offset
                if not batch.is_control:
                    found += [record for record in batch.records() if record.offset >= start]
        return found


@settings(max_examples=100)
@given(st.lists(steps, min_size=2, max_size=25))
@example([("write", [(0, 20)]), ("write", [(0, 10)]), ("delete_records", 0.5)])
@example([("write_as_producer", [(0, 20)]), ("write", [(0, 10)]), ("compact",)])
def test_a_time_stands_for_the_first_record_that_is_as_late(new_bench, taken: list[tuple]) -> None:
    history = History(new_bench())
    for step, *arguments in taken:
        getattr(history, step)(*arguments)
    log, left = history.log, history.records()
    for time in sorted({record.timestamp + late for record in left for late in (-1, 0, 1)}):
        found = log.offset_for_timestamp(time)
        first = next((record for record in left if record.timestamp >= time), None)
        assert (found and (found.offset, found.timestamp)) == (first and (first.offset, first.timestamp))
    newest = log.max_timestamp()
    latest = max(left, key=lambda record: record.timestamp, default=None)
    assert (newest and (newest.offset, newest.timestamp)) == (latest and (latest.offset, latest.timestamp))
