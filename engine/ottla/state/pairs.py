"""Keys made of two parts, kept so that what has one first part are neighbours, in the order of the second.

The first part is written with its zero bytes escaped and an end mark behind it (as FoundationDB's tuples are), so that
the order of pairs is the order of their first parts as bytes, and then that of the second, and no first part can be
taken for the beginning of another:

    0x00 -> 0x00 0xFF        the end -> 0x00 0x00
"""

from __future__ import annotations

from typing import Any

from ottla.serdes import Codec

_END = b"\x00\x00"


def first_of(first: bytes) -> bytes:
    """What the pairs with this first part begin with, and nothing else does."""
    return first.replace(b"\x00", b"\x00\xff") + _END


def behind_prefix(prefix: bytes) -> bytes | None:
    """The first bytes behind all that begin with the prefix; None if nothing can be behind them."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


def pair_codec(first: Codec[Any], second: Codec[Any]) -> Codec[tuple[Any, Any]]:
    """The codec of pairs of which each part has a codec."""
    encode_first, encode_second = first.encode, second.encode
    decode_first, decode_second = first.decode, second.decode

    def encode(pair: tuple[Any, Any]) -> bytes:
        return first_of(encode_first(pair[0])) + encode_second(pair[1])

    def decode(data: bytes) -> tuple[Any, Any]:
        # Every zero of the first part is followed by 0xFF: the first two zeros are the end.
        end = data.index(_END)
        return decode_first(data[:end].replace(b"\x00\xff", b"\x00")), decode_second(data[end + 2 :])

    return Codec(f"({first.name}, {second.name})", encode, decode)
