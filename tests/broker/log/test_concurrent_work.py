"""One partition that is written, read, flushed, compacted, cut, deleted and started anew, and all that at a time.

Each seed is a run of its own, on a disk that keeps threads waiting for a while. A model knows every record: what a
reader gets, however late it reads the region that it was given, are records that were written, and none of those that
must be there is missing. What compaction may leave out is what a later settled record of the same key has replaced.
"""

import asyncio
import random
import threading
import time
import uuid
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ottla_broker.log.config import LogConfig, LogManagerConfig
from ottla_broker.log.disk import File, LocalDisk
from ottla_broker.log.manager import LogManager
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_wire.control_records import ControlType, build_end_txn_marker, control_type
from ottla_wire.errors import KafkaError
from ottla_wire.records import Compression, NewRecord, RecordBatch, build_batch, iter_batches

STEPS = 250
POLICIES = [frozenset({"delete"}), frozenset({"compact"}), frozenset({"compact", "delete"})]
WEIGHTS = {
    "write": 20,
    "write_in_transaction": 10,
    "end_transaction": 8,
    "read": 20,
    "compact": 6,
    "retain": 5,
    "flush": 4,
    "checkpoint": 2,
    "remove": 3,
    "delete_records": 2,
    "configure": 2,
    "roll": 3,
    "start_anew": 1,
    "make_anew": 1,
    "let_go_on": 14,
}


class Written(NamedTuple):
    """A record as the model remembers it. `producer` is whose open transaction it is in."""

    key: bytes
    value: bytes | None
    producer: int | None = None
    aborted: bool = False

    @property
    def is_settled(self) -> bool:
        return self.producer is None and not self.aborted


