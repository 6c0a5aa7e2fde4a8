"""Producers, transactions and what readers see of them, as clients of both versions of the protocol do."""

import asyncio
from typing import Any

import pytest

from ottla_broker.coordinator.partitioner import partition_for
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from ottla_wire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest, AddPartitionsToTxnTopic
from ottla_wire.messages.api_versions import ApiVersionsRequest
from ottla_wire.messages.end_txn import EndTxnRequest
from ottla_wire.messages.find_coordinator import FindCoordinatorRequest
from ottla_wire.messages.init_producer_id import InitProducerIdRequest
from ottla_wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from ottla_wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from ottla_wire.messages.write_txn_markers import WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest
from ottla_wire.records import NewRecord, build_batch, iter_batches

READ_COMMITTED = 1


class Producer:
    """A transactional producer that does what it is told, right or wrong."""

    def __init__(self, client: Any, transactional_id: str = "tx") -> None:
        self.client = client
        self.transactional_id = transactional_id
        self.id = self.epoch = -1
        self.sequences: dict[tuple[str, int], int] = {}

    async def init(self, timeout_ms: int = 60_000, version: int = 5, **fields: Any) -> int:
        request = InitProducerIdRequest(
            transactional_id=self.transactional_id, transaction_timeout_ms=timeout_ms, **fields
        )
        response = await self.client.ask(request, version)
        if not response.error_code:
            self.id, self.epoch, self.sequences = response.producer_id, response.producer_epoch, {}
        code: int = response.error_code
        return code

    async def add(self, topic: str, *indexes: int, version: int = 3, epoch: int | None = None) -> int:
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=self.transactional_id,
            v3_and_below_producer_id=self.id,
            v3_and_below_producer_epoch=self.epoch if epoch is None else epoch,
            v3_and_below_topics=[AddPartitionsToTxnTopic(name=topic, partitions=list(indexes))],
        )
        response = await self.client.ask(request, version)
        code: int = response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code
        return code

    async def send(
        self, topic: str, *values: bytes, index: int = 0, version: int = 9, epoch: int | None = None, **batch: Any
    ) -> int:
        sequence = self.sequences.get((topic, index), 0)
        records = build_batch(
            [NewRecord(None, value, self.client.node.broker.clock()) for value in values],
            producer_id=self.id,
            producer_epoch=self.epoch if epoch is None else epoch,
            base_sequence=sequence,
            **{"transactional": True} | batch,
        )
        request = ProduceRequest(
            transactional_id=self.transactional_id,
            acks=-1,
            timeout_ms=1000,
            topic_data=[
                TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=index, records=records)])
            ],
        )
        answer = (await self.client.ask(request, version)).responses[0].partition_responses[0]
        if not answer.error_code:
            self.sequences[topic, index] = sequence + len(values)
        code: int = answer.error_code
        return code

    async def send_offset(self, group_id: str, topic: str, offset: int, version: int = 3) -> int:
        partition = TxnOffsetCommitRequestPartition(
            partition_index=0, committed_offset=offset, committed_metadata="with it"
        )
        request = TxnOffsetCommitRequest(
            transactional_id=self.transactional_id,
            group_id=group_id,
            producer_id=self.id,
            producer_epoch=self.epoch,
            topics=[TxnOffsetCommitRequestTopic(name=topic, partitions=[partition])],
        )
        code: int = (await self.client.ask(request, version)).topics[0].partitions[0].error_code
        return code

    async def end(self, *, commit: bool, version: int = 4, epoch: int | None = None) -> Any:
        request = EndTxnRequest(
            transactional_id=self.transactional_id,
            producer_id=self.id,
            producer_epoch=self.epoch if epoch is None else epoch,
            committed=commit,
        )
        return await self.client.ask(request, version)

    async def finish(self, *, commit: bool) -> None:
        assert (await self.end(commit=commit)).error_code == 0


async def producer(client: Any, transactional_id: str = "tx") -> Producer:
    """One that is initialized; the coordinator's topics exist then."""
    for kind, key in ((1, transactional_id), (0, "g")):
        found = await client.ask(FindCoordinatorRequest(key_type=kind, coordinator_keys=[key]), 4)
        assert found.coordinators[0].error_code == 0
    made = Producer(client, transactional_id)
    assert await made.init() == 0
    return made


async def init(client: Any, transactional_id: str | None, timeout_ms: int = 1_000) -> Any:
    return await client.ask(
        InitProducerIdRequest(transactional_id=transactional_id, transaction_timeout_ms=timeout_ms), 5
    )


