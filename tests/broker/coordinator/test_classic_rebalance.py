"""A classic group from the outside: what its members are answered, and when."""

import pytest

from ottla_broker.coordinator.classic_group import TRANSITIONS, ClassicGroup, GroupState
from ottla_broker.coordinator.errors import IllegalTransition
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.consumer_protocol import ConsumerProtocolSubscription


def subscription(*topics, user_data=None):
    return b"\x00\x00" + ConsumerProtocolSubscription(topics=list(topics), user_data=user_data).encode(0)


# -- the table


@pytest.mark.parametrize("source", GroupState)
@pytest.mark.parametrize("target", GroupState)
def test_a_transition_that_is_not_in_the_table_raises(source, target):
    group = ClassicGroup("group", state=source)
    if target in TRANSITIONS[source]:
        group.transition_to(target, 7)
        assert (group.state, group.state_timestamp_ms) == (target, 7)
    else:
        with pytest.raises(IllegalTransition, match=r"'group' cannot go from .*"):
            group.transition_to(target, 7)


# -- joining


def test_a_new_member_is_sent_back_with_its_id_and_then_leads(groups):
    driver = groups()
    first = driver.join()
    assert first.code is ErrorCode.MEMBER_ID_REQUIRED
    joined = driver.join(first.answer.member_id).answer
    assert joined.generation_id == 1
    assert joined.leader == joined.member_id == first.answer.member_id
    assert [member.member_id for member in joined.members] == [joined.member_id]


@pytest.mark.parametrize("options", [{"version": 3}, {"instance": "a"}])
def test_member_id_required_is_only_for_join_group_4_and_dynamic_members(groups, options):
    assert groups().join(**options).code is ErrorCode.NONE


def test_a_member_id_that_was_never_taken_up_expires_and_leaves_no_group(groups):
    driver = groups()
    driver.join(session_timeout_ms=10_000)
    driver.advance(10_000)
    assert driver.core.groups == {}


def test_an_unknown_member_id_is_refused_without_making_a_group(groups):
    driver = groups()
    assert driver.join("nobody").code is ErrorCode.UNKNOWN_MEMBER_ID
    assert driver.core.groups == {}


@pytest.mark.parametrize(
    ("protocol_type", "protocols"), [("connect", {"range": b""}), ("consumer", {"roundrobin": b""})]
)
def test_a_member_without_a_common_protocol_is_refused(groups, protocol_type, protocols):
    driver = groups()
    driver.stable(1)
    refused = driver.join(protocol_type=protocol_type, protocols=protocols)
    assert refused.code is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_the_protocol_with_most_votes_among_the_common_ones_is_chosen(groups):
    driver = groups()
    one = driver.enter(protocols={"range": b"1", "sticky": b"1"})
    two = driver.enter(protocols={"sticky": b"2", "range": b"2", "other": b""})
    three = driver.enter(protocols={"sticky": b"3", "range": b"3"})
    one = driver.join(one.answer.member_id, protocols={"range": b"1", "sticky": b"1"})
    assert {call.answer.protocol_name for call in (one, two, three)} == {"sticky"}
    leader = next(call.answer for call in (one, two, three) if call.answer.leader == call.answer.member_id)
    assert {member.metadata for member in leader.members} == {b"1", b"2", b"3"}


def test_a_second_member_starts_a_rebalance_that_waits_for_the_first(groups):
    driver = groups()
    (first,) = driver.stable(1)
    second = driver.enter()
    assert not second.answered
    assert driver.heartbeat(first) is ErrorCode.REBALANCE_IN_PROGRESS
    again = driver.join(first.member_id)
    assert again.answer.generation_id == second.answer.generation_id == 2
    assert second.answer.members == []


def test_who_does_not_join_before_the_rebalance_timeout_is_left_out(groups):
    driver = groups()
    (first,) = driver.stable(1, rebalance_timeout_ms=5_000, session_timeout_ms=60_000)
    second = driver.enter(rebalance_timeout_ms=5_000)
    driver.advance(4_999)
    assert not second.answered
    driver.advance(1)
    assert second.answer.leader == second.answer.member_id
    assert list(driver.group.members) == [second.answer.member_id]
    assert driver.heartbeat(first) is ErrorCode.UNKNOWN_MEMBER_ID


