"""A broker's data directory as a whole: its lock, its identity, its checkpoints, and the partitions in it.

.lock    locked for as long as a broker runs on the directory; see `checkpoints.py` for the other files
"""

import logging
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ottla_broker.log import checkpoints
from ottla_broker.log.checkpoints import MetaProperties, TopicPartition
from ottla_broker.log.disk import Disk, Lock
from ottla_broker.log.errors import CorruptFile, DataDirectoryError, DataDirectoryInUse

logger = logging.getLogger(__name__)

LOCK_FILE: Final = ".lock"
DELETE_SUFFIX: Final = "-delete"
STRAY_SUFFIX: Final = "-stray"  # nobody has deleted it, and nobody knows it

_PARTITION: Final = re.compile(r"(?P<topic>[a-zA-Z0-9._-]+)-(?P<index>\d+)")


class DataDirectory:
    """A locked data directory; made by `open`."""

    def __init__(self, path: Path, disk: Disk, lock: Lock, properties: MetaProperties, clean_shutdown: bool) -> None:
        self.path = path
        self.properties = properties
        self.clean_shutdown = clean_shutdown
        self._disk = disk
        self._lock = lock

    @classmethod
    def open(cls, path: Path, disk: Disk, node_id: int, cluster_id: str | None) -> "DataDirectory":
        """Lock the directory, making it if need be, and check that it belongs to this node and cluster.

        A new directory gets the cluster id, or a random one. Raises DataDirectoryInUse if another broker runs on it,
        DataDirectoryError if it cannot be used.
        """
        try:
            disk.make_directory(path)
            lock = disk.lock(path / LOCK_FILE)
        except OSError as error:
            raise DataDirectoryError(f"The data directory {path} cannot be used: {error.strerror}") from error
        if lock is None:
            raise DataDirectoryInUse(
                f"The data directory {path} is in use by another broker; stop that one or choose another directory"
            )
        try:
            properties = _identify(path, disk, node_id, cluster_id)
            return cls(path, disk, lock, properties, checkpoints.take_clean_shutdown(disk, path))
        except OSError as error:
            lock.release()
            raise DataDirectoryError(f"The data directory {path} cannot be used: {error.strerror}") from error
        except DataDirectoryError:
            lock.release()
            raise

    def partitions(self) -> dict[TopicPartition, Path]:
        """The partitions that have a directory here."""
        found = {}
        for name in self._disk.list(self.path):
            match = _PARTITION.fullmatch(name)
            if match is not None:
                found[match["topic"], int(match["index"])] = self.path / name
        return found

    def deleted(self) -> list[Path]:
        """The directories of partitions that were deleted, but not yet from disk."""
        return [self.path / name for name in self._disk.list(self.path) if name.endswith(DELETE_SUFFIX)]

    def read_offsets(self, name: str) -> dict[TopicPartition, int]:
        """A checkpoint's offsets. A damaged one counts as empty, which costs time but no data."""
        try:
            return checkpoints.read_offsets(self._disk, self.path / name)
        except CorruptFile as error:
            logger.warning("Ignoring a damaged checkpoint: %s", error)
            return {}

    def write_offsets(self, name: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Replace a checkpoint, durably."""
        checkpoints.write_offsets(self._disk, self.path / name, offsets)

    def close(self, *, clean: bool) -> None:
        """Release the lock, having left the marker of a clean shutdown if everything was flushed."""
        if clean:
            checkpoints.mark_clean_shutdown(self._disk, self.path, broker_epoch=-1)
        self._lock.release()


def _identify(path: Path, disk: Disk, node_id: int, cluster_id: str | None) -> MetaProperties:
    try:
        properties = checkpoints.read_meta_properties(disk, path)
    except CorruptFile as error:
        raise DataDirectoryError(str(error)) from error
    if properties is None:
        identity = cluster_id or checkpoints.encode_uuid(uuid.uuid4())
        properties = MetaProperties(identity, node_id, uuid.uuid4())
        checkpoints.write_meta_properties(disk, path, properties)
    if properties.node_id != node_id:
        raise DataDirectoryError(
            f"The data directory {path} belongs to node {properties.node_id}, this is node {node_id}; "
            f"set node.id or choose another directory"
        )
    if cluster_id is not None and properties.cluster_id != cluster_id:
        raise DataDirectoryError(
            f"The data directory {path} belongs to cluster {properties.cluster_id}, not {cluster_id}; "
            f"choose another directory"
        )
    return properties
