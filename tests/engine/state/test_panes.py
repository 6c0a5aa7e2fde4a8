"""Panes hold what a store of slots without them would: the same values, the same order, the same changes."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla.aggregations import compile_aggregations
from ottla.serdes import TEXT, state_codec_for
from ottla.state.blocks import BLOCKS
from ottla.state.cache import open_cache
from ottla.state.changes import Change
from ottla.state.memory import MemoryStore
from ottla.state.panes import Pane, PaneCache
from ottla.task.slots import NEVER, STREAM_TIME, prefix, slot_spec

NUMBERS = state_codec_for(int)
SPEC = slot_spec("app", "counts", TEXT, NUMBERS.encode, NUMBERS.decode, panes=True)
KEYS = ["a", "ab", "b", "", "\x00", "é"]


def cache_on(store: MemoryStore, capacity: int = 100) -> PaneCache:
    cache = open_cache(SPEC, store, capacity=capacity)
    assert isinstance(cache, PaneCache)
    return cache


def commit(cache: PaneCache, offset: int | None = None) -> list[Change]:
    changes = list(cache.changes())
    cache.committed(offset)
    return changes


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_new_pane_asks_the_store_for_nothing(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    pane = cache_on(store).new_pane(10)
    monkeypatch.setattr(store, "get", pytest.fail)
    pane.put("a", 1)
    assert (pane.get("a"), pane.get("b")) == (1, None)


def test_what_is_in_a_pane_is_committed_with_the_rest(store: MemoryStore) -> None:
    cache = cache_on(store)
    cache.put(STREAM_TIME, 12)
    cache.new_pane(10).put("a", 1)
    assert cache.dirty_count == 2
    assert list(store.range()) == []
    commit(cache, 7)
    assert store.offset == 7
    assert store.get(prefix(10) + b"a") == NUMBERS.encode(1)
    assert cache_on(store).get(STREAM_TIME) == 12


def test_a_stored_pane_is_read_key_by_key_and_taken_whole(store: MemoryStore) -> None:
    first = cache_on(store)
    pane = first.new_pane(10)
    for number, key in enumerate(KEYS):
        pane.put(key, number)
    commit(first)
    again = cache_on(store).pane(10)
    assert again.get("b") == 2
    again.put("b", 20)
    again.put("c", 30)
    values = dict(zip(KEYS, range(len(KEYS)), strict=True)) | {"b": 20, "c": 30}
    assert list(zip(*again.take(), strict=True)) == sorted(values.items(), key=lambda item: item[0].encode())


def test_a_pane_that_is_taken_leaves_nothing(store: MemoryStore) -> None:
    cache = cache_on(store)
    pane = cache.new_pane(10)
    pane.put("b", 1)
    pane.put("a", 2)
    commit(cache)
    assert pane.take() == (["a", "b"], [2, 1])
    assert commit(cache) == [(BLOCKS + prefix(10) + bytes(8), None)]
    assert (list(store.range()), cache.held) == ([], 0)


def test_a_key_that_cannot_be_encoded_leaves_the_pane_as_it_was(store: MemoryStore) -> None:
    cache = cache_on(store)
    pane = cache.new_pane(10)
    with pytest.raises(UnicodeEncodeError):
        pane.put("\ud800", 1)
    assert pane.is_empty
    assert commit(cache) == []


def test_events_whose_keys_cannot_be_encoded_leave_no_trace(store: MemoryStore) -> None:
    cache, count = cache_on(store), compile_aggregations("counts", {"n": ottla.sum(lambda value: 0 + value)})
    pane = cache.new_pane(10)
    keys, values = ["a", "\ud800", "b", "\udfff", "\ud800", "c", "a"], [1, 1, 1, 1, "one", "one", 1]
    failures = pane.fold(count.fold, keys, values, range(len(keys)))
    assert {row: type(error) for row, error in failures.items()} == {
        1: UnicodeEncodeError, 3: UnicodeEncodeError, 4: TypeError, 5: TypeError,
    }  # fmt: skip
    assert [pane.get(key) for key in ("a", "\ud800", "b", "\udfff", "c")] == [(6, 2), None, (2, 1), None, None]
    assert pane.dirty_count == 2


def test_the_oldest_panes_give_way_first(store: MemoryStore) -> None:
    cache = cache_on(store, capacity=8)
    for time in (20, 10):
        for number in range(6):
            cache.new_pane(time).put(str(number), number)
    commit(cache)
    assert (cache.pane(10).held, cache.pane(20).held) == (1, 6)
    assert [cache.pane(10).get(str(number)) for number in range(6)] == list(range(6))


def test_what_was_not_committed_is_forgotten(store: MemoryStore) -> None:
    cache = cache_on(store)
    pane = cache.new_pane(10)
    pane.put("a", 1)
    commit(cache)
    pane.put("a", 2)
    pane.put("b", 3)
    cache.changes()
    cache.discard()
    assert (pane.get("a"), pane.get("b")) == (1, None)
    assert all(value is None for _, value in commit(cache))
    assert cache_on(store).pane(10).take() == (["a"], [1])


times, keys = st.sampled_from([0, 5, 1 << 40]), st.sampled_from(KEYS)
steps = st.one_of(
    st.tuples(st.just("put"), times, keys, st.integers(0, 9)),
    st.tuples(st.just("get"), times, keys),
    st.tuples(st.just("take"), times),
    st.tuples(st.just("changes")),
    st.tuples(st.just("committed")),
    st.tuples(st.just("restart")),
)


class Run:
    """A cache with panes beside the dict that it should be."""

    def __init__(self, capacity: int) -> None:
        self.store = MemoryStore()
        self.open_cache = partial(cache_on, self.store, capacity)
        self.cache = self.open_cache()
        self.panes: dict[int, Pane] = {}
        self.model: dict[int, dict[str, int]] = {}
        self.committed: dict[int, dict[str, int]] = {}
        self.handed_out: dict[int, dict[str, int]] | None = None

    def pane(self, time: int) -> Pane:
        if time not in self.panes:
            make: Callable[[int], Pane] = self.cache.pane if self.model.get(time) else self.cache.new_pane
            self.panes[time] = make(time)
        return self.panes[time]

    def put(self, time: int, key: str, value: int) -> None:
        self.pane(time).put(key, value)
        self.model.setdefault(time, {})[key] = value

    def get(self, time: int, key: str) -> None:
        assert self.pane(time).get(key) == self.model.get(time, {}).get(key)

    def take(self, time: int) -> None:
        taken = list(zip(*self.pane(time).take(), strict=True))
        assert taken == sorted(self.model.pop(time, {}).items(), key=lambda item: item[0].encode())
        del self.panes[time]

    def changes(self) -> None:
        if self.handed_out is None:
            self.cache.changes()
            self.handed_out = {time: dict(entries) for time, entries in self.model.items()}

    def end_commit(self) -> None:
        if self.handed_out is not None:
            self.cache.committed(None)
            self.committed, self.handed_out = self.handed_out, None
            assert {key: NUMBERS.decode(value) for key, value in self.store.range(prefix(0), NEVER)} == {
                prefix(time) + key.encode(): value
                for time, entries in self.committed.items()
                for key, value in entries.items()
            }

    def restart(self) -> None:
        self.cache, self.panes, self.handed_out = self.open_cache(), {}, None
        self.model = {time: dict(entries) for time, entries in self.committed.items()}


@settings(max_examples=300)
@given(capacity=st.sampled_from([1, 4, 100]), script=st.lists(steps, max_size=60))
def test_panes_behave_as_dicts_through_commits_evictions_and_restarts(
    capacity: int, script: list[tuple[str, ...]]
) -> None:
    run = Run(capacity)
    acts: dict[str, Callable[..., None]] = {
        "put": run.put,
        "get": run.get,
        "take": run.take,
        "changes": run.changes,
        "committed": run.end_commit,
        "restart": run.restart,
    }
    for act, *arguments in script:
        acts[act](*arguments)
