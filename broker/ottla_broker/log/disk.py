"""The filesystem as the log sees it: few calls, so that a test can put a faulty one in its place.

`Disk` and `File` are the contract. `LocalDisk` is the operating system's filesystem; `memory_disk.MemoryDisk` is one in
memory that can write short, run full, and crash. All of these raise `OSError` like the `os` functions they stand for.
"""

import ctypes
import errno
import fcntl
import mmap
import os
from pathlib import Path
from typing import Protocol, TypeAlias

Data: TypeAlias = bytes | bytearray | memoryview
View: TypeAlias = bytes | bytearray | mmap.mmap


class File(Protocol):
    """An open file that is read and written at explicit positions.

    `descriptor` is what a `FileRegion` carries. It stays valid for as long as anybody holds that very object, also
    after `close`: a response that still waits in a socket's queue must never send from a reused descriptor.
    """

    descriptor: int

    def write(self, data: Data, position: int) -> int:
        """Write at `position`; like pwrite(2) it may write less than asked and returns how much."""
        ...

    def read(self, size: int, position: int) -> bytes:
        """Read up to `size` bytes; fewer only at the end of the file."""
        ...

    def size(self) -> int: ...
    def truncate(self, size: int) -> None: ...
    def allocate(self, size: int) -> None:
        """Reserve `size` bytes; the file then ends there, reading as zeros."""
        ...

    def sync(self) -> None:
        """Return when contents and length have reached the device. Safe to call in a thread."""
        ...

    def close(self) -> None: ...


class Lock(Protocol):
    """A held lock of a data directory."""

    def release(self) -> None: ...


class Disk(Protocol):
    """A filesystem. Paths are absolute; a directory entry is durable only after `sync_directory` of its parent."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open for reading and writing; with `create`, make an empty file if there is none."""
        ...

    def read(self, descriptor: int, size: int, position: int) -> bytes:
        """Read from the `descriptor` of an open file, as in `File.read`."""
        ...

    def view(self, path: Path) -> View:
        """The whole contents, mapped rather than read where possible. Not to be written to."""
        ...

    def list(self, directory: Path) -> list[str]:
        """The names in a directory, in no order."""
        ...

    def exists(self, path: Path) -> bool: ...
    def modified_ms(self, path: Path) -> int: ...
    def make_directory(self, path: Path) -> None:
        """Make the directory and its parents; fine if it exists."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file or directory atomically, replacing a file."""
        ...

    def remove(self, path: Path) -> None: ...
    def remove_tree(self, path: Path) -> None:
        """Remove a directory with the files in it (there are no directories in there)."""
        ...

    def sync_directory(self, path: Path) -> None: ...
    def sync_filesystem(self, path: Path) -> None:
        """Return when everything in the filesystem that `path` is on has reached the device, names included."""
        ...

    def free_bytes(self, path: Path) -> int:
        """How much more fits on the filesystem that `path` is on."""
        ...

    def lock(self, path: Path) -> Lock | None:
        """Take an exclusive lock on the file, making it; None if somebody else holds it."""
        ...


def write_all(file: File, data: Data, position: int) -> None:
    """Write all of `data` at `position`, however short the single writes are; OSError if that cannot be done."""
    written = file.write(data, position)
    if written < len(data):
        write_rest(file, data, position, written)


def write_rest(file: File, data: Data, position: int, written: int) -> None:
    """`write_all`, after `written` bytes of it."""
    while written < len(data):
        more = file.write(memoryview(data)[written:], position + written)
        if more == 0:
            raise OSError(errno.EIO, "The disk accepted no bytes and reported no error")
        written += more


def read_whole(disk: Disk, path: Path) -> bytes:
    """The contents of a small file; FileNotFoundError if there is none."""
    file = disk.open(path)
    try:
        return file.read(file.size(), 0)
    finally:
        file.close()


def write_whole(disk: Disk, path: Path, data: Data, *, sync: bool = True) -> None:
    """Replace a small file atomically, by way of a temporary one beside it.

    With `sync` the new contents are durable on return; without it a power cut may leave the old ones or an empty file.
    """
    temporary = path.with_name(path.name + ".tmp")
    file = disk.open(temporary, create=True)
    try:
        file.truncate(0)
        write_all(file, data, 0)
        if sync:
            file.sync()
    except OSError:
        disk.remove(temporary)
        raise
    finally:
        file.close()
    disk.rename(temporary, path)
    if sync:
        disk.sync_directory(path.parent)


