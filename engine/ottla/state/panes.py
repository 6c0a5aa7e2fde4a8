"""Stores of slots of which those of a time belong together: the keys of a window.

What is kept under one time is a pane: a dict by the key alone, which is found once for many events. One that was opened
while nothing was stored under its time knows all its keys, so that a key which is not in it needs no look into the
store. It is closed as a whole.

    new_pane(time), pane(time)  ->  pane.get(key), pane.put(key, value)  ->  pane.take()

Uncommitted state stays in memory as in every `StoreCache`: `changes`, `committed` and `discard` are for panes, too. How
panes are in the changelog is said in `blocks.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from ottla.aggregations import Fold
from ottla.state.blocks import AROUND_AN_ENTRY, BlockStore, range_of
from ottla.state.cache import DECODED_TIMES, SAMPLED_CHANGES, StoreCache
from ottla.state.changes import Changes, Packed, PackedChanges
from ottla.state.store import KeyValueStore, StoreSpec

_UNKNOWN: Final = object()

# Measured with text keys and states of a few numbers: less than for entries that have a slot each.
_ENTRY_BYTES = 190


class Pane:
    """The entries under one time. A value is never None.

    `prefix` is what the encoded slots of the time begin with. `encode` makes the rest of a key, and raises what the
    key's codec raises. A `whole` one has nothing stored, and one that is not `in_blocks` has a record of the changelog
    for each entry.

    What is written lies over what was there before until it is handed out: of many keys few are written between two
    commits, and to go through those alone, their values at hand, is faster than to find each of them again.
    """

    __slots__ = (
        "_before",
        "_cache",
        "_emptied",
        "_emptying",
        "_encode",
        "_entries",
        "_in_flight",
        "_taken",
        "_whole",
        "_written",
        "_written_keys",
        "gone",
        "in_blocks",
        "prefix",
    )

    def __init__(
        self, cache: PaneCache, prefix: bytes, encode: Callable[[Any], bytes], *, whole: bool, in_blocks: bool
    ) -> None:
        self._cache = cache
        self.prefix = prefix
        self.in_blocks = in_blocks
        self.gone: list[bytes] = []
        """Keys that were taken since the last `changes`, encoded, of one that is not in blocks."""
        self._encode = encode
        # None under a key: it is known not to exist; so is what is not in a whole pane.
        self._entries: dict[Any, Any] = {}
        # What was written since the last `changes`, and the encoded forms of its keys, in the same order; and what was
        # handed out by that, which is in the entries, too.
        self._written: dict[Any, Any] = {}
        self._written_keys: list[bytes] = []
        self._in_flight: dict[Any, Any] = {}
        # Whether it was taken since the last `changes`, and before that, which is not committed yet.
        self._emptied = self._emptying = False
        self._whole = whole
        self._taken = False
        # Gives the value of a key that was not written since the last `changes`, or None.
        self._before: Callable[[Any], Any] = self._entries.get if whole else self._look_up

    def get(self, key: Any) -> Any:
        """The value of the key, or None."""
        value = self._written.get(key)
        return self._before(key) if value is None else value

    def put(self, key: Any, value: Any) -> None:
        """Sets the value of the key. Raises what its codec raises when it cannot encode the key."""
        if key not in self._written:
            self._written_keys.append(self._encode(key))
        self._written[key] = value

    def fold(
        self, fold: Fold, keys: Sequence[Any], values: Sequence[Any], timestamps: Sequence[int]
    ) -> dict[int, Exception]:
        """Aggregates events into the entries of their keys (`Compiled.fold`): a `get` and a `put` for each. Returns the
        rows of those that failed, and with what: they leave no trace."""
        failures: dict[int, Exception] = {}
        written, encoded = self._written, self._written_keys
        fold(zip(keys, values, timestamps, strict=True), written, self._before, failures.__setitem__)
        while len(encoded) < len(written):
            try:
                # The new keys, which are at the end of the dict. On an error what came before it is kept.
                encoded.extend(map(self._encode, islice(written, len(encoded), None)))
            except Exception as error:
                refused = next(islice(written, len(encoded), None))
                del written[refused]
                for row, key in enumerate(keys):
                    if key == refused:
                        failures.setdefault(row, error)
        return failures

    def take(self) -> tuple[list[Any], list[Any]]:
        """Deletes all entries, and returns keys and values in the order of the encoded keys. The pane is not used any
        more."""
        entries = self._entries
        if not self._whole:
            stored = self._cache.stored_under(self.prefix)
            entries |= {key: value for key, value in stored if key not in entries}
            for key in [key for key, value in entries.items() if value is None]:
                del entries[key]
        entries |= self._written
        keys, values, encoded = list(entries), list(entries.values()), list(map(self._encode, entries))
        order = sorted(range(len(keys)), key=encoded.__getitem__)
        if not self.in_blocks:
            self.gone += encoded
        entries.clear()
        self._forget_written()
        self._whole, self._before = True, entries.get
        self._taken = self._emptied = True
        return [keys[place] for place in order], [values[place] for place in order]

    @property
    def is_empty(self) -> bool:
        """Whether it is known to have no entries."""
        return self._whole and not (self._entries or self._written)

    # -- for its cache

    def use(self) -> None:
        """It is, or will be, at hand."""
        self._taken = False

    @property
    def held(self) -> int:
        """How many entries are in memory, at most: those that were written again are counted twice."""
        return len(self._entries) + len(self._written)

    @property
    def dirty_count(self) -> int:
        """How many keys were written since the last `changes`, and one for that it was taken."""
        return len(self._written) + self._emptied

    @property
    def is_emptied(self) -> bool:
        """Whether it was taken since the last `changes`, before what was written then."""
        return self._emptied

    @property
    def is_over(self) -> bool:
        """Whether it was taken, and not asked for again, and that is committed."""
        return self._taken and not (self._emptied or self._emptying or self._written or self._in_flight)

    def changes(self, encode_value: Callable[[Any], bytes]) -> tuple[list[bytes], list[bytes]]:
        """What was written since the last call, the keys without the prefix."""
        written, keys = self._written, self._written_keys
        values = list(map(encode_value, written.values()))
        self._entries |= written
        self._in_flight, self._written, self._written_keys = written, {}, []
        self._emptying, self._emptied, self.gone = self._emptied, False, []
        return keys, values

    def committed(self) -> None:
        self._in_flight, self._emptying = {}, False

    def discard(self) -> None:
        self._entries.clear()
        self._forget_written()
        self._in_flight, self.gone = {}, []
        self._emptied = self._emptying = False
        self._is_partial()

    def evict(self, count: int) -> int:
        """Drops clean entries, those first that came first, about so many; returns how many it were."""
        in_flight = self._in_flight
        clean = (key for key in self._entries if key not in in_flight)
        evicted = list(islice(clean, count))
        for key in evicted:
            del self._entries[key]
        if evicted:
            self._is_partial()
        return len(evicted)

    def _is_partial(self) -> None:
        self._whole, self._before = False, self._look_up

    def _forget_written(self) -> None:
        self._written.clear()
        self._written_keys.clear()

    def _look_up(self, key: Any) -> Any:
        value = self._entries.get(key, _UNKNOWN)
        if value is _UNKNOWN:
            value = self._entries[key] = self._cache.load(self.prefix + self._encode(key))
        return value


class PaneCache(StoreCache):
    """A `StoreCache` of slots, with panes. The slots of a time that has a pane are read and written through it alone.

    `prefix` makes of a time what its encoded slots begin with, `encode` the rest of them of the keys.
    """

    __slots__ = ("_blocks", "_encode", "_panes", "_prefix_of")

    def __init__(
        self,
        spec: StoreSpec,
        store: KeyValueStore,
        *,
        capacity: int,
        prefix: Callable[[int], bytes],
        encode: Callable[[Any], bytes],
    ) -> None:
        self._blocks = store if isinstance(store, BlockStore) else BlockStore(store)
        self._blocks.begin_anew()
        super().__init__(spec, self._blocks.entries, capacity=capacity)
        self._prefix_of = prefix
        self._encode = encode
        self._panes: dict[int, Pane] = {}

    def new_pane(self, time: int) -> Pane:
        """The pane of a time under which nothing is kept."""
        return self._pane(time, whole=True)

    def pane(self, time: int) -> Pane:
        """The pane of a time under which something may be stored."""
        return self._pane(time, whole=False)

    def _pane(self, time: int, *, whole: bool) -> Pane:
        pane = self._panes.get(time)
        if pane is None:
            prefix = self._prefix_of(time)
            in_blocks = self.spec.logged and (whole or self._blocks.has_blocks(prefix))
            pane = self._panes[time] = Pane(self, prefix, self._encode, whole=whole, in_blocks=in_blocks)
        pane.use()
        return pane

    @property
    def held(self) -> int:
        return super().held + sum(pane.held for pane in self._panes.values())

    @property
    def entry_bytes(self) -> int:
        return _ENTRY_BYTES + DECODED_TIMES * self.value_bytes

    @property
    def dirty_count(self) -> int:
        return super().dirty_count + sum(pane.dirty_count for pane in self._panes.values())

    def changes(self, most: int = sys.maxsize) -> Changes:
        changes, blocks = super().changes(most), self._blocks
        records = changes + Changes([], [])
        packed: list[Packed] = []
        blocks.begin(most)
        for pane in self._panes.values():
            if not pane.dirty_count:
                continue
            prefix = pane.prefix
            if pane.is_emptied:
                records += Changes([prefix + key for key in pane.gone], [None] * len(pane.gone))
                blocks.delete(prefix)
                self._dropped.append(range_of(prefix))
            keys, values = pane.changes(self._encode_value)
            if pane.in_blocks:
                packed += blocks.add(prefix, keys, values, pane.held)
                if blocks.largest > most:
                    self.spec.check_sizes(_slots(prefix, keys, values), most - AROUND_AN_ENTRY)
            else:
                slots = _slots(prefix, keys, values)
                records += slots
                changes += slots
            for data in values[:SAMPLED_CHANGES]:
                self._sample(data)
        of_blocks, marks = blocks.take()
        records += of_blocks
        self._changes = PackedChanges(changes + marks, packed)
        return records

    def committed(self, offset: int | None) -> None:
        for pane in self._panes.values():
            pane.committed()
        self._panes = {time: pane for time, pane in self._panes.items() if not pane.is_over}
        super().committed(offset)
        self._blocks.committed()

    def discard(self) -> None:
        super().discard()
        self._blocks.begin_anew()
        for pane in self._panes.values():
            pane.discard()

    def load(self, encoded: bytes) -> Any:
        """What is stored under an encoded slot, or None."""
        data = self.store.get(encoded)
        self._sample(data)
        return None if data is None else self._decode_value(data)

    def stored_under(self, prefix: bytes) -> Iterator[tuple[Any, Any]]:
        """The keys, without their times, and values that are stored for one time."""
        for encoded, data in self.store.range(*range_of(prefix)):
            yield self._decode_key(encoded)[1], self._decode_value(data)

    def _evict(self) -> None:
        """The oldest times first: of windows, those that are over soonest."""
        excess = self.held - self.dirty_count - self.capacity
        if excess > 0:
            excess += self.capacity // 8
            for _, pane in sorted(self._panes.items()):
                excess -= pane.evict(excess)
                if excess <= 0:
                    break


def _slots(prefix: bytes, keys: list[bytes], values: list[bytes]) -> Changes:
    return Changes([prefix + key for key in keys], [*values])
