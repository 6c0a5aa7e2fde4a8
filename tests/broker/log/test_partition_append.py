"""What a log takes, what it refuses, and what it does to a batch that it takes."""

import dataclasses
import errno
import random
from collections.abc import Callable

import msgspec
import pytest

from ottla_broker.log.config import LogConfig
from ottla_broker.log.disk import read_whole
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_broker.log.producers import Producers
from ottla_broker.log.snapshots import Snapshots
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import Compression, NewRecord, RecordBatch, TimestampType, build_batch

MakeBatch = Callable[..., bytearray]
ReadAll = Callable[[PartitionLog], list[RecordBatch]]


@pytest.fixture
def refused(bench):
    """Appends what must be refused: the error code, having checked that the log is as it was."""

    def append(log: PartitionLog, data: bytes | bytearray, **options: object) -> ErrorCode:
        before = log.log_end_offset, log.size_bytes
        with pytest.raises(KafkaError) as refusal:
            bench.append(log, data, **options)
        assert (log.log_end_offset, log.size_bytes) == before
        return refusal.value.code

    return append


def test_offsets_and_leader_epoch_are_assigned_in_place(bench, one_batch: MakeBatch, read_all: ReadAll) -> None:
    log = bench.open()
    sent = one_batch(3)
    assert bench.append_at(log, one_batch(2), leader_epoch=4) == (0, 1)
    assert bench.append_at(log, sent, leader_epoch=4) == (2, 4)
    assert RecordBatch(sent).base_offset == 2
    assert [(batch.base_offset, batch.partition_leader_epoch) for batch in read_all(log)] == [(0, 4), (2, 4)]
    assert log.leader_epoch == 4
    for batch in read_all(log):
        batch.validate()


def test_a_read_only_buffer_is_left_alone(bench, one_batch: MakeBatch) -> None:
    log = bench.open()
    bench.append(log, one_batch())
    sent = bytes(one_batch())
    bench.append(log, memoryview(sent))
    assert RecordBatch(sent).base_offset == 0


@pytest.mark.parametrize("compression", Compression)
def test_every_compression_is_stored_as_it_was_sent(
    bench, one_batch: MakeBatch, read_all: ReadAll, compression: Compression
) -> None:
    log = bench.open()
    sent = one_batch(50, compression=compression)
    bench.append(log, bytes(sent))
    assert bytes(read_all(log)[0].buffer)[16:] == sent[16:]


@pytest.mark.parametrize("wanted", ["uncompressed", "lz4", "zstd", "snappy", "gzip"])
def test_another_compression_type_is_applied(bench, one_batch: MakeBatch, read_all: ReadAll, wanted: str) -> None:
    bench.config = LogConfig(compression_type=wanted)
    log = bench.open()
    sent = one_batch(50, compression=Compression.GZIP, producer_id=1, producer_epoch=2, base_sequence=0)
    bench.append(log, sent)
    bench.append(log, one_batch(7))
    stored = read_all(log)[0]
    stored.validate_produced()
    assert stored.compression == (Compression.NONE if wanted == "uncompressed" else Compression[wanted.upper()])
    assert [record.value for record in stored.records()] == [b"v" * 20] * 50
    assert (stored.producer_id, stored.producer_epoch, stored.base_sequence) == (1, 2, 0)


@pytest.mark.parametrize(
    ("wanted", "least", "most"),
    [
        ("gzip", {"compression_gzip_level": 1}, {"compression_gzip_level": 9}),
        ("lz4", {"compression_lz4_level": 1}, {"compression_lz4_level": 12}),
        ("zstd", {"compression_zstd_level": -100}, {"compression_zstd_level": 19}),
    ],
)
def test_compression_is_applied_at_the_topics_level(
    bench, read_all: ReadAll, wanted: str, least: dict[str, int], most: dict[str, int]
) -> None:
    chance = random.Random(7)
    text = b" ".join(chance.choice((b"to", b"be", b"or", b"not", b"that", b"question")) for _ in range(20_000))
    sent = build_batch([NewRecord(None, text, 1_000)])
    log = bench.open()
    for level in (least, most):
        log.config = LogConfig(compression_type=wanted, **level)
        bench.append(log, bytes(sent))
    first, second = read_all(log)
    assert [record.value for batch in (first, second) for record in batch.records()] == [text] * 2
    assert first.size > 1.05 * second.size


