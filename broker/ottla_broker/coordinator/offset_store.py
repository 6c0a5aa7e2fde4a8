"""The committed offsets of one partition of `__consumer_offsets`, and those that still wait for a transaction. Pure.

Offsets that a producer commits within a transaction are kept apart until the transaction's marker arrives in this
partition, and only then take effect or disappear. All changes come through `replay` and `replay_marker`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ottla_broker.coordinator.group_records import OffsetCommitKey, OffsetCommitValue
from ottla_wire.records import NO_PRODUCER_ID

Partition = tuple[str, int]


class CommittedOffset(NamedTuple):
    """What a group has committed for a partition, and at which offset of the log that is written."""

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int
    expire_timestamp_ms: int
    """-1: as the broker's retention says."""
    log_offset: int


class OffsetStore:
    """Offsets by group and partition."""

    def __init__(self) -> None:
        self._committed: dict[str, dict[Partition, CommittedOffset]] = {}
        self._pending: dict[int, dict[str, dict[Partition, CommittedOffset]]] = {}
        self._open: dict[str, set[int]] = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OffsetStore):
            return NotImplemented
        return (self._committed, self._pending, self._open) == (other._committed, other._pending, other._open)

    __hash__ = None  # type: ignore[assignment]

    # -- reading

    def committed(self, group_id: str) -> Mapping[Partition, CommittedOffset]:
        return self._committed.get(group_id, {})

    def all_committed(self) -> Iterator[tuple[str, str, int, int]]:
        """Every (group, topic, partition, offset)."""
        for group_id, offsets in self._committed.items():
            for (topic, index), committed in offsets.items():
                yield group_id, topic, index, committed.offset

    def has_pending(self, group_id: str, partition: Partition) -> bool:
        """Whether an open transaction is about to commit an offset for `partition`."""
        return any(partition in self._pending[producer_id][group_id] for producer_id in self._open.get(group_id, ()))

    def has_open_transaction(self, group_id: str) -> bool:
        return group_id in self._open

    def is_empty(self, group_id: str) -> bool:
        """Whether nothing is committed or pending for the group."""
        return group_id not in self._committed and group_id not in self._open

    def groups(self) -> Iterator[str]:
        """Every group with an offset, committed or pending, once."""
        return iter(dict.fromkeys([*self._committed, *self._open]))

    def partitions(self, group_id: str) -> Iterator[Partition]:
        """Every partition with an offset of the group, committed or pending, once."""
        seen = dict.fromkeys(self.committed(group_id))
        for producer_id in self._open.get(group_id, ()):
            seen |= dict.fromkeys(self._pending[producer_id][group_id])
        return iter(seen)

    # -- changes

    def replay(self, key: OffsetCommitKey, value: OffsetCommitValue | None, log_offset: int, producer_id: int) -> None:
        """Take over a record. One of a producer's batch is pending until that producer's marker."""
        partition = (key.topic, key.partition)
        if value is None:
            self._remove(key.group, partition)
            return
        offset = CommittedOffset(
            offset=value.offset,
            leader_epoch=value.leader_epoch,
            metadata=value.metadata,
            commit_timestamp_ms=value.commit_timestamp,
            expire_timestamp_ms=value.expire_timestamp,
            log_offset=log_offset,
        )
        if producer_id == NO_PRODUCER_ID:
            self._committed.setdefault(key.group, {})[partition] = offset
        else:
            self._pending.setdefault(producer_id, {}).setdefault(key.group, {})[partition] = offset
            self._open.setdefault(key.group, set()).add(producer_id)

    def replay_marker(self, producer_id: int, committed: bool) -> None:
        """A transaction has ended: its offsets take effect, or are forgotten."""
        for group_id, offsets in self._pending.pop(producer_id, {}).items():
            self._close(group_id, producer_id)
            if not committed:
                continue
            group = self._committed.setdefault(group_id, {})
            for partition, offset in offsets.items():
                # The later record wins, whichever way it was committed.
                former = group.get(partition)
                if former is None or former.log_offset < offset.log_offset:
                    group[partition] = offset
            if not group:
                del self._committed[group_id]

    def _remove(self, group_id: str, partition: Partition) -> None:
        group = self._committed.get(group_id)
        if group is not None:
            group.pop(partition, None)
            if not group:
                del self._committed[group_id]
        for producer_id in self._open.get(group_id, ()):
            # The transaction stays open for the group, even with nothing left: its marker is still to come.
            self._pending[producer_id][group_id].pop(partition, None)

    def _close(self, group_id: str, producer_id: int) -> None:
        producers = self._open[group_id]
        producers.discard(producer_id)
        if not producers:
            del self._open[group_id]
