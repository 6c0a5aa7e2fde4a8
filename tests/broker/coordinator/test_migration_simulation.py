"""Clients of both protocols come and go in one group, which moves between the protocols: no partition has two users.

Each seed is a run of its own: clients are started with either protocol, heartbeat, get stuck, crash and leave; answers
get lost; the log refuses appends; the broker restarts. After every event the partitions in use are compared; at the end
all behave, and the group must settle whatever it has become.
"""

import random

import pytest

from ottla_broker.coordinator.classic_group import ClassicGroup
from ottla_broker.coordinator.consumer_group import ConsumerGroup, ConsumerGroupState
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartition,
    prefixed,
    read_assignment,
    read_subscription,
)

PARTITIONS = 7
PROTOCOL = "cooperative-sticky"


class ClassicClient:
    """A client of the classic protocol that rebalances cooperatively (KIP-429)."""

    def __init__(self, driver, instance):
        self.driver = driver
        self.instance = instance
        self.forget()

    def forget(self):
        """Begin anew, without partitions."""
        self.member_id = ""
        self.uses = set()
        self.joining = self.syncing = self.joined = None
        self.must_join = True

    @property
    def is_member(self):
        return bool(self.member_id)

    def step(self):
        """What the client does next, unless it waits for an answer."""
        if self.joining is not None:
            self.take_join()
        elif self.syncing is not None:
            self.take_sync()
        elif self.must_join:
            subscription = ConsumerProtocolSubscription(topics=["topic"], owned_partitions=partitions(self.uses))
            self.joining = self.driver.join(
                self.member_id, instance=self.instance, protocols={PROTOCOL: prefixed(subscription, 1)}
            )
            self.take_join()
        else:
            self.fail(self.driver.heartbeat(self.joined, instance=self.instance))

    def take_join(self):
        if not self.joining.answered:
            return
        call, self.joining = self.joining, None
        if call.code is ErrorCode.MEMBER_ID_REQUIRED:
            self.member_id = call.answer.member_id
        elif call.code is ErrorCode.NONE:
            self.joined, self.member_id, self.must_join = call.answer, call.answer.member_id, False
            self.syncing = self.driver.sync(self.joined, self.assignments(), instance=self.instance)
            self.take_sync()
        else:
            self.fail(call.code)

    def take_sync(self):
        if not self.syncing.answered:
            return
        call, self.syncing = self.syncing, None
        if call.code is ErrorCode.NONE:
            given = read_assignment(call.answer.assignment) if call.answer.assignment else None
            now = (
                set() if given is None else {index for topic in given.assigned_partitions for index in topic.partitions}
            )
            self.must_join = bool(self.uses - now)
            self.uses = now
        else:
            self.fail(call.code)

    def fail(self, code):
        if code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
            self.forget()
        elif code is not ErrorCode.NONE:
            self.must_join = True
            if code is ErrorCode.ILLEGAL_GENERATION:
                self.uses = set()  # others may have them by now

    def assignments(self):
        """As the leader: what moves is taken away in this round, and given away in the next one only."""
        owned = {
            member.member_id: {
                index
                for topic in read_subscription(bytes(member.metadata)).owned_partitions
                for index in topic.partitions
            }
            for member in self.joined.members
        }
        if not owned:
            return None
        shares = {member_id: set(range(PARTITIONS)[at :: len(owned)]) for at, member_id in enumerate(sorted(owned))}
        return {
            member_id: prefixed(
                ConsumerProtocolAssignment(
                    assigned_partitions=partitions(
                        share - set().union(*(owned[other] for other in owned if other != member_id))
                    )
                ),
                1,
            )
            for member_id, share in shares.items()
        }

    def leave(self):
        if self.member_id:
            self.driver.leave(self.member_id, instance=self.instance)
        self.forget()


class NewClient:
    """A client of the consumer protocol."""

    def __init__(self, driver, member_id, instance):
        self.consumer = driver.consumer(member_id, instance=instance)
        self.member_id = member_id

    @property
    def uses(self):
        return {index for _, index in self.consumer.uses}

    @property
    def is_member(self):
        return self.consumer.epoch > 0

    def step(self):
        self.consumer.heartbeat()

    def leave(self):
        self.consumer.leave(-1)


