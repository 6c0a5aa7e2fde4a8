"""Record batches: against bytes that Apache Kafka wrote, against kafka-python, and on their own.

java_batches.json holds batches written by the classes of kafka-clients 4.3 from the records below.
"""

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest
from crc32c import crc32c
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_wire.compression import Compression
from ottla_wire.control_records import (
    ControlType,
    EndTxnMarker,
    build_end_txn_marker,
    control_type,
    read_end_txn_marker,
)
from ottla_wire.errors import CorruptRecord, ErrorCode, InvalidRecord, KafkaError
from ottla_wire.record_codec import encode_varint, read_varint
from ottla_wire.record_scan import spans
from ottla_wire.records import (
    HEADER_SIZE,
    NewRecord,
    Record,
    RecordBatch,
    TimestampType,
    build_batch,
    iter_batches,
    rebuild_batch,
    stamp_log_append_time,
    thin_batch,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.record.default_records import DefaultRecordBatchBuilder
    from kafka.record.memory_records import MemoryRecords

_JAVA_HEX = json.loads(Path(__file__).with_name("java_batches.json").read_text())
JAVA = {name: bytes.fromhex(text) for name, text in _JAVA_HEX.items()}
TIME = 1_700_000_000_123
RECORDS = [
    NewRecord(b"key", b"value", TIME, (("trace", b"abc"), ("empty", None))),
    NewRecord(None, b"", TIME - 23),
    NewRecord("kéy".encode(), None, TIME + 9_876),
    NewRecord(b"long", b"x" * 300, TIME),
]
PRODUCER: Any = {"producer_id": 77, "producer_epoch": 5}
# kafka-python reads snappy only with a library that we do not use.
CODECS_OF_KAFKA_PYTHON = [codec for codec in Compression if codec is not Compression.SNAPPY]

new_records = st.builds(
    NewRecord,
    st.none() | st.binary(max_size=100),
    st.none() | st.binary(max_size=100),
    st.integers(0, 2**45),
    st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3).map(tuple),
)
batches_of_records = st.lists(new_records, min_size=1, max_size=5)


def as_new(record: Record) -> NewRecord:
    return NewRecord(record.key, record.value, record.timestamp, record.headers)


# --- against Apache Kafka ---


@pytest.mark.parametrize("codec", Compression, ids=lambda codec: codec.name)
def test_reads_what_kafka_wrote(codec: Compression) -> None:
    batch = RecordBatch(JAVA[codec.name.lower()])
    batch.validate_produced()
    assert [as_new(record) for record in batch.records()] == RECORDS
    assert [record.offset for record in batch.records()] == [42, 43, 44, 45]
    assert (batch.base_offset, batch.last_offset, batch.next_offset) == (42, 45, 46)
    assert (batch.base_timestamp, batch.max_timestamp) == (TIME, TIME + 9_876)
    assert (batch.producer_id, batch.producer_epoch, batch.partition_leader_epoch) == (77, 5, 9)
    assert (batch.compression, batch.timestamp_type) == (codec, TimestampType.CREATE_TIME)
    assert not batch.is_transactional
    assert not batch.is_control


def test_sequence_numbers_wrap_to_zero() -> None:
    batch = RecordBatch(JAVA["none"])
    assert batch.base_sequence == 2**31 - 2
    assert batch.last_sequence == 1


@pytest.mark.parametrize("codec", [Compression.NONE, Compression.SNAPPY], ids=lambda codec: codec.name)
def test_builds_the_bytes_that_kafka_builds(codec: Compression) -> None:
    built = build_batch(RECORDS, base_offset=42, leader_epoch=9, base_sequence=2**31 - 2, compression=codec, **PRODUCER)
    assert built == JAVA[codec.name.lower()]


def test_builds_transactional_batches_as_kafka_does() -> None:
    built = build_batch(RECORDS, base_offset=3, leader_epoch=9, base_sequence=0, transactional=True, **PRODUCER)
    assert built == JAVA["transactional"]
    assert RecordBatch(built).is_transactional