def test_join_group_0_waits_as_long_as_a_session_lasts(groups):
    driver = groups()
    driver.join(version=0, session_timeout_ms=10_000, rebalance_timeout_ms=-1)
    assert driver.group.rebalance_timeout_ms == 10_000


def test_a_full_group_refuses_new_members(groups):
    driver = groups(group_max_size=1)
    driver.stable(1)
    assert driver.join().code is ErrorCode.GROUP_MAX_SIZE_REACHED


def test_a_follower_that_joins_again_unchanged_gets_the_current_generation(groups):
    driver = groups()
    leader, follower = driver.stable(2)
    again = driver.join(follower.member_id)
    assert again.answer.generation_id == leader.generation_id
    assert driver.group.state is GroupState.STABLE


def test_the_leader_that_joins_again_starts_a_rebalance(groups):
    driver = groups()
    leader, _ = driver.stable(2)
    assert not driver.join(leader.member_id).answered
    assert driver.group.state is GroupState.PREPARING_REBALANCE


def test_a_follower_with_another_subscription_starts_a_rebalance(groups):
    driver = groups()
    _, follower = driver.stable(2)
    assert not driver.join(follower.member_id, protocols={"range": b"changed"}).answered


def test_a_second_join_of_the_same_member_replaces_the_first(groups):
    driver = groups()
    leader, follower = driver.stable(2)
    first = driver.join(leader.member_id)
    second = driver.join(leader.member_id)
    assert first.code is ErrorCode.REBALANCE_IN_PROGRESS
    driver.join(follower.member_id)
    assert second.code is ErrorCode.NONE


# -- the initial rebalance delay


def test_the_first_rebalance_waits_for_the_delay_and_longer_for_more_members(groups):
    driver = groups(group_initial_rebalance_delay_ms=3_000)
    first = driver.enter(rebalance_timeout_ms=60_000)
    driver.advance(2_000)
    second = driver.enter()
    driver.advance(1_000)
    assert not first.answered
    driver.advance(3_000)
    assert first.answer.generation_id == second.answer.generation_id == 1


def test_the_delay_is_extended_no_longer_than_the_rebalance_timeout(groups):
    driver = groups(group_initial_rebalance_delay_ms=3_000)
    first = driver.enter(rebalance_timeout_ms=7_000)
    for _ in range(3):
        driver.advance(2_000)
        driver.enter(rebalance_timeout_ms=7_000)
    assert not first.answered
    driver.advance(1_000)
    assert first.code is ErrorCode.NONE


# -- syncing


def test_followers_wait_for_the_leaders_assignment(groups):
    driver = groups()
    driver.stable(1)
    old = next(iter(driver.group.members))
    second = driver.enter()
    first = driver.join(old)
    waiting = driver.sync(second.answer)
    assert not waiting.answered
    driver.sync(first.answer, {first.answer.member_id: b"a", second.answer.member_id: b"b"})
    assert waiting.answer.assignment == b"b"
    assert driver.group.state is GroupState.STABLE


def test_a_member_that_the_leader_forgot_gets_an_empty_assignment(groups):
    driver = groups()
    joined = driver.enter().answer
    assert driver.sync(joined, {}).answer.assignment == b""


def test_a_sync_is_answered_only_once_the_assignment_is_in_the_log(groups):
    driver = groups()
    joined = driver.enter().answer
    driver.refusing = ErrorCode.NOT_COORDINATOR
    assert driver.sync(joined, {joined.member_id: b"a"}).code is ErrorCode.NOT_COORDINATOR
    assert driver.group.state is GroupState.PREPARING_REBALANCE
    assert driver.log == []
    driver.refusing = None
    again = driver.join(joined.member_id).answer
    assert driver.sync(again, {again.member_id: b"a"}).answer.assignment == b"a"


def test_a_sync_of_another_generation_or_protocol_is_refused(groups):
    driver = groups()
    joined = driver.enter().answer
    joined.generation_id += 1
    assert driver.sync(joined).code is ErrorCode.ILLEGAL_GENERATION
    joined.generation_id -= 1
    joined.protocol_name = "other"
    assert driver.sync(joined).code is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_a_new_rebalance_sends_waiting_followers_back_to_join(groups):
    driver = groups()
    (first,) = driver.stable(1)
    second = driver.enter()
    driver.join(first.member_id)
    waiting = driver.sync(second.answer)
    driver.enter()
    assert waiting.code is ErrorCode.REBALANCE_IN_PROGRESS


