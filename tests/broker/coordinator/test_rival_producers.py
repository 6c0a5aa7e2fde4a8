"""Two producers with one transactional id that do not know of each other, over a network that delays and repeats.

Each works in transactions: a record into some of the partitions and an offset, then commit or abort. Now and then one
stands still for longer than a transaction may take, or begins anew, which fences the other. A node serves both, in
virtual time and through its whole protocol; from time to time it is killed and starts again. Beside them readers of
committed records look at what is there.

What holds at the end, and on the way: a transaction is there in all of its partitions or in none; if its producer was
told that it is committed it is there, if its commit was refused or never asked for it is not; transactions have one
order in all partitions, and the group's offset is the last one's; what a reader has seen stays; nothing stays open.
And nobody is refused for good who was not taken over and kept to the time.

A failing run is named by its seed and replays exactly.
"""

import asyncio
import contextlib
import itertools
import random
import shutil

import pytest

from ottla_broker import dispatch
from ottla_broker.cluster.topics import CONSUMER_OFFSETS
from ottla_broker.config import BrokerConfig
from ottla_broker.connection import Connection
from ottla_broker.coordinator.decision import Producer
from ottla_broker.node import Node
from ottla_wire.errors import ErrorCode
from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.message import Message
from ottla_wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from ottla_wire.messages.add_partitions_to_txn import AddPartitionsToTxnRequest, AddPartitionsToTxnTopic
from ottla_wire.messages.end_txn import EndTxnRequest
from ottla_wire.messages.init_producer_id import InitProducerIdRequest
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from ottla_wire.records import NewRecord, build_batch

from ..virtual_time import let_nodes_live_in, run
from .test_killed_transactions import World

ID = "x"
OUTPUTS = [("output", index) for index in range(3)]
TIMEOUT_MS = 10_000
LIFE_S = 300
SETTINGS = {
    "listeners": "127.0.0.1:0",
    "num.partitions": str(len(OUTPUTS)),
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
}
PASSING = {
    ErrorCode.CONCURRENT_TRANSACTIONS,
    ErrorCode.NOT_ENOUGH_REPLICAS,
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.NOT_COORDINATOR,
}
FENCING = {
    ErrorCode.PRODUCER_FENCED,
    ErrorCode.INVALID_PRODUCER_EPOCH,
    ErrorCode.INVALID_TXN_STATE,
    ErrorCode.TRANSACTION_ABORTABLE,
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
}


class Refused(Exception):  # noqa: N818 - what a producer is told
    """There is no going on with this transaction."""


class Lost(Exception):  # noqa: N818 - what happens to answers
    """The node was killed before it had answered."""


class Attempt:
    """One transaction of one producer, and what it knows of it."""

    def __init__(self, number, begun_s):
        self.number = number
        self.begun_s = begun_s
        self.partitions = set()
        self.commit_sent = False
        self.commit_answered = None
        self.commit_lost = False
        self.finished = False


