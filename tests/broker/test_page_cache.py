"""Regions are read without waiting where they are in memory; what else the kernel may say is simulated."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ottla_broker.page_cache import is_cached, read_cached
from ottla_wire.chunks import FileRegion


@pytest.fixture
def region(tmp_path: Path) -> FileRegion:
    path = tmp_path / "segment"
    path.write_bytes(bytes(range(200)))
    return FileRegion(os.open(path, os.O_RDONLY), 50, 100)


@pytest.fixture
def kernel_says(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Have preadv(2) return a count or raise an error."""

    def say(answer: object) -> None:
        def preadv(*_arguments: object) -> int:
            if isinstance(answer, int):
                return answer
            assert isinstance(answer, OSError)
            raise answer

        monkeypatch.setattr(os, "preadv", preadv)

    return say


def test_what_is_in_memory_is_read(region: FileRegion) -> None:
    assert is_cached(region)
    assert read_cached(region) == bytes(range(50, 150))


def test_what_is_not_in_memory_is_not_waited_for(region: FileRegion, kernel_says: Callable[[object], None]) -> None:
    kernel_says(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"))
    assert not is_cached(region)
    assert read_cached(region) is None


def test_what_is_in_memory_in_part_is_not_waited_for(region: FileRegion, kernel_says: Callable[[object], None]) -> None:
    kernel_says(60)
    assert read_cached(region) is None


def test_a_filesystem_that_cannot_say_is_read_all_the_same(
    region: FileRegion, kernel_says: Callable[[object], None]
) -> None:
    kernel_says(OSError(errno.EOPNOTSUPP, "Operation not supported"))
    assert is_cached(region)
    assert read_cached(region) == bytes(range(50, 150))
