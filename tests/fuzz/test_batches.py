"""Record batches: what a log takes from anybody can be read, compressed anew and compacted, or it is refused."""

import random
from pathlib import Path
from typing import NamedTuple

from ottla_broker.log.config import LogConfig
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.memory_disk import MemoryDisk
from ottla_broker.log.pace import Pace
from ottla_broker.log.partition import PartitionLog
from ottla_wire.errors import KafkaError
from ottla_wire.records import Compression, RecordBatch, iter_batches

from .campaign import campaign
from .mutation import mutate
from .samples import NOW_MS, Sampler, with_checksum

# What a batch may unpack to here, far less than what a broker allows.
ROOM = 1_000_000
DIRECTORY = Path("/data/t-0")


def _batch(chance: random.Random) -> bytes:
    """A batch with changes, more often than not with a checksum that hides them."""
    data = mutate(chance, Sampler(chance).batch())
    return with_checksum(data) if chance.random() < 0.8 else data


def _can_be_read_or_refused(data: bytes) -> None:
    try:
        for batch in iter_batches(data):
            batch.validate()
            size = sum(len(record.key or b"") + len(record.value or b"") for record in batch.records(ROOM))
            assert size <= ROOM
    except KafkaError:
        return


def test_a_batch_can_be_read_or_is_refused() -> None:
    campaign("batches", 2_000, _batch, _can_be_read_or_refused)


class Story(NamedTuple):
    """What is done to a log."""

    config: LogConfig
    batches: list[bytes]


_CONFIGS = [
    LogConfig(),
    LogConfig(compression_type="gzip"),
    LogConfig(compression_type="uncompressed", message_timestamp_type="LogAppendTime"),
    LogConfig(message_timestamp_type="LogAppendTime"),
    LogConfig(cleanup_policy=frozenset({"compact"}), min_cleanable_dirty_ratio=0.0),
    LogConfig(cleanup_policy=frozenset({"compact"}), min_cleanable_dirty_ratio=0.0, compression_type="zstd"),
]


def _story(chance: random.Random) -> Story:
    config = chance.choice(_CONFIGS)
    sampler = Sampler(chance)
    batches = [bytes(sampler.batch()) if chance.random() < 0.3 else _batch(chance) for _ in range(chance.randint(1, 6))]
    return Story(config, batches)


def _holds_together(story: Story) -> None:
    disk = MemoryDisk()
    log = PartitionLog.open(DIRECTORY, "t", 0, story.config, disk=disk, now_ms=NOW_MS, clean_shutdown=True)
    for data in story.batches:
        try:
            log.append(bytearray(data), leader_epoch=0, now_ms=NOW_MS)
        except KafkaError:
            continue
        log.update_high_watermark(log.log_end_offset)
    end = log.log_end_offset
    _check(log, end)
    if story.config.compact:
        log.roll(NOW_MS)
        plan = log.plan_compaction(1_000, NOW_MS)
        if plan is not None:
            try:
                log.finish_compaction(plan.run(Pace()))
            except (KafkaError, CorruptFile):
                assert story.config.compression_type == "producer", "what was compressed here can be read here"
            assert log.first_dirty_offset <= end
        _check(log, end)
    log.flush()
    again = PartitionLog.open(DIRECTORY, "t", 0, story.config, disk=disk, now_ms=NOW_MS, clean_shutdown=False)
    again.update_high_watermark(again.log_end_offset)
    _check(again, end)


def _check(log: PartitionLog, end: int) -> None:
    """Everything that the log has is whole and in order."""
    assert log.log_end_offset == end
    offset, last = log.log_start_offset, -1
    while offset < end:
        region = log.read(offset, 1_000_000).region
        if region is None:
            break
        for batch in iter_batches(log.read_bytes(region)):
            RecordBatch(batch.buffer).validate()
            assert batch.base_offset > last
            last = batch.last_offset
            offset = batch.next_offset
    log.offset_for_timestamp(NOW_MS)
    log.max_timestamp()


def test_a_log_holds_together_whatever_it_is_sent() -> None:
    campaign("log", 600, _story, _holds_together)


def test_the_samples_are_of_every_compression() -> None:
    batches = [RecordBatch(Sampler(random.Random(number)).batch()) for number in range(50)]
    assert {batch.compression for batch in batches} == set(Compression)
