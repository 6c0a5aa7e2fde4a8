"""Chunks: parts leave in order, small ones joined, large ones and file regions as they are."""

from ottla_wire.chunks import LARGE_PART, Chunks, FileRegion


def test_small_neighbours_are_joined_around_regions_and_large_parts() -> None:
    region, large = FileRegion(file=3, position=10, size=1_000), memoryview(bytes(LARGE_PART))
    chunks = Chunks()
    for part in (b"a", bytearray(b"b"), region, b"c", large, b"d", b"", memoryview(b"e")):
        chunks.append(part)
    assert list(chunks) == [b"ab", region, b"c", large, b"de"]
    assert chunks.size == 5 + 1_000 + LARGE_PART


def test_empty_parts_are_left_out() -> None:
    chunks = Chunks()
    for part in (b"", FileRegion(file=3, position=0, size=0), b""):
        chunks.append(part)
    assert list(chunks) == []
    assert chunks.size == 0
