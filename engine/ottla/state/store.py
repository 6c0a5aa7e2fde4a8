"""What the engine asks of a store: bytes by key, in key order, that reach disk together with their changelog offset.

`memory.py` and `rocks.py` implement it; one test suite (`tests/engine/state`) holds both to this contract. Tasks
never see a store: they see its `StoreCache`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from ottla.errors import RecordTooLarge
from ottla.state.changes import Change, Changes, KeyRange
from ottla.state.format import StoreFormat


@dataclass(frozen=True)
class StoreSpec:
    """A store that a sub-topology needs; every task of the sub-topology gets one.

    `changelog` names the topic from which the store can be built again. The order of `encode_key`'s bytes is the order
    of `StoreCache.range`. `cache` makes the kind of `StoreCache` that tasks see, where it is not just that.
    One that is not `logged` has no such topic: its offset is the sum of the input offsets that its task had committed
    with what it holds, and where that is another, it is cleared. `format` says what it holds, to be compared with what
    an earlier version of the app left there. `changelog_config` are configs of the changelog's topic, beside the app's
    own. `restored` is put before a store whose changelog has other records than one for each entry, and reads them.
    """

    name: str
    changelog: str
    encode_key: Callable[[Any], bytes]
    decode_key: Callable[[bytes], Any]
    encode_value: Callable[[Any], bytes]
    decode_value: Callable[[bytes], Any]
    cache: Callable[..., Any] | None = None
    format: StoreFormat = field(default_factory=StoreFormat)
    logged: bool = True
    changelog_config: Mapping[str, str] = field(default_factory=dict)
    restored: Callable[[KeyValueStore], KeyValueStore] | None = None

    def open(self, stores: Stores, task: str) -> KeyValueStore:
        """The store of a task, to be given what its changelog has, and then to a cache."""
        store = stores.open(task, self.name, restorable=self.logged)
        return store if self.restored is None else self.restored(store)

    def check_sizes(self, changes: Changes, most: int) -> None:
        """Raises `RecordTooLarge` for entries of more bytes, if they are to go to a changelog."""
        if not self.logged or not changes.may_exceed(most):
            return
        for key, value in changes:
            if value is not None and len(key) + len(value) > most:
                raise RecordTooLarge(
                    f"{self.name!r} holds a value that cannot be stored: under {self.decode_key(key)!r} it has "
                    f"{len(value)} bytes, and {most} with the key is the most: raise message.max.bytes in "
                    f"broker_options, and max.message.bytes of the topic {self.changelog!r}, or keep less under one key"
                )

    def with_format(self, format: StoreFormat) -> StoreSpec:  # noqa: A002 - the field's name
        """The same store, said to hold this."""
        return replace(self, format=format)

    def with_changelog(self, changelog: str) -> StoreSpec:
        """The same store, restored from this topic."""
        return replace(self, changelog=changelog)

    def local(self) -> StoreSpec:
        """The same store without a changelog: one that cannot be taken for the other, since their offsets differ."""
        told_apart = msgspec.structs.replace(self.format, kind=f"{self.format.kind} without a changelog")
        return replace(self, logged=False, format=told_apart)


class Part(Protocol):
    """What can be read of a table where it is: decoded, what is not committed yet included."""

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of the key, or `default`."""
        ...

    def __contains__(self, key: Any) -> bool: ...

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """The entries with start <= encoded key < end by their encoded keys, or `reverse`; None leaves a side open."""
        ...


class KeyValueStore(Protocol):
    """One store of one task. Keys are ordered as bytes; any key may be used, the empty one included."""

    @property
    def offset(self) -> int | None:
        """The changelog offset up to which (exclusive) this store is complete; None when it never was written."""
        ...

    @property
    def age_ms(self) -> int | None:
        """How long ago, by the wall clock, it was written last, or restoring it began if it was not written since;
        None when it never was.
        """
        ...

    def get(self, key: bytes) -> bytes | None: ...

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The entries with start <= key < end in key order, or the last first; None leaves a side open."""
        ...

    def write_batch(self, changes: Sequence[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        """Deletes the keys of the ranges, then applies the changes (None deletes), and sets the changelog offset.

        After a crash the store holds what this call or an earlier one has made of it, whole, and that one's offset.
        Without an offset the one there is stays.
        """

    def restore(self, changes: Sequence[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        """As `write_batch`, for many changes that are read from the changelog. It does not make the store younger."""

    def clear(self) -> None:
        """Forgets all entries and the offset."""

    def close(self) -> None: ...


class Stores(Protocol):
    """Where a worker's stores live: memory, or one directory."""

    def open(self, task: str, name: str, *, restorable: bool = True) -> KeyValueStore:
        """The store `name` of the task, with what it held when it was closed. A store is opened once at a time.

        One that is not `restorable` loses nothing when the process is killed: what is missing would come from nowhere.
        """
        ...

    def offset(self, task: str, name: str) -> int | None:
        """The changelog offset of a store, open or not; None for one that is not there."""
        ...

    def close(self) -> None: ...
