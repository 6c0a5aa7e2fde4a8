"""Offsets of groups, committed plainly and in transactions, deleted, expired and compacted: none is lost or wrong.

Hypothesis finds the order of events. A model says what each group is to have; after every step, and after every restart
from a log that may have been compacted, that is what a fetch answers.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ottla_wire.errors import ErrorCode
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from ottla_wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

GROUPS = st.sampled_from(["group", "other"])
TOPICS = st.sampled_from(["alpha", "beta"])
PARTITIONS = st.integers(0, 1)
PRODUCERS = st.integers(1, 3)
RETENTION_MS = 7 * 86_400_000


class OffsetMachine(RuleBasedStateMachine):
    make_driver = None

    @initialize()
    def start(self):
        self.driver = type(self).make_driver()
        self.driver.topic("alpha", 2)
        self.driver.topic("beta", 2)
        self.commits = 0
        self.written = {}
        """By (group, topic, partition): the number of the commit, which is its offset, and when it was made."""
        self.pending = {}
        """By producer, the same."""

    def next_commit(self):
        self.commits += 1
        return self.commits, self.driver.now_ms

    # -- what clients do

    @rule(group=GROUPS, topic=TOPICS, index=PARTITIONS)
    def commit(self, group, topic, index):
        made = self.next_commit()
        partition = OffsetCommitRequestPartition(partition_index=index, committed_offset=made[0], committed_metadata="")
        request = OffsetCommitRequest(
            group_id=group, member_id="", topics=[OffsetCommitRequestTopic(name=topic, partitions=[partition])]
        )
        assert (
            self.driver.submit(lambda core, call, now_ms: core.commit(request, 8, call, now_ms)).code is ErrorCode.NONE
        )
        self.written[group, topic, index] = made

    @rule(producer_id=PRODUCERS, group=GROUPS, topic=TOPICS, index=PARTITIONS)
    def commit_in_transaction(self, producer_id, group, topic, index):
        made = self.next_commit()
        partition = TxnOffsetCommitRequestPartition(
            partition_index=index, committed_offset=made[0], committed_metadata=""
        )
        request = TxnOffsetCommitRequest(
            transactional_id="x",
            group_id=group,
            producer_id=producer_id,
            producer_epoch=0,
            topics=[TxnOffsetCommitRequestTopic(name=topic, partitions=[partition])],
        )
        call = self.driver.submit(lambda core, call, now_ms: core.commit_in_transaction(request, call, now_ms))
        assert call.code is ErrorCode.NONE
        self.pending.setdefault(producer_id, {})[group, topic, index] = made

    @rule(producer_id=PRODUCERS, committed=st.booleans())
    def end_transaction(self, producer_id, committed):
        self.driver.marker(producer_id, committed)
        for key, made in self.pending.pop(producer_id, {}).items():
            if committed:
                self.written[key] = max(made, self.written.get(key, made))

    @rule(group=GROUPS, topic=TOPICS, index=PARTITIONS)
    def delete_offset(self, group, topic, index):
        if group not in self.driver.core.groups:
            return
        partition = OffsetDeleteRequestPartition(partition_index=index)
        request = OffsetDeleteRequest(
            group_id=group, topics=[OffsetDeleteRequestTopic(name=topic, partitions=[partition])]
        )
        self.driver.submit(lambda core, call, _now_ms: core.delete_offsets(request, call))
        self.forget(lambda key: key == (group, topic, index))

    @rule(group=GROUPS)
    def delete_group(self, group):
        if group in self.driver.core.groups:
            self.driver.submit(lambda core, call, _now_ms: core.delete_group(group, call))
            self.forget(lambda key: key[0] == group)

    @rule(topic=TOPICS)
    def delete_topic(self, topic):
        self.driver.delete_topic(topic)
        while (decision := self.driver.core.forget_topic(topic)).records:
            self.driver.carry_out(decision)
        self.forget(lambda key: key[1] == topic)
        self.driver.topic(topic, 2)

    def forget(self, is_gone):
        for offsets in (self.written, *self.pending.values()):
            for key in [key for key in offsets if is_gone(key)]:
                del offsets[key]

    @rule(milliseconds=st.sampled_from([1_000, RETENTION_MS // 2]))
    def time_passes(self, milliseconds):
        self.driver.advance(milliseconds)
        self.driver.advance(0)

    @rule()
    def broker_restarts(self):
        self.driver.restart()

    # -- what must hold

    def fetched(self, core):
        """All offsets, by (group, topic, partition)."""
        return {
            (group, topic.name, partition.partition_index): partition.committed_offset
            for group in ("group", "other")
            for topic in core.fetch_offsets(group, None, False).topics
            for partition in topic.partitions
        }

    @invariant()
    def every_offset_is_the_one_committed_last(self):
        fetched = self.fetched(self.driver.core)
        now_ms = self.driver.now_ms
        expected = {key: made[0] for key, made in self.written.items()}
        assert expected.items() >= fetched.items()
        for key in expected.keys() - fetched.keys():
            assert now_ms - self.written[key][1] >= RETENTION_MS, f"{key} was lost"
            del self.written[key]

    @invariant()
    def recovery_is_what_there_is(self):
        recovered = self.driver.recovered()
        assert recovered.store == self.driver.core.store
        assert recovered.groups.keys() == self.driver.core.groups.keys()


def test_offsets_are_what_was_committed_last_whatever_happens_to_the_log(groups):
    class Machine(OffsetMachine):
        make_driver = staticmethod(groups)

    case = Machine.TestCase
    case.settings = settings(max_examples=80, stateful_step_count=40)
    case().runTest()
