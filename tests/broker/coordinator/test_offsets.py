"""Committed offsets: who may commit, what is fetched, and what a transaction or time does to them."""

import pytest

from ottla_wire.errors import ErrorCode
from ottla_wire.messages.consumer_protocol import ConsumerProtocolSubscription
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

DAY_MS = 86_400_000


def commit(driver, offset, *, partition=0, generation=-1, member_id="", metadata=None, retention_time_ms=-1):
    request = OffsetCommitRequest(
        group_id="group",
        generation_id_or_member_epoch=generation,
        member_id=member_id,
        retention_time_ms=retention_time_ms,
        topics=[
            OffsetCommitRequestTopic(
                name="topic",
                partitions=[
                    OffsetCommitRequestPartition(
                        partition_index=partition,
                        committed_offset=offset,
                        committed_leader_epoch=3,
                        committed_metadata=metadata,
                    )
                ],
            )
        ],
    )
    call = driver.submit(lambda core, call, now_ms: core.commit(request, 8, call, now_ms))
    return call.code or ErrorCode(call.answer.topics[0].partitions[0].error_code)


def commit_in_transaction(driver, offset, *, producer_id=7, partition=0, generation=-1, member_id=""):
    request = TxnOffsetCommitRequest(
        transactional_id="transaction",
        group_id="group",
        producer_id=producer_id,
        producer_epoch=0,
        generation_id=generation,
        member_id=member_id,
        topics=[
            TxnOffsetCommitRequestTopic(
                name="topic",
                partitions=[
                    TxnOffsetCommitRequestPartition(
                        partition_index=partition, committed_offset=offset, committed_metadata="m"
                    )
                ],
            )
        ],
    )
    return driver.submit(lambda core, call, now_ms: core.commit_in_transaction(request, call, now_ms)).code


def fetch(core, *, partition=0, require_stable=False):
    topics = [OffsetFetchRequestTopics(name="topic", partition_indexes=[partition])]
    return core.fetch_offsets("group", topics, require_stable).topics[0].partitions[0]


def delete(driver):
    request = OffsetDeleteRequest(
        group_id="group",
        topics=[OffsetDeleteRequestTopic(name="topic", partitions=[OffsetDeleteRequestPartition(partition_index=0)])],
    )
    return driver.submit(lambda core, call, _: core.delete_offsets(request, call))


# -- commit and fetch


def test_an_offset_comes_back_with_its_metadata_and_leader_epoch(groups):
    driver = groups()
    assert commit(driver, 42, metadata="where I was") is ErrorCode.NONE
    for core in (driver.core, driver.recovered()):
        fetched = fetch(core)
        assert (fetched.committed_offset, fetched.committed_leader_epoch, fetched.metadata) == (42, 3, "where I was")


def test_a_missing_offset_is_minus_one_and_no_error(groups):
    fetched = fetch(groups().core)
    assert (fetched.committed_offset, fetched.error_code, fetched.metadata) == (-1, ErrorCode.NONE, "")


def test_null_topics_stand_for_all_that_have_offsets(groups):
    driver = groups()
    commit(driver, 1, partition=0)
    commit(driver, 2, partition=1)
    (topic,) = driver.core.fetch_offsets("group", None, False).topics
    assert [partition.committed_offset for partition in topic.partitions] == [1, 2]


def test_metadata_that_is_too_large_refuses_that_partition(groups):
    driver = groups(offset_metadata_max_bytes=3)
    assert commit(driver, 1, metadata="long") is ErrorCode.OFFSET_METADATA_TOO_LARGE
    assert driver.log == []


def test_without_a_generation_only_a_group_without_members_takes_offsets(groups):
    driver = groups()
    assert commit(driver, 1) is ErrorCode.NONE
    (joined,) = driver.stable(1)
    assert commit(driver, 2) is ErrorCode.UNKNOWN_MEMBER_ID
    driver.leave(joined.member_id)
    assert commit(driver, 3) is ErrorCode.NONE


