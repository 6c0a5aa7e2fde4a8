"""Exactly once, under crashes: a simulation of a consume-process-produce loop on the pure cores.

A worker reads numbers, writes each to one of three partitions, and commits how far it has read in the same transaction.
The broker under it, which is a transaction core, a group core and the three partitions, crashes at chosen appends: just
before one, when it is lost, or just after, when nobody has been told. What a committed reader sees at the end must be
each number once.

A failing run is named by its seed or crash point and replays exactly.
"""

import random

import pytest

from ottla_broker.coordinator.decision import Producer
from ottla_broker.coordinator.producer_ids import ProducerIds
from ottla_broker.coordinator.transaction import TRANSACTIONS_V1, TRANSACTIONS_V2
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.offset_fetch import OffsetFetchRequestTopics
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

OFFSETS = ("__consumer_offsets", 0)
OUTPUTS = [("output", 0), ("output", 1), ("output", 2)]
NUMBERS = 24
EVERYTHING = 2**63 - 1


class Crash(Exception):  # noqa: N818 - it is none of ours
    """The broker is gone."""


class Log(list):
    """A log whose appends may crash the broker."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def append(self, entry):
        self.world.about_to_append(lambda: super(Log, self).append(entry))


class World:
    """The broker, the worker, and when the broker crashes."""

    def __init__(self, seed, groups, transactions, version, crashes=None, chance=0.0):
        self.random = random.Random(seed)
        self.version = version
        self.crashes = crashes or {}
        self.chance = chance
        self.appends = 0
        self.ids = ProducerIds()
        self.next_block = 0
        self.groups = groups()
        self.transactions = transactions()
        self.groups.log = Log(self)
        self.transactions.log = Log(self)
        self.transactions.on_change = self.send_markers
        self.outputs = {partition: Log(self) for partition in OUTPUTS}

    def about_to_append(self, append):
        when = self.crashes.get(self.appends)
        if when is None and self.random.random() < self.chance:
            when = self.random.choice(["before", "after"])
        self.appends += 1
        if when != "before":
            append()
        if when is not None:
            raise Crash

    # -- the broker

    def send_markers(self):
        for transaction, partitions in self.transactions.core.take_prepared(EVERYTHING):
            for partition in sorted(partitions):
                if partition == OFFSETS:
                    self.groups.marker(transaction.producer_id, transaction.commits)
                else:
                    self.outputs[partition].append((transaction.producer, "marker", transaction.commits))
            self.transactions.carry_out(self.transactions.core.complete(transaction, self.transactions.now_ms))

    def restart(self):
        while True:
            try:
                self.groups.restart()
                self.transactions.restart()
            except Crash:
                continue  # it crashed again while it was sending markers
            return

    def committed(self):
        """What a committed reader of the outputs gets, by partition; and that no transaction is left open."""
        result = []
        for log in self.outputs.values():
            pending = {}
            for producer, kind, value in log:
                if kind == "data":
                    pending.setdefault(producer.id, []).append(value)
                elif value:
                    result += pending.pop(producer.id, [])
                else:
                    pending.pop(producer.id, None)
            assert not any(pending.values()), "a transaction hangs"
        return sorted(result)

    # -- the worker

    def init(self):
        while True:
            if len(self.ids) < 2:
                self.ids.refill(range(self.next_block, self.next_block + 10))
                self.next_block += 10
            call = self.transactions.submit(
                lambda core, call, now_ms: core.init_producer_id("x", 60_000, None, self.ids, call, now_ms)
            )
            if call.code is ErrorCode.NONE:
                return call.answer
            assert call.code is ErrorCode.CONCURRENT_TRANSACTIONS

    def position(self):
        topics = [OffsetFetchRequestTopics(name="input", partition_indexes=[0])]
        fetched = self.groups.core.fetch_offsets("group", topics, True).topics[0].partitions[0]
        assert fetched.error_code == ErrorCode.NONE, "after an initialization nothing is pending"
        return max(fetched.committed_offset, 0)

    def add(self, producer, partition):
        call = self.transactions.submit(
            lambda core, call, now_ms: core.add_partitions("x", producer, [partition], self.version, call, now_ms)
        )
        assert call.code is ErrorCode.NONE

    def process(self, producer, start):
        end = min(NUMBERS, start + self.random.randint(1, 4))
        for number in range(start, end):
            partition = self.random.choice(OUTPUTS)
            self.add(producer, partition)
            self.outputs[partition].append((producer, "data", number))
        self.add(producer, OFFSETS)
        request = TxnOffsetCommitRequest(
            transactional_id="x",
            group_id="group",
            producer_id=producer.id,
            producer_epoch=producer.epoch,
            topics=[
                TxnOffsetCommitRequestTopic(
                    name="input",
                    partitions=[
                        TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=end, committed_metadata="")
                    ],
                )
            ],
        )
        call = self.groups.submit(lambda core, call, now_ms: core.commit_in_transaction(request, call, now_ms))
        assert call.code is ErrorCode.NONE
        return end

    def work(self):
        producer = self.init()
        position = self.position()
        while position < NUMBERS:
            end = self.process(producer, position)
            commit = self.random.random() < 0.7
            call = self.transactions.submit(
                lambda core, call, now_ms, current=producer, commits=commit: core.end(
                    "x", current, commits, self.version, self.ids, call, now_ms
                )
            )
            assert call.code is ErrorCode.NONE
            producer = call.answer
            position = end if commit else self.position()

    def run(self):
        while True:
            try:
                self.work()
                self.init()  # ends what may be open
            except Crash:
                self.restart()
                continue
            return self


@pytest.fixture(params=[TRANSACTIONS_V1, TRANSACTIONS_V2], ids=["v1", "v2"])
def world(request, groups, transactions):
    return lambda seed, **options: World(seed, groups, transactions, request.param, **options)


def test_without_crashes_each_number_comes_out_once(world):
    assert world(1).run().committed() == list(range(NUMBERS))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_crash_at_any_append_loses_nothing_and_repeats_nothing(world, when):
    appends = world(1).run().appends
    assert appends > 100
    for crash in range(appends):
        crashed = world(1, crashes={crash: when}).run()
        assert crashed.committed() == list(range(NUMBERS)), f"crash {when} append {crash}"


@pytest.mark.parametrize("seed", range(40))
def test_many_crashes_lose_nothing_and_repeat_nothing(world, seed):
    assert world(seed, chance=0.05).run().committed() == list(range(NUMBERS))


def test_the_epoch_of_a_crashed_worker_is_fenced(world):
    simulation = world(1)
    producer = simulation.init()
    simulation.process(producer, 0)
    assert simulation.init() == Producer(producer.id, producer.epoch + 2)
    call = simulation.transactions.submit(
        lambda core, call, now_ms: core.end("x", producer, True, TRANSACTIONS_V1, simulation.ids, call, now_ms)
    )
    assert call.code is ErrorCode.PRODUCER_FENCED
    assert simulation.committed() == []
