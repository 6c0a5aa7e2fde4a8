"""The bound that the caches of a worker share."""

import pytest

from ottla.serdes import RAW, TEXT
from ottla.state import budget as budget_module
from ottla.state.budget import CacheBudget
from ottla.state.cache import StoreCache, open_cache
from ottla.state.memory import MemoryStore
from ottla.tables import table_spec

SPEC = table_spec("app", "t", TEXT, RAW)


@pytest.fixture(autouse=True)
def no_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "LEAST_ENTRIES", 1)


def filled(budget: CacheBudget, entries: int, size: int = 50) -> StoreCache:
    cache = open_cache(SPEC, MemoryStore(), budget=budget)
    for number in range(entries):
        cache.put(str(number), bytes(size))
    return cache


def settle(*caches: StoreCache) -> None:
    for cache in caches:
        cache.changes()
        cache.committed(None)


def bytes_held(cache: StoreCache) -> int:
    return cache.held * cache.entry_bytes


def test_caches_together_hold_what_one_alone_would() -> None:
    budget = CacheBudget(400_000)
    caches = [filled(budget, 1_000) for _ in range(4)]
    for _ in range(2):
        settle(*caches)
    assert 0.8 * 400_000 <= sum(map(bytes_held, caches)) <= 400_000
    assert max(each.held for each in caches) <= 1.2 * min(each.held for each in caches)


def test_a_small_cache_keeps_what_it_has_and_leaves_the_rest_to_the_others() -> None:
    budget = CacheBudget(400_000)
    small, large = filled(budget, 50), filled(budget, 2_000)
    for _ in range(2):
        settle(small, large)
    assert small.held == 50
    assert large.held > 700


def test_large_values_count_for_more() -> None:
    budget = CacheBudget(1_000_000)
    cache = filled(budget, 500, size=10_000)
    settle(cache)
    settle(cache)
    assert cache.held <= 33


def test_a_cache_that_is_thrown_away_leaves_its_share_to_the_others() -> None:
    budget = CacheBudget(400_000)
    kept, other = filled(budget, 2_000), filled(budget, 2_000)
    settle(kept, other)
    settle(kept, other)
    before = kept.capacity
    del other
    settle(kept)
    assert kept.capacity > 1.5 * before


def test_no_cache_is_left_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "LEAST_ENTRIES", 5)
    budget = CacheBudget(0)
    cache = filled(budget, 100)
    settle(cache)
    assert cache.capacity == 5