def test_a_generation_of_a_group_that_does_not_exist_is_refused(groups):
    assert commit(groups(), 1, generation=1, member_id="m") is ErrorCode.ILLEGAL_GENERATION


def test_members_commit_while_preparing_but_not_while_completing_a_rebalance(groups):
    driver = groups()
    (first,) = driver.stable(1)
    assert commit(driver, 1, generation=1, member_id=first.member_id) is ErrorCode.NONE
    driver.enter()
    assert commit(driver, 2, generation=1, member_id=first.member_id) is ErrorCode.NONE
    first = driver.join(first.member_id).answer
    assert commit(driver, 3, generation=1, member_id=first.member_id) is ErrorCode.ILLEGAL_GENERATION
    assert commit(driver, 3, generation=2, member_id=first.member_id) is ErrorCode.REBALANCE_IN_PROGRESS
    assert commit(driver, 3, generation=2, member_id="other") is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_commit_keeps_the_session(groups):
    driver = groups()
    (joined,) = driver.stable(1, session_timeout_ms=10_000)
    for _ in range(3):
        driver.advance(6_000)
        assert commit(driver, 1, generation=1, member_id=joined.member_id) is ErrorCode.NONE
    assert driver.heartbeat(joined) is ErrorCode.NONE


def test_a_commit_that_the_log_refuses_changes_nothing(groups):
    driver = groups()
    commit(driver, 1)
    driver.refusing = ErrorCode.NOT_COORDINATOR
    assert commit(driver, 2) is ErrorCode.NOT_COORDINATOR
    assert fetch(driver.core).committed_offset == 1


# -- transactions


@pytest.mark.parametrize(("committed", "offset"), [(True, 9), (False, 5)])
def test_offsets_of_a_transaction_take_effect_with_its_marker(groups, committed, offset):
    driver = groups()
    commit(driver, 5)
    assert commit_in_transaction(driver, 9) is ErrorCode.NONE
    assert fetch(driver.core).committed_offset == 5
    assert fetch(driver.core, require_stable=True).error_code == ErrorCode.UNSTABLE_OFFSET_COMMIT
    driver.marker(7, committed)
    for core in (driver.core, driver.recovered()):
        fetched = fetch(core, require_stable=True)
        assert (fetched.error_code, fetched.committed_offset) == (ErrorCode.NONE, offset)


def test_pending_offsets_survive_a_restart_until_their_marker(groups):
    driver = groups()
    commit_in_transaction(driver, 9)
    driver.restart()
    assert fetch(driver.core, require_stable=True).error_code == ErrorCode.UNSTABLE_OFFSET_COMMIT
    driver.marker(7, True)
    assert fetch(driver.core).committed_offset == 9


def test_the_later_of_a_plain_and_a_transactional_commit_wins(groups):
    driver = groups()
    commit_in_transaction(driver, 9)
    commit(driver, 12)
    driver.marker(7, True)
    assert fetch(driver.core).committed_offset == 12


def test_a_marker_of_another_producer_changes_nothing(groups):
    driver = groups()
    commit_in_transaction(driver, 9, producer_id=7)
    driver.marker(8, True)
    assert fetch(driver.core).committed_offset == -1


def test_a_transactional_commit_of_a_member_that_lost_its_place_is_fenced(groups):
    driver = groups()
    (joined,) = driver.stable(1)
    assert commit_in_transaction(driver, 9, generation=0, member_id=joined.member_id) is ErrorCode.ILLEGAL_GENERATION
    assert commit_in_transaction(driver, 9, generation=1, member_id="other") is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit_in_transaction(driver, 9, generation=1, member_id=joined.member_id) is ErrorCode.NONE
    # Until version 2 it said nothing of members.
    assert commit_in_transaction(driver, 9) is ErrorCode.NONE


# -- deletion


