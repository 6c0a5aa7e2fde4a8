"""Tables where no task runs: the parts of one that the worker has, as they were last committed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, cast

from ottla.errors import NotInTask
from ottla.outlet import outlet
from ottla.state.store import Part
from ottla.state.window_slots import WindowCache

ONLY_AGENTS = "key {!r}: tables are written by agents; send what is to be written to one"


class Outside:
    """Stands for a running task where none is."""

    cursor = called_for = None

    def __init__(self, table: str, parts: Sequence[Part]) -> None:
        self.stores = {table: HeldParts(parts)}
        self.global_tables = self.stores
        out = outlet.get(None)
        self.now_ms = int(time.time() * 1000) if out is None else out.now_ms()

    def now(self) -> None:
        """No event is at hand."""


class HeldParts:
    """The parts of a table as one, to read."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts

    def get(self, key: Any, default: Any = None) -> Any:
        found = (part.get(key) for part in self._parts)
        return next((value for value in found if value is not None), default)

    def __contains__(self, key: Any) -> bool:
        return any(key in part for part in self._parts)

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        return chain.from_iterable(part.range(start, end, reverse=reverse) for part in self._parts)

    def window(self, start: int) -> Iterator[tuple[Any, Any]]:
        """The keys and values of one window."""
        return chain.from_iterable(part.window(start) for part in cast("Iterable[WindowCache]", self._parts))

    def put(self, key: Any, _: Any = None) -> None:
        raise NotInTask(ONLY_AGENTS.format(key))

    delete = put
