"""The aggregation over counting windows: the next so many events of a key, in the order in which they come.

There is no late event and no time that closes a window, only the event that fills it and the end of the input. State is
one window per key.
"""

from __future__ import annotations

from typing import Any

from ottla.aggregations import Compiled, State
from ottla.serdes import Codec, state_codec_for
from ottla.state.store import StoreSpec
from ottla.task.batch import Batch
from ottla.task.processor import Processor, TaskContext
from ottla.windows.definitions import CountWindow
from ottla.windows.processor import Aggregate
from ottla.windows.results import Results

_Filling = tuple[int, int, State]
"""How many events are in the window, the earliest of their times, and the aggregations' state."""


def counting_spec(app_id: str, name: str, key: Codec[Any], compiled: Compiled) -> StoreSpec:
    """The store of an aggregation over counting windows."""
    state = state_codec_for(tuple[int, int, compiled.state_type])  # type: ignore[name-defined]
    return StoreSpec(name, f"{app_id}-{name}-changelog", key.encode, key.decode, state.encode, state.decode)


class CountingAggregation(Processor):
    """Aggregates so many events per key, and emits the result when they are there, or after each of them."""

    def __init__(self, context: TaskContext, aggregate: Aggregate, window: CountWindow) -> None:
        super().__init__()
        self._context = context
        self._name = aggregate.name
        self._store = context.stores[aggregate.name]
        self._compiled = aggregate.compiled
        self._on_close = aggregate.emit == "close"
        self._size = window.size

    async def receive(self, batch: Batch) -> None:
        out = Results()
        store, update, result = self._store, self._compiled.update, self._compiled.result
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None:
                self._context.counts.null_key_dropped += 1
                continue
            try:
                filled, start, before = store.get(key) or (0, timestamp, None)
                state = update(before, value, timestamp)
                filled, start = filled + 1, min(start, timestamp)
                store.put(key, (filled, start, state))
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
                continue
            if filled == self._size:
                store.delete(key)
                self._context.counts.windows_closed += 1
            if filled == self._size or not self._on_close:
                out.add(key, start, state[0], result(state), state[0], batch, row)
        for made in out.batches():
            await self.forward(made)

    async def end_of_input(self) -> None:
        out = Results()
        for key, (_, start, state) in list(self._store.range()):
            if self._on_close:
                out.add(key, start, state[0], self._compiled.result(state), state[0], None, 0)
            self._store.delete(key)
            self._context.counts.windows_closed += 1
        for made in out.batches():
            await self.forward(made)
