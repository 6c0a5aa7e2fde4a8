"""Producer ids and transactions."""

from typing import Any

from ottla_wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from ottla_wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)
from ottla_wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from ottla_wire.messages.describe_transactions import DescribeTransactionsRequest
from ottla_wire.messages.end_txn import EndTxnRequest
from ottla_wire.messages.fetch import FetchRequest
from ottla_wire.messages.init_producer_id import InitProducerIdRequest
from ottla_wire.messages.list_offsets import ListOffsetsRequest
from ottla_wire.messages.list_transactions import ListTransactionsRequest
from ottla_wire.messages.offset_fetch import OffsetFetchRequest
from ottla_wire.messages.produce import ProduceRequest
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from ottla_wire.messages.write_txn_markers import WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest

from ..answers import BASE_MS
from .asking import Ask, Topic, batch, produce, question
from .fetch import fetch
from .members import settle
from .offsets import committed
from .positions import offsets

# With this version of Produce and EndTxn, partitions are announced before they are written to (no KIP-890).
PRODUCE_V1, END_V1, ADD_V1 = 11, 4, 3


def initialise(identity: str | None, **fields: Any) -> InitProducerIdRequest:
    return InitProducerIdRequest(transactional_id=identity, **({"transaction_timeout_ms": 60_000} | fields))


def producer(ask: Ask, identity: str, version: int = 4) -> Any:
    """A producer id for a transactional id, as before KIP-890 unless the version is higher."""
    ask.coordinator(identity, 1)
    ask.producer_ids()
    answer = ask.quietly(initialise(identity), version)
    assert answer.error_code == 0, answer
    return answer


def add(ask: Ask, identity: str, of: Any, topic: Topic, *, index: int = 0, version: int = ADD_V1) -> Any:
    request = AddPartitionsToTxnRequest(
        v3_and_below_transactional_id=identity,
        v3_and_below_producer_id=of.producer_id,
        v3_and_below_producer_epoch=of.producer_epoch,
        v3_and_below_topics=[AddPartitionsToTxnTopic(name=topic.name, partitions=[index])],
    )
    return ask.quietly(request, version)


def opened(ask: Ask, identity: str, topic: Topic) -> Any:
    """A producer with one record in an open transaction, as before KIP-890."""
    started = producer(ask, identity)
    add(ask, identity, started, topic)
    data = batch(
        b"a",
        producer_id=started.producer_id,
        producer_epoch=started.producer_epoch,
        base_sequence=0,
        transactional=True,
    )
    answer = ask.quietly(produce(topic, data, transactional_id=identity), PRODUCE_V1)
    assert answer.responses[0].partition_responses[0].error_code == 0, answer
    return started


def committing(ask: Ask, identity: str, of: Any, group: str) -> None:
    """Make a group part of the transaction, as before KIP-890."""
    answer = ask.quietly(
        AddOffsetsToTxnRequest(
            transactional_id=identity,
            producer_id=of.producer_id,
            producer_epoch=of.producer_epoch,
            group_id=group,
        ),
        3,
    )
    assert answer.error_code == 0, answer


def end(identity: str, of: Any, *, commit: bool = True, epoch: int | None = None) -> EndTxnRequest:
    return EndTxnRequest(
        transactional_id=identity,
        producer_id=of.producer_id,
        producer_epoch=of.producer_epoch if epoch is None else epoch,
        committed=commit,
    )


# --- InitProducerId


@question(InitProducerIdRequest)
def producer_ids(ask: Ask) -> None:
    identity = ask.name("transactions")
    ask.coordinator(identity, 1)
    ask.producer_ids()
    ask(initialise(None))
    ask(initialise(identity))
    ask(initialise(identity))
    ask(initialise(""))
    ask(initialise(identity, transaction_timeout_ms=0))
    ask(initialise(identity, transaction_timeout_ms=10**9))


@question(InitProducerIdRequest, "3-5")
def producer_ids_that_go_on(ask: Ask) -> None:
    identity = ask.name("transactions")
    ask.coordinator(identity, 1)
    ask.producer_ids()
    first = ask(initialise(identity))
    again = {"producer_id": first.producer_id}
    ask(initialise(identity, producer_epoch=first.producer_epoch, **again))
    ask(initialise(identity, producer_epoch=first.producer_epoch, **again))
    ask(initialise(identity, producer_epoch=17, **again))
    ask(initialise(identity, producer_epoch=0, producer_id=10**9))
    ask(initialise(identity, producer_epoch=-1, **again))
    ask(initialise(identity, producer_epoch=0, producer_id=-1))


@question(InitProducerIdRequest)
def a_producer_id_while_a_transaction_is_open(ask: Ask) -> None:
    identity = ask.name("transactions")
    opened(ask, identity, ask.topic())
    ask(initialise(identity))


# --- transactions as producers run them