async def committed(client: Any, group_id: str, topic: str, *, require_stable: bool = False) -> Any:
    asked = [OffsetFetchRequestTopics(name=topic, partition_indexes=[0])]
    group = OffsetFetchRequestGroup(group_id=group_id, topics=asked)
    response = await client.ask(OffsetFetchRequest(groups=[group], require_stable=require_stable), 8)
    return response.groups[0].topics[0].partitions[0]


# --- what is written


def test_16_a_stale_epoch_is_called_differently_by_partitions_and_coordinators(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        mine = await producer(client)
        assert await mine.init() == 0
        assert mine.epoch == 1
        assert await mine.add("t", 0) == 0
        assert await mine.send("t", b"a") == 0
        assert await mine.send("t", b"b", epoch=0) == ErrorCode.INVALID_PRODUCER_EPOCH
        assert await mine.add("t", 0, epoch=0) == ErrorCode.PRODUCER_FENCED
        assert await mine.add("t", 0, epoch=0, version=1) == ErrorCode.INVALID_PRODUCER_EPOCH
        assert (await mine.end(commit=True, epoch=0)).error_code == ErrorCode.PRODUCER_FENCED
        assert (await mine.end(commit=True, epoch=0, version=1)).error_code == ErrorCode.INVALID_PRODUCER_EPOCH

    with_client(scenario)


def test_17_a_plain_write_within_the_producers_transaction_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        mine = await producer(client)
        assert await mine.add("t", 0) == 0
        assert await mine.send("t", b"a") == 0
        assert await mine.send("t", b"b", transactional=False) == ErrorCode.INVALID_TXN_STATE
        await mine.finish(commit=True)
        assert await mine.send("t", b"b", transactional=False) == 0

    with_client(scenario)


def test_a_write_to_a_partition_that_takes_no_part_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        mine = await producer(client)
        assert await mine.add("t", 0) == 0
        assert await mine.send("t", b"a", index=1, version=10) == ErrorCode.INVALID_TXN_STATE
        assert await mine.send("t", b"a", index=1, version=11) == ErrorCode.TRANSACTION_ABORTABLE
        assert await client.read("t", 0, index=1) == []

    with_client(scenario)


def test_the_check_of_partitions_can_be_turned_off(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        mine = await producer(client)
        assert await mine.send("t", b"a", version=10) == 0

    with_client(scenario, transaction_partition_verification_enable="false")


# --- what is read


def test_23_the_last_stable_offset_is_that_of_the_first_open_transaction(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        first, second = await producer(client, "one"), await producer(client, "two")
        await client.produce("t", b"plain")
        assert [await p.add("t", 0) for p in (first, second)] == [0, 0]
        assert [await p.send("t", value) for p, value in ((first, b"a"), (second, b"b"))] == [0, 0]
        answer = (await client.fetch("t", 0, isolation_level=READ_COMMITTED)).responses[0].partitions[0]
        assert (answer.last_stable_offset, answer.high_watermark) == (1, 3)
        assert await client.read("t", 0, isolation_level=READ_COMMITTED) == [b"plain"]
        await second.finish(commit=True)
        assert await client.read("t", 1, isolation_level=READ_COMMITTED) == []
        await first.finish(commit=True)
        answer = (await client.fetch("t", 1, isolation_level=READ_COMMITTED)).responses[0].partitions[0]
        assert (answer.last_stable_offset, answer.high_watermark) == (5, 5)

    with_client(scenario)


def test_24_aborted_transactions_are_listed_by_their_first_offset_for_committed_readers_only(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        producers = [await producer(client, name) for name in ("one", "two", "three")]
        for number, each in enumerate(producers):
            assert await each.add("t", 0) == 0
            assert await each.send("t", b"%d" % number) == 0
        for each in reversed(producers):  # their markers come in another order than their records
            await each.finish(commit=False)
        answer = (await client.fetch("t", 0, isolation_level=READ_COMMITTED)).responses[0].partitions[0]
        aborted = [(each.producer_id, each.first_offset) for each in answer.aborted_transactions]
        assert aborted == [(each.id, offset) for offset, each in enumerate(producers)]
        plain = (await client.fetch("t", 0)).responses[0].partitions[0]
        assert plain.aborted_transactions is None

    with_client(scenario)


def test_28_the_end_of_a_transaction_wakes_a_committed_reader_that_waits(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        mine = await producer(client)
        assert await mine.add("t", 0) == 0
        # More than the marker itself has to come: what it makes readable counts.
        waiting = asyncio.ensure_future(
            client.fetch("t", 0, isolation_level=READ_COMMITTED, max_wait_ms=30_000, min_bytes=500)
        )
        await client.settle(parked=1)
        assert await mine.send("t", bytes(1_000)) == 0
        await client.settle(parked=1)
        assert not waiting.done()
        await mine.finish(commit=True)
        answer = (await asyncio.wait_for(waiting, 30)).responses[0].partitions[0]
        assert len(answer.records) > 1_000

    with_client(scenario)


def test_29_latest_is_the_last_stable_offset_for_committed_readers(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        mine = await producer(client)
        assert await mine.add("t", 0) == 0
        assert await mine.send("t", b"a", b"b") == 0
        for isolation, expected in ((0, 2), (READ_COMMITTED, 0)):
            partition = ListOffsetsPartition(partition_index=0, timestamp=-1)
            topics = [ListOffsetsTopic(name="t", partitions=[partition])]
            request = ListOffsetsRequest(replica_id=-1, isolation_level=isolation, topics=topics)
            assert (await client.ask(request, 7)).topics[0].partitions[0].offset == expected

    with_client(scenario)


def test_44_a_control_record_says_its_version_and_its_coordinators_epoch(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        mine = await producer(client)
        for commit in (True, False):
            assert await mine.add("t", 0) == 0
            assert await mine.send("t", b"a") == 0
            await mine.finish(commit=commit)
        answer = (await client.fetch("t", 0)).responses[0].partitions[0]
        markers = [record for batch in iter_batches(answer.records) if batch.is_control for record in batch.records()]
        # Key: version 0, type 1 = COMMIT, 0 = ABORT. Value: version 0, coordinator epoch 0.
        assert [bytes(record.key) for record in markers] == [b"\0\0\0\1", b"\0\0\0\0"]
        assert [bytes(record.value) for record in markers] == [bytes(6), bytes(6)]

    with_client(scenario)


# --- the coordinator


def test_37_without_a_transactional_id_every_call_gives_a_fresh_producer_id(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        answers = [await init(client, None) for _ in range(3)]
        assert [answer.producer_epoch for answer in answers] == [0, 0, 0]
        assert len({answer.producer_id for answer in answers}) == 3

    with_client(scenario)


def test_37_an_initialization_that_cannot_be_is_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await producer(client)
        assert (await init(client, "")).error_code == ErrorCode.INVALID_REQUEST
        for timeout_ms in (0, -1, 15 * 60_000 + 1):
            assert (await init(client, "tx", timeout_ms)).error_code == ErrorCode.INVALID_TRANSACTION_TIMEOUT
        assert (await init(client, "tx", 15 * 60_000)).error_code == 0

    with_client(scenario)


def test_37_an_open_transaction_is_aborted_before_its_id_is_given_on(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        old = await producer(client)
        assert await old.add("t", 0) == 0
        assert await old.send("t", b"lost") == 0
        new = Producer(client)
        assert await new.init() == ErrorCode.CONCURRENT_TRANSACTIONS
        assert await new.init() == 0
        assert new.id == old.id
        assert new.epoch > old.epoch
        assert (await old.end(commit=True)).error_code == ErrorCode.PRODUCER_FENCED
        answer = (await client.fetch("t", 0, isolation_level=READ_COMMITTED)).responses[0].partitions[0]
        assert [each.first_offset for each in answer.aborted_transactions] == [0]

    with_client(scenario)


def test_35_offsets_of_an_open_transaction_are_unstable_for_who_requires_stable_ones(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        mine = await producer(client)
        request = AddOffsetsToTxnRequest(
            transactional_id="tx", producer_id=mine.id, producer_epoch=mine.epoch, group_id="g"
        )
        assert (await client.ask(request, 3)).error_code == 0
        assert await mine.send_offset("g", "t", 5) == 0
        unstable = await committed(client, "g", "t", require_stable=True)
        assert (unstable.committed_offset, unstable.error_code) == (-1, ErrorCode.UNSTABLE_OFFSET_COMMIT)
        before = await committed(client, "g", "t")
        assert (before.committed_offset, before.error_code) == (-1, 0)
        await mine.finish(commit=True)
        stable = await committed(client, "g", "t", require_stable=True)
        assert (stable.committed_offset, stable.metadata, stable.error_code) == (5, "with it", 0)

    with_client(scenario)


def test_38_every_partition_of_a_transaction_gets_its_marker_the_groups_included(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t", partitions=2)
        await client.create("u")
        mine = await producer(client)
        assert await mine.add("t", 0, 1) == 0
        assert await mine.add("u", 0) == 0
        for topic, index in (("t", 0), ("t", 1), ("u", 0)):
            assert await mine.send(topic, b"a", index=index) == 0
        request = AddOffsetsToTxnRequest(
            transactional_id="tx", producer_id=mine.id, producer_epoch=mine.epoch, group_id="g"
        )
        assert (await client.ask(request, 3)).error_code == 0
        assert await mine.send_offset("g", "u", 7) == 0
        assert (await committed(client, "g", "u")).committed_offset == -1
        await mine.finish(commit=True)
        offsets = ("__consumer_offsets", partition_for("g", 2))
        for topic, index in (("t", 0), ("t", 1), ("u", 0), offsets):
            log = client.node.broker.partition(topic, index)
            region = log.read(0, 1 << 20).region
            batches = list(iter_batches(log.read_bytes(region)))
            assert [batch.is_control for batch in batches] == [False, True], (topic, index)
            assert {batch.producer_id for batch in batches} == {mine.id}
        assert (await committed(client, "g", "u")).committed_offset == 7

    with_client(scenario)


def test_39_version_2_is_announced_and_needs_no_partitions_added(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        hello = ApiVersionsRequest(client_software_name="test", client_software_version="1")
        features = (await client.ask(hello, 3)).finalized_features
        assert {each.name: each.max_version_level for each in features}["transaction.version"] == 2
        await client.create("t")
        mine = await producer(client)
        assert await mine.send("t", b"a", version=12) == 0
        assert await mine.send_offset("g", "t", 5, version=5) == 0
        ended = await mine.end(commit=True, version=5)
        assert (ended.error_code, ended.producer_id, ended.producer_epoch) == (0, mine.id, mine.epoch + 1)
        assert await client.read("t", 0, isolation_level=READ_COMMITTED) == [b"a", b"\0\0\0\0\0\0"]
        assert (await committed(client, "g", "t", require_stable=True)).committed_offset == 5

    with_client(scenario)


def test_39_a_repeated_end_with_the_epoch_before_succeeds(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        mine = await producer(client)
        assert await mine.send("t", b"a", version=12) == 0
        first = await mine.end(commit=True, version=5)
        again = await mine.end(commit=True, version=5)
        assert (again.error_code, again.producer_epoch) == (0, first.producer_epoch)
        assert (await mine.end(commit=False, version=5)).error_code == ErrorCode.INVALID_TXN_STATE
        assert (await mine.end(commit=True, version=5, epoch=mine.epoch + 5)).error_code == ErrorCode.PRODUCER_FENCED

    with_client(scenario)


@pytest.mark.parametrize("version", [1, 2])
def test_40_a_marker_of_an_older_coordinator_is_fenced(with_client: Any, version: int) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        mine = await producer(client)

        async def mark(epoch: int) -> int:
            assert await mine.add("t", 0) == 0
            assert await mine.send("t", b"a") == 0
            marker = WritableTxnMarker(
                producer_id=mine.id,
                producer_epoch=mine.epoch,
                transaction_result=True,
                topics=[WritableTxnMarkerTopic(name="t", partition_indexes=[0, 9])],
                coordinator_epoch=epoch,
            )
            response = await client.ask(WriteTxnMarkersRequest(markers=[marker]), version)
            known, unknown = response.markers[0].topics[0].partitions
            assert unknown.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            code: int = known.error_code
            return code

        assert await mark(3) == 0
        assert await mark(2) == ErrorCode.TRANSACTION_COORDINATOR_FENCED
        assert await mark(3) == 0

    with_client(scenario)


def test_offsets_for_a_group_without_a_name_are_refused(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        partition = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=1, committed_metadata=None)
        request = TxnOffsetCommitRequest(
            transactional_id="x",
            group_id="",
            producer_id=1,
            producer_epoch=0,
            topics=[TxnOffsetCommitRequestTopic(name="t", partitions=[partition])],
        )
        response = await client.ask(request, 5)
        assert response.topics[0].partitions[0].error_code == ErrorCode.INVALID_GROUP_ID

    with_client(scenario)


def test_internal_topics_take_part_in_transactions_only_by_the_broker(with_client: Any) -> None:
    async def scenario(client: Any) -> None:
        await client.create("t")
        first = await producer(client)
        await client.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g"]), 6)
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=first.transactional_id,
            v3_and_below_producer_id=first.id,
            v3_and_below_producer_epoch=first.epoch,
            v3_and_below_topics=[
                AddPartitionsToTxnTopic(name=name, partitions=[0]) for name in ("__consumer_offsets", "t")
            ],
        )
        results = (await client.ask(request, 3)).results_by_topic_v3_and_below
        assert {result.name: result.results_by_partition[0].partition_error_code for result in results} == {
            "__consumer_offsets": ErrorCode.TOPIC_AUTHORIZATION_FAILED,
            "t": ErrorCode.OPERATION_NOT_ATTEMPTED,
        }

    with_client(scenario)