def test_builds_markers_as_kafka_does() -> None:
    common: Any = {"producer_id": 77, "producer_epoch": 5, "leader_epoch": 6}
    commit = build_end_txn_marker(commit=True, coordinator_epoch=13, timestamp=TIME, base_offset=11, **common)
    abort = build_end_txn_marker(commit=False, coordinator_epoch=14, timestamp=TIME + 1, base_offset=12, **common)
    assert commit == JAVA["commit"]
    assert abort == JAVA["abort"]
    assert read_end_txn_marker(RecordBatch(commit)) == EndTxnMarker(commit=True, coordinator_epoch=13)
    assert read_end_txn_marker(RecordBatch(abort)) == EndTxnMarker(commit=False, coordinator_epoch=14)


def test_reads_log_append_time_into_every_record() -> None:
    batch = RecordBatch(JAVA["log_append_time"])
    batch.validate()
    assert batch.timestamp_type is TimestampType.LOG_APPEND_TIME
    assert {record.timestamp for record in batch.records()} == {1_700_000_055_555}


def test_stamping_log_append_time_yields_a_valid_batch() -> None:
    batches = build_batch([NewRecord(b"other", None, TIME)]) + build_batch(RECORDS)
    second = len(batches) - len(build_batch(RECORDS))
    stamp_log_append_time(batches, second, TIME + 5)
    first, stamped = iter_batches(batches)
    first.validate()
    stamped.validate()
    assert first.timestamp_type is TimestampType.CREATE_TIME
    assert {record.timestamp for record in stamped.records()} == {TIME + 5}


# --- against kafka-python ---


@pytest.mark.parametrize("codec", CODECS_OF_KAFKA_PYTHON, ids=lambda codec: codec.name)
def test_kafka_python_reads_what_we_build(codec: Compression, wire_settings: settings) -> None:
    @wire_settings
    @given(records=batches_of_records)
    def check(records: list[NewRecord]) -> None:
        theirs = MemoryRecords(bytes(build_batch(records, compression=codec, base_offset=7))).next_batch()
        assert theirs.validate_crc()
        read = [NewRecord(r.key, r.value, r.timestamp, tuple(r.headers)) for r in theirs]
        assert read == records

    check()


@pytest.mark.parametrize("codec", CODECS_OF_KAFKA_PYTHON, ids=lambda codec: codec.name)
def test_reads_what_kafka_python_builds(codec: Compression, wire_settings: settings) -> None:
    @wire_settings
    @given(records=batches_of_records)
    def check(records: list[NewRecord]) -> None:
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=codec,
            is_transactional=True,
            producer_id=77,
            producer_epoch=5,
            base_sequence=3,
            batch_size=1 << 20,
        )
        for index, record in enumerate(records):
            builder.append(index, record.timestamp, record.key, record.value, list(record.headers))
        batch = RecordBatch(builder.build())
        batch.validate_produced()
        assert [as_new(record) for record in batch.records()] == records
        assert (batch.producer_id, batch.base_sequence, batch.is_transactional) == (77, 3, True)

    check()


# --- on their own ---


@pytest.mark.parametrize("codec", Compression, ids=lambda codec: codec.name)
def test_records_survive_a_batch(codec: Compression, wire_settings: settings) -> None:
    @wire_settings
    @given(records=batches_of_records)
    def check(records: list[NewRecord]) -> None:
        batch = RecordBatch(build_batch(records, compression=codec))
        batch.validate_produced()
        assert [as_new(record) for record in batch.records()] == records
        assert batch.record_count == len(records)

    check()


def test_offsets_and_epoch_are_assigned_without_touching_the_checksum() -> None:
    batch = build_batch(RECORDS)
    before = RecordBatch(bytes(batch)).crc
    assigned = RecordBatch(batch)
    assigned.assign(1_000, 12)
    changed = RecordBatch(batch)
    assert (assigned.base_offset, assigned.partition_leader_epoch) == (1_000, 12)
    changed.validate()
    assert changed.crc == before
    assert (changed.base_offset, changed.partition_leader_epoch) == (1_000, 12)
    assert [record.offset for record in changed.records()] == [1_000, 1_001, 1_002, 1_003]


def test_iterating_stops_at_a_batch_that_is_cut_off() -> None:
    one = build_batch(RECORDS)
    for extra in range(len(one)):
        assert len(list(iter_batches(one + one[:extra]))) == 1
    assert [batch.size for batch in iter_batches(one + one)] == [len(one)] * 2