@question(AddPartitionsToTxnRequest, "0-3")
def partitions_added_to_a_transaction(ask: Ask) -> None:
    topic, identity = ask.topic(), ask.name("transactions")
    started = producer(ask, identity)

    def put(name: str = topic.name, index: int = 0, **fields: Any) -> None:
        values = {
            "v3_and_below_transactional_id": identity,
            "v3_and_below_producer_id": started.producer_id,
            "v3_and_below_producer_epoch": started.producer_epoch,
            "v3_and_below_topics": [AddPartitionsToTxnTopic(name=name, partitions=[index])],
        }
        ask(AddPartitionsToTxnRequest(**(values | fields)))

    put()
    put()
    put(index=7)
    put("no.such.topic")
    put(v3_and_below_producer_epoch=17)
    put(v3_and_below_producer_id=10**9)
    put(v3_and_below_transactional_id=ask.name("nobody"))
    put(v3_and_below_transactional_id="")


@question(AddPartitionsToTxnRequest, "4-5")
def partitions_verified_by_brokers(ask: Ask) -> None:
    topic, identity = ask.topic(2), ask.name("transactions")
    started = opened(ask, identity, topic)

    def put(index: int, *, verify: bool, epoch: int = started.producer_epoch) -> None:
        transaction = AddPartitionsToTxnTransaction(
            transactional_id=identity,
            producer_id=started.producer_id,
            producer_epoch=epoch,
            verify_only=verify,
            topics=[AddPartitionsToTxnTopic(name=topic.name, partitions=[index])],
        )
        ask(AddPartitionsToTxnRequest(transactions=[transaction]))

    put(0, verify=True)
    put(1, verify=True)
    put(1, verify=False)
    put(1, verify=True)
    put(0, verify=True, epoch=17)


@question(AddPartitionsToTxnRequest, "0-3")
def several_partitions_added_at_once(ask: Ask) -> None:
    topic, identity = ask.topic(2), ask.name("transactions")
    started = producer(ask, identity)

    def put(*topics: AddPartitionsToTxnTopic) -> None:
        ask(
            AddPartitionsToTxnRequest(
                v3_and_below_transactional_id=identity,
                v3_and_below_producer_id=started.producer_id,
                v3_and_below_producer_epoch=started.producer_epoch,
                v3_and_below_topics=list(topics),
            )
        )

    put()
    put(AddPartitionsToTxnTopic(name=topic.name, partitions=[0, 7]))
    put(AddPartitionsToTxnTopic(name=topic.name, partitions=[0, 0]))
    put(*[AddPartitionsToTxnTopic(name=topic.name, partitions=[0, 1])] * 2)
    put(AddPartitionsToTxnTopic(name="__consumer_offsets", partitions=[0]))
    ask(DescribeTransactionsRequest(transactional_ids=[identity]), version=0)


@question(AddPartitionsToTxnRequest, "4-5")
def several_transactions_at_once(ask: Ask) -> None:
    """None at all is not asked: Apache Kafka never answers that."""
    topic, one, two = ask.topic(2), ask.name("one"), ask.name("two")
    topics = [AddPartitionsToTxnTopic(name=topic.name, partitions=[0])]
    asked = [
        AddPartitionsToTxnTransaction(
            transactional_id=identity,
            producer_id=started.producer_id,
            producer_epoch=started.producer_epoch,
            verify_only=verify,
            topics=topics,
        )
        for identity, started, verify in ((one, opened(ask, one, topic), True), (two, producer(ask, two), True))
    ]
    ask(AddPartitionsToTxnRequest(transactions=asked))
    ask(AddPartitionsToTxnRequest(transactions=asked[:1] * 2))


@question(AddOffsetsToTxnRequest)
def a_group_added_to_a_transaction(ask: Ask) -> None:
    identity, group = ask.name("transactions"), ask.name("group")
    ask.coordinator(group)
    started = producer(ask, identity)
    for name, of, epoch, to in (
        (identity, started.producer_id, started.producer_epoch, group),
        (identity, started.producer_id, 17, group),
        (identity, 10**9, 0, group),
        (ask.name("nobody"), started.producer_id, started.producer_epoch, group),
        ("", started.producer_id, started.producer_epoch, group),
    ):
        ask(AddOffsetsToTxnRequest(transactional_id=name, producer_id=of, producer_epoch=epoch, group_id=to))


@question(EndTxnRequest)
def transactions_that_end(ask: Ask) -> None:
    topic, identity = ask.topic(), ask.name("transactions")
    started = opened(ask, identity, topic)
    ask(end(identity, started, epoch=17))
    ask(end(ask.name("nobody"), started))
    ask(end("", started))
    ended = ask(end(identity, started))
    ask.await_end(identity)
    ask(end(identity, started))
    ask(end(identity, started, commit=False))
    if ended.producer_id >= 0:
        ask(end(identity, ended))
    ask(fetch(topic, 0, isolation_level=1), version=12)


