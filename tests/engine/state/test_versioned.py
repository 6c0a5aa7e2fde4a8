"""Versioned stores, against a plain list of what was written: memory and RocksDB, with crashes and restores between."""

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ottla.serdes import LONG, TEXT
from ottla.state import timed
from ottla.state.cache import StoreCache, open_cache
from ottla.state.memory import MemoryStore, MemoryStores
from ottla.state.rocks import RocksStores
from ottla.state.store import KeyValueStore, Stores
from ottla.state.versioned import Version, VersionedCache, versioned_spec

RETENTION = 20
SPEC = versioned_spec("prices", "app-prices-changelog", TEXT, LONG, RETENTION)


@pytest.fixture(params=["memory", "rocksdb"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    stores: Stores = MemoryStores() if request.param == "memory" else RocksStores(tmp_path / "state")
    yield stores
    stores.close()


@pytest.fixture
def store(stores: Stores) -> Iterator[KeyValueStore]:
    store = stores.open("0_0", "prices")
    yield store
    store.close()


def opened(store: KeyValueStore) -> VersionedCache:
    cache = open_cache(SPEC, store)
    assert isinstance(cache, VersionedCache)
    return cache


def commit(cache: StoreCache) -> list[tuple[bytes, bytes | None]]:
    changes = list(cache.changes())
    cache.committed(None)
    return changes


def test_a_value_is_valid_from_its_time_until_the_next(store: KeyValueStore) -> None:
    cache = opened(store)
    for time, value in ((10, 1), (20, 2), (25, None), (28, 3)):
        assert cache.write("pear", value, time)
    commit(cache)
    assert [cache.find("pear", time) for time in (9, 10, 19, 20, 24, 25, 27, 28, 99)] == [
        None,
        (10, 1),
        (10, 1),
        (20, 2),
        (20, 2),
        None,
        None,
        (28, 3),
        (28, 3),
    ]
    assert list(cache.versions("pear")) == [Version(3, 28, None), Version(2, 20, 25), Version(1, 10, 20)]
    assert cache.get("pear") == 3
    assert cache.get("nut") is None


def test_what_comes_late_takes_its_place(store: KeyValueStore) -> None:
    cache = opened(store)
    cache.write("pear", 3, 30)
    commit(cache)
    cache.write("pear", 1, 10)
    cache.write("pear", 2, 20)
    cache.write("pear", 22, 20)
    assert cache.get("pear") == 3
    assert list(cache.versions("pear")) == [Version(3, 30, None), Version(22, 20, 30), Version(1, 10, 20)]
    assert not cache.write("pear", 0, 9)


def test_what_was_superseded_before_the_retention_is_gone_and_the_newest_stays(store: KeyValueStore) -> None:
    cache = opened(store)
    cache.write("pear", 1, 10)
    cache.write("pear", 2, 20)
    cache.write("nut", 5, 5)
    commit(cache)
    cache.write("fig", 9, 41)
    assert [cache.find("pear", time) for time in (10, 20, 21)] == [None, (20, 2), (20, 2)]
    assert cache.find("nut", 5) == (5, 5)
    assert list(cache.versions("pear")) == [Version(2, 20, None)]
    commit(cache)
    assert {key for key, _ in cache.kept()} == {("fig", 41), ("nut", 5), ("pear", 20)}


def test_a_deletion_is_dropped_only_after_what_it_hides(store: KeyValueStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed, "_LOOKED_AT", 1)
    cache = opened(store)
    cache.write("pear", 1, 10)
    cache.write("pear", None, 11)
    commit(cache)
    for time in range(40, 80):
        cache.write("fig", time, time)
        commit(cache)
        assert cache.get("pear") is None
        assert opened(store).get("pear") is None
    assert {key for (key, _), _ in cache.kept()} == {"fig"}


def test_the_newest_values_are_in_the_order_of_the_keys_however_these_are_made(store: KeyValueStore) -> None:
    cache = opened(store)
    for number, key in enumerate(("b", "a\x00", "a", "", "a\x00\xff")):
        cache.write(key, number, 10)
        cache.write(key, number + 10, 11)
    commit(cache)
    cache.write("b", None, 12)
    assert list(cache.range()) == [("", 13), ("a", 12), ("a\x00", 11), ("a\x00\xff", 14)]
    assert list(cache.range(b"a", b"a\x00")) == [("a", 12)]


times = st.integers(0, 60)
operations = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"), st.sampled_from(["a", "a\x00", "b"]), times, st.one_of(st.none(), st.integers(0, 9))
        ),
        st.tuples(st.sampled_from(["commit", "crash", "restore", "take back"]), st.just("a"), times, st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations, st.sampled_from([1, 3, 2_000]))
def test_a_versioned_store_is_a_list_of_versions(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, str, int, Any]], looked_at: int
) -> None:
    monkeypatch.setattr(timed, "_LOOKED_AT", looked_at)
    store, changelog = MemoryStore(), []
    cache = opened(store)
    model: dict[str, dict[int, Any]] = {}
    stream_time = -1
    committed: tuple[dict[str, dict[int, Any]], int] = ({}, -1)

    def known(key: str, time: int) -> Any:
        before = [at for at in model.get(key, {}) if at <= time]
        if not before or (time < stream_time - RETENTION and max(before) != max(model[key])):
            return None
        value = model[key][max(before)]
        return None if value is None else (max(before), value)

    for what, key, time, value in steps:
        if what == "write":
            written = time >= stream_time - RETENTION
            assert cache.write(key, value, time) is written
            if written:
                stream_time = max(stream_time, time)
                model.setdefault(key, {})[time] = value
        elif what == "take back" and time >= stream_time - RETENTION:
            stored = cache.stored((key, time))
            cache.write(key, 99, time)
            cache.take_back((key, time), stored)
            stream_time = max(stream_time, time)
        elif what == "commit":
            changelog += commit(cache)
            committed = ({key: dict(each) for key, each in model.items()}, stream_time)
        elif what in ("crash", "restore"):
            if what == "restore":
                store = MemoryStore()
                store.write_batch(changelog, None)
            cache = opened(store)
            model, stream_time = ({key: dict(each) for key, each in committed[0].items()}, committed[1])
        for each in ("a", "a\x00", "b"):
            for at in (0, 15, 30, 45, 60):
                assert cache.find(each, at) == known(each, at), (each, at)
            newest = model.get(each, {})
            assert cache.get(each) == (newest[max(newest)] if newest else None)
            horizon = stream_time - RETENTION
            ends = dict(zip_longest(sorted(newest), sorted(newest)[1:]))
            assert list(cache.versions(each)) == [
                Version(newest[at], at, ends[at])
                for at in sorted(newest, reverse=True)
                if newest[at] is not None and (ends[at] is None or ends[at] > horizon)
            ]
