"""The stored form of metadata records."""

import uuid

import pytest

from ottla_broker.cluster.records import (
    ConfigRecord,
    FeatureLevelRecord,
    PartitionChangeRecord,
    PartitionRecord,
    ProducerIdsRecord,
    RemoveTopicRecord,
    TopicRecord,
    decode_record,
    encode_record,
)
from ottla_broker.errors import UnknownRecord
from ottla_wire.errors import MalformedMessage

ID = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")


@pytest.mark.parametrize(
    "record",
    [
        TopicRecord(name="t", topic_id=ID),
        PartitionRecord(
            partition_id=3,
            topic_id=ID,
            replicas=[1, 2],
            isr=[1],
            removing_replicas=[],
            adding_replicas=[],
            leader=1,
            leader_epoch=4,
            partition_epoch=5,
        ),
        PartitionChangeRecord(partition_id=3, topic_id=ID, isr=[2], leader=2),
        ConfigRecord(resource_type=2, resource_name="t", name="retention.ms", value=None),
        RemoveTopicRecord(topic_id=ID),
        FeatureLevelRecord(name="metadata.version", feature_level=25),
        ProducerIdsRecord(broker_id=1, broker_epoch=2, next_producer_id=1000),
    ],
    ids=lambda record: type(record).__name__,
)
def test_records_come_back_as_they_went(record: TopicRecord) -> None:
    assert decode_record(encode_record(record)) == record


def test_the_stored_form_is_kafkas() -> None:
    """Frame version 1, type 2, version 0, compact string, uuid, no tagged fields."""
    assert encode_record(TopicRecord(name="t", topic_id=ID)) == b"\x01\x02\x00" + b"\x02t" + ID.bytes + b"\x00"


@pytest.mark.parametrize("value", [b"\x01\x7f\x00\x00", b"\x01\x02\x09\x00", b"\x02\x02\x00\x00"])
def test_an_unknown_record_is_refused(value: bytes) -> None:
    with pytest.raises(UnknownRecord):
        decode_record(value)


@pytest.mark.parametrize("value", [b"", b"\x01\x02", b"\x01\x02\x00\x09t"])
def test_a_record_cut_short_is_malformed(value: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_record(value)