@question(ProduceRequest)
def transactions_as_records_find_them(ask: Ask) -> None:
    """Up to Produce 11 a partition is added before it is written to; from 12 on, that comes with the first write."""
    topic, identity = ask.topic(2), ask.name("transactions")
    started = producer(ask, identity, ask.version if ask.version <= 4 else 5)

    def put(epoch: int, sequence: int, index: int = 0, *, transactional: bool = True) -> None:
        data = batch(
            b"a",
            producer_id=started.producer_id,
            producer_epoch=epoch,
            base_sequence=sequence,
            transactional=transactional,
        )
        ask(produce(topic, data, index=index, transactional_id=identity if transactional else None))

    put(started.producer_epoch, 0)
    add(ask, identity, started, topic)
    put(started.producer_epoch, 0)
    put(started.producer_epoch, 1)
    put(started.producer_epoch, 2, transactional=False)
    put(started.producer_epoch, 0, index=1)
    put(started.producer_epoch + 1, 0)
    ask.quietly(initialise(identity), 4)
    ask.await_end(identity)
    put(started.producer_epoch, 2)
    ask(fetch(topic, 0, isolation_level=1), version=12)


@question(FetchRequest)
def records_of_transactions(ask: Ask) -> None:
    topic = ask.topic()
    one, two, three = (ask.name(kind) for kind in ("one", "two", "three"))
    aborted, committed = opened(ask, one, topic), opened(ask, two, topic)
    ask.quietly(end(two, committed), END_V1)
    ask.await_end(two)
    ask.quietly(end(one, aborted, commit=False), END_V1)
    ask.await_end(one)
    opened(ask, three, topic)
    for level in (0, 1):
        for offset in (0, 2, 4, 5):
            ask(fetch(topic, offset, isolation_level=level))


@question(ListOffsetsRequest, "2-11")
def offsets_in_an_open_transaction(ask: Ask) -> None:
    topic = ask.topic()
    ask.quietly(produce(topic, batch(b"a", b"b")))
    opened(ask, ask.name("transactions"), topic)
    for level in (0, 1):
        for timestamp in (-1, -2, BASE_MS, BASE_MS + 10):
            ask(offsets(topic, timestamp, isolation_level=level))


@question(OffsetFetchRequest)
def offsets_in_an_open_transaction_of_their_own(ask: Ask) -> None:
    topic, identity, group = ask.topic(2), ask.name("transactions"), ask.name("group")
    ask.coordinator(group)
    started = producer(ask, identity)
    committing(ask, identity, started, group)
    partition = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=5, committed_metadata=None)
    answer = ask.quietly(
        TxnOffsetCommitRequest(
            transactional_id=identity,
            group_id=group,
            producer_id=started.producer_id,
            producer_epoch=started.producer_epoch,
            topics=[TxnOffsetCommitRequestTopic(name=topic.name, partitions=[partition])],
        ),
        4,
    )
    assert answer.topics[0].partitions[0].error_code == 0, answer
    stable = {"require_stable": True} if ask.version >= 7 else {}
    ask(committed(ask, group, topic, **stable))
    ask.quietly(end(identity, started), END_V1)
    ask.await_end(identity)
    ask(committed(ask, group, topic, **stable))


@question(EndTxnRequest)
def transactions_that_end_without_a_partition(ask: Ask) -> None:
    identity = ask.name("transactions")
    started = producer(ask, identity)
    ask(end(identity, started))
    ask(end(identity, started, commit=False))


@question(TxnOffsetCommitRequest)
def offsets_committed_in_a_transaction(ask: Ask) -> None:
    topic, identity, group = ask.topic(), ask.name("transactions"), ask.name("group")
    ask.coordinator(group)
    started = producer(ask, identity)
    committing(ask, identity, started, group)

    def put(name: str = topic.name, index: int = 0, **fields: Any) -> None:
        partition = TxnOffsetCommitRequestPartition(
            partition_index=index, committed_offset=5, committed_metadata=fields.pop("metadata", "some")
        )
        values = {
            "transactional_id": identity,
            "group_id": group,
            "producer_id": started.producer_id,
            "producer_epoch": started.producer_epoch,
            "topics": [TxnOffsetCommitRequestTopic(name=name, partitions=[partition])],
        }
        ask(TxnOffsetCommitRequest(**(values | fields)))

    put()
    put(index=7)
    put("no.such.topic")
    put(metadata="m" * 5000)
    put(producer_epoch=17)
    put(group_id="")
    if ask.version >= 3:
        put(member_id="no such member", generation_id=3)


