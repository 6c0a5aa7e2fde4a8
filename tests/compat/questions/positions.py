"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords."""

from ottla_wire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from ottla_wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from ottla_wire.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

from ..answers import BASE_MS
from .asking import Ask, Topic, question
from .fetch import NOWHERE


def offsets(topic: Topic, *timestamps: int, **fields: int) -> ListOffsetsRequest:
    """The offset of one timestamp, in partition 0 unless `index` says otherwise."""
    epoch = fields.pop("current_leader_epoch", -1)
    index = fields.pop("index", 0)
    partitions = [
        ListOffsetsPartition(partition_index=index, current_leader_epoch=epoch, timestamp=timestamp)
        for timestamp in timestamps
    ]
    topics = [ListOffsetsTopic(name=topic.name, partitions=partitions)]
    return ListOffsetsRequest(**{"replica_id": -1, "topics": topics, **fields})


@question(ListOffsetsRequest)
def offsets_of_every_kind(ask: Ask) -> None:
    topic = ask.filled_topic()
    for timestamp in (-1, -2, -3, -4, -5, -6, -7, 0, BASE_MS, BASE_MS + 1, BASE_MS + 2, BASE_MS + 3):
        ask(offsets(topic, timestamp))


@question(ListOffsetsRequest)
def offsets_of_an_empty_partition(ask: Ask) -> None:
    topic = ask.topic()
    for timestamp in (-1, -2, -3, -4, -5, 0):
        ask(offsets(topic, timestamp))


@question(ListOffsetsRequest)
def offsets_of_what_does_not_exist(ask: Ask) -> None:
    topic = ask.topic()
    ask(offsets(NOWHERE, -1))
    ask(offsets(topic, -1, index=7))


@question(ListOffsetsRequest)
def two_offsets_of_one_partition(ask: Ask) -> None:
    ask(offsets(ask.filled_topic(), -1, -2))


@question(ListOffsetsRequest)
def offsets_of_nothing(ask: Ask) -> None:
    topic = ask.topic()
    ask(ListOffsetsRequest(replica_id=-1, topics=[]))
    ask(ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic.name, partitions=[])]))
    ask(offsets(topic, -1, index=-1))


@question(ListOffsetsRequest)
def offsets_after_records_were_deleted(ask: Ask) -> None:
    topic = ask.filled_topic()
    partition = DeleteRecordsPartition(partition_index=0, offset=2)
    topics = [DeleteRecordsTopic(name=topic.name, partitions=[partition])]
    ask.quietly(DeleteRecordsRequest(topics=topics, timeout_ms=5_000))
    for timestamp in (-1, -2, BASE_MS, BASE_MS + 2):
        ask(offsets(topic, timestamp))


@question(ListOffsetsRequest, "2-11")
def offsets_for_who_reads_committed(ask: Ask) -> None:
    ask(offsets(ask.filled_topic(), -1, isolation_level=1))


@question(ListOffsetsRequest, "4-11")
def offsets_of_another_leader_epoch(ask: Ask) -> None:
    topic = ask.filled_topic()
    for epoch in (0, 17):
        ask(offsets(topic, -1, current_leader_epoch=epoch))


# --- OffsetForLeaderEpoch


@question(OffsetForLeaderEpochRequest)
def ends_of_leader_epochs(ask: Ask) -> None:
    topic = ask.filled_topic()
    for name, index, current, epoch in (
        (topic.name, 0, -1, 0),
        (topic.name, 0, 0, 0),
        (topic.name, 0, -1, 5),
        (topic.name, 0, 17, 0),
        (topic.name, 0, -1, -1),
        (topic.name, 7, -1, 0),
        ("no.such.topic", 0, -1, 0),
    ):
        partition = OffsetForLeaderPartition(partition=index, current_leader_epoch=current, leader_epoch=epoch)
        ask(OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic=name, partitions=[partition])]))


# --- DeleteRecords


@question(DeleteRecordsRequest)
def records_deleted_up_to_an_offset(ask: Ask) -> None:
    topic = ask.filled_topic()
    for name, index, offset in (
        (topic.name, 0, 2),
        (topic.name, 0, 1),
        (topic.name, 0, 100),
        (topic.name, 0, -2),
        (topic.name, 0, -1),
        (topic.name, 7, 0),
        ("no.such.topic", 0, 0),
        ("__consumer_offsets", 0, 0),
    ):
        partition = DeleteRecordsPartition(partition_index=index, offset=offset)
        topics = [DeleteRecordsTopic(name=name, partitions=[partition])]
        ask(DeleteRecordsRequest(topics=topics, timeout_ms=5_000))


@question(DeleteRecordsRequest)
def records_deleted_twice_in_a_request(ask: Ask) -> None:
    topic = ask.filled_topic()
    partitions = [DeleteRecordsPartition(partition_index=0, offset=offset) for offset in (1, 2)]
    ask(DeleteRecordsRequest(topics=[DeleteRecordsTopic(name=topic.name, partitions=partitions)], timeout_ms=5_000))


@question(DeleteRecordsRequest)
def records_deleted_from_a_compacted_topic(ask: Ask) -> None:
    for policy in ("compact", "compact,delete"):
        topic = ask.topic(kind=policy.replace(",", "."), cleanup_policy=policy)
        partition = DeleteRecordsPartition(partition_index=0, offset=0)
        topics = [DeleteRecordsTopic(name=topic.name, partitions=[partition])]
        ask(DeleteRecordsRequest(topics=topics, timeout_ms=5_000))