def test_12_a_client_sends_exactly_one_batch(bench, one_batch: MakeBatch, refused) -> None:
    log = bench.open()
    assert refused(log, one_batch() + one_batch()) is ErrorCode.INVALID_RECORD
    assert bench.append_at(log, one_batch() + one_batch(2), origin=Origin.COORDINATOR) == (0, 2)


def test_batches_of_several_clients_are_appended_together(bench, one_batch: MakeBatch, read_all: ReadAll) -> None:
    bench.disk.max_write = 50
    log = bench.open()
    sent = [one_batch(2), bytes(one_batch(3)), one_batch(1, producer_id=7, producer_epoch=0, base_sequence=0)]
    appended = log.append_each(sent, leader_epoch=3, now_ms=bench.now_ms)
    assert [(each.base_offset, each.last_offset) for each in appended] == [(0, 1), (2, 4), (5, 5)]
    log.update_high_watermark(log.log_end_offset)
    assert [(batch.base_offset, batch.partition_leader_epoch) for batch in read_all(log)] == [(0, 3), (2, 3), (5, 3)]
    again = bench.append(log, one_batch(1, producer_id=7, producer_epoch=0, base_sequence=0))
    assert (again.duplicate, again.base_offset) == (True, 5)


@pytest.mark.parametrize(
    ("odd", "code"),
    [
        ({"producer_id": 1, "producer_epoch": 0, "base_sequence": 0}, ErrorCode.DUPLICATE_SEQUENCE_NUMBER),
        ({"producer_id": 1, "producer_epoch": 0, "base_sequence": 7}, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER),
        ({"control": True}, ErrorCode.INVALID_RECORD),
    ],
)
@pytest.mark.parametrize("timestamps", ["CreateTime", "LogAppendTime"])
def test_of_batches_appended_together_all_are_or_none(
    bench, one_batch: MakeBatch, odd: dict[str, int], code: ErrorCode, timestamps: str
) -> None:
    bench.config = LogConfig(message_timestamp_type=timestamps)
    log = bench.open()
    bench.append(log, one_batch(1, producer_id=1, producer_epoch=0, base_sequence=0))
    before = log.log_end_offset, log.size_bytes
    good = one_batch(2)
    with pytest.raises(KafkaError) as refusal:
        log.append_each([good, one_batch(1, **odd)], leader_epoch=0, now_ms=bench.now_ms)
    assert (refusal.value.code, log.log_end_offset, log.size_bytes) == (code, *before)
    assert bench.append_at(log, good) == (1, 2)


def test_with_log_append_time_a_refused_batch_is_left_as_it_was(bench, one_batch: MakeBatch, refused) -> None:
    bench.config = LogConfig(message_timestamp_type="LogAppendTime")
    log = bench.open()
    bench.append(log, one_batch(1, producer_id=1, producer_epoch=0, base_sequence=0))
    late = one_batch(1, producer_id=1, producer_epoch=0, base_sequence=2)
    for _ in range(2):
        assert refused(log, late) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_damaged_batch_is_refused_at_every_byte_that_matters(bench, one_batch: MakeBatch, refused) -> None:
    log = bench.open()
    whole = one_batch()
    for position in range(8, len(whole)):
        if not 12 <= position < 16:  # the leader epoch, which is overwritten
            damaged = bytearray(whole)
            damaged[position] ^= 1
            assert refused(log, damaged) in (ErrorCode.CORRUPT_MESSAGE, ErrorCode.INVALID_RECORD), position
    for size in range(len(whole)):
        assert refused(log, whole[:size]) is ErrorCode.INVALID_RECORD


def test_13_max_message_bytes_applies_to_the_whole_batch(bench, one_batch: MakeBatch, refused) -> None:
    batch = one_batch(10)
    bench.config = LogConfig(max_message_bytes=len(batch) - 1)
    log = bench.open()
    assert refused(log, batch) is ErrorCode.MESSAGE_TOO_LARGE
    log.config = LogConfig(max_message_bytes=len(batch))
    bench.append(log, batch)


