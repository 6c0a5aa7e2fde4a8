"""What the tests of the log share: a faulty disk, a log on it, and batches to append."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ottla_broker.log.config import LogConfig
from ottla_broker.log.disk import Rewrites
from ottla_broker.log.memory_disk import MemoryDisk
from ottla_broker.log.partition import Appended, PartitionLog
from ottla_wire.records import NewRecord, RecordBatch, build_batch, iter_batches

NOW_MS = 1_700_000_000_000


class Bench:
    """A partition directory on a `MemoryDisk`, and the log that is open there."""

    directory = Path("/data/events-0")

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.now_ms = NOW_MS
        self.config = LogConfig()

    def close(self, log: PartitionLog) -> None:
        """Stop it cleanly."""
        rewrites = Rewrites(self.disk)
        log.settle(rewrites)
        rewrites.commit(self.directory)
        log.close(durable=True)

    def open(self, *, clean: bool = True, recovery_point: int = 0, log_start_offset: int = 0) -> PartitionLog:
        """The log, with everything in it replicated."""
        log = PartitionLog.open(
            self.directory,
            "events",
            0,
            self.config,
            disk=self.disk,
            now_ms=self.now_ms,
            clean_shutdown=clean,
            recovery_point=recovery_point,
            log_start_offset=log_start_offset,
        )
        log.update_high_watermark(log.log_end_offset)
        return log

    def append(self, log: PartitionLog, data: bytes | bytearray, **options: object) -> Appended:
        """Append with the bench's clock, and replicate."""
        appended = log.append(data, now_ms=self.now_ms, **{"leader_epoch": 0} | options)
        log.update_high_watermark(log.log_end_offset)
        return appended

    def append_at(self, log: PartitionLog, data: bytes | bytearray, **options: object) -> tuple[int, int]:
        """`append`, and the first and the last offset of what was appended."""
        appended = self.append(log, data, **options)
        return appended.base_offset, appended.last_offset

    def fill(self, log: PartitionLog, batches: int, *, records: int = 1, value_size: int = 20) -> None:
        """Append batches, a second of event time apart."""
        for _ in range(batches):
            self.now_ms += 1000
            value = b"v" * value_size
            self.append(log, build_batch([NewRecord(b"k", value, self.now_ms)] * records))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="session")
def new_bench() -> type[Bench]:
    """Makes benches, for tests that need one for each example."""
    return Bench


@pytest.fixture
def one_batch() -> Callable[..., bytearray]:
    """Makes a batch of records with this time, key and value; the options are those of `build_batch`."""

    def make(
        records: int = 1,
        *,
        timestamp: int = NOW_MS,
        key: bytes | None = b"k",
        value: bytes | None = b"v" * 20,
        **options: object,
    ) -> bytearray:
        return build_batch([NewRecord(key, value, timestamp)] * records, **options)

    return make


@pytest.fixture
def read_all() -> Callable[[PartitionLog], list[RecordBatch]]:
    """Reads a log from its start to its high watermark, a little at a time."""

    def batches(log: PartitionLog, max_bytes: int = 200) -> Iterator[RecordBatch]:
        offset = log.log_start_offset
        while offset < log.high_watermark:
            region = log.read(offset, max_bytes).region
            assert region is not None, f"nothing at {offset} of {log}"
            for batch in iter_batches(log.read_bytes(region)):
                offset = batch.next_offset
                yield batch

    return lambda log: list(batches(log))
