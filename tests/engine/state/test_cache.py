"""The write-back cache: coalesced changes, nothing uncommitted in the store, ranges over both."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla.errors import EncodeError
from ottla.state.cache import StoreCache
from ottla.state.memory import MemoryStore
from ottla.state.store import StoreSpec

SPEC = StoreSpec(
    name="counts",
    changelog="app-counts-changelog",
    encode_key=str.encode,
    decode_key=bytes.decode,
    encode_value=lambda value: b"%d" % value,
    decode_value=int,
)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def cache(store: MemoryStore) -> StoreCache:
    return StoreCache(SPEC, store, capacity=8)


def commit(cache: StoreCache, offset: int | None = None) -> list[tuple[bytes, bytes | None]]:
    changes = list(cache.changes())
    cache.committed(offset)
    return changes


def test_what_is_written_is_read_back_but_not_stored(cache: StoreCache, store: MemoryStore) -> None:
    cache.put("a", 1)
    assert cache.get("a") == 1
    assert "a" in cache
    assert store.get(b"a") is None


def test_many_writes_of_a_key_become_one_change(cache: StoreCache) -> None:
    for value in range(5):
        cache.put("a", value)
    cache.put("b", 7)
    cache.delete("b")
    assert cache.dirty_count == 2
    assert list(cache.changes()) == [(b"a", b"4"), (b"b", None)]
    assert cache.dirty_count == 0


def test_a_commit_moves_the_changes_and_the_offset_to_the_store(cache: StoreCache, store: MemoryStore) -> None:
    cache.put("a", 1)
    commit(cache, 17)
    assert (store.get(b"a"), store.offset) == (b"1", 17)
    assert list(cache.changes()) == []


def test_an_offset_moves_on_without_changes(cache: StoreCache, store: MemoryStore) -> None:
    commit(cache, 3)
    assert store.offset == 3


def test_writes_made_while_a_commit_is_on_its_way_belong_to_the_next(cache: StoreCache, store: MemoryStore) -> None:
    cache.put("a", 1)
    cache.changes()
    cache.put("a", 2)
    cache.put("b", 3)
    cache.committed(1)
    assert (store.get(b"a"), store.get(b"b")) == (b"1", None)
    assert [cache.get("a"), cache.get("b")] == [2, 3]
    assert commit(cache, 2) == [(b"a", b"2"), (b"b", b"3")]


def test_an_aborted_transaction_leaves_what_the_store_has(cache: StoreCache) -> None:
    cache.put("a", 1)
    commit(cache)
    cache.put("a", 2)
    cache.changes()
    cache.put("b", 3)
    cache.discard()
    assert cache.get("a") == 1
    assert cache.get("b") is None
    assert list(cache.changes()) == []


def test_changes_cannot_be_handed_out_twice(cache: StoreCache) -> None:
    cache.put("a", 1)
    cache.changes()
    with pytest.raises(RuntimeError, match="twice"):
        cache.changes()


def test_a_deleted_key_reads_as_absent_whether_it_is_committed_or_not(cache: StoreCache) -> None:
    cache.put("a", 1)
    commit(cache)
    cache.delete("a")
    assert cache.get("a", "gone") == "gone"
    assert "a" not in cache
    commit(cache)
    assert cache.get("a", "gone") == "gone"


def test_clean_entries_are_bounded_and_dirty_ones_are_never_dropped(cache: StoreCache, store: MemoryStore) -> None:
    store.write_batch([(b"%03d" % number, b"%d" % number) for number in range(100)], 1)
    cache.put("dirty", 1)
    for number in range(100):
        assert cache.get(f"{number:03}") == number
        assert len(cache._entries) <= 8 + 1
    assert commit(cache) == [(b"dirty", b"1")]


def test_a_range_merges_the_store_with_what_is_not_committed(cache: StoreCache) -> None:
    for key, value in (("b", 1), ("d", 2), ("f", 3)):
        cache.put(key, value)
    commit(cache)
    cache.put("a", 10)
    cache.put("d", 20)
    cache.delete("f")
    cache.changes()
    cache.put("e", 30)
    assert list(cache.range()) == [("a", 10), ("b", 1), ("d", 20), ("e", 30)]
    assert list(cache.range(b"b", b"e")) == [("b", 1), ("d", 20)]


def test_a_range_sees_deletions_made_while_it_runs(cache: StoreCache) -> None:
    for key in "abc":
        cache.put(key, ord(key))
    commit(cache)
    seen = []
    for key, _ in cache.range():
        seen.append(key)
        cache.delete("b")
    assert seen == ["a", "c"]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcdefghijkl"), st.integers(0, 99)),
        st.tuples(st.sampled_from(["delete", "get"]), st.sampled_from("abcdefghijkl"), st.just(0)),
        st.tuples(st.sampled_from(["changes", "commit", "abort", "range"]), st.just(""), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(operations)
def test_a_cache_behaves_as_a_dict_with_transactions(steps: list[tuple[str, str, int]]) -> None:
    cache = StoreCache(SPEC, MemoryStore(), capacity=4)
    state: dict[str, int] = {}
    stored: dict[str, int] = {}
    handed_out: dict[str, int] | None = None
    for what, key, value in steps:
        if what == "put":
            cache.put(key, value)
            state[key] = value
        elif what == "delete":
            cache.delete(key)
            state.pop(key, None)
        elif what == "get":
            assert cache.get(key) == state.get(key)
        elif what == "range":
            expected = [item for item in sorted(state.items()) if "b" <= item[0] < "k"]
            assert list(cache.range(b"b", b"k")) == expected
            assert list(cache.range(b"b", b"k", reverse=True)) == expected[::-1]
        elif what == "changes" and handed_out is None:
            cache.changes()
            handed_out = dict(state)
        elif what == "commit":
            if handed_out is None:
                cache.changes()
                handed_out = dict(state)
            cache.committed(None)
            stored, handed_out = handed_out, None
        elif what == "abort":
            cache.discard()
            state, handed_out = dict(stored), None
    assert list(cache.range()) == sorted(state.items())
    assert list(cache.range(reverse=True)) == sorted(state.items(), reverse=True)


@pytest.mark.parametrize("use", [StoreCache.put, lambda cache, key, _: cache.delete(key)])
def test_a_key_that_cannot_be_encoded_fails_where_it_is_written(
    cache: StoreCache, use: Callable[[StoreCache, object, int], None]
) -> None:
    with pytest.raises(EncodeError, match=r"^5 cannot be a key of "):
        use(cache, 5, 1)
    assert list(cache.changes()) == []