class Rival:
    """A producer, as a client's library behaves."""

    def __init__(self, world, number):
        self.world = world
        self.number = number
        self.random = random.Random(world.random.random())
        self.producer = Producer(-1, -1)
        self.is_coming = False
        self.sequences = {}

    async def ask(self, request, version):
        """Send until there is an answer. What was sent again may come twice, and the second one late.

        Where transactions have no epochs of their own only writes may: that an EndTxn, say, can end the next one is why
        they have (KIP-890).
        """
        may_be_late = isinstance(request, ProduceRequest) or (
            self.world.bumps and not isinstance(request, InitProducerIdRequest)
        )
        while True:
            await asyncio.sleep(self.random.choice([0, 0.001, 0.05]))
            fate = self.random.random()
            if fate < 0.05 and may_be_late:  # it stays under way, and is taken for lost
                self.world.deliver_late(request, version, self.random.uniform(0.5, 30))
                await asyncio.sleep(0.5)
                continue
            try:
                answer = await self.world.serve(request, version)
                if fate > 0.12:
                    return answer
            except Lost:
                pass
            if isinstance(request, EndTxnRequest) and request.committed:
                self.attempt.commit_lost = True
            await asyncio.sleep(0.5)

    async def until_decided(self, ask, code_of):
        """Ask again while the answer is one that passes; the answer, or Refused."""
        while True:
            answer = await ask()
            code = ErrorCode(code_of(answer))
            if code is ErrorCode.NONE:
                return answer
            if code in PASSING:
                await asyncio.sleep(0.1)
                continue
            assert code in FENCING, f"{code.name} is no answer that a producer understands"
            self.world.check_may_refuse(self, code)
            raise Refused(code.name)

    # -- what producers do

    async def live(self):
        while self.world.loop.time() < LIFE_S:
            await self.initialize()
            try:
                for _ in range(self.random.randint(1, 6)):
                    await self.transaction()
            except Refused:
                pass
            await asyncio.sleep(self.random.choice([0, 0.1, 5]))

    async def initialize(self):
        request = InitProducerIdRequest(transactional_id=ID, transaction_timeout_ms=TIMEOUT_MS)
        self.is_coming = True
        answer = await self.until_decided(
            lambda: self.ask(request, self.world.versions["init"]), lambda found: found.error_code
        )
        self.is_coming = False
        self.producer = Producer(answer.producer_id, answer.producer_epoch)
        self.sequences = {}

    async def transaction(self):
        world = self.world
        self.attempt = attempt = world.begin()
        for partition in self.random.sample(OUTPUTS, self.random.randint(1, len(OUTPUTS))):
            await self.write(partition)
        if self.random.random() < 0.9:
            await self.commit_offset()
        else:
            attempt.partitions.discard("offset")
        if self.random.random() < 0.1:
            await asyncio.sleep(self.random.choice([1, TIMEOUT_MS / 1000 - 1, TIMEOUT_MS / 1000 + 1, 30]))
        commit = self.random.random() < 0.75
        if not attempt.partitions:
            return
        attempt.commit_sent = commit
        request = EndTxnRequest(
            transactional_id=ID, producer_id=self.producer.id, producer_epoch=self.producer.epoch, committed=commit
        )
        try:
            answer = await self.until_decided(
                lambda: self.ask(request, world.versions["end"]), lambda found: found.error_code
            )
        except Refused:
            if commit:
                attempt.commit_answered = False
            raise
        if commit:
            attempt.commit_answered = True
        attempt.finished = True
        if world.bumps:
            self.producer = Producer(answer.producer_id, answer.producer_epoch)
            self.sequences = {}

    async def write(self, partition):
        world, (topic, index) = self.world, partition
        if not world.bumps:
            topics = [AddPartitionsToTxnTopic(name=topic, partitions=[index])]
            adding = AddPartitionsToTxnRequest(
                v3_and_below_transactional_id=ID,
                v3_and_below_producer_id=self.producer.id,
                v3_and_below_producer_epoch=self.producer.epoch,
                v3_and_below_topics=topics,
            )
            await self.until_decided(
                lambda: self.ask(adding, 3),
                lambda found: found.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code,
            )
        sequence = self.sequences.get(partition, 0)
        batch = build_batch(
            [NewRecord(b"key", str(self.attempt.number).encode(), world.loop.clock())],
            producer_id=self.producer.id,
            producer_epoch=self.producer.epoch,
            base_sequence=sequence,
            transactional=True,
        )
        data = [TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=index, records=bytes(batch))])]
        request = ProduceRequest(transactional_id=ID, acks=-1, timeout_ms=1_000, topic_data=data)
        self.attempt.partitions.add(partition)
        await self.until_decided(
            lambda: self.ask(request, world.versions["produce"]),
            lambda found: found.responses[0].partition_responses[0].error_code,
        )
        self.sequences[partition] = sequence + 1

    async def commit_offset(self):
        world, producer = self.world, self.producer
        if not world.bumps:
            adding = AddOffsetsToTxnRequest(
                transactional_id=ID, producer_id=producer.id, producer_epoch=producer.epoch, group_id="group"
            )
            await self.until_decided(lambda: self.ask(adding, 3), lambda found: found.error_code)
        partition = TxnOffsetCommitRequestPartition(
            partition_index=0, committed_offset=self.attempt.number, committed_metadata=""
        )
        request = TxnOffsetCommitRequest(
            transactional_id=ID,
            group_id="group",
            producer_id=producer.id,
            producer_epoch=producer.epoch,
            topics=[TxnOffsetCommitRequestTopic(name="input", partitions=[partition])],
        )
        self.attempt.partitions.add("offset")
        await self.until_decided(
            lambda: self.ask(request, world.versions["offsets"]), lambda found: found.topics[0].partitions[0].error_code
        )


