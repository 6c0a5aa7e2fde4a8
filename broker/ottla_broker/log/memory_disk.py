"""A filesystem in memory that fails on demand: for tests of the log, and of anything that is built on it.

    disk = MemoryDisk()
    disk.capacity = 10_000                      # ENOSPC beyond that many bytes, after a short write
    disk.max_write = 7                          # every write is cut to seven bytes
    disk.fail_sync = errno.EIO                  # every fsync fails
    disk.crash()                                # power cut: only what was synced is left
    disk.crash(random.Random(seed))             # power cut: of the rest some survives, torn and out of order

It keeps POSIX's promises and no more. Contents are durable after the file's `sync`, names after `sync_directory`; of
unsynced name changes a crash keeps some first part (journals keep order), of unsynced writes any of them, each
possibly cut.
"""

import errno
from pathlib import Path
from typing import Protocol

from ottla_broker.log.disk import Data, File, Lock, View


class Chance(Protocol):
    """The part of `random.Random` that a crash uses."""

    def randint(self, a: int, b: int, /) -> int: ...


class _Node:
    """A file: its contents, the durable contents, and the writes (position, bytes) and lengths since the last sync."""

    __slots__ = ("data", "durable", "modified_ms", "unsynced")

    def __init__(self, modified_ms: int) -> None:
        self.data = bytearray()
        self.durable = bytearray()
        self.unsynced: list[tuple[int, bytes] | int] = []
        self.modified_ms = modified_ms


class _Descriptor(int):
    """Stands in for a file descriptor; negative, so that no system call takes it."""

    node: _Node