def partitions(indexes):
    return [TopicPartition(topic="topic", partitions=sorted(indexes))] if indexes else []


class World:
    def __init__(self, driver, seed):
        self.driver = driver
        self.random = random.Random(seed)
        self.started = 0
        self.moves = 0
        self.former_type = None
        self.clients = []

    def start(self, kind=None):
        self.started += 1
        instance = self.random.choice([None, None, f"instance-{self.random.randint(0, 2)}"])
        if instance is not None and any(client_instance(client) == instance for client in self.clients):
            instance = None
        kind = kind or self.random.choice(["classic", "new"])
        if kind == "classic":
            self.clients.append(ClassicClient(self.driver, instance))
        else:
            self.clients.append(NewClient(self.driver, f"new-{self.started}", instance))

    def event(self):
        match self.random.choices(
            ["steps", "time", "start", "crash", "leave", "refuse", "restart"], [60, 12, 6, 3, 5, 2, 1]
        )[0]:
            case "steps":
                for client in self.random.choices(self.clients, k=5) if self.clients else ():
                    client.step()
            case "time":
                self.driver.advance(self.random.choice([10, 1_000, 3_000]))
            case "start" if len(self.clients) < 6:
                self.start()
            case "crash" if self.clients:
                self.clients.pop(self.random.randrange(len(self.clients)))
            case "leave" if self.clients:
                client = self.clients.pop(self.random.randrange(len(self.clients)))
                client.leave()
            case "refuse":
                self.driver.refusing = self.random.choice([None, ErrorCode.NOT_COORDINATOR])
            case "restart":
                self.driver.restart()
                for client in self.clients:
                    if isinstance(client, ClassicClient) and (client.joining or client.syncing):
                        client.joining = client.syncing = None  # their connections are gone
                        client.must_join = True
        self.check()

    def check(self):
        group = self.driver.core.groups.get("group")
        if group is None:
            return
        group.check()
        if type(group) is not self.former_type:
            self.moves += 1
            self.former_type = type(group)
        members = [client for client in self.clients if client.is_member and client.member_id in group.members]
        used = sorted(index for client in members for index in client.uses)
        assert len(used) == len(set(used)), [(client.member_id, client.uses) for client in members]
        if isinstance(group, ConsumerGroup):
            for client in members:
                owned = {index for (_, index), owner in group.owners.items() if owner == client.member_id}
                assert client.uses <= owned, (client.member_id, client.uses, owned)

    def settle(self):
        self.driver.refusing = None
        if not self.clients:
            self.start()
        for _ in range(150):
            self.driver.advance(1_000)
            for client in self.clients:
                client.step()
            self.check()
        group = self.driver.core.groups["group"]
        assert sorted(group.members) == sorted(client.member_id for client in self.clients)
        assert sorted(index for client in self.clients for index in client.uses) == list(range(PARTITIONS))
        all_classic = all(isinstance(client, ClassicClient) for client in self.clients)
        if any(isinstance(client, NewClient) for client in self.clients):
            assert isinstance(group, ConsumerGroup)
            assert group.state is ConsumerGroupState.STABLE
        recovered = self.driver.recovered().groups["group"]
        assert type(recovered) is type(group)
        assert recovered.members.keys() == group.members.keys()
        assert not all_classic or isinstance(group, ClassicGroup | ConsumerGroup)


def client_instance(client):
    return client.instance if isinstance(client, ClassicClient) else client.consumer.instance


@pytest.mark.parametrize("seed", range(40))
def test_no_partition_has_two_users_and_everyone_gets_a_share(groups, seed):
    driver = groups(
        group_consumer_assignment_interval_ms=random.Random(seed).choice([0, 1_000]),
        group_consumer_min_session_timeout_ms=1,
        group_consumer_session_timeout_ms=10_000,
    )
    driver.topic("topic", PARTITIONS)
    world = World(driver, seed)
    for _ in range(150):
        world.event()
    world.settle()


def test_the_runs_do_move_groups_between_the_protocols(groups):
    moves = 0
    for seed in range(10):
        driver = groups(group_consumer_min_session_timeout_ms=1, group_consumer_session_timeout_ms=10_000)
        driver.topic("topic", PARTITIONS)
        world = World(driver, seed)
        for _ in range(150):
            world.event()
        moves += world.moves
    assert moves > 20