class SlowDisk(LocalDisk):
    """Whatever a thread opens, renames or makes durable takes its time."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._loop = threading.get_ident()

    def _dawdle(self) -> None:
        if threading.get_ident() != self._loop:
            time.sleep(self._chance.random() * 0.001)

    def open(self, path: Path, *, create: bool = False) -> File:
        self._dawdle()
        return super().open(path, create=create)

    def rename(self, source: Path, target: Path) -> None:
        self._dawdle()
        super().rename(source, target)

    def sync_directory(self, path: Path) -> None:  # noqa: ARG002 - nothing is lost here that would have to be durable
        self._dawdle()


class World:
    def __init__(self, seed: int, path: Path) -> None:
        self.chance = random.Random(seed)
        self.path = path
        self.now_ms = 1_700_000_000_000
        self.policy = self.chance.choice(POLICIES)
        self.generation = 0
        self.written: dict[int, Written] = {}
        self.sequences: dict[int, int] = {}
        self.under_way: dict[str, asyncio.Task[None]] = {}
        self.begun = 0
        self.configure_next()

    def configure_next(self) -> None:
        self.config = LogConfig(
            cleanup_policy=self.policy,
            segment_bytes=self.chance.choice([600, 1_500, 4_000]),
            index_interval_bytes=self.chance.choice([1, 100, 400]),
            segment_index_bytes=self.chance.choice([400, 10_000]),
            min_cleanable_dirty_ratio=0.0,
            retention_bytes=self.chance.choice([-1, 3_000, 8_000]),
            retention_ms=self.chance.choice([-1, 50_000]),
            delete_retention_ms=self.chance.choice([0, 1_000]),
            compression_type=self.chance.choice(["producer", "producer", "lz4"]),
            preallocate=self.chance.random() < 0.2,
            file_delete_delay_ms=0,
        )

    async def live(self) -> None:
        self.open()
        for _ in range(STEPS):
            self.now_ms += self.chance.choice([1, 10, 1_000])
            (step,) = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))
            done = getattr(self, step)()
            if done is not None:
                await done
            assert not self.log.segments.active.extension, "the active segment is part of the log"
        await self.all_done()
        for producer in {record.producer for record in self.written.values()} - {None}:
            self.end(producer, commit=True)
        for committed in (False, True):
            offset = self.log.log_start_offset
            while offset < self.log.log_end_offset:
                offset = await self.read_from(offset, committed=committed)
        await self.manager.close()

    def open(self) -> None:
        self.manager = LogManager(self.path, LogManagerConfig(), lambda: self.now_ms, SlowDisk(self.chance))
        self.manager.open(node_id=1)
        self.create()

    def create(self) -> None:
        self.log: PartitionLog = self.manager.create("t", uuid.UUID(int=self.generation + 2), 0, self.config)
        self.log.update_high_watermark(self.log.log_end_offset)

    def begin(self, work: Coroutine[Any, Any, None], name: str = "") -> None:
        """Something that goes on while other things happen."""
        self.begun += 1
        self.under_way[name or str(self.begun)] = asyncio.create_task(work)

    async def all_done(self) -> None:
        tasks, self.under_way = list(self.under_way.values()), {}
        await asyncio.gather(*tasks)

    def in_background(self, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """It may be about a log that is deleted meanwhile, also before it begins."""
        log = self.log

        async def done() -> None:
            try:
                await work
            except KafkaError:
                if log is self.log:
                    raise

        return done()

    # ---- what happens

    def records(self) -> list[NewRecord]:
        def value() -> bytes | None:
            return (
                None if self.chance.random() < 0.15 else b"%x" % self.chance.getrandbits(8 * self.chance.randint(1, 30))
            )

        return [
            NewRecord(b"k%d" % self.chance.randrange(6), value(), self.now_ms) for _ in range(self.chance.randint(1, 4))
        ]

    def append(self, data: bytearray, records: list[NewRecord], producer: int | None, **options: Any) -> None:
        base = self.log.append(data, leader_epoch=0, now_ms=self.now_ms, **options).base_offset
        self.log.update_high_watermark(self.log.log_end_offset)
        for offset, record in enumerate(records, base):
            self.written[offset] = Written(record.key or b"", record.value, producer)

    def write(self) -> None:
        records = self.records()
        self.append(build_batch(records, compression=self.chance.choice(list(Compression))), records, None)

    def write_in_transaction(self) -> None:
        producer, records = self.chance.randint(1, 3), self.records()
        sequence = self.sequences.get(producer, 0)
        self.sequences[producer] = sequence + len(records)
        options = {"producer_id": producer, "producer_epoch": 0, "base_sequence": sequence, "transactional": True}
        self.append(build_batch(records, **options), records, producer)

    def end_transaction(self) -> None:
        self.end(self.chance.randint(1, 3), commit=self.chance.random() < 0.6)

    def end(self, producer: int, *, commit: bool) -> None:
        marker = build_end_txn_marker(
            commit=commit, producer_id=producer, producer_epoch=0, coordinator_epoch=0, timestamp=self.now_ms
        )
        self.append(marker, [], None, origin=Origin.COORDINATOR)
        for offset, record in self.written.items():
            if record.producer == producer:
                self.written[offset] = record._replace(producer=None, aborted=not commit)

    def read(self) -> None:
        self.begin(self.read_late())

    def compact(self) -> None:
        if "compact" not in self.under_way or self.under_way["compact"].done():
            self.begin(self.in_background(self.manager.compact(self.log)), "compact")

    def retain(self) -> None:
        self.begin(self.in_background(self.manager._retain(self.log)))

    def flush(self) -> None:
        flush = self.chance.choice([self.manager.flush, self.manager._flush_closed])
        self.begin(self.in_background(flush(self.log)))

    def checkpoint(self) -> None:
        self.begin(self.chance.choice([self.manager._checkpoint_recovery, self.manager._checkpoint_starts])())

    def remove(self) -> None:
        self.begin(self.manager._remove_due())

    def delete_records(self) -> None:
        if self.config.delete:
            self.log.delete_records_before(self.chance.randint(self.log.log_start_offset, self.log.high_watermark))

    def configure(self) -> None:
        self.configure_next()
        self.log.config = self.config

    def roll(self) -> None:
        self.log.roll(self.now_ms)

    async def start_anew(self) -> None:
        await self.all_done()
        start, end = self.log.log_start_offset, self.log.log_end_offset
        await self.manager.close()
        self.open()
        assert (self.log.log_start_offset, self.log.log_end_offset) == (start, end)

    async def make_anew(self) -> None:
        await self.manager.delete("t", 0)
        self.written.clear()
        self.sequences.clear()
        self.generation += 1
        self.create()
        assert self.log.log_end_offset == 0

    async def let_go_on(self) -> None:
        await asyncio.sleep(self.chance.choice([0, 0, 0.001]))
        for name in [name for name, task in self.under_way.items() if task.done()]:
            await self.under_way.pop(name)

    # ---- what readers get

    async def read_late(self) -> None:
        offset = self.chance.randint(self.log.log_start_offset, self.log.high_watermark)
        await self.read_from(offset, committed=self.chance.random() < 0.5, late=True)

    async def read_from(self, offset: int, *, committed: bool, late: bool = False) -> int:
        """Read once, and check what came; the offset to go on from."""
        part = self.log.read(offset, self.chance.choice([1, 300, 1_000, 100_000]), committed_only=committed)
        if part.region is None:
            assert late, f"nothing at {offset} of {self.log}"
            return offset
        log, written = self.log, dict(self.written)
        if late:
            await asyncio.sleep(self.chance.choice([0, 0.001, 0.004]))
        batches = list(iter_batches(log.read_bytes(part.region)))
        aborted = {} if part.aborted is None else {(each.producer_id, each.first_offset) for each in part.aborted}
        found = _committed(batches, sorted(aborted, key=lambda each: each[1]))
        reached = batches[-1].next_offset
        assert reached > offset
        for at, record in found.items():
            if at >= offset:
                assert written[at][:2] == record
                assert not committed or written[at].is_settled
        settled = {at: record for at, record in written.items() if record.is_settled}
        for at in range(offset, reached):
            record = written.get(at)
            if record is None or at in found or (committed and not record.is_settled):
                continue
            assert self.config.compact, f"{at} is missing"
            replaced = any(later.key == record.key for after, later in settled.items() if after > at)
            assert replaced or record.aborted or record.value is None, f"{at} is lost"
        return reached


def _committed(
    batches: list[RecordBatch], aborted: list[tuple[int, int]]
) -> dict[int, tuple[bytes | None, bytes | None]]:
    """The records of batches by their offsets, without those that are said to be aborted."""
    found: dict[int, tuple[bytes | None, bytes | None]] = {}
    aborting = set()
    for batch in batches:
        batch.validate()
        while aborted and aborted[0][1] <= batch.last_offset:
            aborting.add(aborted.pop(0)[0])
        if batch.is_control:
            marker = next(
                batch.records(), None
            )  # compaction may have left an empty batch, where there is nothing to settle
            if marker is not None and control_type(marker) == ControlType.ABORT:
                aborting.discard(batch.producer_id)
        elif not (batch.is_transactional and batch.producer_id in aborting):
            found |= {record.offset: (record.key, record.value) for record in batch.records()}
    return found


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_lost_or_wrong_whatever_goes_on_at_a_time(tmp_path: Path, seed: int) -> None:
    asyncio.run(World(seed, tmp_path / "data").live())
