"""A log that is damaged, and one whose last write was cut short."""

from collections.abc import Callable
from typing import Any

import pytest

from ottla_broker.log.damage import check_undamaged
from ottla_broker.log.errors import CorruptFile

NAME = "00000000000000000000.log"


@pytest.fixture
def whole(bench: Any, one_batch: Callable[..., bytearray]) -> bytes:
    """A log of three batches."""
    log = bench.open()
    for _ in range(3):
        bench.append(log, one_batch())
    return bytes(bench.disk.view(bench.directory / NAME))


def rewrite(bench: Any, data: bytes) -> None:
    file = bench.disk.open(bench.directory / NAME)
    file.truncate(0)
    file.write(data, 0)


def test_whatever_a_crash_leaves_of_the_last_write_is_no_damage(bench: Any, whole: bytes) -> None:
    last = len(whole) * 2 // 3
    for end in range(last, len(whole) + 1):
        rewrite(bench, whole[:end])
        check_undamaged(bench.disk, bench.directory)
        rewrite(bench, whole[:end] + bytes(len(whole) - end))
        check_undamaged(bench.disk, bench.directory)


def test_a_byte_that_has_changed_before_the_last_batch_is_damage(bench: Any, whole: bytes) -> None:
    for at in range(8, len(whole) * 2 // 3):  # base offset and leader epoch are outside the checksum
        if at % (len(whole) // 3) in range(8) or at % (len(whole) // 3) in range(12, 16):
            continue
        damaged = bytearray(whole)
        damaged[at] ^= 0x40
        rewrite(bench, damaged)
        with pytest.raises(CorruptFile, match="is damaged at byte"):
            check_undamaged(bench.disk, bench.directory)


def test_a_directory_that_is_not_there_is_no_damage(bench: Any) -> None:
    check_undamaged(bench.disk, bench.directory)
