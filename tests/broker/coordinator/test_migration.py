"""Groups that move between the classic and the consumer protocol while they have members (KIP-848)."""

import pytest

from ottla_broker.coordinator.classic_group import ClassicGroup, GroupState
from ottla_broker.coordinator.consumer_group import ConsumerGroup, ConsumerGroupState
from ottla_broker.coordinator.consumer_member import MemberState
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartition,
    prefixed,
    read_assignment,
)


@pytest.fixture
def make(groups):
    def make(**settings):
        driver = groups(group_consumer_assignment_interval_ms=0, **settings)
        driver.topic("topic", 4)
        return driver

    return make


@pytest.fixture
def driver(make):
    return make()


class Classic:
    """A consumer that speaks the classic protocol, cooperatively: it says what it uses when it joins."""

    def __init__(self, driver, topics=("topic",), instance=None, protocol="cooperative-sticky"):
        self.driver = driver
        self.topics = list(topics)
        self.instance = instance
        self.protocol = protocol
        self.member_id = ""
        self.joined = None
        self.uses = set()

    def protocols(self):
        owned = [TopicPartition(topic="topic", partitions=sorted(self.uses))] if self.uses else []
        subscription = ConsumerProtocolSubscription(topics=self.topics, owned_partitions=owned)
        return {self.protocol: prefixed(subscription, 1)}

    def join(self, **options):
        call = self.driver.join(self.member_id, instance=self.instance, protocols=self.protocols(), **options)
        if call.answered and call.code is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = call.answer.member_id
            call = self.driver.join(self.member_id, instance=self.instance, protocols=self.protocols(), **options)
        return call

    def take(self, call):
        assert call.code is ErrorCode.NONE, call.code
        self.joined, self.member_id = call.answer, call.answer.member_id

    def sync(self, assignments=None):
        call = self.driver.sync(self.joined, assignments, instance=self.instance)
        if call.answered and call.code is ErrorCode.NONE:
            self.uses = assigned(call.answer.assignment)
        return call

    def heartbeat(self):
        """What a client does from time to time: joins again when it is told to."""
        for _ in range(5):
            if self.joined is None:
                self.take(self.join())
                if self.sync().code is not ErrorCode.NONE:
                    self.joined = None
                continue
            code = self.beat()
            if code is ErrorCode.NONE:
                return
            assert code is ErrorCode.REBALANCE_IN_PROGRESS, code
            self.joined = None

    def beat(self):
        return self.driver.heartbeat(self.joined, instance=self.instance)

    def leave(self):
        return self.driver.leave(self.member_id, instance=self.instance)


def assigned(data):
    return {index for topic in read_assignment(data).assigned_partitions for index in topic.partitions}


def written(*indexes):
    return prefixed(
        ConsumerProtocolAssignment(assigned_partitions=[TopicPartition(topic="topic", partitions=list(indexes))]), 1
    )


def classic_group(driver, *clients):
    """A stable classic group in which the clients share the topic evenly."""
    for client in clients:
        client.call = client.join()
    if len(clients) > 1:
        clients[0].call = clients[0].join()
    for client in clients:
        client.take(client.call)
    share = 4 // len(clients)
    assignments = {
        client.member_id: written(*range(position * share, (position + 1) * share))
        for position, client in enumerate(clients)
    }
    for client in sorted(clients, key=lambda client: client.member_id != client.joined.leader):
        assert client.sync(assignments).code is ErrorCode.NONE
    assert driver.group.state is GroupState.STABLE
    return clients


def settle(driver, *clients, rounds=6):
    for _ in range(rounds):
        driver.advance(1_000)
        for client in clients:
            client.heartbeat()
    driver.group.check()


# -- up


