"""Encoded output as a row of byte strings and file regions.

A fetch response is mostly record batches that already lie in a segment file. Its encoder writes the bytes around them
and leaves a FileRegion where the records go, so that the server can hand that stretch to `sendfile`.
"""

from collections.abc import Iterator
from typing import TypeAlias

import msgspec

# In-memory parts at least this long are sent as they are: joining them with their neighbours would only copy them.
LARGE_PART = 32 * 1024


class FileRegion(msgspec.Struct, frozen=True, gc=False):
    """`size` bytes at `position` of an open file, given by its descriptor, which must stay open until they are sent."""

    file: int
    position: int
    size: int

    def __len__(self) -> int:
        return self.size


Part: TypeAlias = bytes | bytearray | memoryview | FileRegion


class Chunks:
    """Parts of one frame in the order in which they leave."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def append(self, part: Part) -> None:
        self.parts.append(part)

    @property
    def size(self) -> int:
        """Total length in bytes, file regions included."""
        return sum(map(len, self.parts))

    def __iter__(self) -> Iterator[Part]:
        """Yield the parts to send, small neighbours joined, empty ones left out."""
        small: list[bytes | bytearray | memoryview] = []
        for part in self.parts:
            if isinstance(part, FileRegion) or len(part) >= LARGE_PART:
                if small:
                    yield b"".join(small)
                    small.clear()
                if len(part):
                    yield part
            elif part:
                small.append(part)
        if small:
            yield b"".join(small)
