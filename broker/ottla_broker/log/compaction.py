"""Log compaction: of each key only the last record stays, with its offset.

    plan = log.plan_compaction(...)     in the event loop: what is to be compacted, None if nothing is due
    result = plan.run(pace)             in a thread: reads closed segments, writes new ones beside them
    log.finish_compaction(result)       in the event loop: puts them in the others' place

The rules are Kafka's (KIP-98, KIP-534):

- What is open, unstable or too young is left alone; offsets never change, so gaps arise.
- Records of aborted transactions go, and never hide an older record of their key.
- A tombstone, and a marker whose transaction has no records left, stays for delete.retention.ms after the compaction
  that found it so. When that ends is written into its batch: the delete horizon.
- The last batch of a producer that is still known stays, if need be empty, for the sake of its sequence number. So does
  the last batch of a round, so that the log's end does not move.
"""

import dataclasses
import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ottla_broker.log.config import INT32_MAX, LogConfig
from ottla_broker.log.disk import Disk
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.pace import Pace
from ottla_broker.log.scan import scan_valid
from ottla_broker.log.segment import LOG_SUFFIX, SWAP_EXTENSION, Segment
from ottla_broker.log.transactions import AbortedEntry, CompletedTransaction, TransactionIndex
from ottla_wire.control_records import ControlType, control_type
from ottla_wire.record_scan import RecordSpan, spans
from ottla_wire.records import Record, RecordBatch, rebuild_batch, thin_batch

BYTES_PER_KEY: Final = 200  # what a key takes in the map of offsets, roughly
_LONGEST_KEY: Final = 16  # longer ones are remembered by a digest
_CHUNK: Final = 1024 * 1024


