"""What a partition remembers of its idempotent and transactional producers (KIP-98, KIP-360, KIP-890). Pure.

For each producer id: its epoch, its last five batches, and where its open transaction began. An append is checked and
applied in two steps, because the bytes are written in between and may fail:

    stage = producers.stage(Origin.CLIENT)      # `stage_batches` does this and the next for a whole append
    stage.data_batch(...)               # or stage.control_batch(...); raises KafkaError and changes nothing
    ... write ...
    stage.commit()                      # and then stage.begun and stage.completed go to `OpenTransactions.apply`

The state is saved beside the segments in `OFFSET.snapshot` files, byte for byte Kafka's: int16 version = 1, uint32
CRC-32C of what follows, int32 count, and per producer int64 id, int16 epoch, int32 last sequence, int64 last offset,
int32 offset delta of the last batch, int64 timestamp, int32 coordinator epoch, int64 first offset of the open
transaction or -1.
"""

import enum
import struct
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.header import BatchLike
from ottla_broker.log.transactions import CompletedTransaction
from ottla_wire.checksum import crc32c
from ottla_wire.control_records import read_end_txn_marker
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import RecordBatch

NO_EPOCH: Final = -1
NO_SEQUENCE: Final = -1
NO_OFFSET: Final = -1

RETAINED_BATCHES: Final = 5  # as many as a producer may have in flight with idempotence
_SEQUENCE_MODULUS: Final = 2**31

_SNAPSHOT_VERSION: Final = 1
_SNAPSHOT_HEAD: Final = struct.Struct(">hI")
_SNAPSHOT_COUNT: Final = struct.Struct(">i")
_SNAPSHOT_ENTRY: Final = struct.Struct(">qhiqiqiq")


class Origin(enum.Enum):
    """Where an append comes from, and so how much of it is checked (Kafka's AppendOrigin)."""

    CLIENT = "client"  # a produce request: everything
    COORDINATOR = "coordinator"  # offset commits and markers: the epoch, no sequence
    REPLICATION = "replication"  # the leader has checked it; offsets and epochs are taken as they are


# For who asks at every append: a global is found in a tenth of the time that a member of an Enum takes (Python 3.11).
CLIENT, COORDINATOR, REPLICATION = Origin


