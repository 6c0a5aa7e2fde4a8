"""The two filesystems: what both must do alike, and the faults of the one in memory."""

import errno
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ottla_broker.log.disk import Disk, LocalDisk, read_whole, write_all, write_whole
from ottla_broker.log.memory_disk import MemoryDisk


@pytest.fixture(params=["local", "memory"])
def disk(request: pytest.FixtureRequest) -> Disk:
    return LocalDisk() if request.param == "local" else MemoryDisk()


@pytest.fixture
def directory(disk: Disk, tmp_path: Path) -> Path:
    disk.make_directory(tmp_path / "d")
    return tmp_path / "d"


def test_what_is_written_can_be_read_at_any_position(disk: Disk, directory: Path) -> None:
    file = disk.open(directory / "f", create=True)
    write_all(file, b"hello", 0)
    write_all(file, memoryview(b"world"), 8)
    assert file.size() == 13
    assert file.read(100, 3) == b"lo\0\0\0world"
    assert disk.read(file.descriptor, 2, 8) == b"wo"
    assert bytes(disk.view(directory / "f")[:]) == b"hello\0\0\0world"
    file.truncate(2)
    file.allocate(4)
    file.sync()
    assert read_whole(disk, directory / "f") == b"he\0\0"


def test_a_view_of_an_empty_file_is_empty(disk: Disk, directory: Path) -> None:
    disk.open(directory / "f", create=True)
    assert len(disk.view(directory / "f")) == 0


def test_names(disk: Disk, directory: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.open(directory / "f")
    write_whole(disk, directory / "f", b"1")
    write_whole(disk, directory / "g", b"2")
    assert sorted(disk.list(directory)) == ["f", "g"]
    disk.rename(directory / "f", directory / "g")
    assert disk.list(directory) == ["g"]
    assert read_whole(disk, directory / "g") == b"1"
    other = directory.with_name("e")
    disk.rename(directory, other)
    disk.sync_directory(other.parent)
    assert not disk.exists(directory)
    assert read_whole(disk, other / "g") == b"1"
    disk.remove_tree(other)
    assert not disk.exists(other)
    with pytest.raises(FileNotFoundError):
        disk.remove(other / "g")


def test_a_descriptor_stays_valid_as_long_as_it_is_held(disk: Disk, directory: Path) -> None:
    file = disk.open(directory / "f", create=True)
    write_all(file, b"kept", 0)
    descriptor = file.descriptor
    file.close()
    disk.remove(directory / "f")
    others = [disk.open(directory / f"other{n}", create=True) for n in range(5)]
    assert disk.read(descriptor, 4, 0) == b"kept"
    del others


def test_a_lock_is_held_once_until_it_is_released(disk: Disk, directory: Path) -> None:
    lock = disk.lock(directory / ".lock")
    assert lock is not None
    assert disk.lock(directory / ".lock") is None
    lock.release()
    assert disk.lock(directory / ".lock") is not None


def test_a_file_is_replaced_whole_or_not_at_all() -> None:
    disk, path = MemoryDisk(), Path("/d/f")
    disk.make_directory(path.parent)
    write_whole(disk, path, b"old contents")
    disk.capacity = disk.used() + 5
    with pytest.raises(OSError, match="No space left"):
        write_whole(disk, path, b"new contents")
    assert disk.list(path.parent) == ["f"]
    disk.capacity = None
    assert read_whole(disk, path) == b"old contents"
    write_whole(disk, path, b"new contents")
    disk.crash()
    assert read_whole(disk, path) == b"new contents"


def test_a_full_disk_writes_short_and_then_fails() -> None:
    disk = MemoryDisk()
    disk.make_directory(Path("/d"))
    file = disk.open(Path("/d/f"), create=True)
    disk.capacity = 4
    assert file.write(b"123456", 0) == 4
    with pytest.raises(OSError, match="No space left") as failure:
        file.write(b"56", 4)
    assert failure.value.errno == errno.ENOSPC
    assert file.write(b"ab", 0) == 2, "what is there can be overwritten"


def test_a_disk_that_accepts_nothing_ends_the_write() -> None:
    disk = MemoryDisk()
    disk.make_directory(Path("/d"))
    disk.max_write = 0
    with pytest.raises(OSError, match="accepted no bytes"):
        write_all(disk.open(Path("/d/f"), create=True), b"123", 0)


def survivors() -> Iterator[bytes]:
    for seed in range(200):
        disk, path = MemoryDisk(), Path("/d/f")
        disk.make_directory(path.parent)
        file = disk.open(path, create=True)
        file.write(b"AAAA", 0)
        file.sync()
        disk.sync_directory(path.parent)
        file.write(b"BBBB", 4)
        file.write(b"CCCC", 8)
        disk.crash(random.Random(seed))
        yield read_whole(disk, path)


def test_a_power_cut_keeps_synced_bytes_and_any_part_of_the_rest() -> None:
    found = set(survivors())
    assert all(contents.startswith(b"AAAA") for contents in found)
    assert {b"AAAA", b"AAAABBBB", b"AAAABBBBCCCC"} <= found
    assert b"AAAA\0\0\0\0CCCC" in found, "writes may reach the disk out of order"
    assert any(len(contents) % 4 > 0 for contents in found), "and in part"
