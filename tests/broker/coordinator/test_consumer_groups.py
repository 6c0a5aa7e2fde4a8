"""Consumer groups (KIP-848): joining, epochs, partitions that move, fencing, static members, leaving, silence."""

import pytest

from ottla_broker.coordinator.consumer_group import ConsumerGroupState
from ottla_broker.coordinator.consumer_member import MemberState
from ottla_wire.errors import ErrorCode

SESSION_MS = 45_000


@pytest.fixture
def driver(groups):
    driver = groups(group_consumer_assignment_interval_ms=0)
    driver.topic("topic", 4)
    return driver


def state(driver):
    return driver.group.state


def owners(driver):
    return {index: member_id for (_, index), member_id in driver.group.owners.items()}


# -- joining


def test_the_first_member_gets_everything_with_the_answer_to_its_first_heartbeat(driver):
    a = driver.consumer("a")
    call = a.heartbeat()
    assert (call.answer.member_id, call.answer.member_epoch, call.answer.heartbeat_interval_ms) == ("a", 1, 5_000)
    assert a.indexes == [0, 1, 2, 3]
    assert state(driver) is ConsumerGroupState.STABLE


def test_a_heartbeat_without_news_is_answered_without_an_assignment_and_writes_nothing(driver):
    a = driver.consumer("a")
    driver.settle(a)
    written = len(driver.log)
    a.heartbeat()
    assert a.given is None
    assert len(driver.log) == written


def test_who_tells_everything_is_told_everything(driver):
    a = driver.consumer("a")
    driver.settle(a)
    a.heartbeat(full=True)
    assert a.given == a.uses


def test_a_partition_moves_only_when_its_owner_has_given_it_up(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a)
    b.heartbeat()
    assert (b.indexes, b.epoch) == ([], 2)
    assert state(driver) is ConsumerGroupState.RECONCILING
    call = a.heartbeat()
    assert (a.indexes, call.answer.member_epoch) == ([0, 1], 1), "it stays in its epoch until it has given up"
    assert driver.group.members["a"].state is MemberState.UNREVOKED_PARTITIONS
    b.heartbeat()
    assert b.indexes == [], "not confirmed yet"
    a.heartbeat()
    assert a.epoch == 2
    b.heartbeat()
    assert b.indexes == [2, 3]
    assert state(driver) is ConsumerGroupState.STABLE
    driver.group.check()


def test_a_member_that_does_not_say_what_it_uses_is_waited_for(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a)
    b.heartbeat()
    a.heartbeat()
    a.heartbeat(topic_partitions=None)
    b.heartbeat()
    assert b.indexes == []


def test_a_full_group_takes_nobody_else(groups):
    driver = groups(group_consumer_max_size=1)
    driver.topic("topic", 1)
    assert driver.consumer("a").heartbeat().code is ErrorCode.NONE
    assert driver.consumer("b").heartbeat().code is ErrorCode.GROUP_MAX_SIZE_REACHED


def test_a_member_without_an_id_gets_one(driver):
    a = driver.consumer("")
    call = a.heartbeat()
    assert call.answer.member_id == "made-for-"
    assert list(driver.group.members) == ["made-for-"]


def test_a_group_that_does_not_exist_has_no_members_to_keep_up(driver):
    a = driver.consumer("a")
    a.epoch = 3
    assert a.heartbeat().code is ErrorCode.UNKNOWN_MEMBER_ID
    assert driver.core.groups == {}


def test_a_stranger_cannot_keep_up(driver):
    driver.consumer("a").heartbeat()
    b = driver.consumer("b")
    b.epoch = 1
    assert b.heartbeat().code is ErrorCode.UNKNOWN_MEMBER_ID


# -- the next assignment