def test_a_consumer_joins_a_classic_group_and_partitions_move_to_it_one_by_one(driver):
    one, two = classic_group(driver, Classic(driver), Classic(driver))
    new = driver.consumer("new")
    assert new.heartbeat().code is ErrorCode.NONE
    assert isinstance(driver.group, ConsumerGroup)
    assert (driver.group.epoch, new.indexes) == (3, []), "the generation goes on as the epoch"
    assert one.beat() is two.beat() is ErrorCode.REBALANCE_IN_PROGRESS
    settle(driver, one, two, new)
    assert driver.group.state is ConsumerGroupState.STABLE
    assert sorted([*one.uses, *two.uses, *new.indexes]) == [0, 1, 2, 3]
    assert {len(one.uses), len(two.uses), len(new.uses)} == {1, 2}
    assert driver.recovered().groups["group"].members == driver.group.members


def test_a_classic_member_gives_up_partitions_before_another_gets_them(driver):
    (one,) = classic_group(driver, Classic(driver))
    new = driver.consumer("new")
    new.heartbeat()
    one.take(one.join())
    assert driver.group.members[one.member_id].state is MemberState.UNREVOKED_PARTITIONS
    assert one.joined.generation_id == 1, "its generation stays until it has"
    new.heartbeat()
    assert new.indexes == []
    assert one.sync().code is ErrorCode.NONE
    assert one.uses == {0, 1}
    new.heartbeat()
    assert new.indexes == [], "it has been told, which is not to say that it has done it"
    assert one.beat() is ErrorCode.REBALANCE_IN_PROGRESS
    one.take(one.join())
    new.heartbeat()
    assert new.indexes == [2, 3]
    assert one.sync().code is ErrorCode.NONE
    assert one.beat() is ErrorCode.NONE


def test_a_member_that_waits_for_the_others_is_sent_back(driver):
    one, two = classic_group(driver, Classic(driver), Classic(driver))
    waiting = one.join()
    assert not waiting.answered
    driver.consumer("new").heartbeat()
    assert waiting.code is ErrorCode.REBALANCE_IN_PROGRESS
    one.joined = None
    settle(driver, one, two)


def test_a_group_that_has_never_been_stable_is_upgraded_too(driver):
    one, two = Classic(driver), Classic(driver)
    first = one.join()
    waiting = two.join()
    driver.consumer("new").heartbeat()
    assert waiting.code is ErrorCode.REBALANCE_IN_PROGRESS
    assert first.code is ErrorCode.NONE
    one.joined = two.joined = None
    settle(driver, one, two)


def test_the_upgrade_survives_a_restart_in_between(driver):
    (one,) = classic_group(driver, Classic(driver))
    new = driver.consumer("new")
    new.heartbeat()
    driver.restart()
    settle(driver, one, new)
    assert (len(one.uses), len(new.uses)) == (2, 2)


def test_an_upgrade_that_the_log_refuses_leaves_a_classic_group(driver):
    (one,) = classic_group(driver, Classic(driver))
    driver.refusing = ErrorCode.NOT_COORDINATOR
    assert driver.consumer("new").heartbeat().code is ErrorCode.NOT_COORDINATOR
    driver.refusing = None
    assert isinstance(driver.group, ClassicGroup)
    assert one.beat() is ErrorCode.NONE


@pytest.mark.parametrize("policy", ["disabled", "downgrade"])
def test_a_policy_can_forbid_the_upgrade_of_groups_with_members(make, policy):
    driver = make(group_consumer_migration_policy=policy)
    (one,) = classic_group(driver, Classic(driver))
    assert driver.consumer("new").heartbeat().code is ErrorCode.GROUP_ID_NOT_FOUND
    one.leave()
    assert driver.consumer("new").heartbeat().code is ErrorCode.NONE


def test_a_group_of_others_than_consumers_stays_classic(driver):
    call = driver.enter(protocol_type="connect")
    assert call.code is ErrorCode.NONE
    assert driver.consumer("new").heartbeat().code is ErrorCode.GROUP_ID_NOT_FOUND


def test_a_group_that_is_too_large_stays_classic(make):
    driver = make(group_consumer_max_size=1)
    classic_group(driver, Classic(driver), Classic(driver))
    assert driver.consumer("new").heartbeat().code is ErrorCode.GROUP_ID_NOT_FOUND