@dataclasses.dataclass(slots=True)
class CompactionPlan:
    """What one round compacts; everything in it stays as it is while a thread works on it."""

    disk: Disk
    directory: Path
    config: LogConfig
    segments: list[Segment]  # as `compactable_segments` has found them
    aborted: list[AbortedEntry]
    last_batches: dict[int, tuple[int, int]]  # of the known producers: last data offset, -1 if there is none, and epoch
    first_dirty: int
    max_keys: int
    now_ms: int

    def run(self, pace: Pace) -> "CompactionResult":
        """Write the new segments, complete and durable, as swap files.

        Raises OSError, CorruptFile or CompactionStopped, having removed them again.
        """
        offsets = self._map_offsets(pace)
        result = CompactionResult([], offsets.end)
        transactions = _Transactions(self.aborted)
        affected = [segment for segment in self.segments if segment.base_offset < offsets.end]
        try:
            for group in _group(affected, self.config):
                result.replacements.append((group, self._compact(group, offsets, transactions, pace)))
            for _, segment in result.replacements:
                segment.rename(SWAP_EXTENSION)
            self.disk.sync_directory(self.directory)
        except BaseException:
            result.discard()
            raise
        return result

    def _map_offsets(self, pace: Pace) -> "_OffsetMap":
        """The last offset of each key in the dirty part, as far as the memory for it goes."""
        offsets = _OffsetMap(self.first_dirty, self.max_keys)
        transactions = _Transactions(entry for entry in self.aborted if entry.last_offset >= self.first_dirty)
        for segment in self.segments:
            if segment.next_offset <= self.first_dirty:
                continue
            for batch in _batches(segment, max(segment.base_offset, self.first_dirty), pace):
                if batch.is_control:
                    transactions.discards_marker(batch, None)
                elif not transactions.discards(batch):
                    base_offset, first_dirty, put = batch.base_offset, self.first_dirty, offsets.put
                    for offset_delta, _, key, *_ in spans(batch.unpack(), batch.record_count):
                        if offset_delta > batch.last_offset_delta:
                            raise CorruptFile(
                                f"{base_offset} begins a batch with a record {base_offset + offset_delta}"
                            )
                        # A round that found no room ended within a batch: what it knew of that must not fill this one.
                        if base_offset + offset_delta >= first_dirty and not put(key, base_offset + offset_delta):
                            return offsets
                offsets.end = max(offsets.end, batch.next_offset)
            offsets.end = max(offsets.end, segment.next_offset)
        return offsets

    def _compact(
        self, group: list[Segment], offsets: "_OffsetMap", transactions: "_Transactions", pace: Pace
    ) -> Segment:
        new = Segment.create_cleaned(self.disk, self.directory, group[0].base_offset, self.now_ms)
        pending = bytearray()
        batches: list[RecordBatch] = []
        try:
            for segment in group:
                for batch in _batches(segment, segment.base_offset, pace):
                    kept = self._retain(batch, offsets, transactions, new.transaction_index)
                    if kept is not None:
                        batches.append(kept)
                        pending += kept.buffer
                    if len(pending) >= _CHUNK:
                        pace.spend(len(pending))
                        new.append(pending, batches, self.config.index_interval_bytes)
                        pending, batches = bytearray(), []
            if batches:
                pace.spend(len(pending))
                new.append(pending, batches, self.config.index_interval_bytes)
            new.close_indexes()
            new.store_indexes()
            new.sync()
        except BaseException:
            new.remove()
            raise
        new.release_indexes()
        return new

    def _retain(
        self, batch: RecordBatch, offsets: "_OffsetMap", transactions: "_Transactions", index: TransactionIndex
    ) -> RecordBatch | None:
        """What stays of a batch, None if nothing does."""
        if batch.is_control:
            over = transactions.discards_marker(batch, index)
            if over and _is_past(batch, self.now_ms):
                return self._emptied(batch, offsets.end)
            if not over or batch.has_delete_horizon:
                return batch
            records = list(batch.records())
            return self._with_horizon(batch, records) if records else self._emptied(batch, offsets.end)
        if transactions.discards(batch):
            return self._emptied(batch, offsets.end)
        unpacked = batch.unpack()
        kept = offsets.kept(batch, unpacked, tombstones=not _is_past(batch, self.now_ms))
        if not kept:
            return self._emptied(batch, offsets.end)
        if not batch.has_delete_horizon and not all(has_value for _, _, _, has_value, *_ in kept):
            deltas = {offset_delta for offset_delta, *_ in kept}
            return self._with_horizon(
                batch, [record for record in batch.records() if record.offset - batch.base_offset in deltas]
            )
        return batch if len(kept) == batch.record_count else RecordBatch(thin_batch(batch, unpacked, kept))

    def _with_horizon(self, batch: RecordBatch, records: list[Record]) -> RecordBatch:
        """The batch with these of its records, some of which may go when delete.retention.ms are over."""
        horizon = self.now_ms + self.config.delete_retention_ms
        return RecordBatch(rebuild_batch(batch, records, delete_horizon_ms=horizon))

    def _emptied(self, batch: RecordBatch, end_offset: int) -> RecordBatch | None:
        return RecordBatch(rebuild_batch(batch, [])) if self._must_stay(batch, end_offset) else None

    def _must_stay(self, batch: RecordBatch, end_offset: int) -> bool:
        last = self.last_batches.get(batch.producer_id) if batch.has_producer_id else None
        if last is not None:
            offset, epoch = last
            if batch.last_offset == offset or (offset < 0 and batch.is_control and batch.producer_epoch == epoch):
                return True
        return batch.next_offset == end_offset


@dataclasses.dataclass(slots=True)
class CompactionResult:
    """New segments, each with those whose place it takes. The log is compacted up to `end_offset`."""

    replacements: list[tuple[list[Segment], Segment]]
    end_offset: int

    def discard(self) -> None:
        """Remove the new segments."""
        for _, segment in self.replacements:
            segment.remove()


class _OffsetMap:
    """The last offset of each key, of no more than `limit` keys; `end` is the offset up to which it is complete."""

    __slots__ = ("_limit", "_offsets", "end")

    def __init__(self, start: int, limit: int) -> None:
        self._offsets: dict[bytes, int] = {}
        self._limit = limit
        self.end = start

    def put(self, key: bytes | None, offset: int) -> bool:
        """Note a record; False if there is no room for its key."""
        if key is not None:
            if len(key) > _LONGEST_KEY:
                key = _shortened(key)
            if len(self._offsets) >= self._limit and key not in self._offsets:
                return False
            self._offsets[key] = offset
        self.end = offset + 1
        return True

    def kept(self, batch: RecordBatch, unpacked: bytes, *, tombstones: bool) -> list[RecordSpan]:
        """The records that stay: the last one of its key each, and if it is a tombstone, only if `tombstones` stay."""
        base_offset, end, find = batch.base_offset, self.end, self._offsets.get
        kept = []
        for span in spans(unpacked, batch.record_count):
            offset_delta, _, key, has_value, *_ = span
            offset = base_offset + offset_delta
            if offset < end:
                if key is None or not (has_value or tombstones):
                    continue
                if offset < find(key if len(key) <= _LONGEST_KEY else _shortened(key), -1):
                    continue
            kept.append(span)
        return kept