@question(TxnOffsetCommitRequest)
def offsets_that_bring_their_group_along(ask: Ask) -> None:
    """Up to version 4 the group is added to the transaction first; from 5 on, that comes with the offsets (KIP-890)."""
    topic, identity, group = ask.topic(), ask.name("transactions"), ask.name("group")
    ask.coordinator(group)
    started = producer(ask, identity, 5)
    partition = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=5, committed_metadata=None)
    ask(
        TxnOffsetCommitRequest(
            transactional_id=identity,
            group_id=group,
            producer_id=started.producer_id,
            producer_epoch=started.producer_epoch,
            topics=[TxnOffsetCommitRequestTopic(name=topic.name, partitions=[partition])],
        )
    )
    ask(DescribeTransactionsRequest(transactional_ids=[identity]), version=0)
    ask(end(identity, started), version=5)
    ask.await_end(identity)
    ask(committed(ask, group, topic, version=9), version=9)


@question(TxnOffsetCommitRequest, "3-4")
def offsets_committed_in_a_transaction_by_members(ask: Ask) -> None:
    topic, identity, group = ask.topic(), ask.name("transactions"), ask.name("group")
    joined = settle(ask, group)
    started = producer(ask, identity)
    committing(ask, identity, started, group)
    partition = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=5, committed_metadata=None)
    for member, generation in (
        (joined.member_id, joined.generation_id),
        (joined.member_id, 17),
        ("no such member", joined.generation_id),
    ):
        ask(
            TxnOffsetCommitRequest(
                transactional_id=identity,
                group_id=group,
                producer_id=started.producer_id,
                producer_epoch=started.producer_epoch,
                generation_id=generation,
                member_id=member,
                topics=[TxnOffsetCommitRequestTopic(name=topic.name, partitions=[partition])],
            )
        )


@question(WriteTxnMarkersRequest)
def markers_from_elsewhere(ask: Ask) -> None:
    topic = ask.topic()
    topics = [
        WritableTxnMarkerTopic(name=topic.name, partition_indexes=[0, 7]),
        WritableTxnMarkerTopic(name="no.such.topic", partition_indexes=[0]),
    ]
    for coordinator_epoch in (5, 4):
        marker = WritableTxnMarker(
            producer_id=10**9,
            producer_epoch=0,
            transaction_result=False,
            topics=topics,
            coordinator_epoch=coordinator_epoch,
        )
        ask(WriteTxnMarkersRequest(markers=[marker]))


@question(WriteTxnMarkersRequest)
def markers_of_an_open_transaction(ask: Ask) -> None:
    topic, identity = ask.topic(), ask.name("transactions")
    started = opened(ask, identity, topic)
    for epoch, result in ((started.producer_epoch - 1, False), (started.producer_epoch, False)):
        marker = WritableTxnMarker(
            producer_id=started.producer_id,
            producer_epoch=epoch,
            transaction_result=result,
            topics=[WritableTxnMarkerTopic(name=topic.name, partition_indexes=[0])],
            coordinator_epoch=0,
        )
        ask(WriteTxnMarkersRequest(markers=[marker]))
    ask(WriteTxnMarkersRequest(markers=[]))
    ask(fetch(topic, 0, isolation_level=1), version=12)


# --- administration


@question(DescribeProducersRequest)
def producers_of_partitions(ask: Ask) -> None:
    topic, identity = ask.topic(), ask.name("transactions")
    opened(ask, identity, topic)
    ask(DescribeProducersRequest(topics=[TopicRequest(name=topic.name, partition_indexes=[0, 7])]))
    ask(DescribeProducersRequest(topics=[TopicRequest(name="no.such.topic", partition_indexes=[0])]))


@question(DescribeTransactionsRequest)
def transactions_that_are_described(ask: Ask) -> None:
    topic, identity = ask.topic(), ask.name("transactions")
    opened(ask, identity, topic)
    ask(DescribeTransactionsRequest(transactional_ids=[identity, ask.name("nobody"), ""]))
    ask(DescribeTransactionsRequest(transactional_ids=[identity, identity]))
    ask(DescribeTransactionsRequest(transactional_ids=[]))


@question(ListTransactionsRequest)
def transactions_that_are_listed(ask: Ask) -> None:
    topic, identity = ask.topic(), ask.name("transactions")
    started = opened(ask, identity, topic)
    only_this = {"producer_id_filters": [started.producer_id]}
    ask(ListTransactionsRequest(state_filters=[], **only_this))
    ask(ListTransactionsRequest(state_filters=["Ongoing"], **only_this))
    ask(ListTransactionsRequest(state_filters=["CompleteCommit", "no such state"], **only_this))
    if ask.version >= 1:
        ask(ListTransactionsRequest(state_filters=[], duration_filter=10**9, **only_this))
    if ask.version >= 2:
        ask(ListTransactionsRequest(state_filters=[], transactional_id_pattern="no such.*", **only_this))
        ask(ListTransactionsRequest(state_filters=[], transactional_id_pattern="[", **only_this))
