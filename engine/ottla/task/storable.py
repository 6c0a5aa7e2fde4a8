"""Whether what is written to state can be stored: it must have an encoded form, and its changelog must take that."""

from __future__ import annotations

from typing import Any

from ottla.errors import EncodeError
from ottla.state.cache import StoreCache
from ottla.state.changes import Changes
from ottla.state.store import StoreSpec


def storable_changes(store: StoreCache, most: int) -> Changes:
    """What the changelog is to be told of since the last call. Raises `EncodeError` for what has no encoded form, and
    `RecordTooLarge` for a key and value of more than `most` bytes."""
    try:
        changes = store.changes(most)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_form(store.spec, error) from error
    store.spec.check_sizes(changes, most)
    return changes


def check_entry(store: StoreCache, key: Any, most: int) -> None:
    """Raises as `storable_changes` if what the store has under a key cannot be written."""
    spec, value = store.spec, store.stored(key)
    if value is None:
        return
    try:
        change = spec.encode_key(key), spec.encode_value(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_form(spec, error) from error
    spec.check_sizes(Changes.of([change]), most)


def _no_form(spec: StoreSpec, error: Exception) -> EncodeError:
    return EncodeError(f"{spec.name!r} holds a value that cannot be stored: {error}")
