"""A node that is killed at every write of its life, and what becomes of the transactions that it was in.

One story is told once: transactions of several partitions and a group's offsets, committed and aborted. At each write,
or half way through it, the data directory is copied. Each copy is then started as a node of its own, in virtual time,
and on a disk that takes up to half a minute for a flush. It must bring every transaction to one outcome within a second
of the first request, or of its timeout when nobody asks; readers that wait for that must be woken.
"""

import asyncio
import random

import pytest

from ottla_broker import dispatch
from ottla_broker.cluster.topics import CONSUMER_OFFSETS
from ottla_broker.config import BrokerConfig
from ottla_broker.connection import Connection
from ottla_broker.coordinator.transaction import PREPARED, TRANSACTIONS_V1, TRANSACTIONS_V2, TransactionState
from ottla_broker.log.manager import LogManager
from ottla_broker.node import Node
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from ottla_wire.messages.offset_fetch import OffsetFetchRequestTopics
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from ottla_wire.records import NewRecord, build_batch, iter_batches

from ..virtual_time import RecordingDisk, let_nodes_live_in, run

OUTPUTS = [("output", 0), ("output", 1)]
ID = "x"
TIMEOUT_MS = 60_000
RETRY_S = 0.1
BOUND_S = 1.0
"""How long it may take a node that serves to bring a transaction to its end."""
STORY = [True, False, True]
"""Transaction by transaction, whether it is committed."""
SLOWEST_FLUSH_S = 30
READABLE_BYTES = 100
"""More than a marker has, so that its bytes alone do not wake a reader."""


def settings(directory, **others):
    return BrokerConfig.of(
        {
            **others,
            "listeners": "127.0.0.1:0",
            "log.dirs": str(directory),
            "num.partitions": str(len(OUTPUTS)),
            "offsets.topic.num.partitions": "1",
            "transaction.state.log.num.partitions": "1",
        }
    )


class World:
    """A node, what its clients do with it, and what they have been told."""

    def __init__(self, loop, node, version):
        self.loop, self.node, self.version = loop, node, version
        self.broker = node.broker
        self.sequences = {}

    async def init(self):
        """InitProducerId as clients send it, again and again; the producer."""
        return await self.retrying(lambda: self.broker.transactions.init_producer_id(ID, TIMEOUT_MS, None))

    async def retrying(self, act):
        while True:
            try:
                return await act()
            except KafkaError as error:
                if error.code is not ErrorCode.CONCURRENT_TRANSACTIONS:
                    raise
                await asyncio.sleep(RETRY_S)

    async def transaction(self, producer, number, commit, *, flush=False):
        """One transaction: a record in each output, if need be flushed, and an offset, with the same number; the next
        producer.
        """
        for partition in (*OUTPUTS, (CONSUMER_OFFSETS, 0)):
            await self.retrying(
                lambda partition=partition: self.broker.transactions.add_partitions(
                    ID, producer, [partition], client_version=self.version
                )
            )
            if partition in OUTPUTS:
                self.produce(partition, number, producer)
                if flush:
                    await self.broker.logs.flush(self.broker.partition(*partition))
        await self.retrying(lambda: self.broker.groups.commit_in_transaction(self._offsets(producer, number)))
        return await self.broker.transactions.end(ID, producer, commit=commit, client_version=self.version)

    def produce(self, partition, number, producer=None):
        options = {}
        if producer is not None:
            sequence = self.sequences.get((producer, partition), 0)
            self.sequences[producer, partition] = sequence + 1
            options = {
                "producer_id": producer.id,
                "producer_epoch": producer.epoch,
                "base_sequence": sequence,
                "transactional": True,
            }
        batch = build_batch([NewRecord(b"key", str(number).encode(), self.loop.clock())], **options)
        self.broker.append(self.broker.partition(*partition), batch)

    def _offsets(self, producer, number):
        partition = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=number, committed_metadata="")
        return TxnOffsetCommitRequest(
            transactional_id=ID,
            group_id="group",
            producer_id=producer.id,
            producer_epoch=producer.epoch,
            topics=[TxnOffsetCommitRequestTopic(name="input", partitions=[partition])],
        )

    # -- readers

    async def fetch(self, partition, offset, max_wait_ms, min_bytes=1):
        """One Fetch of a committed reader, through the handler."""
        topic, index = partition
        asked = FetchPartition(partition=index, fetch_offset=offset, partition_max_bytes=1_000_000)
        request = FetchRequest(
            max_wait_ms=max_wait_ms,
            min_bytes=min_bytes,
            isolation_level=1,
            topics=[FetchTopic(topic=topic, partitions=[asked])],
        )
        context = dispatch.RequestContext(11, 1, "test", Connection("127.0.0.1", 1, 0))
        response = await dispatch.APIS[1].handler(self.broker, context, request)
        return response.responses[0].partitions[0]

    async def committed(self, partition):
        """The numbers that a committed reader gets, from the beginning to where it would have to wait."""
        log, numbers, offset = self.broker.partition(*partition), [], 0
        while True:
            found = log.read(offset, 1 << 20, committed_only=True)
            if found.region is None:
                return numbers
            aborted = sorted((entry.first_offset, entry.producer_id) for entry in found.aborted)
            ignored = set()
            for batch in iter_batches(log.read_bytes(found.region)):
                while aborted and aborted[0][0] <= batch.last_offset:
                    ignored.add(aborted.pop(0)[1])
                if batch.is_control:
                    ignored.discard(batch.producer_id)
                elif not (batch.is_transactional and batch.producer_id in ignored):
                    numbers += [int(record.value) for record in batch.records()]
                offset = batch.next_offset

    def offset(self):
        topics = [OffsetFetchRequestTopics(name="input", partition_indexes=[0])]
        fetched = self.broker.groups.fetch_offsets("group", topics, require_stable=True).topics[0].partitions[0]
        assert fetched.error_code == 0, "the offset is not stable"
        return fetched.committed_offset

    def state(self):
        """The state of the transaction; None if nobody has ever asked for its id."""
        try:
            return self.broker.transactions.describe(ID).state
        except KafkaError:
            return None

    def stable(self):
        logs = [self.broker.partition(*partition) for partition in (*OUTPUTS, (CONSUMER_OFFSETS, 0))]
        return all(log.last_stable_offset == log.log_end_offset for log in logs)

    async def until(self, condition, bound_s, what):
        deadline = self.loop.time() + bound_s
        while not condition():
            assert self.loop.time() < deadline, f"{what} took more than {bound_s} s"
            await asyncio.sleep(0.01)


