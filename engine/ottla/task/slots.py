"""How state is kept by time: under a time, 8 bytes big-endian, and then a key.

What has one time are neighbours in the store, in the order of their encoded keys, and times come in order. So what a
window's end or a join's grace makes due is read in one go, and what is not due is never looked at. Times below zero
belong to no event: they are for what a step remembers besides, and sort behind the others. Those at `STREAM_TIME` and
`CLOSED_UP_TO` have no key; the one before them is that of `state/blocks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from struct import Struct
from typing import Any

from ottla.serdes import Codec
from ottla.state.blocks import BlockStore
from ottla.state.panes import PaneCache
from ottla.state.store import StoreSpec

Slot = tuple[int, Any]
"""A time and a key."""

STREAM_TIME: Slot = (-2, None)
CLOSED_UP_TO: Slot = (-1, None)
_KEYLESS = -2

prefix = Struct(">q").pack
"""A time as the first bytes of a state's key."""

NEVER = prefix((1 << 63) - 1)
"""Behind the slots of all times that events can have."""


def slot_spec(
    app_id: str,
    name: str,
    key: Codec[Any],
    encode_value: Callable[[Any], bytes],
    decode_value: Callable[[bytes], Any],
    *,
    panes: bool = False,
) -> StoreSpec:
    """A store of slots, with `panes` for those of each time if they are wanted."""
    encode, decode = key.encode, key.decode

    def encode_slot(slot: Slot) -> bytes:
        time, inner = slot
        return prefix(time) if inner is None else prefix(time) + encode(inner)

    def decode_slot(data: bytes) -> Slot:
        time = int.from_bytes(data[:8], "big", signed=True)
        return time, None if _KEYLESS <= time < 0 else decode(data[8:])

    return StoreSpec(
        name,
        f"{app_id}-{name}-changelog",
        encode_slot,
        decode_slot,
        encode_value,
        decode_value,
        cache=partial(PaneCache, prefix=prefix, encode=encode) if panes else None,
        restored=BlockStore if panes else None,
    )