def test_who_does_not_sync_in_time_is_removed(groups):
    driver = groups()
    (first,) = driver.stable(1, rebalance_timeout_ms=5_000, session_timeout_ms=60_000)
    second = driver.enter(rebalance_timeout_ms=5_000, session_timeout_ms=60_000)
    leader = driver.join(first.member_id, rebalance_timeout_ms=5_000, session_timeout_ms=60_000).answer
    driver.sync(leader, {leader.member_id: b"a"})
    driver.advance(5_000)
    assert second.answer.member_id not in driver.group.members
    assert driver.heartbeat(leader) is ErrorCode.REBALANCE_IN_PROGRESS


def test_a_stable_group_answers_a_sync_with_the_assignment_it_has(groups):
    driver = groups()
    leader, _ = driver.stable(2)
    assert driver.sync(leader).answer.assignment == b"partitions of " + leader.member_id.encode()


# -- sessions


def test_heartbeats_keep_a_session_and_silence_ends_it(groups):
    driver = groups()
    leader, follower = driver.stable(2, session_timeout_ms=10_000)
    for _ in range(4):
        driver.advance(6_000)
        assert driver.heartbeat(leader) in (ErrorCode.NONE, ErrorCode.REBALANCE_IN_PROGRESS)
    assert follower.member_id not in driver.group.members
    assert leader.member_id in driver.group.members


def test_a_heartbeat_from_another_generation_is_refused(groups):
    driver = groups()
    (joined,) = driver.stable(1)
    joined.generation_id += 1
    assert driver.heartbeat(joined) is ErrorCode.ILLEGAL_GENERATION


def test_a_member_that_waits_for_a_rebalance_needs_no_heartbeat(groups):
    driver = groups()
    leader, follower = driver.stable(2, session_timeout_ms=10_000, rebalance_timeout_ms=60_000)
    waiting = driver.join(leader.member_id, rebalance_timeout_ms=60_000)
    for _ in range(5):
        driver.advance(9_000)
        driver.heartbeat(follower)
    assert not waiting.answered
    driver.join(follower.member_id)
    assert waiting.code is ErrorCode.NONE


def test_a_new_member_that_is_never_answered_is_dropped_after_five_minutes(groups):
    driver = groups()
    (first,) = driver.stable(1, session_timeout_ms=1_800_000, rebalance_timeout_ms=1_800_000)
    joining = driver.enter(session_timeout_ms=10_000, rebalance_timeout_ms=1_800_000)
    driver.advance(300_000)
    assert joining.code is ErrorCode.UNKNOWN_MEMBER_ID
    assert list(driver.group.members) == [first.member_id]


# -- leaving


def test_the_last_member_to_leave_leaves_an_empty_group_in_the_log(groups):
    driver = groups()
    (joined,) = driver.stable(1)
    assert driver.leave(joined.member_id).answer.members[0].error_code == ErrorCode.NONE
    assert driver.group.state is GroupState.EMPTY
    recovered = driver.recovered().groups["group"]
    assert (recovered.state, recovered.generation, recovered.members) == (GroupState.EMPTY, 2, {})


def test_an_empty_group_is_written_again_when_the_log_refused_it(groups):
    driver = groups()
    (joined,) = driver.stable(1)
    driver.refusing = ErrorCode.COORDINATOR_NOT_AVAILABLE
    driver.leave(joined.member_id)
    assert driver.group.state is GroupState.PREPARING_REBALANCE
    driver.refusing = None
    driver.advance(1_000)
    assert driver.group.state is GroupState.EMPTY


def test_when_a_member_leaves_the_others_rebalance(groups):
    driver = groups()
    leader, follower = driver.stable(2)
    driver.leave(leader.member_id)
    assert driver.heartbeat(follower) is ErrorCode.REBALANCE_IN_PROGRESS
    assert driver.join(follower.member_id).answer.leader == follower.member_id


