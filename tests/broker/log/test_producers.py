"""Idempotent producers: what is recognised, what is refused, and the snapshot's bytes."""

import struct
from collections.abc import Callable

import crc32c
import msgspec
import pytest

from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.producers import Origin, Producers
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import RecordBatch

PRODUCER = 9
LAST = 2**31 - 1

Send = Callable[..., ErrorCode | None]


@pytest.fixture
def producers() -> Producers:
    return Producers()


@pytest.fixture
def send(producers: Producers, one_batch: Callable[..., bytearray]) -> Send:
    """Appends a batch of records from the sequence on; the error code if it is refused."""
    offsets = iter(range(0, 100_000, 100))

    def append(
        sequence: int,
        *,
        epoch: int = 0,
        records: int = 1,
        transactional: bool = False,
        origin: Origin = Origin.CLIENT,
        now_ms: int = 0,
    ) -> ErrorCode | None:
        batch = one_batch(
            records,
            producer_id=PRODUCER,
            producer_epoch=epoch,
            base_sequence=sequence,
            transactional=transactional,
        )
        stage = producers.stage(origin)
        try:
            stage.data_batch(RecordBatch(batch), next(offsets), now_ms)
        except KafkaError as error:
            return error.code
        stage.commit()
        return None

    return append


def test_15_sequences_continue_where_the_last_batch_ended(send: Send) -> None:
    assert send(0, records=3) is None
    assert send(3, records=2) is None
    assert send(5) is None


@pytest.mark.parametrize("sequence", [0, 4, 6, 7])
def test_15_a_gap_is_out_of_order(send: Send, sequence: int) -> None:
    send(0, records=5)
    assert send(sequence) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_15_the_sequence_wraps_to_zero(send: Send) -> None:
    assert send(LAST - 1) is None
    assert send(LAST) is None
    assert send(0) is None


def test_15_a_batch_may_span_the_wrap(send: Send, producers: Producers) -> None:
    assert send(LAST - 1, records=4) is None
    state = producers.get(PRODUCER)
    assert state is not None
    assert state.batches[-1].first_sequence == LAST - 1
    assert state.last_sequence == 1
    assert send(2) is None


def test_15_a_new_epoch_starts_at_zero(send: Send) -> None:
    send(0, records=5)
    assert send(5, epoch=1) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert send(0, epoch=1) is None
    assert send(1, epoch=1) is None


def test_15_with_no_state_any_sequence_is_accepted(send: Send) -> None:
    assert send(1234) is None


def test_16_an_old_epoch_is_refused(send: Send) -> None:
    send(0, epoch=3)
    assert send(0, epoch=2) is ErrorCode.INVALID_PRODUCER_EPOCH


def test_17_a_write_outside_the_open_transaction_is_refused(send: Send) -> None:
    send(0, transactional=True)
    assert send(1) is ErrorCode.INVALID_TXN_STATE


def test_the_coordinators_writes_have_no_sequence_but_an_epoch(send: Send) -> None:
    assert send(-1, transactional=True, origin=Origin.COORDINATOR) is None
    assert send(-1, transactional=True, origin=Origin.COORDINATOR) is None
    assert send(-1, epoch=1, transactional=True, origin=Origin.COORDINATOR) is None
    assert send(-1, transactional=True, origin=Origin.COORDINATOR) is ErrorCode.INVALID_PRODUCER_EPOCH


def test_what_the_leader_has_accepted_is_not_judged_again(send: Send) -> None:
    send(0, epoch=3)
    assert send(77, epoch=2, origin=Origin.REPLICATION) is None


def test_15_the_last_five_batches_are_recognised(send: Send, producers: Producers) -> None:
    for sequence in range(0, 21, 3):
        send(sequence, records=3)
    state = producers.get(PRODUCER)
    assert state is not None
    found = [state.find(0, sequence, sequence + 2) for sequence in range(0, 21, 3)]
    assert [batch and (batch.first_offset, batch.last_offset) for batch in found] == [
        None,
        None,
        (200, 202),
        (300, 302),
        (400, 402),
        (500, 502),
        (600, 602),
    ]
    assert state.find(0, 18, 19) is None, "only whole batches"
    assert state.find(1, 18, 20) is None, "only of this epoch"


def test_a_marker_from_an_old_coordinator_is_fenced(producers: Producers) -> None:
    stage = producers.stage(Origin.COORDINATOR)
    stage.end_marker(PRODUCER, 0, 5, 10, aborted=False, now_ms=0)
    stage.commit()
    with pytest.raises(KafkaError) as refusal:
        producers.stage(Origin.COORDINATOR).end_marker(PRODUCER, 0, 4, 11, aborted=False, now_ms=0)
    assert refusal.value.code is ErrorCode.TRANSACTION_COORDINATOR_FENCED


def test_a_marker_with_a_new_epoch_starts_the_sequence_anew(send: Send, producers: Producers) -> None:
    send(0, records=5, transactional=True)
    stage = producers.stage(Origin.COORDINATOR)
    stage.end_marker(PRODUCER, 1, 0, 400, aborted=False, now_ms=0)  # KIP-890: the marker bumps the epoch
    stage.commit()
    assert send(5, epoch=0) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert send(5, epoch=1) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert send(0, epoch=1) is None


def test_a_stage_that_is_not_committed_changes_nothing(
    producers: Producers, one_batch: Callable[..., bytearray]
) -> None:
    batch = RecordBatch(one_batch(producer_id=PRODUCER, producer_epoch=0, base_sequence=0))
    producers.stage(Origin.CLIENT).data_batch(batch, 0, 0)
    assert producers.get(PRODUCER) is None


def test_42_silent_producers_expire_unless_a_transaction_is_open(send: Send, producers: Producers) -> None:
    send(0, now_ms=1000)
    producers.expire(1000 + 99, 100)
    assert len(producers) == 1
    producers.expire(1000 + 100, 100)
    assert len(producers) == 0
    send(0, transactional=True, now_ms=1000)
    producers.expire(10**9, 100)
    assert len(producers) == 1


def test_a_snapshot_has_kafkas_bytes(send: Send, producers: Producers) -> None:
    send(0, records=3, epoch=2, transactional=True, now_ms=1234)
    entries = struct.pack(">iqhiqiqiq", 1, PRODUCER, 2, 2, 2, 2, 1234, -1, 0)
    assert producers.encode() == struct.pack(">hI", 1, crc32c.crc32c(entries)) + entries


def test_a_snapshot_brings_back_the_last_batch_and_the_open_transaction(send: Send, producers: Producers) -> None:
    for sequence in range(4):
        send(sequence, transactional=True, now_ms=50)
    restored = Producers.decode(producers.encode())
    before, after = producers.get(PRODUCER), restored.get(PRODUCER)
    assert before is not None
    assert after == msgspec.structs.replace(before, batches=before.batches[-1:])
    assert restored.open_transactions() == [(PRODUCER, 0)]


@pytest.mark.parametrize("position", range(0, 56, 5))
def test_a_damaged_snapshot_is_refused(send: Send, producers: Producers, position: int) -> None:
    send(0)
    data = bytearray(producers.encode())
    data[position % len(data)] ^= 0x40
    with pytest.raises(CorruptFile):
        Producers.decode(bytes(data))
    with pytest.raises(CorruptFile):
        Producers.decode(producers.encode()[:position])
