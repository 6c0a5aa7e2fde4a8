"""One suite for every store: memory and RocksDB keep the same promises, whenever RocksDB writes what is committed."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ottla.errors import StateError
from ottla.state.changes import Change, Changes, KeyRange, Packed, PackedChanges
from ottla.state.memory import MemoryStores
from ottla.state.rocks import RocksStores
from ottla.state.store import KeyValueStore, Stores


class Clock:
    """What the stores of this suite take for the time."""

    seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


clock = Clock()

OPEN: dict[str, Callable[[Path], Stores]] = {
    "memory": lambda _: MemoryStores(clock),
    "rocksdb, written at the end": lambda path: RocksStores(path, clock=clock),
    "rocksdb, written now and then": lambda path: RocksStores(path, unwritten_bytes=600, clock=clock),
    "rocksdb, written at once": lambda path: RocksStores(path, unwritten_bytes=0, clock=clock),
}


@pytest.fixture(params=list(OPEN))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    stores = OPEN[request.param](tmp_path / "state")
    yield stores
    stores.close()


@pytest.fixture
def store(stores: Stores) -> Iterator[KeyValueStore]:
    store = stores.open("0_0", "counts")
    yield store
    store.close()


def test_a_new_store_is_empty_and_has_no_offset(store: KeyValueStore) -> None:
    assert store.offset is None
    assert store.get(b"k") is None
    assert list(store.range()) == []


def test_a_batch_sets_and_deletes_and_carries_its_offset(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")], 10)
    store.write_batch([(b"b", None), (b"c", b"33")], 12)
    assert [store.get(key) for key in (b"a", b"b", b"c")] == [b"1", None, b"33"]
    assert store.offset == 12


def test_its_age_counts_from_the_last_batch(
    store: KeyValueStore, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pass_by(seconds: float) -> None:
        monkeypatch.setattr(clock, "seconds", clock.seconds + seconds)

    assert store.age_ms is None
    store.restore([(b"a", b"1")], 1)
    pass_by(2)
    store.restore([(b"b", b"1")], 2)
    assert store.age_ms == 2_000, "restoring does not make it younger"
    store.write_batch([(b"b", b"1")], 3)
    assert store.age_ms == 0
    pass_by(3)
    other = stores.open("0_1", "counts")
    other.write_batch([(b"a", b"1")], None)
    other.close()
    pass_by(4)
    again = stores.open("0_1", "counts")
    assert (store.age_ms, again.age_ms) == (7_000, 4_000)
    store.clear()
    assert (store.age_ms, again.age_ms) == (None, 4_000)
    again.close()


def test_the_last_change_of_a_key_in_a_batch_wins(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1"), (b"a", None), (b"b", None), (b"b", b"2")], 1)
    assert list(store.range()) == [(b"b", b"2")]


def test_a_batch_without_an_offset_keeps_the_stored_one(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1")], 7)
    store.write_batch([(b"b", b"1")], None)
    assert store.offset == 7


def test_empty_keys_and_empty_values_are_entries_like_any_other(store: KeyValueStore) -> None:
    store.write_batch([(b"", b"empty key"), (b"k", b"")], 0)
    assert store.get(b"") == b"empty key"
    assert store.get(b"k") == b""
    assert store.offset == 0


def test_a_range_is_half_open_and_in_byte_order(store: KeyValueStore) -> None:
    keys = [b"\xff", b"b", b"", b"a\x00", b"a", b"\x00"]
    store.write_batch([(key, key) for key in keys], 1)
    assert [key for key, _ in store.range()] == sorted(keys)
    assert [key for key, _ in store.range(b"a", b"b")] == [b"a", b"a\x00"]
    assert [key for key, _ in store.range(b"b")] == [b"b", b"\xff"]
    assert [key for key, _ in store.range(None, b"a")] == [b"", b"\x00"]
    assert list(store.range(b"b", b"a")) == []
    assert [key for key, _ in store.range(reverse=True)] == sorted(keys, reverse=True)
    assert [key for key, _ in store.range(b"a", b"b", reverse=True)] == [b"a\x00", b"a"]


def test_a_range_does_not_see_what_is_written_while_it_runs(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1"), (b"b", b"2")], 1)
    running = store.range()
    first = next(running)
    store.write_batch([(b"aa", b"new"), (b"b", None)], 2)
    assert [first, *running] == [(b"a", b"1"), (b"b", b"2")]


def test_a_cleared_store_is_as_new(stores: Stores) -> None:
    store = stores.open("0_0", "cleared")
    store.write_batch([(b"a", b"1")], 5)
    store.clear()
    assert (store.offset, list(store.range())) == (None, [])
    store.write_batch([(b"b", b"2")], 1)
    assert list(store.range()) == [(b"b", b"2")]
    store.close()


def test_stores_of_other_names_and_tasks_are_apart(stores: Stores) -> None:
    opened = [stores.open(task, name) for task in ("0_0", "0_1") for name in ("x", "y")]
    for number, store in enumerate(opened):
        store.write_batch([(b"k", b"%d" % number)], number)
    assert [store.get(b"k") for store in opened] == [b"0", b"1", b"2", b"3"]
    assert [store.offset for store in opened] == [0, 1, 2, 3]
    for store in opened:
        store.close()


def test_a_closed_store_opens_again_with_what_it_held(stores: Stores) -> None:
    store = stores.open("0_0", "kept")
    store.write_batch([(b"a", b"1")], 5)
    store.close()
    store = stores.open("0_0", "kept")
    assert (store.offset, store.get(b"a")) == (5, b"1")
    store.close()


def test_what_is_restored_comes_after_what_was_there(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1"), (b"b", b"2")], 2)
    store.restore([(b"b", None), (b"c", b"3")], 5)
    assert (list(store.range()), store.offset) == ([(b"a", b"1"), (b"c", b"3")], 5)
    store.write_batch([(b"c", b"4")], 6)
    assert (store.get(b"c"), store.offset) == (b"4", 6)


def test_ranges_of_a_batch_are_deleted_before_its_changes(store: KeyValueStore) -> None:
    store.write_batch([(key, b"old") for key in (b"a", b"b", b"ba", b"c")], 1)
    running = store.range()
    first = next(running)
    store.write_batch([(b"bb", b"new")], 2, [(b"b", b"c")])
    assert [key for key, _ in (first, *running)] == [b"a", b"b", b"ba", b"c"]
    assert list(store.range()) == [(b"a", b"old"), (b"bb", b"new"), (b"c", b"old")]
    assert (store.get(b"b"), store.get(b"bb"), store.offset) == (None, b"new", 2)


def test_ranges_of_what_is_restored_are_deleted_before_its_changes(store: KeyValueStore) -> None:
    store.write_batch([(key, b"old") for key in (b"a", b"b", b"c")], 1)
    store.restore([(b"bb", b"new")], 2, [(b"b", b"c")])
    assert list(store.range()) == [(b"a", b"old"), (b"bb", b"new"), (b"c", b"old")]


changes = st.lists(st.tuples(st.binary(max_size=3), st.none() | st.binary(max_size=3)), max_size=12)
ranges = st.lists(st.tuples(st.binary(max_size=2), st.binary(max_size=2)).filter(lambda each: each[0] < each[1]))


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.tuples(changes, ranges), max_size=4),
    start=st.none() | st.binary(max_size=2),
    end=st.none() | st.binary(max_size=2),
)
def test_a_store_behaves_as_a_sorted_dict(
    store: KeyValueStore,
    batches: list[tuple[list[Change], list[KeyRange]]],
    start: bytes | None,
    end: bytes | None,
) -> None:
    store.clear()
    model: dict[bytes, bytes] = {}
    for offset, (batch, dropped) in enumerate(batches):
        store.write_batch(batch, offset, dropped)
        for low, high in dropped:
            model = {key: value for key, value in model.items() if not low <= key < high}
        for key, value in batch:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    expected = [
        item for item in sorted(model.items()) if (start is None or item[0] >= start) and (end is None or item[0] < end)
    ]
    assert list(store.range(start, end)) == expected
    assert list(store.range(start, end, reverse=True)) == expected[::-1]
    found = {key: store.get(key) for key in (*model, b"", b"a")}
    assert {key: value for key, value in found.items() if value is not None} == model


few = st.text("abc", max_size=3).map(str.encode)
within = st.sampled_from([(b"a", b"b"), (b"a", b"c"), (b"b", b"c")])
parts = st.lists(st.tuples(within, st.lists(st.tuples(few, st.none() | few), max_size=4)), max_size=4)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.tuples(
            st.lists(st.tuples(few, st.none() | few), max_size=4), parts, st.lists(within, max_size=1), st.none() | few
        ),
        max_size=6,
    )
)
def test_packed_changes_are_as_if_they_were_not(
    store: KeyValueStore,
    batches: list[tuple[list[Change], list[tuple[KeyRange, list[Change]]], list[KeyRange], bytes | None]],
) -> None:
    store.clear()
    model: dict[bytes, bytes | None] = {}
    under_way: list[tuple[Iterator[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]] = []
    for offset, (plain, of_ranges, dropped, read) in enumerate(batches):
        packed = []
        for bounds, in_range in of_ranges:
            moved = Changes.of([(bounds[0] + key, value) for key, value in in_range])
            packed.append(Packed(bounds, len(moved), moved.size, lambda moved=moved: moved))
        batch = PackedChanges(Changes.of(plain), packed)
        store.write_batch(batch, offset, dropped)
        for low, high in dropped:
            model = {key: value for key, value in model.items() if not low <= key < high}
        model.update(batch)
        kept = [(key, value) for key, value in sorted(model.items()) if value is not None]
        if read is not None:
            assert store.get(read) == model.get(read)
            running = store.range()
            under_way.append((running, kept))
            assert next(running, None) == next(iter(kept), None)
    for running, expected in under_way:
        assert list(running) == expected[1:]
    assert list(store.range()) == [(key, value) for key, value in sorted(model.items()) if value is not None]


def reopened(path: Path, use: Callable[[KeyValueStore], object]) -> object:
    stores = RocksStores(path)
    store = stores.open("0_0", "counts")
    try:
        return use(store)
    finally:
        store.close()
        stores.close()


def test_rocksdb_keeps_entries_and_offsets_across_processes(tmp_path: Path) -> None:
    reopened(tmp_path, lambda store: store.write_batch([(b"a", b"1")], 5))
    assert reopened(tmp_path, lambda store: (store.offset, list(store.range()))) == (5, [(b"a", b"1")])


def test_rocksdb_stays_cleared_across_processes(tmp_path: Path) -> None:
    reopened(tmp_path, lambda store: store.write_batch([(b"a", b"1")], 5))
    reopened(tmp_path, lambda store: store.clear())
    assert reopened(tmp_path, lambda store: (store.offset, list(store.range()))) == (None, [])


KILLED = """
import os, sys
from pathlib import Path
from ottla.state.rocks import RocksStores

