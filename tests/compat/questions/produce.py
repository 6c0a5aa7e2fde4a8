"""Produce."""

import uuid

from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.records import Compression, TimestampType

from ..answers import NO_ID
from .asking import Ask, Topic, batch, produce, question, sealed
from .fetch import NOWHERE, fetch


@question(ProduceRequest)
def a_batch_is_stored(ask: Ask) -> None:
    topic = ask.topic()
    for acks in (-1, 1):
        ask(produce(topic, batch(b"a", b"b"), acks=acks))
    ask(fetch(topic, 0), version=12)


@question(ProduceRequest)
def a_batch_with_the_time_of_the_log(ask: Ask) -> None:
    topic = ask.topic(message_timestamp_type="LogAppendTime")
    for _ in range(2):
        ask(produce(topic, batch(b"a", b"b", producer_id=10**9, producer_epoch=0, base_sequence=0)))
    ask(produce(topic, batch(b"a", timestamp_type=TimestampType.LOG_APPEND_TIME)))


@question(ProduceRequest)
def a_batch_for_a_topic_that_does_not_exist(ask: Ask) -> None:
    ask(produce(NOWHERE, batch(b"a")))


@question(ProduceRequest)
def a_batch_for_a_partition_that_does_not_exist(ask: Ask) -> None:
    topic = ask.topic()
    ask(produce(topic, batch(b"a"), index=7))
    ask(produce(topic, batch(b"a"), index=-1))


@question(ProduceRequest)
def a_batch_that_nobody_acknowledges(ask: Ask) -> None:
    topic = ask.topic()
    ask.unanswered(produce(topic, batch(b"a"), acks=0))
    ask(fetch(topic, 0), version=12)
    ask.unanswered(produce(topic, batch(b"a"), acks=0, index=7))
    ask(fetch(topic, 0), version=12)


@question(ProduceRequest)
def acknowledgements_that_do_not_exist(ask: Ask) -> None:
    ask(produce(ask.topic(), batch(b"a"), acks=2))


@question(ProduceRequest)
def two_batches_for_one_partition(ask: Ask) -> None:
    ask(produce(ask.topic(), batch(b"a") + batch(b"b")))


@question(ProduceRequest)
def no_batch_at_all(ask: Ask) -> None:
    """Null instead of no bytes is not asked: Apache Kafka never answers that."""
    ask(produce(ask.topic(), b""))


@question(ProduceRequest)
def a_batch_whose_checksum_is_wrong(ask: Ask) -> None:
    data = batch(b"a")
    data[-1] ^= 1
    ask(produce(ask.topic(), data))


@question(ProduceRequest)
def a_batch_that_is_cut(ask: Ask) -> None:
    ask(produce(ask.topic(), batch(b"a", b"b")[:-3]))


@question(ProduceRequest)
def a_batch_of_an_old_format(ask: Ask) -> None:
    data = batch(b"a")
    data[16] = 1
    ask(produce(ask.topic(), data))


@question(ProduceRequest)
def a_batch_of_every_compression(ask: Ask) -> None:
    topic = ask.topic()
    for compression in Compression:
        ask(produce(topic, batch(b"a" * 100, compression=compression)))


@question(ProduceRequest)
def a_batch_of_a_compression_that_does_not_exist(ask: Ask) -> None:
    data = batch(b"a")
    data[22] |= 5
    ask(produce(ask.topic(), sealed(data)))


@question(ProduceRequest)
def a_batch_that_contradicts_itself(ask: Ask) -> None:
    """The offset of the last record and the number of records are in the header; then there are the lengths."""
    topic = ask.topic()
    for position, size, value in ((23, 4, 7), (23, 4, -1), (57, 4, 7), (57, 4, 0), (57, 4, -1), (8, 4, 20), (8, 4, -1)):
        data = batch(b"a", b"b")
        data[position : position + size] = value.to_bytes(size, "big", signed=True)
        ask(produce(topic, sealed(data)))


@question(ProduceRequest)
def a_compressed_batch_that_is_damaged(ask: Ask) -> None:
    for compression in (Compression.GZIP, Compression.LZ4, Compression.ZSTD, Compression.SNAPPY):
        data = batch(b"a" * 100, compression=compression)
        data[-8:] = bytes(8)
        ask(produce(ask.topic(kind=compression.name), sealed(data)))


@question(ProduceRequest)
def a_batch_that_is_too_large(ask: Ask) -> None:
    ask(produce(ask.topic(max_message_bytes="100"), batch(b"a" * 100)))


