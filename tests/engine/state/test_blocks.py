"""Panes come back from their changelog as they were committed, whatever was compacted, lost or read twice meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla.errors import RecordTooLarge
from ottla.serdes import TEXT, state_codec_for
from ottla.state import blocks
from ottla.state.blocks import BlockStore
from ottla.state.cache import open_cache
from ottla.state.changes import Change
from ottla.state.memory import MemoryStore, MemoryStores
from ottla.state.panes import PaneCache
from ottla.state.rocks import RocksStores
from ottla.task.slots import NEVER, STREAM_TIME, prefix, slot_spec

VALUES = state_codec_for(int | str)
SPEC = slot_spec("app", "counts", TEXT, VALUES.encode, VALUES.decode, panes=True)

Panes = dict[int, dict[str, int | str]]


def cache_on(store: BlockStore) -> PaneCache:
    cache = open_cache(SPEC, store)
    assert isinstance(cache, PaneCache)
    return cache


def panes_in(store: BlockStore) -> Panes:
    """What is stored, by time."""
    found: Panes = {}
    for slot, value in store.range(prefix(0), NEVER):
        time, key = SPEC.decode_key(slot)
        found.setdefault(time, {})[key] = VALUES.decode(value)
    return found


def live(log: list[Change | None]) -> dict[bytes, bytes]:
    """What compaction must keep."""
    newest = dict(each for each in log if each is not None)
    return {key: value for key, value in newest.items() if value is not None}


class Bench:
    """A cache on a store, the changelog of both, and a copy of the store that reads it when it likes."""

    def __init__(self) -> None:
        self.log: list[Change | None] = []
        self.store, self.copy = BlockStore(MemoryStore()), BlockStore(MemoryStore())
        self.cache = cache_on(self.store)
        self.panes: Panes = {}
        self.committed: Panes = {}
        self.done: list[tuple[str, int, str, int]] = []

    def do(self, act: str, time: int, key: str = "", value: int = 0) -> None:
        pane = self.cache.pane(time) if self.panes.get(time) else self.cache.new_pane(time)
        if act == "take":
            taken = dict(zip(*pane.take(), strict=True))
            assert taken == self.panes.pop(time, {})
        else:
            assert pane.get(key) == self.panes.get(time, {}).get(key)
            pane.put(key, value)
            self.panes.setdefault(time, {})[key] = value
        self.done.append((act, time, key, value))

    def commit(self, most: int = 1_000) -> list[Change]:
        records = list(self.cache.changes(most))
        self.log += records
        self.cache.committed(len(self.log) if records else None)
        self.committed, self.done = {time: dict(pane) for time, pane in self.panes.items()}, []
        assert panes_in(self.store) == self.committed
        return records

    def fail(self, arrived: int, again: int = 1_000) -> None:
        """A commit of which some records are in the changelog fails, at least once, and its events are taken anew, some
        of them with the next commit."""
        failed = {time: dict(pane) for time, pane in self.panes.items()}
        self.log += list(self.cache.changes(1_000))[:arrived]
        self.cache = cache_on(self.store)
        self.panes = {time: dict(pane) for time, pane in self.committed.items()}
        done, self.done = self.done, []
        for each in done[:again]:
            self.do(*each)
        self.commit()
        another = BlockStore(MemoryStore())
        self.follow(another, 9, len(self.log))
        found = panes_in(another)
        for time, pane in self.committed.items():
            for key, value in pane.items():
                assert found[time][key] in (value, failed.get(time, {}).get(key)), "what is committed is not lost"
        for each in done[again:]:
            self.do(*each)
        self.commit()
        another = BlockStore(MemoryStore())
        self.follow(another, 9, len(self.log))
        assert panes_in(another) == self.committed

    def crash(self) -> None:
        """What was not committed is lost, exactly once."""
        self.store = BlockStore(self.store.entries)
        self.begin_anew()

    def move(self, size: int) -> None:
        """Another worker takes the state, from the changelog alone."""
        self.store = BlockStore(MemoryStore())
        self.follow(self.store, size, len(self.log))
        self.begin_anew()

    def take_copy(self, size: int) -> None:
        """The worker with the copy takes the state."""
        self.follow(self.copy, size, len(self.log))
        self.store, self.copy = self.copy, BlockStore(MemoryStore())
        self.begin_anew()

    def begin_anew(self) -> None:
        self.cache, self.done = cache_on(self.store), []
        self.panes = {time: dict(pane) for time, pane in self.committed.items()}
        assert panes_in(self.store) == self.committed

    def follow(self, store: BlockStore, size: int, end: int) -> None:
        """Reads on, so many records at once."""
        for first in range(store.offset or 0, end, size):
            behind = min(first + size, end)
            # Who is far behind restores, and a copy that is warm takes what comes.
            take = store.restore if size % 2 else store.write_batch
            take([each for each in self.log[first:behind] if each is not None], behind)

    def compact(self, end: int) -> None:
        """As the broker does it, up to some offset: tombstones stay as long as somebody has yet to read them."""
        newest = {each[0]: offset for offset, each in enumerate(self.log[:end]) if each is not None}
        for offset, each in enumerate(self.log[:end]):
            if each is not None and (
                newest[each[0]] > offset or (each[1] is None and offset < (self.copy.offset or 0))
            ):
                self.log[offset] = None


@contextmanager
def small_blocks(swept: int = 1) -> Iterator[None]:
    """Blocks of few entries, which are made anew soon, `swept` entries with a commit."""
    with pytest.MonkeyPatch.context() as patch:
        sizes = {"_MOST_ENTRIES": 3, "_SPREAD": 1, "_FEW": 1, "_PER_BLOCK": 0, "_LEAST_SWEPT": swept}
        for name, value in sizes.items():
            patch.setattr(blocks, name, value)
        yield


times, keys, sizes = st.sampled_from([0, 1 << 40]), st.sampled_from(["", "a", "b", "\x00", "é"]), st.integers(1, 9)
steps = st.one_of(
    *[st.tuples(st.just("put"), times, keys, st.integers(0, 9))] * 6,
    st.tuples(st.just("take"), times),
    *[st.tuples(st.just("commit"))] * 4,
    st.tuples(st.just("fail"), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("crash")),
    st.tuples(st.just("move"), sizes),
    st.tuples(st.just("take_copy"), sizes),
    st.tuples(st.just("read"), sizes, st.integers(0, 99)),
    st.tuples(st.just("compact"), st.integers(0, 99)),
)


@settings(max_examples=200, deadline=None)
@given(script=st.lists(steps, min_size=20, max_size=80))
def test_panes_outlast_crashes_moves_failed_commits_and_compaction(script: list[tuple[str, ...]]) -> None:
    bench = Bench()
    acts: dict[str, Callable[..., object]] = {
        "put": lambda *put: bench.do("put", *put),
        "take": lambda time: bench.do("take", time),
        "commit": bench.commit,
        "fail": bench.fail,
        "crash": bench.crash,
        "move": bench.move,
        "take_copy": bench.take_copy,
        "read": lambda size, percent: bench.follow(
            bench.copy, size, max(bench.copy.offset or 0, len(bench.log) * percent // 100)
        ),
        "compact": lambda percent: bench.compact(len(bench.log) * percent // 100),
    }
    with small_blocks():
        for act, *arguments in script:
            acts[act](*arguments)
        for time in list(bench.panes):
            bench.do("take", time)
        bench.commit()
        assert live(bench.log) == {}, "what is over leaves nothing behind"
        bench.move(5)


def test_a_commit_tells_the_changelog_of_many_entries_in_a_record_and_of_the_end_of_all_in_one() -> None:
    bench = Bench()
    for number in range(200):
        bench.do("put", 10, str(number), number)
    assert len(bench.commit(most=100_000)) == 1
    bench.do("take", 10)
    assert [value for _, value in bench.commit()] == [None]


def test_no_record_has_more_bytes_than_its_topic_takes() -> None:
    bench = Bench()
    for number in range(100):
        bench.do("put", 10, str(number), number)
    records = bench.commit(most=120)
    assert max(len(key) + len(value or b"") for key, value in records) <= 120
    bench.move(7)


@pytest.mark.parametrize(("size", "fits"), [(120, True), (160, False)])
def test_an_entry_that_no_record_takes_is_refused(size: int, fits: bool) -> None:
    cache = cache_on(BlockStore(MemoryStore()))
    cache.new_pane(10).put("key", "x" * size)
    if fits:
        assert all(len(key) + len(value or b"") <= 200 for key, value in cache.changes(200))
    else:
        with pytest.raises(RecordTooLarge, match="under \\(10, 'key'\\) it has"):
            cache.changes(200)


@pytest.mark.parametrize("failing", [0.0, 0.1])
def test_a_changelog_does_not_grow_with_the_age_of_a_pane(failing: float) -> None:
    bench, draw = Bench(), Random(1)
    with small_blocks(swept=20):
        for number in range(50):
            bench.do("put", 10, f"seldom {number}", number)
        bench.commit()
        for turn in range(300):
            bench.do("put", 10, "often", turn)
            if draw.random() < failing:
                bench.fail(arrived=99)
            else:
                bench.commit()
            bench.compact(len(bench.log))
            assert len(live(bench.log)) <= 150
    bench.move(100)


def test_a_pane_that_is_opened_again_is_not_taken_for_what_it_was_before() -> None:
    """Given a copy that has yet to read of its end, of which compaction leaves what nobody says again."""
    bench = Bench()
    bench.do("put", 10, "before", 1)
    bench.commit()
    bench.follow(bench.copy, 9, len(bench.log))
    bench.do("take", 10)
    bench.commit()
    bench.crash()
    bench.do("put", 10, "behind", 2)
    bench.commit()
    bench.compact(len(bench.log))
    bench.take_copy(9)
    assert bench.cache.pane(10).take() == (["behind"], [2])


def test_what_was_stored_before_there_were_blocks_stays_as_it_is_until_it_is_over() -> None:
    """Given an open window whose entries have records of their own, as earlier versions wrote them."""
    bench = Bench()
    slots = {prefix(10) + b"a": VALUES.encode(1), prefix(10) + b"b": VALUES.encode(2)}
    bench.log += [(STREAM_TIME_KEY, VALUES.encode(12)), *slots.items()]
    bench.committed = {10: {"a": 1, "b": 2}}
    bench.move(5)
    bench.do("put", 10, "b", 3)
    bench.do("put", 20, "a", 4)
    assert (prefix(10) + b"b", VALUES.encode(3)) in bench.commit()
    bench.move(5)
    bench.do("take", 10)
    assert sorted(bench.commit()) == [(slot, None) for slot in slots]
    bench.move(5)
    assert bench.cache.get(STREAM_TIME) == 12
    assert bench.cache.pane(20).take() == (["a"], [4])


STREAM_TIME_KEY = SPEC.encode_key(STREAM_TIME)


def test_what_was_restored_is_on_disk_with_its_blocks(tmp_path: Path) -> None:
    bench = Bench()
    for time in (10, 20):
        for number in range(300):
            bench.do("put", time, str(number), number)
        bench.commit(most=100_000)
    bench.do("take", 10)
    bench.commit()
    stores = RocksStores(tmp_path)
    restored = BlockStore(stores.open("0_0", "counts"))
    bench.follow(restored, 3, len(bench.log))
    restored.close()
    stores.close()
    stores = RocksStores(tmp_path)
    bench.store = BlockStore(stores.open("0_0", "counts"))
    bench.begin_anew()
    bench.do("take", 20)
    bench.commit()
    assert live(bench.log) == {}
    bench.store.close()
    stores.close()


def test_without_a_changelog_there_are_no_blocks() -> None:
    spec = SPEC.local()
    store = spec.open(MemoryStores(), "0_0")
    cache = open_cache(spec, store)
    assert isinstance(cache, PaneCache)
    cache.new_pane(10).put("a", 1)
    cache.changes()
    cache.committed(1)
    assert list(store.range()) == [(prefix(10) + b"a", VALUES.encode(1))]
    cache.pane(10).take()
    cache.changes()
    cache.committed(2)
    assert list(store.range()) == []
