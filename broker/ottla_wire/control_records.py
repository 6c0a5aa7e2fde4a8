"""Control records: what the broker itself writes into partitions, above all the markers that end transactions.

The key holds a version and a type, the value is a structure of its own per type. Clients skip them.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from ottla_wire.errors import InvalidRecord
from ottla_wire.records import NewRecord, Record, RecordBatch, build_batch

_KEY = struct.Struct(">hh")  # version, type
_END_TXN_VALUE = struct.Struct(">hi")  # version, coordinator epoch


class ControlType(IntEnum):
    """Types of control records, by their number in the key."""

    ABORT = 0
    COMMIT = 1
    LEADER_CHANGE = 2
    SNAPSHOT_HEADER = 3
    SNAPSHOT_FOOTER = 4
    KRAFT_VERSION = 5
    KRAFT_VOTERS = 6


class EndTxnMarker(NamedTuple):
    """What a transaction marker says: the outcome, and the epoch of the coordinator that wrote it."""

    commit: bool
    coordinator_epoch: int


def build_end_txn_marker(
    *,
    commit: bool,
    producer_id: int,
    producer_epoch: int,
    coordinator_epoch: int,
    timestamp: int,
    base_offset: int = 0,
    leader_epoch: int = -1,
) -> bytearray:
    """Make the control batch that ends a producer's transaction in a partition."""
    key = _KEY.pack(0, ControlType.COMMIT if commit else ControlType.ABORT)
    value = _END_TXN_VALUE.pack(0, coordinator_epoch)
    return build_batch(
        [NewRecord(key, value, timestamp)],
        base_offset=base_offset,
        leader_epoch=leader_epoch,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        transactional=True,
        control=True,
    )


def control_type(record: Record) -> int:
    """The type in a control record's key, which may be one that ControlType does not have.

    Raises InvalidRecord for a key that is too short. Keys of newer versions may be longer.
    """
    if record.key is None or len(record.key) < _KEY.size:
        raise InvalidRecord("a control record's key is too short for a version and a type")
    number: int = _KEY.unpack_from(record.key)[1]
    return number


def read_end_txn_marker(batch: RecordBatch) -> EndTxnMarker | None:
    """Read the transaction marker in a control batch; None where it holds another control record, or none any more.

    Raises InvalidRecord for a marker that is malformed.
    """
    for record in batch.records():
        kind = control_type(record)
        if kind not in (ControlType.ABORT, ControlType.COMMIT):
            return None
        if record.value is None or len(record.value) < _END_TXN_VALUE.size:
            raise InvalidRecord("a transaction marker's value is too short for a version and a coordinator epoch")
        return EndTxnMarker(kind == ControlType.COMMIT, _END_TXN_VALUE.unpack_from(record.value)[1])
    return None
