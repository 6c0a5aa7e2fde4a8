"""The two halves of a flush: what a start reads instead of the segments, and the segments themselves.

The first comes first, so that a recovery point never claims more than can be found again without reading the batches.
It writes beside what is there, so a full disk does no harm: everything is as before. A device that fails the second
leaves nobody knowing what it has dropped.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ottla_broker.log import checkpoints
from ottla_broker.log.disk import Disk, write_whole
from ottla_broker.log.epochs import LeaderEpochs
from ottla_broker.log.segment import Segment


def store_indexes(closed: Iterable[Segment]) -> None:
    """Store the indexes of closed segments, as far as they are in memory only. Raises OSError."""
    for segment in closed:
        if not segment.indexes_stored:
            segment.store_indexes()


def store_epochs(disk: Disk, file: Path, epochs: LeaderEpochs) -> None:
    """Store the leader epochs if they have changed. Raises OSError, and then they still count as changed."""
    if not epochs.dirty:
        return
    epochs.dirty = False
    try:
        write_whole(disk, file, checkpoints.encode_epochs(list(epochs)))
    except OSError:
        epochs.dirty = True
        raise


def sync(disk: Disk, directory: Path, segments: Sequence[Segment], names: Iterable[str]) -> None:
    """Force segments to the device, and the files of the directory with these `names`. Raises OSError."""
    new = [name for name in names if disk.exists(directory / name)]
    for name in new:
        file = disk.open(directory / name)
        file.sync()
        file.close()
    if new:
        disk.sync_directory(directory)
    for segment in segments:
        segment.sync()
