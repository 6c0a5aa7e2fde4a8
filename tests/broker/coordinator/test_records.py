"""The bytes of coordinator records: Kafka's schemas behind their int16 of type or version."""

import contextlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla_broker.coordinator import consumer_records, group_records, transaction_records
from ottla_broker.coordinator.consumer_member import ConsumerMember, MemberState
from ottla_broker.coordinator.decision import CoordinatorRecord
from ottla_broker.coordinator.errors import UnreadableRecord
from ottla_broker.coordinator.group_records import (
    GroupMetadataKey,
    GroupMetadataValue,
    OffsetCommitKey,
    OffsetCommitValue,
)
from ottla_broker.coordinator.groups import RECORD_TYPES
from ottla_broker.coordinator.records import RecordCodec
from ottla_broker.coordinator.transaction_records import PartitionsSchema, TransactionLogKey, TransactionLogValue

GROUPS = RecordCodec(RECORD_TYPES, group_records.offset_value_version)
TRANSACTIONS = RecordCodec(transaction_records.RECORD_TYPES)


def test_an_offset_is_written_as_kafka_writes_it():
    key, value = GROUPS.encode(
        CoordinatorRecord(
            OffsetCommitKey(group="g", topic="t", partition=2),
            OffsetCommitValue(offset=5, leader_epoch=1, metadata="m", commit_timestamp=9),
        )
    )
    assert key == b"\x00\x01\x00\x01g\x00\x01t\x00\x00\x00\x02"
    assert value == b"\x00\x03" + (5).to_bytes(8) + b"\x00\x00\x00\x01\x00\x01m" + (9).to_bytes(8)


def test_an_offset_with_an_expiry_is_written_in_version_1_which_alone_has_it():
    _, value = GROUPS.encode(
        CoordinatorRecord(
            OffsetCommitKey(group="g", topic="t", partition=2),
            OffsetCommitValue(offset=5, metadata="", commit_timestamp=9, expire_timestamp=11),
        )
    )
    assert value == b"\x00\x01" + (5).to_bytes(8) + b"\x00\x00" + (9).to_bytes(8) + (11).to_bytes(8)


def test_a_group_is_written_as_kafka_writes_it():
    key, value = GROUPS.encode(
        CoordinatorRecord(
            GroupMetadataKey(group="g"),
            GroupMetadataValue(
                protocol_type="consumer",
                generation=3,
                protocol=None,
                leader=None,
                current_state_timestamp=9,
                members=[],
            ),
        )
    )
    assert key == b"\x00\x02\x00\x01g"
    expected = b"\x00\x03\x00\x08consumer\x00\x00\x00\x03\xff\xff\xff\xff"
    assert value == expected + (9).to_bytes(8) + b"\x00\x00\x00\x00"


def test_a_transaction_is_written_as_kafka_writes_it():
    key, value = TRANSACTIONS.encode(
        CoordinatorRecord(
            TransactionLogKey(transactional_id="x"),
            TransactionLogValue(
                producer_id=7,
                producer_epoch=1,
                transaction_timeout_ms=60_000,
                transaction_status=1,
                transaction_partitions=[PartitionsSchema(topic="t", partition_ids=[0])],
                transaction_last_update_timestamp_ms=9,
                transaction_start_timestamp_ms=8,
            ),
        )
    )
    assert key == b"\x00\x00\x00\x01x"
    partitions = b"\x02\x02t\x02\x00\x00\x00\x00\x00"
    timestamps = (9).to_bytes(8) + (8).to_bytes(8)
    head = b"\x00\x01" + (7).to_bytes(8) + b"\x00\x01" + (60_000).to_bytes(4) + b"\x01"
    assert value == head + partitions + timestamps + b"\x00"


def test_a_tombstone_has_no_value():
    record = CoordinatorRecord(GroupMetadataKey(group="g"), None)
    key, value = GROUPS.encode(record)
    assert value is None
    assert GROUPS.decode(key, value) == record


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (b"\x00\x63\x00\x01g", b"", "type 99"),
        (b"\x00\x02\x00\x01g", b"\x00\x09", "no version 9"),
        (b"\x00\x02\x00\x05g", None, "cannot be read"),
        (b"\x00\x02\x00\x01g", b"\x00\x03\x00", "cannot be read"),
        (None, None, "cannot be read"),
    ],
)
def test_a_record_that_is_not_ours_is_unreadable(key, value, message):
    with pytest.raises(UnreadableRecord, match=message):
        GROUPS.decode(key, value)


@given(st.binary(max_size=60), st.none() | st.binary(max_size=60))
def test_any_bytes_are_read_or_unreadable(key, value):
    for codec in (GROUPS, TRANSACTIONS):
        with contextlib.suppress(UnreadableRecord):
            codec.decode(key, value)


# -- consumer groups


def test_a_consumer_group_is_written_as_kafka_writes_it():
    key, value = GROUPS.encode(
        CoordinatorRecord(
            consumer_records.ConsumerGroupMetadataKey(group_id="g"),
            consumer_records.ConsumerGroupMetadataValue(epoch=3, metadata_hash=-2),
        )
    )
    assert key == b"\x00\x03\x00\x01g"
    assert value == b"\x00\x00" + (3).to_bytes(4) + b"\x01\x00\x08" + (-2).to_bytes(8, signed=True)


def test_what_a_member_has_is_written_with_the_epochs_that_gave_it():
    topic_id = uuid.UUID(int=7)
    member = ConsumerMember(member_id="m", epoch=5, previous_epoch=4, assigned={(topic_id, 1): 3, (topic_id, 0): 5})
    key, value = GROUPS.encode(
        CoordinatorRecord(
            consumer_records.ConsumerGroupCurrentMemberAssignmentKey(group_id="g", member_id="m"),
            member.current_assignment(),
        )
    )
    assert key == b"\x00\x08\x00\x01g\x00\x01m"
    numbers = [number.to_bytes(4) for number in (5, 4, 0, 1, 5, 3)]
    parts = [
        *(b"\x00\x00", *numbers[:2], b"\x00"),  # epoch, epoch before, STABLE
        *(b"\x02", topic_id.bytes, b"\x03", *numbers[2:4]),  # one topic with two partitions
        *(b"\x01\x00\x09\x03", *numbers[4:]),  # tag 0: two epochs
        *(b"\x01", b"\x00"),  # nothing to be given up, and no tags
    ]
    assert value == b"".join(parts)


def test_a_state_and_epochs_that_are_not_known_are_read_carefully():
    value = consumer_records.ConsumerGroupCurrentMemberAssignmentValue(
        member_epoch=5,
        previous_member_epoch=4,
        state=9,
        assigned_partitions=[consumer_records.CurrentTopicPartitions(topic_id=uuid.UUID(int=7), partitions=[0])],
        partitions_pending_revocation=[],
    )
    member = ConsumerMember(member_id="m").with_current_assignment(value)
    assert member.state is MemberState.UNKNOWN
    assert member.assigned == {(uuid.UUID(int=7), 0): 5}, "written by a version that did not keep epochs"
