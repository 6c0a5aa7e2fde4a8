"""`ottla transaction`, and which transactions hang."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

import pytest
from confluent_kafka import KafkaException
from confluent_kafka import Producer as Client

from ottla_apps.cli.admin import Partition
from ottla_apps.cli.errors import CommandError, Refused
from ottla_apps.cli.transactions import Producer, abort, find_hanging, find_open
from ottla_apps.cli.wire_client import WireClient
from ottla_wire.message import Message
from ottla_wire.messages import (
    describe_producers,
    describe_transactions,
    list_transactions,
    metadata,
    write_txn_markers,
)

Run = Callable[..., Any]
Name = Callable[[str], str]
Response = TypeVar("Response", bound=Message)

NOW_MS = 1_000_000_000
LONG_MS = 900_000


class Cluster(WireClient):
    """Two nodes that answer from memory: topic `t` with partition 0 led by node 1, partition 1 by node 2.

    `open` are producers with transactions that are open in a partition: (partition, producer id, start, last written).
    `known` are the transactions of coordinators: transactional id -> (producer id, partitions).
    """

    def __init__(self, open_: list[tuple[int, int, int, int]], known: dict[str, tuple[int, list[int]]]) -> None:
        self.open = open_
        self.known = known
        self.markers: list[tuple[int | None, write_txn_markers.WritableTxnMarker]] = []
        self.refusal = 0
        self._timeout_s = 0.0

    def nodes(self) -> dict[int, tuple[str, int]]:
        return {1: ("a", 1), 2: ("b", 2)}

    def metadata(self, _topics: Any) -> metadata.MetadataResponse:
        partitions = [
            metadata.MetadataResponsePartition(
                partition_index=index, leader_id=index + 1, replica_nodes=[], isr_nodes=[]
            )
            for index in (0, 1)
        ]
        return metadata.MetadataResponse(
            brokers=[], topics=[metadata.MetadataResponseTopic(name="t", partitions=partitions)]
        )

    def at_coordinator(self, _key: str, _kind: int, ask: Callable[[int], Any]) -> Any:
        return ask(1)

    def request(self, request: Any, response: type[Response], node: int | None = None) -> Response:
        answer: Any = getattr(self, type(request).__name__)(request, node)
        assert isinstance(answer, response)
        return answer

    def DescribeProducersRequest(self, request: Any, node: int) -> Any:  # noqa: N802
        (topic,) = request.topics
        assert topic.partition_indexes == [node - 1]
        active = [
            describe_producers.ProducerState(
                producer_id=producer_id,
                producer_epoch=4,
                last_timestamp=last_written,
                coordinator_epoch=-1,
                current_txn_start_offset=start,
            )
            for partition, producer_id, start, last_written in self.open
            if partition == node - 1
        ]
        partition = describe_producers.PartitionResponse(partition_index=node - 1, active_producers=active)
        return describe_producers.DescribeProducersResponse(
            topics=[describe_producers.TopicResponse(name="t", partitions=[partition])]
        )

    def ListTransactionsRequest(self, request: Any, node: int) -> Any:  # noqa: N802
        states = [
            list_transactions.TransactionState(transactional_id=id_, producer_id=found, transaction_state="Ongoing")
            for id_, (found, _) in self.known.items()
            if node == 1 and found in request.producer_id_filters
        ]
        return list_transactions.ListTransactionsResponse(unknown_state_filters=[], transaction_states=states)

    def DescribeTransactionsRequest(self, request: Any, _node: int) -> Any:  # noqa: N802
        (id_,) = request.transactional_ids
        producer_id, partitions = self.known[id_]
        state = describe_transactions.TransactionState(
            transactional_id=id_,
            transaction_state="Ongoing",
            transaction_timeout_ms=1,
            transaction_start_time_ms=1,
            producer_id=producer_id,
            producer_epoch=4,
            topics=[describe_transactions.TopicData(topic="t", partitions=partitions)],
        )
        return describe_transactions.DescribeTransactionsResponse(transaction_states=[state])

    def WriteTxnMarkersRequest(self, request: Any, node: int | None) -> Any:  # noqa: N802
        (marker,) = request.markers
        self.markers.append((node, marker))
        results = [
            write_txn_markers.WritableTxnMarkerTopicResult(
                name=topic.name,
                partitions=[
                    write_txn_markers.WritableTxnMarkerPartitionResult(partition_index=index, error_code=self.refusal)
                    for index in topic.partition_indexes
                ],
            )
            for topic in marker.topics
        ]
        result = write_txn_markers.WritableTxnMarkerResult(producer_id=marker.producer_id, topics=results)
        return write_txn_markers.WriteTxnMarkersResponse(markers=[result])


BOTH = [Partition("t", 0), Partition("t", 1)]
LONG_AGO = NOW_MS - LONG_MS - 1


@pytest.mark.parametrize(
    ("open_", "known", "hanging"),
    [
        pytest.param([], {}, [], id="nothing is open"),
        pytest.param([(0, 7, -1, LONG_AGO)], {}, [], id="the producer has no transaction"),
        pytest.param([(0, 7, 30, NOW_MS - LONG_MS)], {}, [], id="the transaction is not yet too old"),
        pytest.param([(0, 7, 30, LONG_AGO)], {}, [(0, 7)], id="no coordinator knows the producer"),
        pytest.param([(0, 7, 30, LONG_AGO)], {"x": (7, [0])}, [], id="its coordinator knows the partition"),
        pytest.param([(0, 7, 30, LONG_AGO)], {"x": (7, [1])}, [(0, 7)], id="its coordinator knows other partitions"),
        pytest.param([(0, 7, 30, LONG_AGO)], {"x": (8, [0])}, [(0, 7)], id="the coordinator knows another producer"),
        pytest.param(
            [(0, 7, 30, LONG_AGO), (1, 7, 12, LONG_AGO), (1, 9, 14, LONG_AGO)],
            {"x": (7, [0]), "y": (9, [])},
            [(1, 7), (1, 9)],
            id="some of several",
        ),
    ],
)
def test_a_transaction_hangs_where_it_is_open_for_long_and_its_coordinator_does_not_know_it_there(
    open_: list[tuple[int, int, int, int]], known: dict[str, tuple[int, list[int]]], hanging: list[tuple[int, int]]
) -> None:
    found = find_hanging(Cluster(open_, known), BOTH, NOW_MS, LONG_MS)
    assert [(producer.partition.number, producer.producer_id) for producer in found] == hanging


def test_an_abort_is_a_marker_at_the_leader() -> None:
    cluster = Cluster([(1, 7, 30, LONG_AGO)], {})
    producer = find_open(cluster, Partition("t", 1), 30)
    abort(cluster, producer)
    ((node, marker),) = cluster.markers
    assert node == 2
    assert (marker.producer_id, marker.producer_epoch, marker.transaction_result) == (7, 4, False)
    assert marker.coordinator_epoch == 0
    assert (marker.topics[0].name, marker.topics[0].partition_indexes) == ("t", [1])


def test_an_abort_that_the_leader_refuses_is_told() -> None:
    cluster = Cluster([], {})
    cluster.refusal = 47
    with pytest.raises(Refused, match="The transaction in t-0 cannot be aborted: "):
        abort(cluster, Producer(Partition("t", 0), 7, 4, 0, 0, -1, 30))


def test_a_start_offset_where_no_transaction_is_open_is_told() -> None:
    with pytest.raises(CommandError, match=r"No transaction that is open in t-1 begins at offset 31\."):
        find_open(Cluster([(1, 7, 30, LONG_AGO)], {}), Partition("t", 1), 31)


# ---- with a broker


@pytest.fixture
def transaction(brokers: str, topic: str, name: Name) -> Iterator[str]:
    """The id of a transaction that is open in partition 1, after one that was aborted there."""
    transactional_id = name("transaction")
    client = Client({"bootstrap.servers": brokers, "transactional.id": transactional_id, "linger.ms": 0})
    client.init_transactions(10)
    for end in (lambda: client.abort_transaction(10), lambda: None):
        client.begin_transaction()
        client.produce(topic, b"not committed", partition=1)
        assert client.flush(100) == 0
        end()
    yield transactional_id
    # It fails where the test has ended the transaction from outside.
    with suppress(KafkaException):
        client.abort_transaction(10)


def test_transactions_are_listed_and_described(ottla: Run, transaction: str, topic: str) -> None:
    rows = ottla("transaction", "list").ok().rows
    assert [row[2] for row in rows if row[0] == transaction] == ["Ongoing"]
    producer_id = next(row[1] for row in rows if row[0] == transaction)
    assert ottla("transaction", "list", "--producer-id", producer_id, "-s", "Ongoing").ok().rows[0][0] == transaction
    assert ottla("transaction", "list", "--producer-id", producer_id, "-s", "Empty").ok().rows == []
    assert transaction not in ottla("transaction", "list", "--longer-than-ms", "3600000").ok().out
    described = ottla("transaction", "describe", transaction, "--format", "json").ok().json
    assert described["summary"]["state"] == "Ongoing"
    assert described["summary"]["started"] > 0
    assert described["partitions"] == [{"topic": topic, "partition": 1}]


def test_mistakes_about_transactions_are_told(ottla: Run) -> None:
    ottla("transaction", "describe", "nope").fails("There is no transactional id 'nope'.")
    ottla("transaction", "list", "-s", "Sleeping").fails("There is no state Sleeping of transactions.")
    ottla("transaction", "find-hanging", "-p", "0").fails("--partition needs --topic.", 2)
    ottla("transaction", "abort", "nope", "-p", "0", "--start-offset", "0").fails("Topic 'nope' does not exist; .*")


def test_records_that_are_not_committed_are_shown_when_asked_for(ottla: Run, transaction: str, topic: str) -> None:
    assert transaction
    read = ("consume", topic, "-p", "1", "-e", "-f", "%o %v\\n")
    assert ottla(*read).ok().out == "0 value 1\n"
    uncommitted = ottla(*read, "--isolation", "read_uncommitted").ok().out
    assert uncommitted == "0 value 1\n1 not committed\n3 not committed\n"
    assert ottla("topic", "offsets", topic, "-p", "1").ok().rows == [[topic, "1", "0", "4", "3"]]


def test_producers_are_shown_and_a_transaction_is_aborted(ottla: Run, transaction: str, topic: str) -> None:
    assert transaction
    apis = ottla("cluster", "features", "--apis", "--format", "json").ok().json["apis"]
    if "DescribeProducers" not in {api["api"] for api in apis}:
        ottla("transaction", "producers", topic).fails("The broker at .* does not serve DescribeProducers.")
        pytest.skip("the broker does not serve DescribeProducers")
    (row,) = ottla("transaction", "producers", topic, "-p", "1", "--format", "json").ok().json
    assert row["transaction_start_offset"] == 3
    assert ottla("transaction", "find-hanging", "-t", topic, "--max-timeout-ms", "0").ok().rows == []
    end = ("transaction", "abort", topic, "-p", "1", "--start-offset")
    ottla(*end, "2").fails(f"No transaction that is open in {topic}-1 begins at offset 2.")
    assert ottla(*end, "3", "--dry-run").ok().rows[0][-1] == "3"
    ottla(*end, "3").ok()
    assert ottla("topic", "offsets", topic, "-p", "1").ok().rows == [[topic, "1", "0", "5", "5"]]