def test_members_that_come_in_a_crowd_are_assigned_together(groups):
    driver = groups(group_consumer_assignment_interval_ms=1_000)
    driver.topic("topic", 6)
    crowd = [driver.consumer(name) for name in "abc"]
    crowd[0].heartbeat()
    assert len(crowd[0].uses) == 6, "the first need not wait"
    for consumer in crowd[1:]:
        consumer.heartbeat()
    assert (driver.group.epoch, driver.group.target_epoch) == (3, 1)
    assert state(driver) is ConsumerGroupState.ASSIGNING
    driver.advance(1_000)
    assert driver.group.target_epoch == 3, "nobody has to speak for it"
    driver.settle(*crowd)
    assert [len(consumer.uses) for consumer in crowd] == [2, 2, 2]


def test_a_clock_that_is_set_back_does_not_hold_up_the_next_assignment(groups):
    driver = groups()
    driver.topic("topic", 2)
    a, b = driver.consumer("a"), driver.consumer("b")
    a.heartbeat()
    driver.now_ms -= 500_000
    b.heartbeat()
    assert driver.group.target_epoch == 2


def test_members_say_which_assignor_they_want_and_most_of_them_get_it(driver):
    driver.topic("other", 4)
    both = ["topic", "other"]
    a, b = driver.consumer("a", both, assignor="range"), driver.consumer("b", both)
    driver.settle(a, b)
    assert a.indexes == [0, 0, 1, 1]
    assert driver.core.consumers.describe("group").assignor_name == "range"


def test_a_changed_subscription_changes_the_group(driver):
    driver.topic("other", 2)
    a = driver.consumer("a")
    driver.settle(a)
    a.topics = ["other"]
    a.heartbeat(full=True)
    driver.settle(a)
    assert a.indexes == [0, 1]
    assert driver.group.epoch == 2


def test_partitions_of_a_topic_that_is_unsubscribed_go_at_once_even_if_the_next_assignment_has_to_wait(groups):
    driver = groups(group_consumer_assignment_interval_ms=10_000)
    driver.topic("topic", 2)
    driver.topic("other", 2)
    a = driver.consumer("a", ["topic", "other"])
    a.heartbeat()
    a.topics = ["other"]
    a.heartbeat(full=True)
    assert driver.group.target_epoch == 1
    assert {topic_id for topic_id, _ in a.uses} == {driver.image.topics["other"].id}
    driver.advance(10_000)
    driver.settle(a)
    assert state(driver) is ConsumerGroupState.STABLE


# -- topics


def test_a_topic_that_appears_is_assigned(driver):
    a = driver.consumer("a", ["later"])
    driver.settle(a)
    assert a.indexes == []
    driver.topic("later", 2)
    driver.settle(a)
    assert a.indexes == [0, 1]


def test_partitions_that_are_added_are_assigned(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a, b)
    driver.topic("topic", 6)
    driver.settle(a, b)
    assert sorted(a.indexes + b.indexes) == [0, 1, 2, 3, 4, 5]
    assert len(a.uses) == len(b.uses) == 3


def test_a_topic_that_is_deleted_is_given_up(driver):
    a = driver.consumer("a")
    driver.settle(a)
    driver.delete_topic("topic")
    driver.settle(a)
    assert a.indexes == []
    new_id = driver.topic("topic", 1)
    driver.settle(a)
    assert a.uses == {(new_id, 0)}, "one of the same name is another topic"


def test_other_topics_are_no_reason_for_a_new_epoch(driver):
    a = driver.consumer("a")
    driver.settle(a)
    driver.topic("unrelated", 3)
    driver.settle(a)
    assert driver.group.epoch == 1


# -- regular expressions


def test_a_regular_expression_stands_for_the_topics_that_it_matches_as_a_whole(driver):
    driver.topic("topic-1", 1)
    driver.topic("topic-2", 1)
    driver.topic("my-topic-3", 1)
    a = driver.consumer("a", [], regex="topic-.*")
    a.heartbeat()
    driver.settle(a)
    assert {topic_id for topic_id, _ in a.uses} == {driver.image.topics[name].id for name in ("topic-1", "topic-2")}
    driver.topic("topic-4", 1)
    driver.settle(a)
    assert len(a.uses) == 3


