"""Fetch."""

from ottla_wire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic
from ottla_wire.records import Compression

from ..answers import NO_ID
from .asking import Ask, Topic, batch, produce, question

NOWHERE = Topic("no.such.topic", NO_ID)


def fetch(topic: Topic, offset: int, *, index: int = 0, **fields: object) -> FetchRequest:
    """A fetch of one partition that does not wait, by name and by id."""
    partition = FetchPartition(
        partition=index,
        fetch_offset=offset,
        partition_max_bytes=fields.pop("partition_max_bytes", 1 << 20),
        current_leader_epoch=fields.pop("current_leader_epoch", -1),
        last_fetched_epoch=fields.pop("last_fetched_epoch", -1),
    )
    topics = [FetchTopic(topic=topic.name, topic_id=topic.id, partitions=[partition])]
    return FetchRequest(**{"max_wait_ms": 0, "min_bytes": 1, "topics": topics, **fields})


@question(FetchRequest)
def records_from_every_offset(ask: Ask) -> None:
    topic = ask.filled_topic()
    ask.quietly(produce(topic, batch(b"d", b"e")))
    for offset in (0, 1, 3, 4, 5):
        ask(fetch(topic, offset))


@question(FetchRequest)
def records_beyond_the_end(ask: Ask) -> None:
    topic = ask.filled_topic()
    for offset in (4, 100, -1):
        ask(fetch(topic, offset))


@question(FetchRequest)
def records_of_what_does_not_exist(ask: Ask) -> None:
    topic = ask.topic()
    ask(fetch(NOWHERE, 0))
    ask(fetch(topic, 0, index=7))


@question(FetchRequest)
def records_before_the_first(ask: Ask) -> None:
    topic = ask.filled_topic()
    partition = DeleteRecordsPartition(partition_index=0, offset=2)
    topics = [DeleteRecordsTopic(name=topic.name, partitions=[partition])]
    ask.quietly(DeleteRecordsRequest(topics=topics, timeout_ms=5_000))
    for offset in (0, 1, 2):
        ask(fetch(topic, offset))


@question(FetchRequest)
def records_of_one_partition_twice(ask: Ask) -> None:
    request = fetch(ask.filled_topic(), 0)
    request.topics[0].partitions *= 2
    ask(request)


@question(FetchRequest, "4-12")
def records_of_a_topic_without_a_name(ask: Ask) -> None:
    ask(fetch(Topic("", NO_ID), 0))


@question(FetchRequest)
def compressed_records(ask: Ask) -> None:
    for compression in Compression:
        topic = ask.topic(kind=compression.name)
        ask.quietly(produce(topic, batch(b"a" * 100, compression=compression)))
        ask(fetch(topic, 0))


@question(FetchRequest)
def records_for_who_waits_in_vain(ask: Ask) -> None:
    ask(fetch(ask.topic(), 0, max_wait_ms=20, min_bytes=1))
    ask(fetch(ask.filled_topic(kind="filled"), 0, max_wait_ms=20, min_bytes=1 << 20))


@question(FetchRequest, "4-14")
def records_for_a_broker_that_is_no_replica(ask: Ask) -> None:
    topic = ask.filled_topic()
    for replica in (7, -2):
        ask(fetch(topic, 0, replica_id=replica))


@question(FetchRequest)
def records_within_a_limit_of_bytes(ask: Ask) -> None:
    topic = ask.filled_topic()
    ask.quietly(produce(topic, batch(b"d", b"e")))
    ask(fetch(topic, 0, partition_max_bytes=1))
    ask(fetch(topic, 0, max_bytes=1))
    ask(fetch(topic, 0, partition_max_bytes=100))


@question(FetchRequest, "9-18")
def records_of_another_leader_epoch(ask: Ask) -> None:
    topic = ask.filled_topic()
    for epoch in (0, 1, 17):
        ask(fetch(topic, 0, current_leader_epoch=epoch))


@question(FetchRequest, "12-18")
def records_after_a_divergence(ask: Ask) -> None:
    topic = ask.filled_topic()
    for epoch in (0, 5):
        ask(fetch(topic, 3, last_fetched_epoch=epoch))


@question(FetchRequest)
def records_that_are_committed(ask: Ask) -> None:
    topic = ask.filled_topic()
    ask(fetch(topic, 0, isolation_level=1))
    ask(fetch(topic, 3, isolation_level=1))


@question(FetchRequest, "7-18")
def a_session_from_its_beginning_to_its_end(ask: Ask) -> None:
    topic = ask.filled_topic()
    first = ask(fetch(topic, 0, session_id=0, session_epoch=0))
    session = first.session_id
    ask(FetchRequest(max_wait_ms=0, min_bytes=1, session_id=session, session_epoch=1, topics=[]))
    ask(fetch(topic, 3, session_id=session, session_epoch=2))
    ask(FetchRequest(max_wait_ms=0, min_bytes=1, session_id=session, session_epoch=3, topics=[]))
    forgotten = [ForgottenTopic(topic=topic.name, topic_id=topic.id, partitions=[0])]
    ask(
        FetchRequest(
            max_wait_ms=0,
            min_bytes=1,
            session_id=session,
            session_epoch=4,
            topics=[],
            forgotten_topics_data=forgotten,
        )
    )
    ask(FetchRequest(max_wait_ms=0, min_bytes=1, session_id=session, session_epoch=17, topics=[]))
    ask(FetchRequest(max_wait_ms=0, min_bytes=1, session_id=session, session_epoch=-1, topics=[]))
    ask(FetchRequest(max_wait_ms=0, min_bytes=1, session_id=session, session_epoch=5, topics=[]))


@question(FetchRequest, "7-18")
def a_session_with_what_does_not_exist(ask: Ask) -> None:
    topic = ask.filled_topic()
    session = ask(fetch(topic, 0, session_id=0, session_epoch=0)).session_id
    ask(fetch(NOWHERE, 0, session_id=session, session_epoch=1))
    ask(fetch(topic, 0, index=7, session_id=session, session_epoch=2))
    ask(FetchRequest(max_wait_ms=0, min_bytes=1, session_id=session, session_epoch=3, topics=[]))


@question(FetchRequest, "7-18")
def a_session_that_does_not_exist(ask: Ask) -> None:
    ask(FetchRequest(max_wait_ms=0, min_bytes=1, session_id=12345, session_epoch=1, topics=[]))


@question(FetchRequest)
def a_fetch_of_nothing(ask: Ask) -> None:
    ask(FetchRequest(max_wait_ms=0, min_bytes=1, topics=[]))
