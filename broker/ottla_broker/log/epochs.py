"""Which leader epoch wrote which part of a log (KIP-101, KIP-279). Pure; `checkpoints.py` has the file's format.

Followers and consumers compare epochs to find where two histories part; see `LeaderEpochs.end_offset`.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ottla_wire.records import RecordBatch

UNDEFINED_EPOCH: Final = -1
UNDEFINED_OFFSET: Final = -1


class EpochEntry(NamedTuple):
    """The leader `epoch` wrote from `start_offset` on."""

    epoch: int
    start_offset: int


class LeaderEpochs:
    """The epochs of one log in rising order. `dirty` says that they differ from what was last saved."""

    __slots__ = ("_entries", "dirty")

    def __init__(self, entries: Iterable[EpochEntry] = ()) -> None:
        self._entries: list[EpochEntry] = []
        for entry in entries:
            self.assign(entry.epoch, entry.start_offset)
        self.dirty = False

    def __iter__(self) -> Iterator[EpochEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def latest(self) -> int:
        """The newest epoch, -1 if there is none."""
        return self._entries[-1].epoch if self._entries else UNDEFINED_EPOCH

    def note(self, batches: Iterable[RecordBatch]) -> None:
        """`batches` have been appended."""
        for batch in batches:
            epoch = batch.partition_leader_epoch
            if epoch >= 0 and (not self._entries or epoch != self._entries[-1].epoch):
                self.assign(epoch, batch.base_offset)

    def assign(self, epoch: int, start_offset: int) -> None:
        """Note that `epoch` writes from `start_offset` on; entries that contradict it go."""
        last = self._entries[-1] if self._entries else None
        if last is not None and last.epoch == epoch and last.start_offset <= start_offset:
            return
        while self._entries and (self._entries[-1].epoch >= epoch or self._entries[-1].start_offset >= start_offset):
            self._entries.pop()
        self._entries.append(EpochEntry(epoch, start_offset))
        self.dirty = True

    def epoch_at(self, offset: int) -> int:
        """The epoch that wrote `offset`, -1 if that is not known."""
        for entry in reversed(self._entries):
            if entry.start_offset <= offset:
                return entry.epoch
        return UNDEFINED_EPOCH

    def end_offset(self, epoch: int, log_end_offset: int) -> EpochEntry:
        """The newest epoch that is not above `epoch`, with the offset at which the next one starts.

        That is the log end offset for the newest epoch, the first known start for an epoch older than all, and (-1,
        -1) for one newer than all (OffsetForLeaderEpoch).
        """
        if epoch < 0 or epoch > self.latest:
            return EpochEntry(UNDEFINED_EPOCH, UNDEFINED_OFFSET)
        if epoch == self.latest:
            return EpochEntry(epoch, log_end_offset)
        floor = epoch
        for entry in self._entries:
            if entry.epoch > epoch:
                return EpochEntry(floor, entry.start_offset)
            floor = entry.epoch
        raise AssertionError("the newest epoch is above the one asked for")

    def truncate_end(self, offset: int) -> None:
        """Forget the epochs that start at `offset` or beyond."""
        while self._entries and self._entries[-1].start_offset >= offset:
            self._entries.pop()
            self.dirty = True

    def truncate_start(self, offset: int) -> None:
        """Forget what lies before `offset`; the epoch that wrote `offset` then starts there."""
        passed = [entry for entry in self._entries if entry.start_offset <= offset]
        if passed and (len(passed) > 1 or passed[0].start_offset < offset):
            self._entries[: len(passed)] = [EpochEntry(passed[-1].epoch, offset)]
            self.dirty = True

    def clear(self) -> None:
        self.dirty = self.dirty or bool(self._entries)
        self._entries.clear()
