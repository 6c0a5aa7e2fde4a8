"""Lines of a binary file with their byte offsets, bounded, and with a way to take lines back.

Offsets count uncompressed bytes, so that a position means the same in `x.csv` and `x.csv.gz`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

_SKIP_BYTES = 1 << 16


class Line(NamedTuple):
    """A line with its ending; `end` is the offset after it. `cut`: it was longer than allowed, `data` is its head."""

    number: int
    data: bytes
    end: int
    cut: bool


class Lines:
    """Reads `file` from where it stands, which is byte `offset` after `number` lines.

    A line of more than `max_bytes` is returned cut and never held in memory as a whole.
    """

    def __init__(self, file: BinaryIO, *, offset: int, number: int, max_bytes: int) -> None:
        self._file = file
        self._offset = offset
        self._number = number
        self._max_bytes = max_bytes
        self._returned: deque[Line] = deque()

    def read(self) -> Line | None:
        """The next line, None at the end of the file. Raises what the file raises."""
        if self._returned:
            return self._returned.popleft()
        data = self._file.readline(self._max_bytes + 1)
        if not data:
            return None
        self._number += 1
        self._offset += len(data)
        cut = len(data) > self._max_bytes
        tail = data
        while cut and tail and not tail.endswith(b"\n"):
            tail = self._file.readline(_SKIP_BYTES)
            self._offset += len(tail)
        return Line(self._number, data[: self._max_bytes] if cut else data, self._offset, cut)

    def push_back(self, lines: Sequence[Line]) -> None:
        """Makes `lines`, the last ones that were read, the next to be read."""
        self._returned.extendleft(reversed(lines))