def test_an_append_larger_than_a_segment_is_refused(bench, one_batch: MakeBatch, refused) -> None:
    bench.config = LogConfig(segment_bytes=200)
    assert refused(bench.open(), one_batch(10)) is ErrorCode.RECORD_LIST_TOO_LARGE


def test_14_a_record_without_a_key_on_a_compacted_topic_is_refused(bench, one_batch: MakeBatch, refused) -> None:
    bench.config = LogConfig(cleanup_policy=frozenset({"compact"}))
    log = bench.open()
    assert refused(log, one_batch(key=None)) is ErrorCode.INVALID_RECORD
    assert refused(log, one_batch(3, key=None, compression=Compression.LZ4)) is ErrorCode.INVALID_RECORD
    bench.append(log, one_batch(key=b""))


def test_clients_may_not_write_control_records(bench, one_batch: MakeBatch, refused) -> None:
    assert refused(bench.open(), one_batch(control=True)) is ErrorCode.INVALID_RECORD


def test_11_log_append_time_overwrites_the_timestamps(bench, one_batch: MakeBatch, read_all: ReadAll) -> None:
    bench.config = LogConfig(message_timestamp_type="LogAppendTime")
    log = bench.open()
    appended = bench.append(log, one_batch(3, timestamp=5))
    assert appended.log_append_time_ms == bench.now_ms
    (stored,) = read_all(log)
    stored.validate()
    assert stored.timestamp_type is TimestampType.LOG_APPEND_TIME
    assert [record.timestamp for record in stored.records()] == [bench.now_ms] * 3
    assert log.offset_for_timestamp(bench.now_ms) is not None


def test_timestamps_too_far_from_the_clock_are_refused(bench, one_batch: MakeBatch, refused) -> None:
    bench.config = LogConfig(message_timestamp_before_max_ms=1000, message_timestamp_after_max_ms=500)
    log = bench.open()
    assert refused(log, one_batch(timestamp=bench.now_ms + 501)) is ErrorCode.INVALID_TIMESTAMP
    assert refused(log, one_batch(timestamp=bench.now_ms - 1001)) is ErrorCode.INVALID_TIMESTAMP
    bench.append(log, one_batch(timestamp=bench.now_ms + 500))
    bench.append(log, one_batch(timestamp=bench.now_ms - 1000))
    bench.append(log, one_batch(timestamp=-1))


@pytest.mark.parametrize("timestamp_type", ["CreateTime", "LogAppendTime"])
def test_producers_do_not_know_when_a_batch_is_appended(
    bench, one_batch: MakeBatch, refused, timestamp_type: str
) -> None:
    bench.config = LogConfig(message_timestamp_type=timestamp_type)
    append_time = one_batch(timestamp_type=TimestampType.LOG_APPEND_TIME)
    assert refused(bench.open(), append_time) is ErrorCode.INVALID_TIMESTAMP


def test_15_a_duplicate_of_the_last_five_gets_its_first_offset(bench, one_batch: MakeBatch) -> None:
    log = bench.open()
    batches = [one_batch(2, producer_id=7, producer_epoch=0, base_sequence=sequence) for sequence in range(0, 14, 2)]
    first = [bench.append(log, bytes(batch)) for batch in batches]
    end = log.log_end_offset
    for sent, appended in list(zip(batches, first, strict=True))[2:]:
        again = bench.append(log, bytes(sent))
        assert again == msgspec.structs.replace(appended, duplicate=True)
    assert log.log_end_offset == end
    with pytest.raises(KafkaError) as refusal:
        bench.append(log, bytes(batches[0]))
    assert refusal.value.code is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_replicated_batches_keep_their_offsets_and_epochs(bench, one_batch: MakeBatch, read_all: ReadAll) -> None:
    log = bench.open()
    sent = one_batch(2, base_offset=10, leader_epoch=3) + one_batch(1, base_offset=15, leader_epoch=4)
    assert bench.append_at(log, sent, origin=Origin.REPLICATION) == (10, 15)
    assert [(batch.base_offset, batch.partition_leader_epoch) for batch in read_all(log)] == [(10, 3), (15, 4)]
    assert log.epoch_end_offset(3) == (3, 15)
    with pytest.raises(KafkaError):
        bench.append(log, one_batch(base_offset=15), origin=Origin.REPLICATION)