def test_offsets_of_a_topic_that_a_member_consumes_are_not_deleted(groups):
    driver = groups()
    subscription = b"\x00\x00" + ConsumerProtocolSubscription(topics=["topic"]).encode(0)
    (joined,) = driver.stable(1, protocols={"range": subscription})
    commit(driver, 1, generation=1, member_id=joined.member_id)
    call = delete(driver)
    assert call.answer.topics[0].partitions[0].error_code == ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC
    driver.leave(joined.member_id)
    call = delete(driver)
    assert call.answer.topics[0].partitions[0].error_code == ErrorCode.NONE
    assert fetch(driver.core).committed_offset == fetch(driver.recovered()).committed_offset == -1


def test_offsets_of_a_group_of_another_kind_are_not_deleted_while_it_has_members(groups):
    driver = groups()
    driver.stable(1, protocol_type="connect")
    assert delete(driver).code is ErrorCode.NON_EMPTY_GROUP
    assert delete(groups()).code is ErrorCode.GROUP_ID_NOT_FOUND


def test_deleting_a_group_deletes_pending_offsets_too(groups):
    driver = groups()
    commit(driver, 1)
    commit_in_transaction(driver, 9, partition=1)
    driver.submit(lambda core, call, _: core.delete_group("group", call))
    driver.marker(7, True)
    for core in (driver.core, driver.recovered()):
        assert fetch(core).committed_offset == fetch(core, partition=1).committed_offset == -1
        assert core.groups == {}


def test_offsets_of_a_deleted_topic_are_forgotten_and_others_are_not(groups):
    driver = groups()
    commit(driver, 1)
    commit_in_transaction(driver, 9, partition=1)
    driver.carry_out(driver.core.forget_topic("other"))
    assert fetch(driver.core).committed_offset == 1
    driver.carry_out(driver.core.forget_topic("topic"))
    driver.marker(7, True)
    for core in (driver.core, driver.recovered()):
        assert fetch(core).committed_offset == fetch(core, partition=1).committed_offset == -1


# -- expiry


def test_offsets_of_a_group_that_nobody_joins_expire_after_their_own_commit(groups):
    driver = groups(offsets_retention_minutes=24 * 60)
    commit(driver, 1, partition=0)
    driver.advance(DAY_MS // 2)
    commit(driver, 2, partition=1)
    driver.advance(DAY_MS // 2 + 600_000)
    assert fetch(driver.core, partition=0).committed_offset == -1
    assert fetch(driver.core, partition=1).committed_offset == 2
    driver.advance(DAY_MS // 2)
    assert driver.core.groups == driver.recovered().groups == {}


def test_offsets_of_a_group_with_members_expire_only_after_it_has_become_empty(groups):
    driver = groups(offsets_retention_minutes=60)
    (joined,) = driver.stable(1, session_timeout_ms=1_800_000)
    commit(driver, 1, generation=1, member_id=joined.member_id)
    for _ in range(10):
        driver.advance(1_700_000)
        driver.heartbeat(joined)
    assert fetch(driver.core).committed_offset == 1
    driver.leave(joined.member_id)
    driver.advance(50 * 60_000)
    assert fetch(driver.core).committed_offset == 1
    driver.advance(20 * 60_000)
    assert driver.core.groups == driver.recovered().groups == {}


def test_an_offset_with_a_retention_of_its_own_expires_by_that(groups):
    driver = groups()
    commit(driver, 1, retention_time_ms=60_000)
    driver.restart()
    driver.advance(600_000)
    assert fetch(driver.core).committed_offset == -1


def test_an_offset_does_not_expire_under_an_open_transaction(groups):
    driver = groups(offsets_retention_minutes=60)
    commit(driver, 1)
    commit_in_transaction(driver, 9)
    driver.advance(DAY_MS)
    assert fetch(driver.core).committed_offset == 1
    driver.marker(7, False)
    driver.advance(600_000)
    assert driver.core.groups == {}


def test_expiry_is_tried_again_when_the_log_refuses_it(groups):
    driver = groups(offsets_retention_minutes=60)
    commit(driver, 1)
    driver.refusing = ErrorCode.NOT_COORDINATOR
    driver.advance(DAY_MS)
    driver.refusing = None
    driver.advance(600_000)
    assert fetch(driver.core).committed_offset == -1