def test_leaving_a_group_that_one_is_not_in_is_an_error_of_that_member(groups):
    driver = groups()
    assert driver.leave("nobody").answer.members[0].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    driver.stable(1)
    assert driver.leave("nobody").answer.members[0].error_code == ErrorCode.UNKNOWN_MEMBER_ID


def test_a_pending_member_can_leave(groups):
    driver = groups()
    pending = driver.join().answer
    assert driver.leave(pending.member_id).answer.members[0].error_code == ErrorCode.NONE
    assert driver.core.groups == {}


# -- static members


def static_pair(driver):
    one = driver.join(instance="one")
    two = driver.join(instance="two")
    one = driver.join(one.answer.member_id, instance="one")
    leader, follower = sorted((one.answer, two.answer), key=lambda answer: answer.member_id != answer.leader)
    assert (
        driver.sync(leader, {leader.member_id: b"a", follower.member_id: b"b"}, instance="one").code is ErrorCode.NONE
    )
    return leader, follower


def test_a_static_member_that_comes_back_gets_a_new_id_and_no_rebalance(groups):
    driver = groups()
    leader, follower = static_pair(driver)
    back = driver.join(instance="two").answer
    assert back.member_id != follower.member_id
    assert back.generation_id == leader.generation_id
    assert not back.skip_assignment
    assert driver.group.state is GroupState.STABLE
    assert driver.sync(back, instance="two").answer.assignment == b"b"
    assert driver.heartbeat(leader, instance="one") is ErrorCode.NONE


def test_the_old_id_of_a_static_member_is_fenced(groups):
    driver = groups()
    _, follower = static_pair(driver)
    driver.join(instance="two")
    assert driver.heartbeat(follower, instance="two") is ErrorCode.FENCED_INSTANCE_ID
    assert driver.sync(follower, instance="two").code is ErrorCode.FENCED_INSTANCE_ID
    assert driver.join(follower.member_id, instance="two").code is ErrorCode.FENCED_INSTANCE_ID


def test_a_static_leader_that_comes_back_is_told_to_keep_the_assignment(groups):
    driver = groups()
    leader, _ = static_pair(driver)
    back = driver.join(instance="one").answer
    assert back.leader == back.member_id != leader.member_id
    assert back.skip_assignment
    assert len(back.members) == 2


def test_before_join_group_9_a_returning_leader_is_not_told_that_it_leads(groups):
    driver = groups()
    leader, _ = static_pair(driver)
    back = driver.join(instance="one", version=8).answer
    assert back.leader == leader.member_id
    assert back.members == []


def test_the_new_id_of_a_static_member_survives_a_restart(groups):
    driver = groups()
    static_pair(driver)
    back = driver.join(instance="two").answer
    driver.restart()
    assert driver.heartbeat(back, instance="two") is ErrorCode.NONE
    assert driver.sync(back, instance="two").answer.assignment == b"b"


def test_a_static_member_keeps_its_old_id_when_the_log_refuses_the_new_one(groups):
    driver = groups()
    _, follower = static_pair(driver)
    driver.refusing = ErrorCode.NOT_COORDINATOR
    assert driver.join(instance="two").code is ErrorCode.NOT_COORDINATOR
    assert driver.heartbeat(follower, instance="two") is ErrorCode.NONE


def test_a_static_member_that_comes_back_with_other_topics_starts_a_rebalance(groups):
    driver = groups()
    joined = driver.join(instance="one", protocols={"range": subscription("a", user_data=b"owned")}).answer
    driver.sync(joined, {joined.member_id: b"a"}, instance="one")
    same = driver.join(instance="one", protocols={"range": subscription("a")}).answer
    assert same.generation_id == joined.generation_id
    other = driver.join(instance="one", protocols={"range": subscription("a", "b")}).answer
    assert other.generation_id == joined.generation_id + 1


def test_a_static_member_that_comes_back_during_a_rebalance_fences_its_former_self(groups):
    driver = groups()
    leader, _ = static_pair(driver)
    former = driver.join(leader.member_id, instance="one")
    back = driver.join(instance="one")
    assert former.code is ErrorCode.FENCED_INSTANCE_ID
    assert not back.answered
    driver.join(instance="two")
    assert back.code is ErrorCode.NONE
    assert back.answer.member_id in driver.group.members
    assert leader.member_id not in driver.group.members