class AppendedBatch(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of a batch: enough to recognise it when it comes again."""

    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int

    @property
    def first_sequence(self) -> int:
        return (self.last_sequence - self.offset_delta) % _SEQUENCE_MODULUS

    @property
    def first_offset(self) -> int:
        return self.last_offset - self.offset_delta


class ProducerState(msgspec.Struct, frozen=True, gc=False):
    """One producer's state; every append makes a new one.

    `last_timestamp` is when the broker last heard of it. (Kafka takes the records' own time, so that a producer of
    old events expires at once and its retries are no longer recognised.)
    """

    producer_id: int
    epoch: int = NO_EPOCH
    coordinator_epoch: int = -1
    last_timestamp: int = -1
    transaction_first_offset: int = NO_OFFSET
    batches: tuple[AppendedBatch, ...] = ()

    @property
    def last_sequence(self) -> int:
        return self.batches[-1].last_sequence if self.batches else NO_SEQUENCE

    def find(self, epoch: int, base_sequence: int, last_sequence: int) -> AppendedBatch | None:
        """The remembered batch with exactly these sequences, if there is one."""
        if epoch == self.epoch:
            for batch in self.batches:
                if batch.last_sequence == last_sequence and batch.first_sequence == base_sequence:
                    return batch
        return None


class Stage:
    """The changes of one append, checked but not yet applied."""

    __slots__ = ("_origin", "_producers", "_states", "begun", "completed")

    def __init__(self, producers: "Producers", origin: Origin) -> None:
        self._producers = producers
        self._origin = origin
        self._states: dict[int, ProducerState] = {}
        self.begun: list[tuple[int, int]] = []
        self.completed: list[CompletedTransaction] = []

    def _state(self, producer_id: int) -> ProducerState:
        state = self._states.get(producer_id) or self._producers.get(producer_id)
        return state if state is not None else ProducerState(producer_id)

    def data_batch(self, batch: BatchLike, base_offset: int, now_ms: int) -> None:
        """Check and stage a batch of records that is to begin at `base_offset`.

        Raises INVALID_PRODUCER_EPOCH for a fenced producer, OUT_OF_ORDER_SEQUENCE_NUMBER for a gap in the sequence,
        INVALID_TXN_STATE for records outside the producer's open transaction.
        """
        producer_id, epoch, transactional = batch.producer_id, batch.producer_epoch, batch.is_transactional
        state = self._state(producer_id)
        self._check_epoch(state, epoch)
        if self._origin is CLIENT:
            _check_sequence(state, epoch, batch.base_sequence)
        first_offset = state.transaction_first_offset
        if first_offset != NO_OFFSET and not transactional and self._origin is not REPLICATION:
            raise KafkaError(
                ErrorCode.INVALID_TXN_STATE,
                f"Producer {producer_id} wrote outside its transaction, which is open since offset {first_offset}",
            )
        if first_offset == NO_OFFSET and transactional:
            first_offset = base_offset
            self.begun.append((producer_id, base_offset))
        kept = state.batches[1 - RETAINED_BATCHES :] if epoch == state.epoch else ()
        delta = batch.last_offset - batch.base_offset
        appended = AppendedBatch(batch.last_sequence, base_offset + delta, delta, now_ms)
        self._states[producer_id] = ProducerState(
            producer_id, epoch, state.coordinator_epoch, now_ms, first_offset, (*kept, appended)
        )

    def control_batch(self, batch: RecordBatch, base_offset: int, now_ms: int) -> None:
        """Check and stage a control batch: a transaction marker, or something that concerns no producer.

        Raises as `end_marker`, and InvalidRecord for a malformed marker.
        """
        marker = read_end_txn_marker(batch)
        if marker is not None:
            self.end_marker(
                batch.producer_id,
                batch.producer_epoch,
                marker.coordinator_epoch,
                base_offset,
                aborted=not marker.commit,
                now_ms=now_ms,
            )

    def end_marker(
        self, producer_id: int, epoch: int, coordinator_epoch: int, offset: int, *, aborted: bool, now_ms: int
    ) -> None:
        """Check and stage the marker that ends a transaction; one for a transaction without records changes only
        epochs.

        Raises INVALID_PRODUCER_EPOCH, or TRANSACTION_COORDINATOR_FENCED for a marker from an old coordinator.
        """
        state = self._state(producer_id)
        self._check_epoch(state, epoch)
        if coordinator_epoch < state.coordinator_epoch and self._origin is not REPLICATION:
            raise KafkaError(
                ErrorCode.TRANSACTION_COORDINATOR_FENCED,
                f"The marker for producer {producer_id} comes from coordinator epoch {coordinator_epoch}, "
                f"the current one is {state.coordinator_epoch}",
            )
        if state.transaction_first_offset != NO_OFFSET:
            first_offset = state.transaction_first_offset
            self.completed.append(CompletedTransaction(producer_id, first_offset, offset, aborted))
        batches = state.batches if epoch == state.epoch else ()
        self._states[producer_id] = ProducerState(producer_id, epoch, coordinator_epoch, now_ms, NO_OFFSET, batches)

    def _check_epoch(self, state: ProducerState, epoch: int) -> None:
        if epoch < state.epoch and self._origin is not REPLICATION:
            raise KafkaError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"Producer {state.producer_id} wrote with epoch {epoch}, the current one is {state.epoch}",
            )

    def commit(self) -> None:
        """Apply the changes."""
        self._producers.update(self._states)


def _check_sequence(state: ProducerState, epoch: int, base_sequence: int) -> None:
    if state.epoch == NO_EPOCH:
        return  # nothing is known, perhaps because it was deleted or has expired: any sequence may follow
    expected = (state.last_sequence + 1) % _SEQUENCE_MODULUS if epoch == state.epoch else 0
    if base_sequence != expected:
        raise KafkaError(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"Producer {state.producer_id} (epoch {epoch}) wrote sequence {base_sequence} where {expected} is next",
        )


class Producers:
    """The states of all producers of one partition."""

    __slots__ = ("_states",)

    def __init__(self, states: Iterable[ProducerState] = ()) -> None:
        self._states = {state.producer_id: state for state in states}

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[ProducerState]:
        return iter(self._states.values())

    def get(self, producer_id: int) -> ProducerState | None:
        return self._states.get(producer_id)

    def find(self, batch: RecordBatch) -> AppendedBatch | None:
        """What is remembered of a batch that its producer has sent before."""
        state = self._states.get(batch.producer_id)
        return state.find(batch.producer_epoch, batch.base_sequence, batch.last_sequence) if state else None

    def update(self, states: dict[int, ProducerState]) -> None:
        self._states.update(states)

    def stage(self, origin: Origin) -> Stage:
        """Begin to check an append."""
        return Stage(self, origin)

    def stage_batches(self, batches: Iterable[RecordBatch], origin: Origin, now_ms: int) -> Stage | None:
        """Check batches that have their offsets; None if none of them has a producer. Raises as `Stage` does."""
        stage = None
        for batch in batches:
            if batch.producer_id >= 0:
                stage = stage or Stage(self, origin)
                if batch.is_control:
                    stage.control_batch(batch, batch.base_offset, now_ms)
                else:
                    stage.data_batch(batch, batch.base_offset, now_ms)
        return stage

    def expire(self, now_ms: int, expiration_ms: int) -> None:
        """Forget the producers that were silent for `expiration_ms`, unless a transaction of theirs is open."""
        self._states = {
            producer_id: state
            for producer_id, state in self._states.items()
            if state.transaction_first_offset != NO_OFFSET or now_ms - state.last_timestamp < expiration_ms
        }

    def open_transactions(self) -> list[tuple[int, int]]:
        """The (producer id, first offset) of every open transaction, in the order in which they began."""
        states = [state for state in self._states.values() if state.transaction_first_offset != NO_OFFSET]
        states.sort(key=lambda state: state.transaction_first_offset)
        return [(state.producer_id, state.transaction_first_offset) for state in states]

    def last_batches(self) -> dict[int, tuple[int, int]]:
        """The last offset of each producer's last batch (-1 if it has none), and the producer's epoch."""
        return {
            state.producer_id: (state.batches[-1].last_offset if state.batches else -1, state.epoch) for state in self
        }

    def encode(self) -> bytes:
        """The contents of a snapshot file."""
        entries = bytearray(_SNAPSHOT_COUNT.pack(len(self._states)))
        for state in self._states.values():
            last = state.batches[-1] if state.batches else AppendedBatch(NO_SEQUENCE, NO_OFFSET, 0, -1)
            entries += _SNAPSHOT_ENTRY.pack(
                state.producer_id,
                state.epoch,
                last.last_sequence,
                last.last_offset,
                last.offset_delta,
                state.last_timestamp,
                state.coordinator_epoch,
                state.transaction_first_offset,
            )
        return _SNAPSHOT_HEAD.pack(_SNAPSHOT_VERSION, crc32c(entries)) + entries

    @classmethod
    def decode(cls, data: bytes) -> "Producers":
        """The producers of a snapshot file; CorruptFile if its checksum, version or length is wrong."""
        head = _SNAPSHOT_HEAD.size + _SNAPSHOT_COUNT.size
        if len(data) < head:
            raise CorruptFile(f"The producer snapshot has only {len(data)} bytes")
        version, checksum = _SNAPSHOT_HEAD.unpack_from(data)
        if version != _SNAPSHOT_VERSION:
            raise CorruptFile(f"The producer snapshot has version {version}, not {_SNAPSHOT_VERSION}")
        if crc32c(data[_SNAPSHOT_HEAD.size :]) != checksum:
            raise CorruptFile("The producer snapshot does not match its checksum")
        (count,) = _SNAPSHOT_COUNT.unpack_from(data, _SNAPSHOT_HEAD.size)
        if len(data) != head + count * _SNAPSHOT_ENTRY.size:
            raise CorruptFile(f"The producer snapshot has {len(data)} bytes for {count} producers")
        return cls(_decode_state(*fields) for fields in _SNAPSHOT_ENTRY.iter_unpack(data[head:]))


def _decode_state(
    producer_id: int,
    epoch: int,
    last_sequence: int,
    last_offset: int,
    offset_delta: int,
    timestamp: int,
    coordinator_epoch: int,
    transaction_first_offset: int,
) -> ProducerState:
    batches = () if last_offset < 0 else (AppendedBatch(last_sequence, last_offset, offset_delta, timestamp),)
    return ProducerState(producer_id, epoch, coordinator_epoch, timestamp, transaction_first_offset, batches)
