"""How many errors requests were answered with, by API and code: Kafka's ErrorsPerSec without its NONE. Pure.

A response counts once for each of its topics, partitions, groups or resources that failed.
"""

import functools
from collections import Counter
from collections.abc import Iterator

import msgspec

from ottla_wire.fields import Array, Nested
from ottla_wire.message import Message, Struct


class _Places(msgspec.Struct, frozen=True):
    """Where a structure has error codes: in a field of its own, in structures, in lists of them."""

    own: bool
    structures: tuple[str, ...]
    lists: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.own or bool(self.structures) or bool(self.lists)


class ErrorCounts:
    """The counts of one broker; no more of them than there are APIs and codes."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, int]] = Counter()

    def note(self, response: Message) -> None:
        """Count what went wrong in a response."""
        for code in _codes(response):
            self._counts[response.api_key, code] += 1

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """(API key, error code, how many)."""
        for (api_key, code), count in self._counts.items():
            yield api_key, code, count


def _codes(value: Struct) -> Iterator[int]:
    places = _places(type(value))
    if places.own and value.error_code:  # type: ignore[attr-defined]
        yield value.error_code  # type: ignore[attr-defined]
    for name in places.structures:
        nested = getattr(value, name)
        if nested is not None:
            yield from _codes(nested)
    for name in places.lists:
        for item in getattr(value, name) or ():
            yield from _codes(item)


@functools.cache
def _places(cls: type[Struct]) -> _Places:
    structures, lists, own = [], [], False
    for field in cls.fields:
        match field.type:
            case Nested(nested) if _places(nested):
                structures.append(field.name)
            case Array(Nested(nested)) if _places(nested):
                lists.append(field.name)
            case _:
                own = own or field.name == "error_code"
    return _Places(own, tuple(structures), tuple(lists))
