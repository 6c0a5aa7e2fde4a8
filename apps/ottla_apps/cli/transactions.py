"""Transactions as their coordinators and the partitions tell of them (KIP-664), and ending those that hang.

A transaction hangs where a partition has it open although its coordinator knows of none there: the last stable offset
then never moves again, and read_committed consumers wait for ever. Only a marker written by hand frees them.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ottla_apps.cli.errors import CommandError, Refused
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.wire_client import TRANSACTION, WireClient, check
from ottla_wire.errors import ErrorCode
from ottla_wire.messages import describe_producers, describe_transactions, write_txn_markers
from ottla_wire.messages.list_transactions import ListTransactionsRequest, ListTransactionsResponse

# A marker of a transaction whose coordinator is unknown carries this, which no coordinator has (KIP-664).
_NO_COORDINATOR_EPOCH = 0


class ListedTransaction(NamedTuple):
    """A transactional id in a list."""

    transactional_id: str
    producer_id: int
    state: str
    coordinator: int


class Transaction(NamedTuple):
    """A transactional id as its coordinator knows it. Times in milliseconds; -1 where no transaction runs."""

    transactional_id: str
    state: str
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    started_ms: int
    coordinator: int
    partitions: list[Partition]


class Producer(NamedTuple):
    """A producer as a partition knows it; -1 where it has no sequence number or open transaction."""

    partition: Partition
    producer_id: int
    producer_epoch: int
    last_sequence: int
    last_timestamp: int
    coordinator_epoch: int
    transaction_start_offset: int

    @property
    def has_transaction(self) -> bool:
        return self.transaction_start_offset >= 0


def list_all(
    wire: WireClient,
    states: Sequence[str] = (),
    producer_ids: Sequence[int] = (),
    longer_than_ms: int | None = None,
) -> list[ListedTransaction]:
    """The transactional ids of all coordinators, sorted. Raises Refused for a state that no broker knows."""
    found = []
    for node in wire.nodes():
        request = ListTransactionsRequest(state_filters=list(states), producer_id_filters=list(producer_ids))
        if longer_than_ms is not None:
            request.duration_filter = longer_than_ms
        answer = wire.request(request, ListTransactionsResponse, node)
        check(answer.error_code, f"The transactions of broker {node} cannot be listed")
        if answer.unknown_state_filters:
            unknown = ", ".join(answer.unknown_state_filters)
            raise Refused(f"There is no state {unknown} of transactions.", ErrorCode.INVALID_REQUEST)
        found += [
            ListedTransaction(state.transactional_id, state.producer_id, state.transaction_state, node)
            for state in answer.transaction_states
        ]
    return sorted(found)


def describe(wire: WireClient, transactional_id: str) -> Transaction:
    """What the coordinator knows of a transactional id. Raises Refused where it knows of none."""

    def ask(node: int) -> Transaction:
        request = describe_transactions.DescribeTransactionsRequest(transactional_ids=[transactional_id])
        answer = wire.request(request, describe_transactions.DescribeTransactionsResponse, node)
        (state,) = answer.transaction_states
        if state.error_code == ErrorCode.TRANSACTIONAL_ID_NOT_FOUND:
            raise Refused(f"There is no transactional id {transactional_id!r}.", state.error_code)
        check(state.error_code, f"The transactional id {transactional_id!r} cannot be described")
        return Transaction(
            state.transactional_id,
            state.transaction_state,
            state.producer_id,
            state.producer_epoch,
            state.transaction_timeout_ms,
            state.transaction_start_time_ms,
            node,
            [Partition(topic.topic, index) for topic in state.topics for index in topic.partitions],
        )

    return wire.at_coordinator(transactional_id, TRANSACTION, ask)


def producers(wire: WireClient, partitions: Collection[Partition]) -> list[Producer]:
    """The active producers of partitions, as their leaders know them."""

    def ask(node: int, topics: dict[str, list[int]]) -> list[Producer]:
        request = describe_producers.DescribeProducersRequest(
            topics=[describe_producers.TopicRequest(name=name, partition_indexes=part) for name, part in topics.items()]
        )
        active = []
        for topic in wire.request(request, describe_producers.DescribeProducersResponse, node).topics:
            for answer in topic.partitions:
                partition = Partition(topic.name, answer.partition_index)
                check(answer.error_code, f"The producers of {partition} cannot be listed", answer.error_message)
                active += [
                    Producer(
                        partition,
                        producer.producer_id,
                        producer.producer_epoch,
                        producer.last_sequence,
                        producer.last_timestamp,
                        producer.coordinator_epoch,
                        producer.current_txn_start_offset,
                    )
                    for producer in answer.active_producers
                ]
        return active

    return sorted(wire.at_leaders(partitions, ask))


def find_hanging(
    wire: WireClient, partitions: Collection[Partition], now_ms: int, max_timeout_ms: int
) -> list[Producer]:
    """The producers with transactions that are open in a partition for longer than any may be, and that their
    coordinator does not know to be open there.
    """
    open_for_long = [
        producer
        for producer in producers(wire, partitions)
        if producer.has_transaction and now_ms - producer.last_timestamp > max_timeout_ms
    ]
    if not open_for_long:
        return []
    listed = list_all(wire, producer_ids=sorted({producer.producer_id for producer in open_for_long}))
    transactions = {found.producer_id: describe(wire, found.transactional_id) for found in listed}
    return [
        producer
        for producer in open_for_long
        if producer.producer_id not in transactions
        or producer.partition not in transactions[producer.producer_id].partitions
    ]


def find_open(wire: WireClient, partition: Partition, start_offset: int) -> Producer:
    """The producer whose transaction began at an offset of a partition. Raises CommandError if there is none."""
    for producer in producers(wire, [partition]):
        if producer.transaction_start_offset == start_offset:
            return producer
    raise CommandError(f"No transaction that is open in {partition} begins at offset {start_offset}.")


def abort(wire: WireClient, producer: Producer) -> None:
    """Write the marker that aborts a producer's transaction into the partition. Raises Refused."""
    topic, number = producer.partition
    request = write_txn_markers.WriteTxnMarkersRequest(
        markers=[
            write_txn_markers.WritableTxnMarker(
                producer_id=producer.producer_id,
                producer_epoch=producer.producer_epoch,
                transaction_result=False,
                coordinator_epoch=max(producer.coordinator_epoch, _NO_COORDINATOR_EPOCH),
                topics=[write_txn_markers.WritableTxnMarkerTopic(name=topic, partition_indexes=[number])],
            )
        ]
    )

    def ask(node: int, _: dict[str, list[int]]) -> list[None]:
        (marker,) = wire.request(request, write_txn_markers.WriteTxnMarkersResponse, node).markers
        for result in (partition for answered in marker.topics for partition in answered.partitions):
            check(result.error_code, f"The transaction in {producer.partition} cannot be aborted")
        return []

    wire.at_leaders([producer.partition], ask)