stores = RocksStores(Path(sys.argv[1]), unwritten_bytes=2_000)
opened = [stores.open("0_0", name) for name in ("a", "b")] + [stores.open("0_0", "c", restorable=False)]
for offset in range(1, 101):
    for store in opened:
        store.write_batch([(b"%d" % (offset % 7), b"%d" % offset), (b"%d" % ((offset + 3) % 7), None)], offset)
os._exit(1)
"""


def test_a_killed_process_leaves_each_store_as_it_was_at_its_offset(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False)
    stores = RocksStores(tmp_path)
    # In this run all but the last commits were written, and all of the store that nothing restores.
    for name, offsets in {"a": range(81, 100), "b": range(81, 100), "c": range(100, 101)}.items():
        store = stores.open("0_0", name)
        assert store.offset in offsets
        expected: dict[bytes, bytes] = {}
        for offset in range(1, store.offset + 1):
            expected[b"%d" % (offset % 7)] = b"%d" % offset
            expected.pop(b"%d" % ((offset + 3) % 7), None)
        assert dict(store.range()) == expected
        store.close()
    stores.close()


def test_a_store_keeps_what_was_restored_and_what_came_then(tmp_path: Path) -> None:
    def fill(store: KeyValueStore) -> None:
        store.write_batch([(b"a", b"1")], 1)
        store.restore([(b"b", b"2"), (b"a", b"0")], 3)
        store.write_batch([(b"b", b"3")], 4)

    reopened(tmp_path, fill)
    assert reopened(tmp_path, lambda store: (store.offset, list(store.range()))) == (4, [(b"a", b"0"), (b"b", b"3")])


def test_changes_that_are_not_written_are_in_the_offset_that_others_are_told(tmp_path: Path) -> None:
    stores = RocksStores(tmp_path)
    store = stores.open("0_0", "counts")
    store.write_batch([(b"a", b"1")], 5)
    assert stores.offset("0_0", "counts") == 5
    store.close()
    assert stores.offset("0_0", "counts") == 5
    stores.close()


def test_a_directory_in_use_is_refused_in_one_sentence(tmp_path: Path) -> None:
    stores = RocksStores(tmp_path)
    with pytest.raises(StateError, match="cannot be opened"):
        RocksStores(tmp_path)
    stores.close()


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("IO error: No space left on device: While appending", "; make room on that disk and start the worker again"),
        ("IO error: Permission denied", "; let the user that the worker runs as read and write it"),
        ("Corruption: block checksum mismatch", "; remove that directory to restore from the changelogs"),
    ],
)
def test_a_disk_that_does_not_write_is_one_sentence_and_nothing_is_written_after_that(
    tmp_path: Path, reason: str, advice: str
) -> None:
    class Failing:
        def __init__(self, database: Any) -> None:
            self.database = database
            self.writes = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.database, name)

        def write(self, _: Any) -> None:
            self.writes += 1
            raise Exception(reason)  # as rocksdict does

    stores = RocksStores(tmp_path)
    stores.open("0_0", "counts").close()
    store: Any = stores.open("0_0", "counts")
    stores.database = failing = Failing(stores.database)  # type: ignore[assignment]
    store.write_batch([(b"a", b"1")], 5)
    sentence = f"the state in {tmp_path} cannot be written ({reason}){advice}"
    for _ in range(2):
        with pytest.raises(StateError, match=re.escape(sentence)):
            store.write()
    store.close()
    with pytest.raises(StateError, match=re.escape(sentence)):
        stores.close()
    assert failing.writes == 1
    again = RocksStores(tmp_path)
    assert again.offset("0_0", "counts") is None, "what is not on disk is restored"
    again.close()


def test_a_store_is_opened_once_at_a_time(tmp_path: Path) -> None:
    stores = RocksStores(tmp_path)
    store = stores.open("0_0", "counts")
    with pytest.raises(StateError, match="open already"):
        stores.open("0_0", "counts")
    store.close()
    stores.close()
