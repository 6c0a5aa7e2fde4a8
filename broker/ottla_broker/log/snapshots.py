"""The producer snapshots in a partition directory: `OFFSET.snapshot` is the state before that offset.

One is written with every new segment, for its base offset, and one at a clean stop; `producers.py` has the format.
"""

from collections.abc import Iterable
from pathlib import Path

from ottla_broker.log.disk import Disk, read_whole, write_whole
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.producers import Producers
from ottla_broker.log.segment import DELETED_EXTENSION, SNAPSHOT_SUFFIX, file_name


class Snapshots:
    """The snapshots of one log, by their offsets."""

    __slots__ = ("_directory", "_disk", "_offsets")

    def __init__(self, disk: Disk, directory: Path, offsets: Iterable[int]) -> None:
        self._disk = disk
        self._directory = directory
        self._offsets = set(offsets)

    def __len__(self) -> int:
        return len(self._offsets)

    def path(self, offset: int) -> Path:
        """Where a snapshot for an offset lies, or is to lie."""
        return self._directory / file_name(offset, SNAPSHOT_SUFFIX)

    def write(self, offset: int, producers: Producers) -> str:
        """Write a snapshot; the name of its file, which is not durable yet."""
        path = self.path(offset)
        write_whole(self._disk, path, producers.encode(), sync=False)
        self._offsets.add(offset)
        return path.name

    def load_newest(self, earliest: int, latest: int) -> tuple[Producers, int] | None:
        """The newest snapshot for an offset in [earliest, latest], and that offset. Damaged ones are removed."""
        for offset in sorted(self._offsets, reverse=True):
            if earliest <= offset <= latest:
                try:
                    return Producers.decode(read_whole(self._disk, self.path(offset))), offset
                except CorruptFile:
                    self._remove(offset)
        return None

    def remove_beyond(self, offset: int) -> None:
        """Remove the snapshots of a part of the log that no longer exists."""
        for found in [found for found in self._offsets if found > offset]:
            self._remove(found)

    def remove_strays(self, base_offsets: Iterable[int]) -> None:
        """Remove those that belong to none of these segments, except the newest."""
        for offset in self._offsets - set(base_offsets) - {max(self._offsets, default=0)}:
            self._remove(offset)

    def _remove(self, offset: int) -> None:
        self._disk.remove(self.path(offset))
        self._offsets.remove(offset)

    def rename_deleted(self, offsets: Iterable[int]) -> list[Path]:
        """Take the snapshots for these offsets, if there are any, out of the log by their names; the new ones."""
        renamed = []
        for offset in self._offsets.intersection(offsets):
            path = self.path(offset)
            if self._disk.exists(path):  # else somebody was quicker: the segments are to go all the same
                renamed.append(path.with_name(path.name + DELETED_EXTENSION))
                self._disk.rename(path, renamed[-1])
            self._offsets.remove(offset)
        return renamed