def test_a_leader_that_is_away_hands_over_to_one_who_has_joined(groups):
    driver = groups()
    leader, follower = static_pair(driver)
    waiting = driver.join(
        follower.member_id, instance="two", protocols={"range": b"changed"}, rebalance_timeout_ms=60_000
    )
    for _ in range(10):
        driver.advance(6_000)
        driver.heartbeat(leader, instance="one")
    assert waiting.answer.leader == follower.member_id
    assert len(waiting.answer.members) == 2


def test_static_members_that_are_all_away_are_waited_for_until_their_sessions_end(groups):
    driver = groups()
    joined = driver.join(instance="one", session_timeout_ms=100_000, rebalance_timeout_ms=5_000).answer
    driver.sync(joined, {}, instance="one")
    visitor = driver.join(driver.join().answer.member_id, rebalance_timeout_ms=5_000)
    (visitor_id,) = set(driver.group.members) - {joined.member_id}
    driver.leave(visitor_id)
    assert visitor.code is ErrorCode.UNKNOWN_MEMBER_ID
    driver.advance(50_000)
    assert driver.group.state is GroupState.PREPARING_REBALANCE
    driver.advance(50_000)
    assert driver.group.state is GroupState.EMPTY


def test_an_administrator_removes_a_static_member_by_its_instance_id(groups):
    driver = groups()
    _, follower = static_pair(driver)
    assert driver.leave("", instance="two").answer.members[0].error_code == ErrorCode.NONE
    assert follower.member_id not in driver.group.members
    assert driver.leave("", instance="two").answer.members[0].error_code == ErrorCode.UNKNOWN_MEMBER_ID


# -- restart


def test_after_a_restart_members_go_on_where_they_were(groups):
    driver = groups()
    leader, follower = driver.stable(2)
    driver.restart()
    assert driver.heartbeat(leader) is ErrorCode.NONE
    assert driver.sync(follower).answer.assignment == b"partitions of " + follower.member_id.encode()
    driver.advance(10_000)
    assert driver.group.state is GroupState.EMPTY


def test_a_rebalance_in_progress_is_lost_with_a_crash_and_the_last_generation_stands(groups):
    driver = groups()
    (first,) = driver.stable(1)
    driver.enter()
    driver.restart()
    assert driver.heartbeat(first) is ErrorCode.NONE


# -- administration


def test_groups_are_listed_by_state_and_type(groups):
    driver = groups()
    driver.stable(1)
    (listed,) = driver.core.list_groups({"stable"}, {"classic"})
    assert (listed.group_id, listed.group_state, listed.group_type) == ("group", "Stable", "classic")
    assert list(driver.core.list_groups({"empty"}, set())) == []
    assert list(driver.core.list_groups(set(), {"consumer"})) == []


def test_a_description_shows_the_protocol_only_while_it_is_settled(groups):
    driver = groups()
    leader, _ = driver.stable(2)
    described = driver.core.describe("group")
    assert (described.group_state, described.protocol_data) == ("Stable", "range")
    assert {member.client_host for member in described.members} == {"/127.0.0.1"}
    assert all(member.member_assignment.startswith(b"partitions") for member in described.members)
    driver.join(leader.member_id)
    described = driver.core.describe("group")
    assert (described.group_state, described.protocol_data) == ("PreparingRebalance", "")
    assert all(member.member_metadata == b"" for member in described.members)
    assert all(member.member_assignment.startswith(b"partitions") for member in described.members)


def test_only_a_group_without_members_can_be_deleted(groups):
    driver = groups()
    (joined,) = driver.stable(1)
    assert driver.submit(lambda core, call, _: core.delete_group("group", call)).code is ErrorCode.NON_EMPTY_GROUP
    driver.leave(joined.member_id)
    assert driver.submit(lambda core, call, _: core.delete_group("group", call)).code is ErrorCode.NONE
    assert driver.core.groups == driver.recovered().groups == {}
    assert driver.submit(lambda core, call, _: core.delete_group("group", call)).code is ErrorCode.GROUP_ID_NOT_FOUND