@pytest.mark.parametrize(
    ("settings", "segments"),
    [
        pytest.param({"segment_bytes": 1000}, 3, id="by size"),
        pytest.param({"segment_ms": 7000}, 4, id="by time"),
        pytest.param({"segment_index_bytes": 36, "index_interval_bytes": 0}, 10, id="by the size of the index"),
        pytest.param({}, 1, id="not yet"),
    ],
)
def test_a_full_or_old_segment_is_followed_by_a_new_one(bench, settings: dict[str, int], segments: int) -> None:
    bench.config = LogConfig(**settings)
    log = bench.open()
    bench.fill(log, 30)
    assert len(log.segments) == segments
    assert [segment.next_offset for segment in log.segments][:-1] == [segment.base_offset for segment in log.segments][
        1:
    ]


def test_jitter_shortens_segment_ms_differently_per_segment(bench) -> None:
    bench.config = LogConfig(segment_ms=20_000, segment_jitter_ms=15_000)
    log = bench.open()
    bench.fill(log, 200)
    lengths = {segment.next_offset - segment.base_offset for segment in log.segments}
    assert len(lengths) > 2
    assert max(lengths) <= 21


def test_a_segment_never_spans_more_offsets_than_an_index_can_hold(bench, one_batch: MakeBatch) -> None:
    log = bench.open()
    far = 2**31 + 5
    for offset in (0, far, 3 * far):
        bench.append(log, one_batch(base_offset=offset), origin=Origin.REPLICATION)
    assert [segment.base_offset for segment in log.segments] == [0, far, 3 * far]


def test_a_full_disk_refuses_the_append_and_the_log_goes_on(
    bench, one_batch: MakeBatch, read_all: ReadAll, refused
) -> None:
    log = bench.open()
    batch = one_batch(3, producer_id=1, producer_epoch=0, base_sequence=0)
    bench.append(log, bytes(batch))
    for room in (0, 1, 60, len(batch) - 1):
        bench.disk.capacity = bench.disk.used() + room
        more = one_batch(3, producer_id=1, producer_epoch=0, base_sequence=3)
        assert refused(log, more) is ErrorCode.KAFKA_STORAGE_ERROR
        assert len(read_all(log)) == 1
    bench.disk.capacity = None
    assert bench.append_at(log, more) == (3, 5)
    assert len(read_all(log)) == 2
    log.flush()
    bench.disk.crash()
    assert bench.open(clean=False).log_end_offset == 6


def test_a_full_disk_while_rolling_leaves_the_old_segment_active(bench, refused, one_batch: MakeBatch) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    bench.fill(log, 10)
    bench.disk.capacity = bench.disk.used()
    bench.now_ms += 1
    for _ in range(3):
        assert refused(log, one_batch(8)) is ErrorCode.KAFKA_STORAGE_ERROR
    bench.disk.capacity = None
    bench.append(log, one_batch(8))
    assert len(log.segments) == 2


@pytest.mark.parametrize("cut", [1, 7, 60])
def test_short_writes_are_continued(bench, read_all: ReadAll, cut: int) -> None:
    bench.disk.max_write = cut
    log = bench.open()
    bench.fill(log, 5)
    assert [batch.base_offset for batch in read_all(log)] == [0, 1, 2, 3, 4]
    for batch in read_all(log):
        batch.validate()


def test_flush_messages_says_when_the_acknowledgement_must_wait(bench, one_batch: MakeBatch) -> None:
    bench.config = LogConfig(flush_messages=4)
    log = bench.open()
    assert [bench.append(log, one_batch(2)).flush_due for _ in range(3)] == [False, True, True]
    log.flush()
    assert log.recovery_point == 6
    assert not bench.append(log, one_batch()).flush_due


def test_flush_ms_counts_from_the_first_unflushed_append(bench, one_batch: MakeBatch) -> None:
    bench.config = LogConfig(flush_ms=100)
    log = bench.open()
    assert not log.flush_is_due(bench.now_ms + 10**9)
    bench.append(log, one_batch())
    bench.now_ms += 60
    bench.append(log, one_batch())
    assert not log.flush_is_due(bench.now_ms + 39)
    assert log.flush_is_due(bench.now_ms + 40)
    assert not log.flush_is_due(bench.now_ms - 70)  # two looks at the clock may differ
    assert log.flush_is_due(bench.now_ms - 3_600_000)  # it was set back
    log.flush()
    assert not log.flush_is_due(bench.now_ms + 10**9)


