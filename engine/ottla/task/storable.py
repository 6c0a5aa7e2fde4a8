"""Whether what is written to state can be stored: it must have an encoded form, and its changelog must take that."""

from __future__ import annotations

from typing import Any

from ottla.errors import EncodeError, RecordTooLarge
from ottla.state.cache import StoreCache
from ottla.state.changes import Changes
from ottla.state.store import StoreSpec


def storable_changes(store: StoreCache, most: int) -> Changes:
    """What was written to the store since its last `changes`. Raises `EncodeError` for what has no encoded form, and
    `RecordTooLarge` for a key and value of more than `most` bytes."""
    try:
        changes = store.changes()
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_form(store.spec, error) from error
    _check_sizes(store.spec, changes, most)
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
    _check_sizes(spec, Changes.of([change]), most)


def _check_sizes(spec: StoreSpec, changes: Changes, most: int) -> None:
    if not spec.logged or not changes.may_exceed(most):
        return
    for key, value in changes:
        if value is not None and len(key) + len(value) > most:
            raise RecordTooLarge(
                f"{spec.name!r} holds a value that cannot be stored: under {spec.decode_key(key)!r} it has "
                f"{len(value)} bytes, and {most} with the key is the most: raise message.max.bytes in broker_options, "
                f"and max.message.bytes of the topic {spec.changelog!r}, or keep less under one key"
            )


def _no_form(spec: StoreSpec, error: Exception) -> EncodeError:
    return EncodeError(f"{spec.name!r} holds a value that cannot be stored: {error}")