class Told:
    """What clients knew at each write: how many transactions had been begun, and how many ends acknowledged."""

    def __init__(self):
        self.begun = 0
        self.ended = 0
        self.at = []

    def note(self):
        self.at.append((self.begun, self.ended))


async def tell(loop, monkeypatch, directory, copies, version, tears):
    """Tell the story once; what clients knew at each of the copies."""
    told = Told()
    disk = RecordingDisk(directory, copies, told.note, halves=tears)
    monkeypatch.setattr("ottla_broker.node.LogManager", lambda *arguments: LogManager(*arguments, disk))
    let_nodes_live_in(loop, monkeypatch)
    node = await Node.start(settings(directory))
    world = World(loop, node, version)
    await world.broker.groups.locate("group")
    await world.broker.transactions.locate(ID)
    await world.broker.controller.ensure_topics(["input", "output"])
    disk.recording = True
    producer = await world.init()
    for number, commit in enumerate(STORY):
        told.begun += 1
        producer = await world.transaction(producer, number, commit)
        told.ended += 1
    disk.recording = False
    monkeypatch.setattr("ottla_broker.node.LogManager", LogManager)
    await node.stop()
    return told


async def recover(loop, monkeypatch, directory, version, then, told):
    """Start a node on what a kill has left, see to its transaction by `then(world)`, and check the outcome."""
    let_nodes_live_in(loop, monkeypatch)
    node = await Node.start(settings(directory))
    try:
        world = World(loop, node, version)
        await then(world)
        await world.until(world.stable, BOUND_S, "moving the last stable offset")
        first, *others = [await world.committed(partition) for partition in OUTPUTS]
        assert all(other == first for other in others), f"partitions disagree: {first}, {others}"
        assert world.offset() == (first[-1] if first else -1)
        begun, ended = told
        certain = [number for number in range(ended) if STORY[number]]
        possible = [number for number in range(begun) if STORY[number]]
        assert first in (certain, possible), f"told of {ended} of {begun}: {first}"
    finally:
        await node.stop()


async def take_over(world):
    """A new producer with the same id: it ends what was left open, and readers hear of it."""
    waiting = [
        asyncio.get_running_loop().create_task(world.fetch(partition, log.last_stable_offset, 60_000, READABLE_BYTES))
        for partition in OUTPUTS
        if (log := world.broker.partition(*partition)).last_stable_offset < log.log_end_offset
    ]
    await world.until(lambda: not world.broker.transactions.loading, BOUND_S, "loading")
    # Nobody has to wait for a flush but who is new: its producer id comes from the metadata log.
    bound_s = BOUND_S + (2 * SLOWEST_FLUSH_S if world.state() is None else 0)
    await asyncio.wait_for(world.init(), bound_s)
    for found in await asyncio.wait_for(asyncio.gather(*waiting), BOUND_S):
        assert found.records, "woken for nothing"


async def wait_for_the_timeout(world):
    """Nobody comes. What was decided is completed at once, what was open when its time is up."""
    await world.until(lambda: not world.broker.transactions.loading, BOUND_S, "loading")
    state = world.state()
    bound_s = BOUND_S + (TIMEOUT_MS / 1000 if state is TransactionState.ONGOING else 0)
    await world.until(lambda: world.state() not in (*PREPARED, TransactionState.ONGOING), bound_s, f"ending {state}")


@pytest.fixture(params=[TRANSACTIONS_V1, TRANSACTIONS_V2], ids=["v1", "v2"])
def version(request):
    return request.param


@pytest.mark.parametrize("tears", [False, True], ids=["between writes", "within a write"])
def test_whatever_moment_a_kill_comes_at_every_transaction_has_one_outcome_soon(
    monkeypatch, node_directory, version, tears
):
    copies, rng = node_directory.with_name("copies"), random.Random(version)
    told = run(lambda loop: tell(loop, monkeypatch, node_directory, copies, version, tears))
    assert len(told.at) > 10 * len(STORY)
    for number, known in enumerate(told.at):
        then = rng.choice([take_over, wait_for_the_timeout])
        try:
            run(
                lambda loop, number=number, known=known, then=then: recover(
                    loop, monkeypatch, copies / str(number), version, then, known
                ),
                stall=lambda: rng.uniform(0, SLOWEST_FLUSH_S),
            )
        except BaseException as error:
            error.add_note(f"killed at write {number} of {len(told.at)}, then {then.__name__}")
            raise