class Rewrites:
    """Small files to be replaced, all at the price of two waits for the device however many they are.

    What is added stands beside the file that it replaces until `commit`: a power cut before or in it leaves each file
    as it was or as it is to be. `add` may be called in several threads.
    """

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._staged: list[tuple[Path, Path]] = []

    def add(self, path: Path, data: Data) -> None:
        """Write the new contents of a file, not yet in its place."""
        temporary = path.with_name(path.name + ".tmp")
        file = self._disk.open(temporary, create=True)
        try:
            file.truncate(0)
            write_all(file, data, 0)
        except OSError:
            self._disk.remove(temporary)
            raise
        finally:
            file.close()
        self._staged.append((temporary, path))

    def commit(self, directory: Path) -> None:
        """Put the files in their places; they, and all else in the filesystem of `directory`, are durable on return."""
        self._disk.sync_filesystem(directory)
        for temporary, path in self._staged:
            self._disk.rename(temporary, path)
        if self._staged:
            self._disk.sync_filesystem(directory)
        self._staged.clear()


class Descriptor(int):
    """A file descriptor that closes itself when the last reference to it goes."""

    def __del__(self) -> None:
        os.close(self)


_CLOSED = -1


class LocalFile:
    """`File` on the operating system's filesystem."""

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor: int = Descriptor(descriptor)

    def write(self, data: Data, position: int) -> int:
        return os.pwrite(self.descriptor, data, position)

    def read(self, size: int, position: int) -> bytes:
        return os.pread(self.descriptor, size, position)

    def size(self) -> int:
        return os.fstat(self.descriptor).st_size

    def truncate(self, size: int) -> None:
        os.ftruncate(self.descriptor, size)

    def allocate(self, size: int) -> None:
        os.posix_fallocate(self.descriptor, 0, size)

    def sync(self) -> None:
        os.fsync(self.descriptor)

    def close(self) -> None:
        self.descriptor = _CLOSED


# Linux has syncfs(2), which spares the other filesystems what sync(2) does to them; Python does not know of it.
_libc = ctypes.CDLL(None, use_errno=True)


class _LocalLock:
    """Holds the descriptor that holds the locks."""

    def __init__(self, descriptor: Descriptor) -> None:
        self._descriptor: Descriptor | None = descriptor

    def release(self) -> None:
        self._descriptor = None


class LocalDisk:
    """`Disk` on the operating system's filesystem."""

    def open(self, path: Path, *, create: bool = False) -> File:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        return LocalFile(os.open(path, flags, 0o644))

    def read(self, descriptor: int, size: int, position: int) -> bytes:
        return os.pread(descriptor, size, position)

    def view(self, path: Path) -> View:
        descriptor = Descriptor(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        if os.fstat(descriptor).st_size == 0:
            return b""
        return mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)

    def list(self, directory: Path) -> list[str]:
        return os.listdir(directory)

    def exists(self, path: Path) -> bool:
        return os.path.exists(path)

    def modified_ms(self, path: Path) -> int:
        return os.stat(path).st_mtime_ns // 1_000_000

    def make_directory(self, path: Path) -> None:
        os.makedirs(path, exist_ok=True)

    def rename(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        os.unlink(path)

    def remove_tree(self, path: Path) -> None:
        for name in os.listdir(path):
            os.unlink(path / name)
        os.rmdir(path)

    def sync_directory(self, path: Path) -> None:
        descriptor = Descriptor(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        os.fsync(descriptor)

    def sync_filesystem(self, path: Path) -> None:
        if not hasattr(_libc, "syncfs"):
            os.sync()
            return
        descriptor = Descriptor(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        if _libc.syncfs(int(descriptor)) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))

    def free_bytes(self, path: Path) -> int:
        volume = os.statvfs(path)
        return volume.f_bavail * volume.f_frsize

    def lock(self, path: Path) -> Lock | None:
        # flock(2) keeps out other brokers of ours, also in this process; fcntl(2) locks are what Apache Kafka takes.
        descriptor = Descriptor(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise
        return _LocalLock(descriptor)