def test_a_group_whose_subscriptions_cannot_be_read_stays_classic(driver):
    driver.stable(1)
    assert driver.consumer("new").heartbeat().code is ErrorCode.GROUP_ID_NOT_FOUND


@pytest.mark.parametrize(
    ("protocol", "code"), [("stream", ErrorCode.GROUP_ID_NOT_FOUND), ("cooperative-sticky", ErrorCode.NONE)]
)
def test_a_group_whose_assignor_keeps_data_of_its_own_stays_classic(driver, protocol, code):
    one = Classic(driver, protocol=protocol)
    one.take(one.join())
    one.sync({one.member_id: prefixed(ConsumerProtocolAssignment(assigned_partitions=[], user_data=b"mine"), 1)})
    assert driver.consumer("new").heartbeat().code is code


def test_a_group_whose_leader_assigned_a_partition_twice_stays_classic(driver):
    one, two = Classic(driver), Classic(driver)
    one.call, two.call = one.join(), two.join()
    one.call = one.join()
    one.take(one.call)
    two.take(two.call)
    for client in sorted((one, two), key=lambda client: client.member_id != client.joined.leader):
        client.sync({one.member_id: written(0, 1), two.member_id: written(1)})
    assert driver.consumer("new").heartbeat().code is ErrorCode.GROUP_ID_NOT_FOUND


def test_a_static_member_takes_its_partitions_along_to_the_other_protocol(driver):
    one, two = classic_group(driver, Classic(driver, instance="1"), Classic(driver, instance="2"))
    had = set(one.uses)
    new = driver.consumer("new", instance="1")
    new.heartbeat()
    assert set(new.indexes) == had
    assert driver.group.epoch == 2, "nobody else need move"
    assert two.beat() is ErrorCode.NONE
    settle(driver, two, new)
    assert one.beat() is ErrorCode.FENCED_INSTANCE_ID


# -- members of the classic protocol in a consumer group


def mixed(driver, **options):
    """A group of one member of each protocol, settled."""
    (one,) = classic_group(driver, Classic(driver, **options))
    new = driver.consumer("new")
    settle(driver, one, new)
    return one, new


def test_a_classic_consumer_may_join_while_the_others_are_not(driver):
    one, new = mixed(driver)
    two = Classic(driver)
    settle(driver, one, new, two)
    assert sorted([*one.uses, *two.uses, *new.indexes]) == [0, 1, 2, 3]


def test_a_classic_consumer_that_gives_up_everything_before_it_joins_need_not_be_asked_to(driver):
    one, _new = mixed(driver)
    driver.consumer("other").heartbeat()
    driver.consumer("another").heartbeat()
    one.uses = set()
    one.take(one.join())
    assert driver.group.members[one.member_id].state is MemberState.STABLE
    assert one.sync().code is ErrorCode.NONE
    assert len(one.uses) == 1


def test_who_is_no_consumer_or_shares_no_protocol_cannot_join(driver):
    mixed(driver)
    assert Classic(driver, protocol="other").join().code is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert driver.join(protocols=Classic(driver).protocols(), protocol_type="connect").code is (
        ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    )
    assert driver.join(protocols={"cooperative-sticky": b"\x00"}).code is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_generations_and_protocols_are_checked_as_in_a_classic_group(driver):
    one, _new = mixed(driver)
    one.joined.generation_id += 1
    assert one.beat() is ErrorCode.ILLEGAL_GENERATION
    assert one.sync().code is ErrorCode.ILLEGAL_GENERATION
    one.joined.generation_id -= 1
    one.joined.protocol_name = "other"
    assert one.sync().code is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    one.member_id = one.joined.member_id = "new"
    assert one.beat() is ErrorCode.UNKNOWN_MEMBER_ID, "that one speaks the other protocol"


