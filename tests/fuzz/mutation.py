"""Valid bytes made invalid, in the ways in which bytes on their way go wrong or an attacker bends them."""

import random
from collections.abc import Callable, Sequence

# Lengths, counts and numbers at the edges of what fits: as int16, int32, int64 and varints.
EDGES = [
    b"\x00\x00",
    b"\x7f\xff",
    b"\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x00\x00\x00\x01",
    b"\x00\x0f\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
]


def _flip(chance: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(chance: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    edge = chance.choice(EDGES)
    at = chance.randint(0, len(data))
    data[at : at + len(edge)] = edge


def _insert(chance: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    at = chance.randint(0, len(data))
    data[at:at] = chance.choice(EDGES) if chance.random() < 0.5 else chance.randbytes(chance.randint(1, 8))


def _delete(chance: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    at = chance.randint(0, len(data))
    del data[at : at + chance.randint(1, 16)]


def _repeat(chance: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    at = chance.randint(0, len(data))
    data[at:at] = data[at : at + chance.randint(1, 64)] * chance.randint(1, 8)


def _cut(chance: random.Random, data: bytearray, _others: Sequence[bytes]) -> None:
    del data[chance.randint(0, len(data)) :]


def _splice(chance: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if others:
        other = chance.choice(others)
        data[chance.randint(0, len(data)) :] = other[chance.randint(0, len(other)) :]


_MUTATIONS: list[Callable[[random.Random, bytearray, Sequence[bytes]], None]] = [
    _flip,
    _flip,
    _overwrite,
    _overwrite,
    _insert,
    _delete,
    _repeat,
    _cut,
    _splice,
]


def mutate(chance: random.Random, data: bytes | bytearray, others: Sequence[bytes] = ()) -> bytes:
    """`data` with one to four changes; `others` are what its end may be exchanged for."""
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 2, 3, 4])):
        chance.choice(_MUTATIONS)(chance, changed, others)
    return bytes(changed)
