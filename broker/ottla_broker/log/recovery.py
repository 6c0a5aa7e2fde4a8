"""Brings a partition directory back to a log: after a clean stop quickly, after a crash to the longest valid prefix.

What was flushed (the recovery point) is trusted. After a crash every segment that reaches beyond it is read and
checked batch by batch; at the first that is damaged the log ends, and later segments go. Base offset and leader epoch
lie outside a batch's checksum: the former must continue where the batch before ends; damage to the latter cannot be
seen (nor by Apache Kafka). Indexes of checked segments are rebuilt, leader epochs and producer states are brought up
to date from the batches.
"""

import dataclasses
import itertools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ottla_broker.log.checkpoints import LEADER_EPOCHS, read_epochs
from ottla_broker.log.config import LogConfig
from ottla_broker.log.disk import Disk
from ottla_broker.log.epochs import LeaderEpochs
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.producers import Origin, Producers
from ottla_broker.log.scan import read_batch, scan_headers
from ottla_broker.log.segment import (
    CLEANED_EXTENSION,
    DELETED_EXTENSION,
    LOG_SUFFIX,
    OFFSET_INDEX_SUFFIX,
    SNAPSHOT_SUFFIX,
    SUFFIXES,
    SWAP_EXTENSION,
    TIME_INDEX_SUFFIX,
    TRANSACTION_INDEX_SUFFIX,
    Segment,
    file_name,
)
from ottla_broker.log.snapshots import Snapshots
from ottla_broker.log.transactions import OpenTransactions, TransactionIndex

logger = logging.getLogger(__name__)

_TEMPORARY_SUFFIXES: Final = (DELETED_EXTENSION, CLEANED_EXTENSION, ".tmp")
_OFFSET_DIGITS: Final = 20


@dataclasses.dataclass(slots=True)
class RecoveredLog:
    """What a partition directory holds. `segments` is never empty, its last one is ready for appends."""

    segments: list[Segment]
    log_start_offset: int
    epochs: LeaderEpochs
    producers: Producers
    transactions: OpenTransactions
    snapshots: Snapshots


def recover_log(
    disk: Disk,
    directory: Path,
    config: LogConfig,
    *,
    recovery_point: int,
    log_start_offset: int,
    clean_shutdown: bool,
    producer_expiration_ms: int,
    now_ms: int,
    compacted: bool,
    proceed: Callable[[], None],
) -> RecoveredLog:
    """Load the log in `directory`. OSError if the disk fails; damage of the files themselves is repaired.

    `compacted` says that it was compacted once, whatever its settings are now: offsets that are missing are no damage.

    `proceed` is called again and again. If it raises, another call begins anew, as it would after a crash.
    """
    finish_swaps(disk, directory)
    names = _remove_leftovers(disk, directory)
    epochs = _load_epochs(disk, directory)
    segments = [Segment.load(disk, directory, offset) for offset in _offsets(names, LOG_SUFFIX)]
    checked = 0
    unindexed: set[int] = set()
    if not clean_shutdown:
        checked = _check_segments(
            disk, segments, recovery_point, config, epochs, proceed, gaps=compacted or config.compact
        )
        unindexed = _reindex(disk, segments, len(segments) - checked, recovery_point, config)
    log_end_offset = _join(segments, checked, names, config, proceed)
    if not clean_shutdown:
        for segment in segments[: len(segments) - checked]:
            proceed()
            segment.check_end()
    if log_end_offset < log_start_offset or not segments:
        for segment in reversed(segments):
            segment.remove()
        segments, checked = [Segment.create(disk, directory, log_start_offset, config, now_ms)], 0
        log_end_offset = log_start_offset
    log_start_offset = max(log_start_offset, segments[0].base_offset)
    epochs.truncate_end(log_end_offset)
    epochs.truncate_start(log_start_offset)
    unindexed |= {segment.base_offset for segment in segments[len(segments) - checked :]}
    unindexed |= {segment.base_offset for segment in segments if _has_broken_transaction_index(segment, names)}
    snapshots = Snapshots(disk, directory, _offsets(names, SNAPSHOT_SUFFIX))
    producers, transactions = Producers(), OpenTransactions()
    # A clean stop leaves a snapshot, unless there is nothing to remember.
    if snapshots or unindexed or not clean_shutdown:
        producers, transactions = load_producers(
            segments, snapshots, unindexed, producer_expiration_ms, now_ms, proceed
        )
    snapshots.remove_strays(segment.base_offset for segment in segments)
    return RecoveredLog(segments, log_start_offset, epochs, producers, transactions, snapshots)