def test_an_expression_and_names_add_up(driver):
    driver.topic("x", 1)
    a = driver.consumer("a", ["topic"], regex="x|y")
    driver.settle(a)
    assert len(a.uses) == 5


def test_an_expression_stands_for_nothing_until_it_has_been_matched(driver):
    driver.matches_regexes = False
    a = driver.consumer("a", [], regex="topic")
    driver.settle(a)
    assert a.uses == set()
    assert a.epoch == 1
    driver.matches_regexes = True
    driver.settle(a)
    assert a.indexes == [0, 1, 2, 3]


@pytest.mark.parametrize("regex", ["[", "(?=topic)", r"(t)\1", "(a{500}){1000}", "x" * 5_000])
def test_an_expression_that_is_wrong_or_too_large_is_refused(driver, regex):
    a = driver.consumer("a", [], regex=regex)
    assert a.heartbeat().code is ErrorCode.INVALID_REGULAR_EXPRESSION
    assert driver.core.groups == {}


def test_an_empty_expression_ends_the_subscription_by_expression(driver):
    a = driver.consumer("a", [], regex="topic")
    driver.settle(a)
    a.regex = ""
    a.heartbeat(full=True)
    driver.settle(a)
    assert a.indexes == []
    assert driver.group.resolved == {}


def test_what_nobody_subscribes_to_any_more_is_forgotten(driver):
    a, b = driver.consumer("a", [], regex="topic"), driver.consumer("b", [], regex="topic")
    driver.settle(a, b)
    a.leave()
    assert list(driver.group.resolved) == ["topic"]
    b.leave()
    assert driver.group.resolved == {}


def test_expressions_that_could_not_be_matched_are_tried_again(driver):
    driver.matches_regexes = False
    a = driver.consumer("a", [], regex="topic")
    a.heartbeat()
    (resolution,) = driver.core.consumers.take_unresolved()
    a.heartbeat()
    assert driver.core.consumers.take_unresolved() == [], "one attempt at a time"
    driver.core.consumers.unresolvable(resolution)
    a.heartbeat()
    assert driver.core.consumers.take_unresolved() == [resolution]


def test_expressions_are_matched_again_when_the_log_refused_the_outcome(driver):
    driver.matches_regexes = False
    a = driver.consumer("a", [], regex="topic")
    a.heartbeat()
    driver.matches_regexes, driver.refusing = True, ErrorCode.NOT_COORDINATOR
    driver.match_regexes()
    assert driver.group.resolved == {}
    driver.refusing = None
    driver.settle(a)
    assert a.indexes == [0, 1, 2, 3]


# -- answers that get lost, and fencing


def test_an_answer_that_got_lost_is_given_again(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a, b)
    a.leave()
    b.heartbeat(lost=True)
    assert b.epoch == 2
    assert b.heartbeat(full=True).code is ErrorCode.NONE, "it says the epoch before, and uses nothing it should not"
    assert (b.epoch, b.indexes) == (3, [0, 1, 2, 3])


def test_the_first_answer_may_get_lost_too(driver):
    a = driver.consumer("a")
    a.heartbeat(lost=True)
    assert a.heartbeat().code is ErrorCode.NONE
    assert a.indexes == [0, 1, 2, 3]


@pytest.mark.parametrize("epoch", [1, 5])
def test_a_member_at_another_epoch_is_fenced_and_begins_anew_with_its_id(driver, epoch):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a, b)
    b.leave()
    driver.settle(a)
    assert a.epoch == 3
    a.epoch = epoch
    assert a.heartbeat(full=True).code is ErrorCode.FENCED_MEMBER_EPOCH
    driver.settle(a)
    assert (a.epoch, a.indexes) == (3, [0, 1, 2, 3])


def test_the_epoch_before_is_not_enough_for_who_uses_more_than_it_was_given(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a)
    everything = set(a.uses)
    driver.settle(a, b)
    a.epoch, a.uses = 1, everything
    assert a.heartbeat(full=True).code is ErrorCode.FENCED_MEMBER_EPOCH


# -- silence