def _apply(data: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del data[change:]
        data.extend(bytes(change - len(data)))
    else:
        position, written = change
        data.extend(bytes(max(0, position - len(data))))
        data[position : position + len(written)] = written


class MemoryFile:
    """`File` of a `MemoryDisk`."""

    def __init__(self, disk: "MemoryDisk", node: _Node, descriptor: int) -> None:
        self._disk = disk
        self._node = node
        self._boot = disk.boots
        tagged = _Descriptor(descriptor)
        tagged.node = node
        self.descriptor: int = tagged

    def _live(self) -> _Node:
        if self._boot != self._disk.boots:
            raise OSError(errno.EBADF, "The file was opened before the crash")
        return self._node

    def write(self, data: Data, position: int) -> int:
        node = self._live()
        wanted = len(data) if self._disk.max_write is None else min(len(data), self._disk.max_write)
        growth = max(0, position + wanted - len(node.data))
        if self._disk.capacity is not None and growth > 0:
            room = max(0, self._disk.capacity - self._disk.used())
            wanted -= max(0, growth - room)
            if wanted <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        change = (position, bytes(data[:wanted]))
        _apply(node.data, change)
        node.unsynced.append(change)
        node.modified_ms = self._disk.now_ms
        return wanted

    def read(self, size: int, position: int) -> bytes:
        return bytes(self._live().data[position : position + size])

    def size(self) -> int:
        return len(self._live().data)

    def truncate(self, size: int) -> None:
        node = self._live()
        _apply(node.data, size)
        node.unsynced.append(size)

    def allocate(self, size: int) -> None:
        if size > self.size():
            if self._disk.capacity is not None and self._disk.used() + size - self.size() > self._disk.capacity:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.truncate(size)

    def sync(self) -> None:
        node = self._live()
        if self._disk.fail_sync is not None:
            raise OSError(self._disk.fail_sync, "fsync failed")
        for change in node.unsynced:
            _apply(node.durable, change)
        node.unsynced.clear()
        self._disk.syncs += 1

    def close(self) -> None:
        return None


class _MemoryLock:
    def __init__(self, held: set[Path], path: Path) -> None:
        self._held = held
        self._path = path

    def release(self) -> None:
        self._held.discard(self._path)


class MemoryDisk:
    """`Disk` in memory; the attributes are the knobs, to be turned at any time.

    `capacity` bounds the bytes of all files, `max_write` those of one write; `fail_sync` is the errno that every file
    sync raises; `now_ms` stamps modification times. `syncs` counts file syncs, `boots` crashes.
    """

    def __init__(self) -> None:
        self.capacity: int | None = None
        self.max_write: int | None = None
        self.fail_sync: int | None = None
        self.now_ms = 0
        self.syncs = 0
        self.boots = 0
        self._descriptors = -2
        self._files: dict[Path, _Node] = {}
        self._durable_files: dict[Path, _Node] = {}
        self._unsynced_names: list[dict[Path, _Node | None]] = []
        self._directories: set[Path] = set()
        self._locks: set[Path] = set()

    def used(self) -> int:
        """The bytes that all files take."""
        return sum(len(node.data) for node in self._files.values())

    def crash(self, chance: Chance | None = None) -> None:
        """Cut the power: open files become unusable and what was not synced is lost, without `chance` all of it."""
        kept_names = len(self._unsynced_names) if chance is None else chance.randint(0, len(self._unsynced_names))
        names = self._unsynced_names[: 0 if chance is None else kept_names]
        for change in names:
            self._commit(change)
        self._unsynced_names.clear()
        self._files = dict(self._durable_files)
        for node in {id(node): node for node in self._files.values()}.values():
            for written in node.unsynced if chance is not None else ():
                fate = chance.randint(0, 2) if chance is not None else 0
                if fate == 1 and not isinstance(written, int):
                    cut = chance.randint(0, len(written[1])) if chance is not None else 0
                    _apply(node.durable, (written[0], written[1][:cut]))
                elif fate == 2:
                    _apply(node.durable, written)
            node.unsynced.clear()
            node.data = bytearray(node.durable)
        self._locks.clear()
        self.boots += 1

    def _commit(self, change: dict[Path, _Node | None]) -> None:
        for path, node in change.items():
            if node is None:
                self._durable_files.pop(path, None)
            else:
                self._durable_files[path] = node

    def _change_names(self, change: dict[Path, _Node | None]) -> None:
        self._unsynced_names.append(change)
        for path, node in change.items():
            if node is None:
                del self._files[path]
            else:
                self._files[path] = node

    def _node(self, path: Path) -> _Node:
        if path not in self._files:
            raise FileNotFoundError(errno.ENOENT, "No such file", str(path))
        return self._files[path]

    def open(self, path: Path, *, create: bool = False) -> File:
        if create and path not in self._files:
            if path.parent not in self._directories:
                raise FileNotFoundError(errno.ENOENT, "No such directory", str(path.parent))
            self._change_names({path: _Node(self.now_ms)})
        self._descriptors -= 1
        return MemoryFile(self, self._node(path), self._descriptors)

    def read(self, descriptor: int, size: int, position: int) -> bytes:
        if not isinstance(descriptor, _Descriptor):
            raise OSError(errno.EBADF, "Not a descriptor of a memory disk")
        return bytes(descriptor.node.data[position : position + size])

    def view(self, path: Path) -> View:
        return bytes(self._node(path).data)

    def list(self, directory: Path) -> list[str]:
        if directory not in self._directories:
            raise FileNotFoundError(errno.ENOENT, "No such directory", str(directory))
        entries = list(self._files) + list(self._directories)
        return [entry.name for entry in entries if entry.parent == directory and entry != directory]

    def exists(self, path: Path) -> bool:
        return path in self._files or path in self._directories

    def modified_ms(self, path: Path) -> int:
        return self._node(path).modified_ms

    def make_directory(self, path: Path) -> None:
        self._directories.add(path)
        self._directories.update(path.parents)

    def rename(self, source: Path, target: Path) -> None:
        if source not in self._directories:
            self._change_names({target: self._node(source), source: None})
            return
        change: dict[Path, _Node | None] = {}
        for path, node in self._files.items():
            if path.parent == source:
                change |= {target / path.name: node, path: None}
        self._directories.discard(source)
        self._directories.add(target)
        self._change_names(change)

    def remove(self, path: Path) -> None:
        self._node(path)
        self._change_names({path: None})

    def remove_tree(self, path: Path) -> None:
        self._change_names({file: None for file in self._files if file.parent == path})
        self._directories.discard(path)

    def sync_directory(self, path: Path) -> None:
        del path  # a journal commits every name change so far, whatever the directory
        for change in self._unsynced_names:
            self._commit(change)
        self._unsynced_names.clear()

    def sync_filesystem(self, path: Path) -> None:
        if self.fail_sync is not None:
            raise OSError(self.fail_sync, "syncfs failed")
        for node in self._files.values():
            for change in node.unsynced:
                _apply(node.durable, change)
            node.unsynced.clear()
        self.sync_directory(path)

    def free_bytes(self, path: Path) -> int:
        del path  # all is on one
        return 2**63 - 1 if self.capacity is None else max(0, self.capacity - self.used())

    def lock(self, path: Path) -> Lock | None:
        if path in self._locks:
            return None
        self._locks.add(path)
        return _MemoryLock(self._locks, path)