def finish_swaps(disk: Disk, directory: Path) -> None:
    """Finish what compaction was about to do: new segments take the place of those that they were made from."""
    names = disk.list(directory)
    for offset in _offsets(names, LOG_SUFFIX + SWAP_EXTENSION):
        file = disk.open(directory / (file_name(offset, LOG_SUFFIX) + SWAP_EXTENSION))
        end = max((header.last_offset + 1 for _, header in scan_headers(file, 0, file.size())), default=offset)
        for replaced in _offsets(names, LOG_SUFFIX):
            if offset <= replaced < max(end, offset + 1):
                for suffix in SUFFIXES:
                    if file_name(replaced, suffix) in names:
                        disk.remove(directory / file_name(replaced, suffix))
    swaps = [name for suffix in SUFFIXES for name in names if name.endswith(suffix + SWAP_EXTENSION)]
    for name in swaps:
        disk.rename(directory / name, directory / name.removesuffix(SWAP_EXTENSION))
    if swaps:
        disk.sync_directory(directory)


def _remove_leftovers(disk: Disk, directory: Path) -> list[str]:
    """Remove files of unfinished work and indexes without a segment; the names that remain."""
    names = disk.list(directory)
    logs = {name.removesuffix(LOG_SUFFIX) for name in names if name.endswith(LOG_SUFFIX)}
    indexes = SUFFIXES[1:]
    remaining = []
    for name in names:
        stem, suffix = name[:_OFFSET_DIGITS], name[_OFFSET_DIGITS:]
        if name.endswith(_TEMPORARY_SUFFIXES) or (suffix in indexes and stem not in logs):
            disk.remove(directory / name)
        else:
            remaining.append(name)
    return remaining


def _offsets(names: list[str], suffix: str) -> list[int]:
    """The offsets in the names of the files with this suffix, in rising order."""
    stems = (name.removesuffix(suffix) for name in names if name.endswith(suffix))
    return sorted(int(stem) for stem in stems if len(stem) == _OFFSET_DIGITS and stem.isdecimal())


def _load_epochs(disk: Disk, directory: Path) -> LeaderEpochs:
    try:
        return LeaderEpochs(read_epochs(disk, directory / LEADER_EPOCHS))
    except CorruptFile:
        return LeaderEpochs()  # those of the checked batches are found again; older ones only followers would ask for


def _check_segments(
    disk: Disk,
    segments: list[Segment],
    recovery_point: int,
    config: LogConfig,
    epochs: LeaderEpochs,
    proceed: Callable[[], None],
    *,
    gaps: bool,
) -> int:
    """Check the segments that reach beyond the recovery point, and end the log at the first damage; how many remain."""
    first = max((n for n, segment in enumerate(segments) if segment.base_offset <= recovery_point), default=0)
    for number in range(first, len(segments)):
        segment, beyond = segments[number], segments[number + 1 :]
        end_offset = beyond[0].base_offset if beyond else segment.offset_limit
        size = segment.size
        cut = segment.recover(end_offset, config.index_interval_bytes, epochs, gaps=gaps, proceed=proceed)
        if cut and not config.preallocate:
            logger.warning(
                "%s: %d bytes after offset %d are damaged or incomplete and are dropped",
                segment.directory.name,
                size - segment.size,
                segment.next_offset - 1,
            )
        if beyond and segment.next_offset != end_offset and (cut or not gaps):
            logger.error(
                "%s: offsets %d to %d are missing or damaged, and a log ends where that begins: %d bytes from offset "
                "%d on are dropped",
                segment.directory.name,
                segment.next_offset,
                end_offset - 1,
                sum(later.size for later in beyond),
                end_offset,
            )
            for later in reversed(beyond):
                later.remove()
            del segments[number + 1 :]
            disk.sync_directory(segment.directory)
            break
    return len(segments) - first