def test_iterating_refuses_a_length_below_the_header() -> None:
    data = bytearray(build_batch(RECORDS))
    struct.pack_into(">i", data, 8, 48)
    with pytest.raises(CorruptRecord, match="claims 60 bytes"):
        list(iter_batches(data))


@pytest.mark.parametrize("length", [-(2**31), -1, 0, 48, 10_000, 2**31 - 1])
def test_a_batch_of_impossible_length_is_corrupt(length: int) -> None:
    data = build_batch(RECORDS)
    struct.pack_into(">i", data, 8, length)
    with pytest.raises(CorruptRecord):
        RecordBatch(data)


def test_every_bit_under_the_checksum_counts() -> None:
    good = bytes(build_batch(RECORDS))
    for position in range(16, len(good)):
        data = bytearray(good)
        data[position] ^= 1 << (position % 8)
        with pytest.raises((CorruptRecord, InvalidRecord)):
            RecordBatch(data).validate()


def changed(**fields: int) -> RecordBatch:
    """A batch with some header fields overwritten and a checksum that fits them."""
    places = {
        "magic": (">b", 16),
        "attributes": (">h", 21),
        "last_offset_delta": (">i", 23),
        "producer_id": (">q", 43),
        "base_sequence": (">i", 53),
        "record_count": (">i", 57),
    }
    data = build_batch(RECORDS)
    for name, value in fields.items():
        form, position = places[name]
        struct.pack_into(form, data, position, value)
    struct.pack_into(">I", data, 17, crc32c(data[21:]))
    return RecordBatch(data)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"magic": 1}, "magic 1"),
        ({"magic": 3}, "magic 3"),
        ({"attributes": 5}, "compression type 5"),
        ({"last_offset_delta": -1}, "last offset delta -1"),
        ({"record_count": -1}, "claims -1 records"),
        ({"record_count": 2**31 - 1, "last_offset_delta": 2**31 - 2}, "claims 2147483647 records"),
        ({"record_count": 3}, "spans 4 offsets"),
        ({"attributes": 0x20}, "control records"),
        ({"attributes": 0x40}, "delete horizon"),
        ({"producer_id": 5}, "sequence number -1"),
    ],
)
def test_a_produced_batch_that_contradicts_itself_is_invalid(fields: dict[str, int], complaint: str) -> None:
    with pytest.raises(InvalidRecord, match=complaint):
        changed(**fields).validate_produced()


def test_a_batch_thinned_out_by_compaction_is_valid_on_disk() -> None:
    batch = RecordBatch(build_batch(RECORDS, base_offset=10, base_sequence=0, compression=Compression.LZ4, **PRODUCER))
    kept = [record for record in batch.records() if record.offset != 11]
    thin = RecordBatch(rebuild_batch(batch, kept))
    thin.validate()
    assert list(thin.records()) == kept
    assert (thin.base_offset, thin.last_offset, thin.last_sequence) == (10, 13, 3)
    with pytest.raises(InvalidRecord):
        thin.validate_produced()


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.LZ4])
@pytest.mark.parametrize("kept", [[0], [1, 3], [0, 1, 2, 3]])
def test_a_batch_thinned_out_as_it_lies_is_the_one_that_is_built_anew(
    kept: list[int], compression: Compression
) -> None:
    batch = RecordBatch(build_batch(RECORDS, base_offset=10, base_sequence=0, compression=compression, **PRODUCER))
    unpacked = batch.unpack()
    places = list(spans(unpacked, batch.record_count))
    thin = thin_batch(batch, unpacked, [places[number] for number in kept])
    anew = rebuild_batch(batch, [record for record in batch.records() if record.offset - 10 in kept])
    assert bytes(thin) == bytes(anew)


def test_compaction_sets_a_delete_horizon_and_keeps_timestamps() -> None:
    batch = RecordBatch(build_batch(RECORDS))
    horizon = RecordBatch(rebuild_batch(batch, batch.records(), delete_horizon_ms=TIME + 86_400_000))
    horizon.validate()
    assert horizon.has_delete_horizon
    assert horizon.base_timestamp == TIME + 86_400_000
    assert list(horizon.records()) == list(batch.records())