def test_a_classic_member_that_does_not_join_again_in_time_is_gone(driver):
    one, new = mixed(driver)
    other = driver.consumer("other")
    other.heartbeat()
    for _ in range(60):
        assert one.beat() is ErrorCode.REBALANCE_IN_PROGRESS
        driver.advance(1_000)
        new.heartbeat()
        other.heartbeat()
    assert one.member_id not in driver.group.members


def test_a_classic_member_that_does_not_sync_in_time_is_gone(driver):
    one, new = mixed(driver)
    driver.consumer("other").heartbeat()
    one.take(one.join())
    for _ in range(60):
        assert one.member_id in driver.group.members
        driver.advance(1_000)
        one.beat()
        new.heartbeat()
    assert one.member_id not in driver.group.members


def test_a_classic_member_has_the_session_timeout_that_it_asked_for(driver):
    one, new = mixed(driver)
    driver.advance(10_000)
    assert list(driver.group.members) == ["new"]
    settle(driver, new)
    assert new.indexes == [0, 1, 2, 3]
    assert one.beat() is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_classic_member_leaves(driver):
    one, new = mixed(driver)
    assert one.leave().answer.members[0].error_code == ErrorCode.NONE
    assert one.leave().answer.members[0].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    settle(driver, new)
    assert new.indexes == [0, 1, 2, 3]


def test_an_administrator_removes_members_of_either_protocol_by_instance_id(driver):
    one, _new = mixed(driver, instance="1")
    static = driver.consumer("static", instance="2")
    static.heartbeat()
    for instance in ("1", "2"):
        assert driver.leave("", instance=instance).answer.members[0].error_code == ErrorCode.NONE
    assert list(driver.group.members) == ["new"]
    assert driver.leave("", instance="1").answer.members[0].error_code == ErrorCode.UNKNOWN_MEMBER_ID
    assert one.beat() is ErrorCode.UNKNOWN_MEMBER_ID


def test_members_are_described_by_the_protocol_that_they_speak(driver):
    one, _new = mixed(driver)
    types = {member.member_id: member.member_type for member in driver.core.consumers.describe("group").members}
    assert types == {one.member_id: 0, "new": 1}


# -- down


def rebalance(*clients):
    """What members of a classic group do when it rebalances."""
    for client in clients:
        assert client.beat() is ErrorCode.REBALANCE_IN_PROGRESS
        client.call = client.join()
    for client in clients:
        client.take(client.call)
    share = 4 // len(clients)
    assignments = {
        client.member_id: written(*range(position * share, (position + 1) * share))
        for position, client in enumerate(clients)
    }
    for client in sorted(clients, key=lambda client: client.member_id != client.joined.leader):
        assert client.sync(assignments).code is ErrorCode.NONE


@pytest.mark.parametrize("goes", ["leaves", "falls silent"])
def test_when_the_last_new_member_goes_the_others_rebalance_among_themselves(driver, goes):
    one, two = classic_group(driver, Classic(driver), Classic(driver))
    new = driver.consumer("new")
    settle(driver, one, two, new)
    epoch = driver.group.epoch
    if goes == "leaves":
        new.leave()
    else:
        for _ in range(45):
            driver.advance(1_000)
            one.beat(), two.beat()
    assert isinstance(driver.group, ClassicGroup)
    assert driver.group.state is GroupState.PREPARING_REBALANCE
    for client in (one, two):
        client.joined.generation_id = epoch
    rebalance(one, two)
    assert driver.group.generation == epoch + 1
    assert one.uses | two.uses == {0, 1, 2, 3}
    recovered = driver.recovered().groups["group"]
    assert isinstance(recovered, ClassicGroup)
    assert recovered.members.keys() == driver.group.members.keys()
    driver.group.check()


def test_a_downgrade_that_the_log_refuses_leaves_a_consumer_group(driver):
    one, new = mixed(driver)
    driver.refusing = ErrorCode.NOT_COORDINATOR
    assert new.leave().code is ErrorCode.NOT_COORDINATOR
    driver.refusing = None
    assert isinstance(driver.group, ConsumerGroup)
    assert one.beat() is ErrorCode.NONE
    driver.advance(10_000)
    assert one.member_id not in driver.group.members, "deadlines hold as before"


