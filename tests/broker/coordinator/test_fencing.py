"""Who may commit and fetch offsets of a consumer group: members with their epoch, or one before while they could."""

import pytest

from ottla_broker.coordinator.decision import Decision
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    prefixed,
)
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
from ottla_wire.messages.offset_fetch import OffsetFetchRequestTopics
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

SUBSCRIPTION = prefixed(ConsumerProtocolSubscription(topics=["topic"]), 1)


@pytest.fixture
def driver(groups):
    driver = groups(group_consumer_assignment_interval_ms=0)
    driver.topic("topic", 4)
    return driver


def commit(driver, member_id="", epoch=-1, *partitions, version=9):
    request = OffsetCommitRequest(
        group_id="group",
        generation_id_or_member_epoch=epoch,
        member_id=member_id,
        topics=[
            OffsetCommitRequestTopic(
                name="topic",
                partitions=[
                    OffsetCommitRequestPartition(partition_index=index, committed_offset=7, committed_metadata="")
                    for index in partitions or (0,)
                ],
            )
        ],
    )
    return driver.submit(lambda core, call, now_ms: core.commit(request, version, call, now_ms)).code


def commit_in_transaction(driver, member_id="", epoch=-1, instance=None):
    request = TxnOffsetCommitRequest(
        transactional_id="transaction",
        group_id="group",
        producer_id=7,
        producer_epoch=0,
        generation_id=epoch,
        member_id=member_id,
        group_instance_id=instance,
        topics=[
            TxnOffsetCommitRequestTopic(
                name="topic",
                partitions=[
                    TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=7, committed_metadata="")
                ],
            )
        ],
    )
    return driver.submit(lambda core, call, now_ms: core.commit_in_transaction(request, call, now_ms)).code


def fetch(driver, member_id=None, epoch=-1):
    topics = [OffsetFetchRequestTopics(name="topic", partition_indexes=[0])]

    def ask(core, call, _now_ms):
        decision = Decision()
        decision.answer(call, core.fetch_offsets("group", topics, False, member_id, epoch))
        return decision

    call = driver.submit(ask)
    return call.code if call.code else call.answer.topics[0].partitions[0].committed_offset


def two_members(driver):
    """a has 0 and 1 since epoch 1, b has 2 and 3 since epoch 2; both are at epoch 2."""
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a)
    driver.settle(a, b)
    return a, b


def test_a_member_commits_and_fetches_with_its_epoch(driver):
    two_members(driver)
    assert commit(driver, "a", 2) is ErrorCode.NONE
    assert fetch(driver, "a", 2) == 7
    assert driver.recovered().store.committed("group")["topic", 0].offset == 7


def test_an_epoch_of_the_future_is_stale_too(driver):
    two_members(driver)
    assert commit(driver, "a", 3) is ErrorCode.STALE_MEMBER_EPOCH
    assert fetch(driver, "a", 3) is ErrorCode.STALE_MEMBER_EPOCH


def test_a_commit_that_was_overtaken_counts_for_partitions_that_the_member_had_already(driver):
    a, b = two_members(driver)
    assert commit(driver, "a", 1, 0, 1) is ErrorCode.NONE
    assert commit(driver, "a", 1, 0, 2) is ErrorCode.STALE_MEMBER_EPOCH, "2 is another member's"
    assert commit(driver, "b", 1, 2) is ErrorCode.STALE_MEMBER_EPOCH, "b has had 2 since epoch 2"
    a.leave()
    driver.settle(b)
    assert b.epoch == 3
    assert commit(driver, "b", 2, 3) is ErrorCode.NONE
    assert commit(driver, "b", 2, 0) is ErrorCode.STALE_MEMBER_EPOCH
    assert driver.recovered().groups["group"].members["b"].assigned == driver.group.members["b"].assigned


def test_partitions_that_are_being_given_up_may_still_be_committed(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a)
    b.heartbeat()
    a.heartbeat()
    assert commit(driver, "a", 1, 3) is ErrorCode.NONE


