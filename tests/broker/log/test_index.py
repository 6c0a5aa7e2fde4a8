"""The three indexes: Kafka's bytes, and look-ups that agree with a plain search."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.index import OffsetIndex, TimeIndex
from ottla_broker.log.transactions import AbortedTransaction, CompletedTransaction, TransactionIndex

BASE = 1000
steps = st.lists(st.integers(1, 50), min_size=1, max_size=30)


def rising(deltas: list[int], start: int) -> list[int]:
    total = start
    return [total := total + delta for delta in deltas]


def test_offset_index_entries_are_relative_offset_and_position() -> None:
    index = OffsetIndex(BASE)
    index.append(BASE + 7, 4200)
    index.append(BASE + 9, 8400)
    assert bytes(index.entries) == struct.pack(">iiii", 7, 4200, 9, 8400)


def test_time_index_entries_are_timestamp_and_relative_offset() -> None:
    index = TimeIndex(BASE)
    index.maybe_append(1_700_000_000_000, BASE + 7)
    assert bytes(index.entries) == struct.pack(">qi", 1_700_000_000_000, 7)


def test_transaction_index_entries_are_version_producer_and_three_offsets() -> None:
    index = TransactionIndex()
    index.append(CompletedTransaction(5, 10, 20, aborted=True), 15)
    assert bytes(index.entries) == struct.pack(">hqqqq", 0, 5, 10, 20, 15)


@given(steps, st.integers(0, 2000))
def test_offset_lookup_finds_the_last_entry_at_or_before_the_offset(deltas: list[int], offset: int) -> None:
    index = OffsetIndex(BASE)
    entries = [(last, last * 3) for last in rising(deltas, BASE)]
    for last, position in entries:
        index.append(last, position)
    expected = max((position for last, position in entries if last <= BASE + offset), default=0)
    assert index.lookup(BASE + offset) == expected
    reach = (BASE + offset) * 3 + 1
    assert index.boundary(reach) == max((position for _, position in entries if position <= reach), default=0)


@given(steps, st.integers(0, 2000))
def test_time_lookup_finds_the_last_entry_at_or_before_the_time(deltas: list[int], timestamp: int) -> None:
    index = TimeIndex(BASE)
    entries = list(zip(rising(deltas, 0), rising(deltas, BASE), strict=True))
    for entry in entries:
        index.maybe_append(*entry)
    assert index.lookup(timestamp) == max((entry for entry in entries if entry[0] <= timestamp), default=(-1, BASE))


@given(steps, st.integers(0, 2000))
def test_truncating_an_index_forgets_the_offset_and_all_beyond(deltas: list[int], offset: int) -> None:
    offsets, times = OffsetIndex(BASE), TimeIndex(BASE)
    lasts = rising(deltas, BASE)
    for last in lasts:
        offsets.append(last, last)
        times.maybe_append(last, last)
    offsets.truncate(BASE + offset)
    times.truncate(BASE + offset)
    kept = [last for last in lasts if last < BASE + offset]
    assert [offsets.entry(slot)[0] for slot in range(len(offsets))] == kept
    assert [times.entry(slot)[1] for slot in range(len(times))] == kept
    assert times.last == ((kept[-1], kept[-1]) if kept else (-1, BASE))


def test_the_time_index_ignores_a_time_that_is_not_later() -> None:
    index = TimeIndex(BASE)
    index.maybe_append(50, BASE)
    index.maybe_append(50, BASE + 5)
    index.maybe_append(40, BASE + 6)
    assert len(index) == 1


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(bytes(7), id="not whole entries"),
        pytest.param(struct.pack(">ii", 1, 500), id="position beyond the log"),
        pytest.param(struct.pack(">iiii", 5, 100, 3, 200), id="offsets fall"),
        pytest.param(struct.pack(">ii", -1, 100), id="offset before the base"),
    ],
)
def test_a_stored_offset_index_that_cannot_be_is_refused(stored: bytes) -> None:
    with pytest.raises(CorruptFile):
        OffsetIndex.load(BASE, stored, log_size=400)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(b"", id="empty"),
        pytest.param(bytes(13), id="not whole entries"),
        pytest.param(struct.pack(">qiqi", 9, 1, 8, 2), id="times fall"),
        pytest.param(struct.pack(">qi", 9, -1), id="offset before the base"),
        pytest.param(struct.pack(">qi", 9, 50), id="offset beyond the segment"),
    ],
)
def test_a_stored_time_index_that_cannot_be_is_refused(stored: bytes) -> None:
    with pytest.raises(CorruptFile):
        TimeIndex.load(BASE, stored, BASE + 50)


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(bytes(33), id="not whole entries"),
        pytest.param(struct.pack(">hqqqq", 1, 5, BASE, BASE + 1, BASE), id="unknown version"),
        pytest.param(struct.pack(">hqqqq", 0, 5, 3, 4, 5), id="marker before the segment"),
        pytest.param(struct.pack(">hqqqq", 0, 5, BASE + 9, BASE + 8, BASE), id="marker before its records"),
    ],
)
def test_a_stored_transaction_index_that_cannot_be_is_refused(stored: bytes) -> None:
    with pytest.raises(CorruptFile):
        TransactionIndex.load(BASE, stored)


def test_collecting_aborted_transactions_stops_where_no_later_one_can_matter() -> None:
    index = TransactionIndex()
    index.append(CompletedTransaction(1, 10, 20, aborted=True), 12)  # another one is open since 12
    index.append(CompletedTransaction(2, 12, 30, aborted=True), 31)
    index.append(CompletedTransaction(3, 40, 50, aborted=True), 51)
    found: list[AbortedTransaction] = []
    assert index.collect(0, 25, found)
    assert found == [(1, 10), (2, 12)]
    found.clear()
    assert not index.collect(21, 100, found)
    assert found == [(2, 12), (3, 40)]
