"""Stores of aggregates: what is kept is the state of an aggregation, what is read is its result."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ottla.aggregations import Compiled, State
from ottla.serdes import Codec, state_codec_for
from ottla.state.cache import StoreCache
from ottla.state.store import KeyValueStore, StoreSpec


class AggregateCache(StoreCache):
    """Reads results; `state` and `put` are of the aggregation's state, whose first slot is its time."""

    __slots__ = ("_compiled",)

    def __init__(self, spec: StoreSpec, store: KeyValueStore, *, capacity: int, compiled: Compiled) -> None:
        super().__init__(spec, store, capacity=capacity)
        self._compiled = compiled

    def state(self, key: Any) -> State | None:
        """The state of the key's aggregation."""
        state: State | None = StoreCache.get(self, key)
        return state

    def get(self, key: Any, default: Any = None) -> Any:
        state = self.state(key)
        return default if state is None else self._compiled.result(state)

    def __contains__(self, key: Any) -> bool:
        return self.state(key) is not None

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        result = self._compiled.result
        return ((key, result(state)) for key, state in super().range(start, end, reverse=reverse))


def aggregate_spec(name: str, changelog: str, key: Codec[Any], compiled: Compiled) -> StoreSpec:
    """The store of a table of aggregates."""
    state = state_codec_for(compiled.state_type)
    return StoreSpec(
        name=name,
        changelog=changelog,
        encode_key=key.encode,
        decode_key=key.decode,
        encode_value=state.encode,
        decode_value=state.decode,
        cache=partial(AggregateCache, compiled=compiled),
    )