def test_a_silent_member_goes_after_the_session_timeout(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a, b)
    for _ in range(9):
        driver.advance(SESSION_MS // 9)
        b.heartbeat()
    assert list(driver.group.members) == ["b"]
    b.heartbeat()
    assert b.indexes == [0, 1, 2, 3]
    assert a.heartbeat().code is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_member_that_does_not_give_up_its_partitions_goes_after_its_rebalance_timeout(driver):
    a, b = driver.consumer("a", rebalance_timeout_ms=10_000), driver.consumer("b")
    driver.settle(a)
    b.heartbeat()
    a.heartbeat()
    for _ in range(10):
        assert "a" in driver.group.members
        driver.advance(1_000)
        a.heartbeat(topic_partitions=None) if "a" in driver.group.members else None
        b.heartbeat()
    assert list(driver.group.members) == ["b"]
    driver.settle(b)
    assert b.indexes == [0, 1, 2, 3]


def test_who_has_to_give_up_more_has_its_full_time_for_that(driver):
    a = driver.consumer("a", rebalance_timeout_ms=10_000)
    driver.settle(a)
    driver.consumer("b").heartbeat()
    a.heartbeat()
    driver.advance(9_000)
    driver.consumer("c").heartbeat()
    driver.consumer("d").heartbeat()
    a.heartbeat()
    assert len(driver.group.members["a"].revoking) == 1
    driver.advance(9_000)
    assert "a" in driver.group.members
    driver.advance(1_000)
    assert "a" not in driver.group.members


def test_a_group_has_a_session_timeout_and_a_heartbeat_interval_of_its_own(driver):
    driver.configure("consumer.session.timeout.ms", "50000")
    driver.configure("consumer.heartbeat.interval.ms", "7000")
    a = driver.consumer("a")
    assert a.heartbeat().answer.heartbeat_interval_ms == 7_000
    driver.advance(SESSION_MS + 1)
    assert "a" in driver.group.members
    driver.advance(5_000)
    assert driver.group.members == {}


def test_a_silent_member_goes_later_if_the_log_refuses_it_first(driver):
    driver.consumer("a").heartbeat()
    driver.refusing = ErrorCode.NOT_COORDINATOR
    driver.advance(SESSION_MS)
    assert "a" in driver.group.members
    driver.refusing = None
    driver.advance(1_000)
    assert driver.group.members == {}


# -- leaving


def test_who_leaves_leaves_its_partitions_to_the_others(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a, b)
    assert a.leave().answer.member_epoch == -1
    b.heartbeat()
    assert b.indexes == [0, 1, 2, 3]
    assert b.leave().code is ErrorCode.NONE
    assert state(driver) is ConsumerGroupState.EMPTY
    driver.group.check()


def test_a_stranger_cannot_leave(driver):
    assert driver.consumer("a").leave().code is ErrorCode.UNKNOWN_MEMBER_ID
    driver.consumer("a").heartbeat()
    assert driver.consumer("b").leave().code is ErrorCode.UNKNOWN_MEMBER_ID


# -- static members


def test_a_static_member_that_comes_back_has_what_it_had_without_a_new_epoch(driver):
    a, b = driver.consumer("a", instance="1"), driver.consumer("b", instance="2")
    driver.settle(a, b)
    had = set(a.uses)
    assert a.leave(-2).answer.member_epoch == -2
    driver.settle(b)
    assert len(b.uses) == 2, "nothing moves meanwhile"
    again = driver.consumer("a2", instance="1")
    again.heartbeat()
    assert again.uses == had
    assert (driver.group.epoch, list(driver.group.static_members.items())) == (2, [("2", "b"), ("1", "a2")])
    driver.group.check()


def test_a_static_member_that_does_not_come_back_in_time_is_gone(driver):
    a = driver.consumer("a", instance="1")
    driver.settle(a)
    driver.advance(SESSION_MS - 1_000)
    a.leave(-2)
    driver.advance(SESSION_MS - 1)
    assert "a" in driver.group.members, "its time begins when it leaves"
    driver.advance(1)
    assert driver.group.members == {}


def test_an_instance_id_that_is_in_use_is_not_given_to_another_member(driver):
    a = driver.consumer("a", instance="1")
    driver.settle(a)
    assert driver.consumer("b", instance="1").heartbeat().code is ErrorCode.UNRELEASED_INSTANCE_ID
    a.forget()
    assert a.heartbeat().code is ErrorCode.NONE, "the same member may begin anew"


def test_who_was_replaced_is_fenced(driver):
    a = driver.consumer("a", instance="1")
    driver.settle(a)
    former = driver.consumer("a", instance="1")
    former.epoch = a.epoch
    a.leave(-2)
    assert former.heartbeat().code is ErrorCode.FENCED_MEMBER_EPOCH
    driver.consumer("a2", instance="1").heartbeat()
    former.epoch = 1
    assert former.heartbeat().code is ErrorCode.FENCED_INSTANCE_ID
    assert former.leave().code is ErrorCode.FENCED_INSTANCE_ID


def test_a_static_member_leaves_for_good_if_it_says_so(driver):
    a = driver.consumer("a", instance="1")
    driver.settle(a)
    a.leave(-1)
    assert driver.group.members == {}
    assert driver.group.static_members == {}


def test_a_full_group_has_room_for_who_comes_back(groups):
    driver = groups(group_consumer_max_size=1)
    driver.topic("topic", 1)
    a = driver.consumer("a", instance="1")
    driver.settle(a)
    a.leave(-2)
    assert driver.consumer("a2", instance="1").heartbeat().code is ErrorCode.NONE


# -- the log


def test_the_log_holds_all_that_a_group_is(driver):
    a, b = driver.consumer("a", instance="1"), driver.consumer("b", [], regex="to.*", assignor="range")
    driver.settle(a, b)
    driver.consumer("c").heartbeat()
    b.heartbeat()
    assert driver.group.members["b"].state is MemberState.UNREVOKED_PARTITIONS
    recovered = driver.recovered().groups["group"]
    for field in ("epoch", "metadata_hash", "members", "target", "target_epoch", "resolved", "owners"):
        assert getattr(recovered, field) == getattr(driver.group, field), field
    recovered.check()


def test_after_a_restart_members_go_on_and_the_silent_go_after_a_full_session(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a, b)
    driver.advance(SESSION_MS - 10_000)
    driver.restart()
    driver.advance(SESSION_MS - 1)
    assert a.heartbeat().code is ErrorCode.NONE
    driver.advance(1)
    assert list(driver.group.members) == ["a"]


def test_after_a_restart_partitions_must_still_be_given_up_in_time(driver):
    a, b = driver.consumer("a", rebalance_timeout_ms=10_000), driver.consumer("b")
    driver.settle(a)
    b.heartbeat()
    a.heartbeat()
    driver.restart()
    driver.advance(10_000)
    assert list(driver.group.members) == ["b"]


def test_after_a_restart_nothing_moves(driver):
    a, b = driver.consumer("a"), driver.consumer("b", [], regex="topic")
    driver.settle(a, b)
    had, epoch = (set(a.uses), set(b.uses)), driver.group.epoch
    driver.restart()
    driver.settle(a, b)
    assert ((a.uses, b.uses), driver.group.epoch) == (had, epoch)


def test_a_heartbeat_that_the_log_refuses_changes_nothing(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a)
    driver.refusing = ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert b.heartbeat().code is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert list(driver.group.members) == ["a"]
    assert driver.group.epoch == 1


def test_a_log_that_was_compacted_is_read_all_the_same(driver):
    a, b = driver.consumer("a"), driver.consumer("b")
    driver.settle(a, b)
    a.leave()
    driver.settle(b)
    latest = {entry.key: offset for offset, entry in enumerate(driver.log)}
    driver.log = [entry for offset, entry in enumerate(driver.log) if latest[entry.key] == offset]
    recovered = driver.recovered().groups["group"]
    assert recovered.owners == driver.group.owners
    recovered.check()