class Arena(World):
    """The node, the network, the rivals, and what is known of all transactions."""

    def __init__(self, loop, node, seed, bumps):
        super().__init__(loop, node, 2 if bumps else 0)
        self.random = random.Random(seed)
        self.bumps = bumps
        self.versions = {
            "init": 4,
            "produce": 12 if bumps else 11,
            "offsets": 5 if bumps else 3,
            "end": 5 if bumps else 3,
        }
        self.connection = Connection("127.0.0.1", 1, 0)
        self.life = 0
        self.alive = asyncio.Event()
        self.alive.set()
        self.attempts = []
        self.late = set()
        self.rivals = [Rival(self, number) for number in range(2)]
        self.seen = {partition: [] for partition in OUTPUTS}

    def begin(self):
        self.attempts.append(Attempt(len(self.attempts), self.loop.time()))
        return self.attempts[-1]

    def check_may_refuse(self, rival, code):
        """There is a reason for which a producer is refused: another one, or its time was up."""
        (other,) = (other for other in self.rivals if other is not rival)
        if not other.is_coming and other.producer < rival.producer:
            open_s = self.loop.time() - rival.attempt.begun_s
            assert open_s > TIMEOUT_MS / 1000 - 1, f"{code.name} after {open_s} s, and there is nobody else"

    async def serve(self, request, version):
        await self.alive.wait()
        life = self.life
        frame = bytearray(RequestHeader(request.api_key, version, 5, "test").encode() + request.encode(version))
        answer = dispatch.begin(self.broker, self.connection, frame)
        while not isinstance(answer, list):
            parts = await answer
            answer = dispatch.begin(self.broker, self.connection, frame, 0) if parts is None else parts
        if life != self.life:
            raise Lost
        data = b"".join(map(bytes, answer))[4:]
        _, position = decode_response_header(data, request.api_key, version)
        return Message.response(request.api_key).decode(data, version, position)[0]

    def deliver_late(self, request, version, seconds):
        async def deliver():
            await asyncio.sleep(seconds)
            with contextlib.suppress(Lost):
                await self.serve(request, version)

        task = asyncio.create_task(deliver())
        self.late.add(task)
        task.add_done_callback(self.late.discard)

    async def kill(self):
        """Go on with what lies in the directory at one moment, again and again."""
        while True:
            await asyncio.sleep(self.random.uniform(1, 60))
            self.life += 1
            directory = self.node.config.data_directory
            left = directory.with_name(f"{self.life}")
            shutil.copytree(directory, left)
            self.alive.clear()
            await self.node.stop()
            await self.start(left)

    async def start(self, directory):
        self.node = await Node.start(BrokerConfig.of({**SETTINGS, "log.dirs": str(directory)}))
        self.broker = self.node.broker
        self.alive.set()

    async def look(self):
        """Readers of committed records: what they have seen stays."""
        while True:
            await asyncio.sleep(self.random.uniform(0.5, 5))
            await self.alive.wait()
            for partition in OUTPUTS:
                seen = await self.committed(partition)
                assert seen[: len(self.seen[partition])] == self.seen[partition], "what was read has changed"
                self.seen[partition] = seen

    async def check(self):
        found = {partition: await self.committed(partition) for partition in OUTPUTS}
        for partition, numbers in found.items():
            assert len(numbers) == len(set(numbers)), f"{partition} repeats something"
            assert numbers[: len(self.seen[partition])] == self.seen[partition]
        there = {number for numbers in found.values() for number in numbers}
        for attempt in self.attempts:
            outputs = attempt.partitions - {"offset"}
            holding = {partition for partition in OUTPUTS if attempt.number in found[partition]}
            name = f"transaction {attempt.number}"
            assert holding in (set(), outputs), f"{name} is in {holding} of {outputs}"
            if attempt.commit_answered:
                assert holding == outputs, f"{name} was committed, and is not there"
            elif not attempt.commit_sent:
                assert not holding, f"{name} was never committed, and is there"
            elif attempt.commit_answered is False and not attempt.commit_lost and not self.bumps:
                assert not holding, f"{name} was refused its commit, and is there"
        order = {}
        for numbers in found.values():
            for before, after in itertools.pairwise(numbers):
                order.setdefault(before, set()).add(after)
        assert not _has_circle(order), "transactions are in different orders"
        with_offset = [number for number in there if "offset" in self.attempts[number].partitions]
        assert self.offset() == max(with_offset, default=-1) or self.offset() in with_offset
        return len(there)


def _has_circle(order):
    done, under_way = set(), set()

    def visit(number):
        if number in under_way:
            return True
        if number in done:
            return False
        under_way.add(number)
        circle = any(visit(after) for after in order.get(number, ()))
        under_way.discard(number)
        done.add(number)
        return circle

    return any(visit(number) for number in list(order))


async def compete(loop, monkeypatch, directory, seed, bumps):
    let_nodes_live_in(loop, monkeypatch)
    arena = Arena(loop, await Node.start(BrokerConfig.of({**SETTINGS, "log.dirs": str(directory)})), seed, bumps)
    try:
        await arena.broker.groups.locate("group")
        await arena.broker.transactions.locate(ID)
        await arena.broker.controller.ensure_topics(["input", "output"])
        beside = [asyncio.create_task(arena.look()), asyncio.create_task(arena.kill())]
        await asyncio.gather(*(rival.live() for rival in arena.rivals))
        await asyncio.gather(*arena.late)
        await arena.alive.wait()
        for task in beside:
            assert not task.done(), task.result()
            task.cancel()
        await asyncio.sleep(TIMEOUT_MS / 1000 + 1)
        for topic, index in (*OUTPUTS, (CONSUMER_OFFSETS, 0)):
            log = arena.broker.partition(topic, index)
            assert log.last_stable_offset == log.log_end_offset, f"{topic}-{index} is open at {log.last_stable_offset}"
        return await arena.check(), len(arena.attempts)
    finally:
        await arena.node.stop()


@pytest.mark.parametrize("bumps", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("seed", range(3))
def test_rivals_with_one_transactional_id_leave_whole_transactions_only(monkeypatch, node_directory, seed, bumps):
    there, begun = run(lambda loop: compete(loop, monkeypatch, node_directory, seed, bumps))
    assert there > 5
    assert begun - there > 5