def test_an_emptied_batch_is_what_kafka_leaves() -> None:
    full = build_batch(
        [NewRecord(None, b"v", TIME)] * 5,
        base_offset=100,
        leader_epoch=3,
        base_sequence=10,
        transactional=True,
        **PRODUCER,
    )
    empty = RecordBatch(rebuild_batch(RecordBatch(full), []))
    assert bytes(empty.buffer) == JAVA["empty"]
    assert list(empty.records()) == []
    assert empty.last_sequence == 14


def test_building_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        build_batch([])


def test_nothing_is_copied_until_records_are_read() -> None:
    data = build_batch(RECORDS)
    batch = RecordBatch(memoryview(data))
    assert batch.buffer.obj is data


@pytest.mark.parametrize("codec", Compression, ids=lambda codec: codec.name)
def test_records_that_are_cut_short_are_invalid(codec: Compression) -> None:
    good = build_batch(RECORDS, compression=codec)
    for end in range(HEADER_SIZE, len(good)):
        data = good[:end]
        struct.pack_into(">i", data, 8, end - 12)
        with pytest.raises(InvalidRecord):
            list(RecordBatch(data).records())


@pytest.mark.parametrize("codec", Compression, ids=lambda codec: codec.name)
def test_garbled_records_are_invalid_and_nothing_else(codec: Compression, wire_settings: settings) -> None:
    good = bytes(build_batch(RECORDS, compression=codec))

    @settings(wire_settings, max_examples=wire_settings.max_examples * 10)
    @given(position=st.integers(HEADER_SIZE, len(good) - 1), value=st.integers(0, 255), cut=st.integers(0, 100))
    def check(position: int, value: int, cut: int) -> None:
        data = bytearray(good)
        data[position] = value
        end = max(HEADER_SIZE, len(data) - cut)
        struct.pack_into(">i", data, 8, end - 12)
        batch = RecordBatch(data)
        try:
            list(batch.records())
        except KafkaError as error:
            assert error.code is ErrorCode.INVALID_RECORD  # noqa: PT017  not raising is as good

    check()


def test_a_marker_that_is_cut_short_is_invalid() -> None:
    for key, value in [(b"\0\0\0", b"\0" * 6), (None, b""), (b"\0\0\0\1", b"\0" * 5), (b"\0\0\0\1", None)]:
        batch = RecordBatch(build_batch([NewRecord(key, value, TIME)], control=True, transactional=True))
        with pytest.raises(InvalidRecord):
            read_end_txn_marker(batch)


def test_other_control_records_are_no_markers() -> None:
    key = struct.pack(">hh", 0, ControlType.LEADER_CHANGE)
    batch = RecordBatch(build_batch([NewRecord(key, b"", TIME)], control=True))
    assert read_end_txn_marker(batch) is None
    assert control_type(next(batch.records())) == ControlType.LEADER_CHANGE
    assert read_end_txn_marker(RecordBatch(rebuild_batch(batch, []))) is None


def test_a_timestamp_beyond_all_that_can_be_written_is_refused() -> None:
    batch = build_batch([NewRecord(b"k", b"v", timestamp) for timestamp in (5, 6)])
    batch[27:35] = (2**63 - 1).to_bytes(8, "big")  # the base timestamp, to which the second record adds one
    batch[17:21] = crc32c(bytes(batch[21:])).to_bytes(4, "big")
    found = RecordBatch(batch)
    found.validate()
    with pytest.raises(InvalidRecord, match="timestamp 9223372036854775808"):
        list(found.records())


@given(st.integers(-(2**65), 2**65))
def test_a_varint_is_the_number_whatever_its_size(number: int) -> None:
    encoded = encode_varint(number)
    assert len(encoded) <= 10
    assert read_varint(encoded, 0) == (number, len(encoded))


def test_offsets_within_a_batch_rise() -> None:
    batch = build_batch([NewRecord(b"k", b"v", 5)] * 3)
    size = (len(batch) - 61) // 3
    batch[61 + size : 61 + 2 * size] = batch[61 : 61 + size]  # the second record becomes the first once more
    batch[17:21] = crc32c(bytes(batch[21:])).to_bytes(4, "big")
    with pytest.raises(InvalidRecord, match="offset delta 0 after 0"):
        list(RecordBatch(batch).records())
