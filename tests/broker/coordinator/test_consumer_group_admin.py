"""Consumer groups (KIP-848) as administrators see them: described, listed, deleted, expired."""

import pytest

from ottla_wire.errors import ErrorCode


@pytest.fixture
def driver(groups):
    driver = groups(group_consumer_assignment_interval_ms=0)
    driver.topic("topic", 4)
    return driver


def test_a_group_is_described_with_what_its_members_have_and_are_to_have(driver):
    a, b = driver.consumer("a", instance="1"), driver.consumer("b")
    driver.settle(a)
    b.heartbeat()
    a.heartbeat()
    described = driver.core.consumers.describe("group")
    assert (described.group_state, described.group_epoch, described.assignment_epoch) == ("Reconciling", 2, 2)
    of_a, of_b = described.members
    assert (of_a.member_id, of_a.instance_id, of_a.member_epoch, of_a.member_type) == ("a", "1", 1, 1)
    assert of_a.subscribed_topic_names == ["topic"]
    assert [(t.topic_name, t.partitions) for t in of_a.assignment.topic_partitions] == [("topic", [0, 1, 2, 3])]
    assert [t.partitions for t in of_a.target_assignment.topic_partitions] == [[0, 1]]
    assert [t.partitions for t in of_b.target_assignment.topic_partitions] == [[2, 3]]
    assert of_b.assignment.topic_partitions == []


def test_groups_are_listed_by_type_and_state(driver):
    driver.consumer("a").heartbeat()

    def listed(states=(), types=()):
        return [
            (g.group_id, g.group_state, g.group_type, g.protocol_type) for g in driver.core.list_groups(states, types)
        ]

    assert listed() == [("group", "Stable", "consumer", "consumer")]
    assert listed(types={"consumer"}, states={"stable"}) == listed()
    assert listed(types={"classic"}) == []
    assert listed(states={"empty"}) == []


def test_a_group_is_deleted_once_nobody_is_in_it(driver):
    a = driver.consumer("a", [], regex="topic")
    driver.settle(a)

    def delete():
        return driver.submit(lambda core, call, _now_ms: core.delete_group("group", call)).code

    assert delete() is ErrorCode.NON_EMPTY_GROUP
    a.leave()
    assert delete() is ErrorCode.NONE
    assert driver.core.groups == driver.recovered().groups == {}
    latest = {entry.key: entry.value for entry in driver.log}
    assert set(latest.values()) == {None}, "every record has its tombstone"
    assert delete() is ErrorCode.GROUP_ID_NOT_FOUND


def test_an_empty_group_without_offsets_goes_with_the_next_look_for_expired_ones(driver):
    a = driver.consumer("a")
    driver.settle(a)
    driver.advance(600_000 - 30_000)
    assert driver.group.members == {}
    driver.advance(60_000)
    assert driver.core.groups == {}


def test_a_consumer_group_is_no_classic_group_to_describe_groups(driver):
    driver.consumer("a").heartbeat()
    call = driver.submit(lambda core, _call, _now_ms: core.describe("group"))
    assert call.code is ErrorCode.GROUP_ID_NOT_FOUND