@question(ProduceRequest)
def a_record_without_key_for_a_compacted_topic(ask: Ask) -> None:
    ask(produce(ask.topic(cleanup_policy="compact"), batch(b"a", key=None)))


@question(ProduceRequest)
def a_record_from_the_future(ask: Ask) -> None:
    topic = ask.topic(message_timestamp_after_max_ms="1000", message_timestamp_before_max_ms="1000")
    ask(produce(topic, batch(b"a")))


@question(ProduceRequest)
def a_control_batch_from_a_client(ask: Ask) -> None:
    ask(produce(ask.topic(), batch(b"a", control=True, producer_id=1, producer_epoch=0, base_sequence=0)))


@question(ProduceRequest)
def a_batch_that_claims_the_time_of_the_log(ask: Ask) -> None:
    ask(produce(ask.topic(), batch(b"a", timestamp_type=TimestampType.LOG_APPEND_TIME)))


@question(ProduceRequest)
def a_sequence_of_a_producer(ask: Ask) -> None:
    topic = ask.topic()
    for epoch, sequence in ((3, 0), (3, 0), (3, 1), (3, 7), (2, 2), (4, 5), (4, 0), (3, 2)):
        ask(produce(topic, batch(b"a", producer_id=10**9, producer_epoch=epoch, base_sequence=sequence)))


@question(ProduceRequest)
def the_last_five_batches_and_the_one_before(ask: Ask) -> None:
    topic = ask.topic()
    for sequence in (0, 1, 2, 3, 4, 5, 1, 0, 6):
        ask(produce(topic, batch(b"a", producer_id=10**9, producer_epoch=0, base_sequence=sequence)))


@question(ProduceRequest)
def a_sequence_that_begins_anew(ask: Ask) -> None:
    topic, last = ask.topic(), 2**31 - 1
    for sequence in (last - 1, last, 0, 1):
        ask(produce(topic, batch(b"a", producer_id=10**9, producer_epoch=0, base_sequence=sequence)))


@question(ProduceRequest)
def a_producer_that_begins_in_the_middle(ask: Ask) -> None:
    ask(produce(ask.topic(), batch(b"a", producer_id=10**9, producer_epoch=0, base_sequence=17)))


@question(ProduceRequest)
def an_idempotent_batch_without_all_acknowledgements(ask: Ask) -> None:
    ask(produce(ask.topic(), batch(b"a", producer_id=10**9, producer_epoch=0, base_sequence=0), acks=1))


@question(ProduceRequest)
def a_batch_outside_of_any_transaction(ask: Ask) -> None:
    """Transactional, of a producer that the coordinator does not know."""
    ask.coordinator(ask.name("transactions"), 1)
    data = batch(b"a", producer_id=10**9, producer_epoch=0, base_sequence=0, transactional=True)
    topic = ask.topic()
    ask(produce(topic, data, transactional_id=ask.name("transactions")))
    ask(produce(topic, data, transactional_id=None))
    ask(produce(topic, data, transactional_id=""))
    ask(produce(topic, batch(b"a"), transactional_id=ask.name("transactions")))


@question(ProduceRequest, "3-12")
def a_batch_for_the_topic_of_offsets(ask: Ask) -> None:
    ask.coordinator(ask.name("group"))
    ask(produce(Topic("__consumer_offsets", NO_ID), batch(b"a")))


@question(ProduceRequest)
def a_request_without_topics(ask: Ask) -> None:
    ask(ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[]))


@question(ProduceRequest)
def one_partition_twice(ask: Ask) -> None:
    request = produce(ask.topic(), batch(b"a"))
    request.topic_data[0].partition_data.append(PartitionProduceData(index=0, records=batch(b"b")))
    ask(request)
    request.topic_data *= 2
    ask(request)


@question(ProduceRequest, "13")
def a_batch_for_an_id_that_does_not_exist(ask: Ask) -> None:
    ask(produce(Topic("", uuid.UUID(int=7)), batch(b"a")))


@question(ProduceRequest, "3-12")
def several_topics_and_partitions_at_once(ask: Ask) -> None:
    topic = ask.topic(2)
    partitions = [PartitionProduceData(index=index, records=batch(b"a")) for index in (0, 1, 2)]
    ask(
        ProduceRequest(
            acks=-1,
            timeout_ms=1000,
            topic_data=[
                TopicProduceData(name=topic.name, partition_data=partitions),
                TopicProduceData(name="no.such.topic", partition_data=partitions[:1]),
            ],
        )
    )
