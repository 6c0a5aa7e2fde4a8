"""The log against a list: whatever happens to it, what it returns is what the list says.

Hypothesis finds the order of events; a power cut may leave any part of what was not flushed.
"""

import dataclasses
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ottla_broker.log.config import LogConfig
from ottla_wire.errors import KafkaError
from ottla_wire.records import NewRecord, build_batch, iter_batches


@dataclasses.dataclass
class Stored:
    """A batch as the model remembers it."""

    base_offset: int
    last_offset: int
    data: bytes


class LogMachine(RuleBasedStateMachine):
    """`make_bench` is set by the test."""

    make_bench = None

    def __init__(self) -> None:
        super().__init__()
        self.bench = type(self).make_bench()
        self.bench.config = LogConfig(segment_bytes=1500, index_interval_bytes=150, retention_bytes=4000)
        self.log = self.bench.open()
        self.model: list[Stored] = []
        self.start = 0
        self.flushed = 0
        self.sequences = {1: 0, 2: 0}

    @property
    def end(self) -> int:
        return self.model[-1].last_offset + 1 if self.model else self.start

    def store(self, data: bytearray) -> None:
        appended = self.bench.append(self.log, data)
        self.model.append(Stored(appended.base_offset, appended.last_offset, bytes(data)))

    @rule(records=st.integers(1, 8), size=st.integers(0, 120))
    def append(self, records: int, size: int) -> None:
        self.bench.now_ms += 10
        self.store(build_batch([NewRecord(b"k", b"v" * size, self.bench.now_ms)] * records))

    @rule(producer_id=st.sampled_from([1, 2]), records=st.integers(1, 3))
    def append_idempotent(self, producer_id: int, records: int) -> None:
        state = self.log.producers.get(producer_id)
        sequence = state.last_sequence + 1 if state is not None else 0
        options = {"producer_id": producer_id, "producer_epoch": 0, "base_sequence": sequence}
        batch = build_batch([NewRecord(b"k", b"v", self.bench.now_ms)] * records, **options)
        again = bytes(batch)
        self.store(batch)
        repeated = self.bench.append(self.log, again)
        assert repeated.duplicate
        assert (repeated.base_offset, repeated.last_offset) == (self.model[-1].base_offset, self.model[-1].last_offset)

    @rule(room=st.integers(0, 90))
    def append_to_a_full_disk(self, room: int) -> None:
        disk = self.bench.disk
        disk.capacity = disk.used() + room
        with pytest.raises(KafkaError):
            self.bench.append(self.log, build_batch([NewRecord(b"k", b"v" * 100, self.bench.now_ms)]))
        disk.capacity = None

    @rule()
    def roll(self) -> None:
        self.log.roll(self.bench.now_ms)

    @rule()
    def flush(self) -> None:
        self.log.flush()
        self.flushed = self.end

    @rule()
    def flush_closed_segments(self) -> None:
        self.log.flush(closed_only=True)
        assert not self.log.closed_segments_are_unflushed
        self.flushed = max(self.flushed, self.log.recovery_point)

    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self.start, self.end), "offset")
        self.log.truncate_to(offset, self.bench.now_ms)
        self.model = [batch for batch in self.model if batch.last_offset < offset]
        self.start = min(self.start, self.log.log_end_offset)
        self.flushed = min(self.flushed, self.log.log_end_offset)

    @rule(data=st.data())
    def delete_records(self, data: st.DataObject) -> None:
        self.start = self.log.delete_records_before(data.draw(st.integers(self.start, self.end), "offset"))

    @rule()
    def enforce_retention(self) -> None:
        for path in self.log.enforce_retention(self.bench.now_ms):
            self.bench.disk.remove(path)
        assert self.log.size_bytes < 4000 + 1500
        self.start = self.log.log_start_offset

    @rule()
    def restart(self) -> None:
        self.bench.close(self.log)
        self.flushed = self.end
        self.log = self.bench.open(log_start_offset=self.start)

    @rule(seed=st.integers(0, 10**6))
    def crash(self, seed: int) -> None:
        self.bench.disk.crash(random.Random(seed))
        start = min(self.start, self.flushed)  # what a checkpoint would hold is never beyond what was flushed
        self.log = self.bench.open(clean=False, recovery_point=self.flushed, log_start_offset=start)
        assert self.flushed <= self.log.log_end_offset <= self.end
        self.model = [batch for batch in self.model if batch.last_offset < self.log.log_end_offset]
        self.start = self.log.log_start_offset

    @rule()
    def kill(self) -> None:
        """The process dies, the page cache does not: nothing is lost."""
        self.log = self.bench.open(clean=False, recovery_point=self.flushed, log_start_offset=self.start)

    @rule(data=st.data(), max_bytes=st.integers(0, 3000))
    def read(self, data: st.DataObject, max_bytes: int) -> None:
        offset = data.draw(st.integers(self.start, self.end), "offset")
        region = self.log.read(offset, max_bytes).region
        found = b"" if region is None else self.log.read_bytes(region)
        expected = b"".join(batch.data for batch in self.model if batch.last_offset >= offset)
        assert expected.startswith(found)
        assert bool(found) == bool(expected)
        assert len(found) <= max_bytes or len(list(iter_batches(found))) == 1

    @invariant()
    def offsets_agree(self) -> None:
        assert (self.log.log_start_offset, self.log.log_end_offset) == (self.start, max(self.start, self.end))
        assert self.log.log_start_offset <= self.log.last_stable_offset <= self.log.high_watermark
        assert self.log.recovery_point <= self.log.log_end_offset
        ends = [segment.next_offset for segment in self.log.segments]
        assert ends[:-1] == [segment.base_offset for segment in self.log.segments][1:]


def test_the_log_behaves_like_a_list_of_batches(new_bench) -> None:
    machine = type("Machine", (LogMachine,), {"make_bench": staticmethod(new_bench)})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=150, stateful_step_count=40, suppress_health_check=list(HealthCheck)),
    )
