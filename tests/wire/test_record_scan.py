"""What the scan takes for plain, the decoder takes too; and it knows the records of ordinary batches.

Where it only looks for keys and places, it finds what the decoder finds.
"""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_wire.errors import InvalidRecord
from ottla_wire.record_codec import NewRecord, decode_records, encode_records
from ottla_wire.record_scan import are_plain, spans

BASE = 1_700_000_000_000
keys = st.binary(max_size=200)
values = st.none() | st.binary(max_size=200)
times = st.sampled_from([BASE, BASE + 1, BASE - 64, BASE + 100_000])
plain = st.lists(st.builds(NewRecord, keys, values, times, st.just(())), max_size=8)
any_records = st.lists(
    st.builds(NewRecord, st.none() | keys, values, times, st.just(()) | st.just((("h", b"1"),))), max_size=4
)


def encoded(records: list[NewRecord]) -> bytes:
    return bytes(encode_records(enumerate(records), BASE))


def is_sound(data: bytes, count: int) -> bool:
    """What the plain way says: keys everywhere, and offsets one after the other."""
    try:
        found = list(decode_records(data, count, 0, BASE, None))
    except InvalidRecord:
        return False
    return all(record.key is not None and record.offset == index for index, record in enumerate(found))


@given(plain)
def test_records_with_keys_are_plain(records: list[NewRecord]) -> None:
    assert are_plain(encoded(records), len(records), BASE)


@pytest.mark.parametrize("count", [63, 64, 65, 8_191, 8_192, 8_193, 10_000])
def test_so_are_many(count: int) -> None:
    assert are_plain(encoded([NewRecord(b"k", b"v", BASE)] * count), count, BASE)


@settings(max_examples=500)
@given(any_records, st.data())
def test_nothing_that_is_not_sound_is_plain(records: list[NewRecord], data: st.DataObject) -> None:
    damaged = bytearray(encoded(records))
    for place in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=2)) if damaged else ():
        damaged[place] = data.draw(st.sampled_from([0, 1, 2, 3, 12, 14, 127, 128, 129, 255]))
    cut = bytes(damaged[: data.draw(st.sampled_from([len(damaged), max(len(damaged) - 1, 0)]))])
    count = max(len(records) + data.draw(st.sampled_from([0, 0, 0, 1, -1])), 0)
    if are_plain(cut, count, BASE):
        assert is_sound(cut, count)


@pytest.mark.parametrize("offsets", [[1, 2], [0, 2], [0, 0], [1, 0]])
def test_offsets_that_do_not_follow_each_other_are_not_plain(offsets: list[int]) -> None:
    records = encode_records(((offset, NewRecord(b"k", b"v", BASE)) for offset in offsets), BASE)
    assert not are_plain(bytes(records), len(offsets), BASE)


def test_a_base_timestamp_at_the_end_of_time_is_not_plain() -> None:
    assert not are_plain(encoded([NewRecord(b"k", b"v", BASE)]), 1, 2**63 - 1)


def found(data: bytes, count: int) -> list[tuple[int, int, bytes | None, bool]]:
    """What `spans` finds, whose places must join to the whole."""
    result, end_before = [], 0
    for offset_delta, timestamp_delta, key, has_value, start, end in spans(data, count):
        assert start == end_before
        end_before = end
        result.append((offset_delta, timestamp_delta, key, has_value))
    assert end_before == len(data)
    return result


@given(any_records, st.lists(st.integers(1, 9_000), min_size=4, max_size=4))
def test_spans_are_what_the_decoder_finds(records: list[NewRecord], steps: list[int]) -> None:
    deltas = list(itertools.accumulate(steps))
    data = bytes(encode_records(zip(deltas, records, strict=False), BASE))
    decoded = decode_records(data, len(records), 0, BASE, None)
    assert found(data, len(records)) == [
        (record.offset, record.timestamp - BASE, record.key, record.value is not None) for record in decoded
    ]


@settings(max_examples=500)
@given(any_records, st.data())
def test_spans_of_damaged_records_are_refused_or_keep_within_them(
    records: list[NewRecord], data: st.DataObject
) -> None:
    damaged = bytearray(encoded(records))
    for place in data.draw(st.lists(st.integers(0, max(len(damaged) - 1, 0)), max_size=2)) if damaged else ():
        damaged[place] = data.draw(st.sampled_from([0, 1, 2, 3, 12, 14, 127, 128, 129, 255]))
    cut = bytes(damaged[: data.draw(st.sampled_from([len(damaged), max(len(damaged) - 1, 0)]))])
    try:
        shown = found(cut, len(records))
    except InvalidRecord:
        assert not is_sound(cut, len(records))
        return
    assert [delta for delta, *_ in shown] == sorted({delta for delta, *_ in shown})
    if is_sound(cut, len(records)):
        keys_found = [record.key for record in decode_records(cut, len(records), 0, BASE, None)]
        assert [key for _, _, key, _ in shown] == keys_found


@pytest.mark.parametrize("count", [1, 63, 64, 8_192, 10_000])
@pytest.mark.parametrize("size", [0, 50, 51, 8_100, 9_000])
def test_spans_of_records_of_any_size(count: int, size: int) -> None:
    number = min(count, 200_000 // (size + 1))
    data = encoded([NewRecord(b"key", b"v" * size, BASE)] * number)
    assert [key for _, _, key, _ in found(data, number)] == [b"key"] * number