def test_a_failed_flush_ends_the_appends(bench, one_batch: MakeBatch, read_all: ReadAll, refused) -> None:
    log = bench.open()
    bench.append(log, one_batch())
    bench.disk.fail_sync = errno.EIO
    with pytest.raises(KafkaError) as failure:
        log.flush()
    assert failure.value.code is ErrorCode.KAFKA_STORAGE_ERROR
    bench.disk.fail_sync = None
    assert refused(log, one_batch()) is ErrorCode.KAFKA_STORAGE_ERROR
    assert log.recovery_point == 0
    assert len(read_all(log)) == 1, "what is there can still be read"


def test_without_room_for_an_index_a_flush_is_refused_and_the_next_one_succeeds(bench, one_batch: MakeBatch) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    while len(log.segments) < 3:
        bench.append(log, one_batch())
    bench.disk.capacity = bench.disk.used()
    with pytest.raises(KafkaError, match="No space left") as failure:
        log.flush()
    assert failure.value.code is ErrorCode.KAFKA_STORAGE_ERROR
    assert (log.recovery_point, log.failure) == (0, None)
    bench.disk.capacity = None
    bench.append(log, one_batch())
    log.flush()
    end = log.recovery_point
    assert end == log.log_end_offset
    bench.disk.crash()
    assert bench.open(clean=False, recovery_point=end).log_end_offset == end


def test_closed_segments_can_be_flushed_without_the_active_one(bench, one_batch: MakeBatch) -> None:
    bench.config = LogConfig(segment_bytes=1000)
    log = bench.open()
    while len(log.segments) < 3:
        bench.append(log, one_batch())
    closed = log.segments.active.base_offset
    assert log.closed_segments_are_unflushed
    log.flush(closed_only=True)
    assert (log.recovery_point, log.closed_segments_are_unflushed) == (closed, False)
    bench.append(log, one_batch())
    bench.disk.crash()
    assert bench.open(clean=False, recovery_point=closed).log_end_offset == closed


def test_a_snapshot_that_is_made_while_a_flush_ends_is_synced_by_the_next(
    bench, one_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = bench.open()
    bench.append(log, one_batch(producer_id=7, producer_epoch=0, base_sequence=0))
    write = Snapshots.write

    def flushed_meanwhile(snapshots: Snapshots, offset: int, producers: Producers) -> str:
        log.flush()
        return write(snapshots, offset, producers)

    monkeypatch.setattr(Snapshots, "write", flushed_meanwhile)
    log.roll(bench.now_ms)
    log.flush()
    bench.disk.crash()
    stored = read_whole(bench.disk, bench.directory / "00000000000000000001.snapshot")
    assert Producers.decode(stored).get(7) is not None


def test_preallocate_reserves_the_segment_and_gives_the_rest_back(bench) -> None:
    bench.config = LogConfig(preallocate=True, segment_bytes=5000)
    log = bench.open()
    bench.fill(log, 3)
    assert bench.disk.used() >= 5000
    size = log.size_bytes
    log.flush()
    bench.disk.crash()
    log = bench.open(clean=False)
    assert (log.log_end_offset, log.size_bytes) == (3, size)
    bench.close(log)
    assert bench.disk.used() < 1000


def test_settings_can_change_while_the_log_is_open(bench, one_batch: MakeBatch) -> None:
    log = bench.open()
    log.config = dataclasses.replace(log.config, message_timestamp_type="LogAppendTime")
    assert bench.append(log, one_batch()).log_append_time_ms == bench.now_ms


def test_a_batch_of_many_records_keeps_each(bench, read_all: ReadAll) -> None:
    log = bench.open()
    records = [NewRecord(str(n).encode(), None if n % 3 else b"x" * n, bench.now_ms + n) for n in range(500)]
    bench.append(log, build_batch(records, compression=Compression.ZSTD))
    (stored,) = read_all(log)
    assert [(record.key, record.value, record.timestamp) for record in stored.records()] == [
        (record.key, record.value, record.timestamp) for record in records
    ]