class _Transactions:
    """Follows the transactions through the batches, from the start of the log."""

    __slots__ = ("_aborted", "_coming", "_committed")

    def __init__(self, aborted: Iterable[AbortedEntry]) -> None:
        self._coming = deque(sorted(aborted, key=lambda entry: entry.first_offset))
        self._aborted: dict[int, tuple[AbortedEntry, bool]] = {}  # by producer; whether records of it were seen
        self._committed: set[int] = set()

    def _advance(self, offset: int) -> None:
        while self._coming and self._coming[0].first_offset <= offset:
            entry = self._coming.popleft()
            self._aborted[entry.producer_id] = (entry, False)

    def discards(self, batch: RecordBatch) -> bool:
        """Whether a batch of records belongs to an aborted transaction."""
        self._advance(batch.last_offset)
        if not batch.is_transactional:
            return False
        aborted = self._aborted.get(batch.producer_id)
        if aborted is None:
            self._committed.add(batch.producer_id)
            return False
        self._aborted[batch.producer_id] = (aborted[0], True)
        return True

    def discards_marker(self, batch: RecordBatch, index: TransactionIndex | None) -> bool:
        """Whether a control batch is a marker without records to settle; if an abort stays, it is put into `index`."""
        self._advance(batch.last_offset)
        record = next(batch.records(), None)
        if record is None:
            return True
        kind = control_type(record)
        if kind == ControlType.ABORT:
            entry, seen = self._aborted.pop(batch.producer_id, (None, False))
            if entry is None or not seen:
                return True
            if index is not None:
                transaction = CompletedTransaction(
                    entry.producer_id, entry.first_offset, entry.last_offset, aborted=True
                )
                index.append(transaction, entry.last_stable_offset)
            return False
        if kind == ControlType.COMMIT:
            seen = batch.producer_id in self._committed
            self._committed.discard(batch.producer_id)
            return not seen
        return False


def _shortened(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=_LONGEST_KEY).digest()


def _is_past(batch: RecordBatch, now_ms: int) -> bool:
    """Whether the batch's delete horizon is over."""
    return batch.has_delete_horizon and batch.base_timestamp <= now_ms


def _batches(segment: Segment, start_offset: int, pace: Pace) -> Iterator[RecordBatch]:
    """The batches that reach `start_offset`. CorruptFile if the segment is damaged: compaction must not hide that."""
    end = 0
    for position, batch in scan_valid(segment.file, segment.size):
        end = position + batch.size
        pace.spend(batch.size)
        if batch.last_offset >= start_offset:
            yield batch
    if end != segment.size:
        raise CorruptFile(f"{segment.path(LOG_SUFFIX)} is damaged at byte {end} and cannot be compacted")


def _group(segments: list[Segment], config: LogConfig) -> Iterator[list[Segment]]:
    """Neighbours that fit into one segment together, so that small ones do not pile up."""
    group: list[Segment] = []
    size = 0
    for segment in segments:
        too_far = bool(group) and segment.next_offset - group[0].base_offset > INT32_MAX
        if group and (size + segment.size > config.segment_bytes or too_far):
            yield group
            group, size = [], 0
        group.append(segment)
        size += segment.size
    if group:
        yield group


def compactable_segments(
    segments: Iterable[Segment], config: LogConfig, first_dirty: int, end_offset: int, now_ms: int
) -> list[Segment]:
    """The segments to be compacted: from the first to the last that ends by `end_offset` and is old enough.

    None of them if compaction is not due: not enough of them is dirty, that is beyond `first_dirty`, and what is dirty
    is not too old.
    """
    found = []
    for segment in segments:
        young = segment.newest_timestamp()[0] > now_ms - config.min_compaction_lag_ms
        if segment.next_offset > end_offset or (config.min_compaction_lag_ms > 0 and young):
            break
        found.append(segment)
    dirty = [segment for segment in found if segment.next_offset > first_dirty and segment.size > 0]
    if not dirty:
        return []
    ratio = sum(segment.size for segment in dirty) / sum(segment.size for segment in found)
    too_old = 0 <= dirty[0].first_timestamp() < now_ms - config.max_compaction_lag_ms
    return found if ratio > config.min_cleanable_dirty_ratio or too_old else []