def test_a_fetch_needs_the_epoch_itself(driver):
    two_members(driver)
    assert fetch(driver, "a", 1) is ErrorCode.STALE_MEMBER_EPOCH
    assert fetch(driver, "stranger", 2) is ErrorCode.UNKNOWN_MEMBER_ID
    assert fetch(driver) == -1, "who names no member is an administrator"


def test_strangers_cannot_commit_while_there_are_members(driver):
    a, b = two_members(driver)
    assert commit(driver) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit(driver, "stranger", 2) is ErrorCode.UNKNOWN_MEMBER_ID
    a.leave(), b.leave()
    assert commit(driver) is ErrorCode.NONE


def test_members_need_a_version_that_has_a_word_for_stale_epochs(driver):
    two_members(driver)
    assert commit(driver, "a", 2, version=8) is ErrorCode.UNSUPPORTED_VERSION


def test_a_member_of_the_classic_protocol_has_generations(driver):
    one = driver.enter(protocols={"range": SUBSCRIPTION}).answer
    assignment = prefixed(ConsumerProtocolAssignment(assigned_partitions=[]), 1)
    assert driver.sync(one, {one.member_id: assignment}).code is ErrorCode.NONE
    driver.consumer("new").heartbeat()
    assert commit(driver, one.member_id, 1, version=8) is ErrorCode.NONE
    assert commit(driver, one.member_id, 2, version=8) is ErrorCode.ILLEGAL_GENERATION
    assert fetch(driver, one.member_id, 2) is ErrorCode.ILLEGAL_GENERATION


def test_a_commit_in_a_transaction_is_fenced_alike_unless_it_names_no_member(driver):
    two_members(driver)
    assert commit_in_transaction(driver, "a", 2) is ErrorCode.NONE
    assert commit_in_transaction(driver, "a", 1) is ErrorCode.NONE
    assert commit_in_transaction(driver, "a", 3) is ErrorCode.STALE_MEMBER_EPOCH
    assert commit_in_transaction(driver, "stranger", 2) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit_in_transaction(driver) is ErrorCode.NONE
    assert commit_in_transaction(driver, instance="1") is ErrorCode.UNKNOWN_MEMBER_ID


def test_who_was_replaced_cannot_commit(driver):
    a = driver.consumer("a", instance="1")
    driver.settle(a)
    a.leave(-2)
    assert commit(driver, "a", 1) is ErrorCode.STALE_MEMBER_EPOCH
    driver.consumer("a2", instance="1").heartbeat()
    assert commit(driver, "a", 1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit(driver, "a2", 1) is ErrorCode.NONE


# -- what becomes of offsets


def test_offsets_of_topics_that_members_consume_cannot_be_deleted(driver):
    a = driver.consumer("a", [], regex="to.*")
    driver.settle(a)
    commit(driver, "a", a.epoch)
    request = OffsetDeleteRequest(
        group_id="group",
        topics=[OffsetDeleteRequestTopic(name="topic", partitions=[OffsetDeleteRequestPartition(partition_index=0)])],
    )

    def delete():
        call = driver.submit(lambda core, call, _: core.delete_offsets(request, call))
        return ErrorCode(call.answer.topics[0].partitions[0].error_code)

    assert delete() is ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    a.leave()
    assert delete() is ErrorCode.NONE
    assert fetch(driver) == -1


def test_offsets_of_topics_that_nobody_consumes_expire_and_the_empty_group_with_them(groups):
    driver = groups(offsets_retention_minutes=60)
    driver.topic("topic", 1)
    a = driver.consumer("a")
    driver.settle(a)
    commit(driver, "a", 1)
    for _ in range(200):
        driver.advance(30_000)
        a.heartbeat()
    assert fetch(driver) == 7, "while it is consumed it stays, however old it is"
    a.leave()
    driver.advance(1_200_000)
    assert fetch(driver) == -1
    assert driver.core.groups == {}


def test_offsets_stay_when_a_group_changes_its_protocol(driver):
    a = driver.consumer("a")
    driver.settle(a)
    commit(driver, "a", 1)
    a.leave()
    driver.enter(protocols={"range": SUBSCRIPTION})
    assert fetch(driver) == 7
    assert driver.recovered().groups["group"].protocol_type is None, "as long as no generation is in the log"