def _reindex(disk: Disk, segments: list[Segment], trusted: int, recovery_point: int, config: LogConfig) -> set[int]:
    """Make the indexes of the last trusted segment anew if the crash may have come before they were stored; its base
    offset, for its transaction index is yet to be filled.

    It was the active one when it was flushed, if it ends at the recovery point, and its indexes were in memory only.
    What is stored may be from an earlier stop.
    """
    if not 0 < trusted < len(segments) or segments[trusted].base_offset != recovery_point:
        return set()
    segment = segments[trusted - 1]
    indexes = [segment.path(suffix) for suffix in (OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX)]
    written_ms = disk.modified_ms(segment.path(LOG_SUFFIX))
    if all(disk.exists(index) and disk.modified_ms(index) > written_ms for index in indexes):
        return set()
    segment.rebuild_indexes(config.index_interval_bytes)
    segment.clear_transaction_index()
    return {segment.base_offset}


def _join(
    segments: list[Segment], checked: int, names: list[str], config: LogConfig, proceed: Callable[[], None]
) -> int:
    """Let every segment know where it ends; the log end offset."""
    for segment, following in itertools.pairwise(segments):
        proceed()
        segment.next_offset = following.base_offset
        stem = file_name(segment.base_offset, "")
        if segment.indexes_stored and not {stem + OFFSET_INDEX_SUFFIX, stem + TIME_INDEX_SUFFIX} <= set(names):
            segment.rebuild_indexes(config.index_interval_bytes)
            segment.next_offset = following.base_offset
        elif not segment.indexes_stored:
            segment.close_indexes()
    if not segments:
        return 0
    if checked == 0:
        segments[-1].find_end(config.index_interval_bytes)
    return segments[-1].next_offset


def _has_broken_transaction_index(segment: Segment, names: list[str]) -> bool:
    if file_name(segment.base_offset, TRANSACTION_INDEX_SUFFIX) not in names:
        return False
    try:
        return segment.transaction_index is None
    except CorruptFile:
        segment.clear_transaction_index()
        return True


def load_producers(
    segments: list[Segment],
    snapshots: Snapshots,
    unindexed: set[int],
    producer_expiration_ms: int,
    now_ms: int,
    proceed: Callable[[], None] = lambda: None,
) -> tuple[Producers, OpenTransactions]:
    """The state at the end of the log: from the newest snapshot that is old enough, and what was appended since.

    Old enough is one from before the first of the segments `unindexed` (by base offset), whose empty transaction
    indexes are filled on the way. What lies before the log start offset counts as long as it is there: who wrote it
    goes on, and must neither be taken for somebody else nor be allowed to repeat itself.
    """
    first_offset, log_end_offset = segments[0].base_offset, segments[-1].next_offset
    snapshots.remove_beyond(log_end_offset)
    found = snapshots.load_newest(first_offset, min(unindexed, default=log_end_offset))
    producers, replay_from = found if found is not None else (Producers(), first_offset)
    producers.expire(now_ms, producer_expiration_ms)
    transactions = OpenTransactions()
    transactions.apply(producers.open_transactions(), ())
    for segment in segments:
        if segment.next_offset > replay_from:
            filled = segment.transaction_index if segment.base_offset in unindexed else None
            _replay(segment, replay_from, producers, transactions, filled, now_ms, proceed)
    return producers, transactions


def _replay(
    segment: Segment,
    offset: int,
    producers: Producers,
    transactions: OpenTransactions,
    filled: TransactionIndex | None,
    now_ms: int,
    proceed: Callable[[], None],
) -> None:
    """Take in the segment's batches from `offset` on, and note aborted transactions in the index to be filled."""
    for position, header in scan_headers(segment.file, segment.locate(offset), segment.size):
        proceed()
        if header.producer_id < 0:
            continue
        stage = producers.stage(Origin.REPLICATION)
        if header.is_control:
            stage.control_batch(read_batch(segment.file, position, header), header.base_offset, now_ms)
        else:
            stage.data_batch(header, header.base_offset, now_ms)
        stage.commit()
        for transaction, last_stable_offset in transactions.apply(stage.begun, stage.completed):
            if filled is not None:
                filled.append(transaction, last_stable_offset)