@pytest.mark.parametrize("policy", ["disabled", "upgrade"])
def test_a_policy_can_forbid_the_downgrade(make, policy):
    driver = make(group_consumer_migration_policy=policy)
    if policy == "disabled":
        one, new = Classic(driver), driver.consumer("new")
        settle(driver, new, one)
    else:
        one, new = mixed(driver)
    new.leave()
    assert isinstance(driver.group, ConsumerGroup)
    settle(driver, one)
    assert one.uses == {0, 1, 2, 3}


def test_a_group_too_large_for_the_classic_protocol_is_not_downgraded(make):
    driver = make(group_max_size=1)
    one, new = mixed(driver)
    two = Classic(driver)
    settle(driver, one, two, new)
    new.leave()
    assert isinstance(driver.group, ConsumerGroup)


@pytest.mark.parametrize("others", [0, 1])
def test_the_last_new_member_comes_back_as_a_classic_one(driver, others):
    new = driver.consumer("new", instance="1")
    settle(driver, new)
    clients = [Classic(driver) for _ in range(others)]
    settle(driver, new, *clients)
    back = Classic(driver, instance="1")
    call = back.join()
    assert isinstance(driver.group, ClassicGroup)
    assert new.heartbeat().code is ErrorCode.UNKNOWN_MEMBER_ID
    for client in clients:
        client.joined.generation_id = driver.group.generation
        assert client.beat() is ErrorCode.REBALANCE_IN_PROGRESS
        client.take(client.join())
    back.take(call)
    assert driver.group.state is GroupState.COMPLETING_REBALANCE


def test_a_join_whose_downgrade_the_log_refuses_is_told_so(driver):
    new = driver.consumer("new", instance="1")
    settle(driver, new)
    driver.refusing = ErrorCode.NOT_COORDINATOR
    assert Classic(driver, instance="1").join().code is ErrorCode.NOT_COORDINATOR
    assert isinstance(driver.group, ConsumerGroup)


# -- groups without members


def test_an_empty_consumer_group_becomes_a_classic_one_and_keeps_its_offsets(driver):
    new = driver.consumer("new")
    new.heartbeat()
    new.leave()
    one = Classic(driver)
    (one,) = classic_group(driver, one)
    assert isinstance(driver.group, ClassicGroup)
    assert one.uses == {0, 1, 2, 3}
    assert isinstance(driver.recovered().groups["group"], ClassicGroup)


def test_who_joins_an_empty_consumer_group_classically_is_told_if_the_log_refuses(driver):
    new = driver.consumer("new")
    new.heartbeat()
    new.leave()
    driver.refusing = ErrorCode.NOT_COORDINATOR
    assert Classic(driver).join().code is ErrorCode.NOT_COORDINATOR
    driver.refusing = None
    classic_group(driver, Classic(driver))


def test_an_empty_classic_group_becomes_a_consumer_group(driver):
    (one,) = classic_group(driver, Classic(driver))
    one.leave()
    new = driver.consumer("new")
    assert new.heartbeat().code is ErrorCode.NONE
    assert new.indexes == [0, 1, 2, 3]
    recovered = driver.recovered().groups["group"]
    assert (recovered.members, recovered.epoch) == (driver.group.members, driver.group.epoch)


def test_an_empty_consumer_group_may_become_one_of_others_than_consumers(driver):
    new = driver.consumer("new")
    new.heartbeat()
    new.leave()
    assert driver.enter(protocol_type="connect").code is ErrorCode.NONE
    assert driver.group.protocol_type == "connect"


def test_nobody_is_known_to_an_empty_consumer_group(driver):
    new = driver.consumer("new")
    new.heartbeat()
    new.leave()
    assert driver.join("new", protocols=Classic(driver).protocols()).code is ErrorCode.UNKNOWN_MEMBER_ID
    assert isinstance(driver.group, ConsumerGroup)
