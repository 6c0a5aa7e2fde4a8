"""Consumer groups with assignments by the broker (KIP-848), and the way between the two protocols."""

import re
import time
import uuid
from itertools import count
from typing import Any

from ottla_broker.coordinator.partitioner import partition_for
from ottla_wire.errors import ErrorCode
from ottla_wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, TopicPartitions
from ottla_wire.messages.heartbeat import HeartbeatRequest

from ..answers import comparable
from ..brokers import SETTINGS
from .asking import DEADLINE_S, Ask, Topic, question
from .members import commit, join, settle

MEMBER = "AAAAAAAAAAAAAAAAAAAAAA"


def hear(ask: Ask, request: ConsumerGroupHeartbeatRequest) -> Any:
    """Ask, and count epochs from the first one: that is another with either broker."""
    response = ask.quietly(request, ask.version)
    said = comparable(response)
    if response.member_epoch > 0:
        ask.first_epoch = ask.first_epoch or response.member_epoch
        said["member_epoch"] = f"{response.member_epoch - ask.first_epoch} after the first one"
    ask.answers.append(said)
    return response


def heartbeat(group: str, **fields: Any) -> ConsumerGroupHeartbeatRequest:
    """A member's first heartbeat, unless fields say otherwise."""
    values = {
        "member_id": MEMBER,
        "member_epoch": 0,
        "rebalance_timeout_ms": 60_000,
        "subscribed_topic_names": [],
        "topic_partitions": [],
    }
    return ConsumerGroupHeartbeatRequest(group_id=group, **(values | fields))


@question(ConsumerGroupHeartbeatRequest)
def a_member_from_its_first_heartbeat_to_its_last(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    coordinator_with(ask, group, topic)
    joined = hear(ask, heartbeat(group, subscribed_topic_names=[topic.name]))
    if joined.error_code:
        return
    held = [TopicPartitions(topic_id=topic.id, partitions=[0, 1])]
    same = {"subscribed_topic_names": None, "topic_partitions": held, "rebalance_timeout_ms": -1}
    hear(ask, heartbeat(group, member_id=joined.member_id, member_epoch=joined.member_epoch, **same))
    hear(ask, heartbeat(group, member_id=joined.member_id, member_epoch=joined.member_epoch, **same))
    hear(ask, heartbeat(group, member_id=joined.member_id, member_epoch=17, **same))
    hear(ask, heartbeat(group, member_id=joined.member_id, member_epoch=-1, **(same | {"topic_partitions": None})))
    hear(ask, heartbeat(group, member_id=joined.member_id, member_epoch=joined.member_epoch, **same))


@question(ConsumerGroupHeartbeatRequest)
def two_members_that_share_a_topic(ask: Ask) -> None:
    """The second one gets its partitions once the first one has let go of them."""
    topic, group, other = ask.topic(2), ask.name("group"), MEMBER[:-1] + "B"
    coordinator_with(ask, group, topic)
    subscribed = {"subscribed_topic_names": [topic.name], "server_assignor": "range"}
    first = hear(ask, heartbeat(group, **subscribed))
    if first.error_code:
        return
    held = {"subscribed_topic_names": None, "rebalance_timeout_ms": -1}
    held["topic_partitions"] = [TopicPartitions(topic_id=topic.id, partitions=[0, 1])]
    hear(ask, heartbeat(group, member_epoch=first.member_epoch, **held))
    second = hear(ask, heartbeat(group, member_id=other, **subscribed))
    told = await_assignment(ask, group, first.member_epoch, 1, **held)
    held["topic_partitions"] = [TopicPartitions(topic_id=topic.id, partitions=[0])]
    hear(ask, heartbeat(group, member_epoch=told.member_epoch, **held))
    held["topic_partitions"] = []
    await_assignment(ask, group, second.member_epoch, 1, member_id=other, **held)
    hear(ask, heartbeat(group, member_id=other, member_epoch=-1))


def coordinator_with(ask: Ask, group: str, *topics: Topic) -> None:
    """Wait until the coordinator of a group knows topics, which another group of the same coordinator finds out."""
    ask.coordinator(group)
    scout = next(name for number in count() if share_coordinator(name := f"{group}.scout.{number}", group))
    known: set[uuid.UUID] = set()
    fields = {"member_epoch": 0, "subscribed_topic_names": [topic.name for topic in topics]}
    deadline = time.monotonic() + DEADLINE_S
    while not {topic.id for topic in topics} <= known:
        assert time.monotonic() < deadline, f"{group} has a coordinator that knows only {known}"
        answer = ask.quietly(heartbeat(scout, **fields))
        assert answer.error_code == ErrorCode.NONE, answer
        if answer.assignment:
            known = {assigned.topic_id for assigned in answer.assignment.topic_partitions}
        fields = {"member_epoch": answer.member_epoch, "subscribed_topic_names": None, "rebalance_timeout_ms": -1}
        fields["topic_partitions"] = None
        time.sleep(0.001)
    ask.quietly(heartbeat(scout, **(fields | {"member_epoch": -1})))


def share_coordinator(group: str, other: str) -> bool:
    partitions = int(SETTINGS["offsets.topic.num.partitions"])
    return partition_for(group, partitions) == partition_for(other, partitions)


def await_assignment(ask: Ask, group: str, epoch: int, partitions: int, **fields: Any) -> Any:
    """Send heartbeats until a member is given so many partitions; which one gives them is a matter of time."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        number = len(ask.answers)
        answer = hear(ask, heartbeat(group, member_epoch=epoch, **fields))
        given = answer.assignment.topic_partitions if answer.assignment else []
        if answer.error_code or sum(len(topic.partitions) for topic in given) == partitions:
            return answer
        del ask.answers[number:]
        assert time.monotonic() < deadline, answer
        epoch = answer.member_epoch
        time.sleep(0.005)


@question(ConsumerGroupHeartbeatRequest)
def subscriptions_that_change(ask: Ask) -> None:
    one, two, group = ask.topic(kind="one"), ask.topic(kind="two"), ask.name("group")
    coordinator_with(ask, group, one, two)
    joined = hear(ask, heartbeat(group, subscribed_topic_names=[one.name, "no.such.topic"]))
    if joined.error_code:
        return
    held = {"rebalance_timeout_ms": -1, "topic_partitions": [TopicPartitions(topic_id=one.id, partitions=[0])]}
    for names in ([two.name], [], ["no/such/name"]):
        hear(ask, heartbeat(group, member_epoch=joined.member_epoch, subscribed_topic_names=names, **held))


@question(ConsumerGroupHeartbeatRequest)
def members_that_are_refused(ask: Ask) -> None:
    group = ask.name("group")
    ask.coordinator(group)
    for fields in (
        {"group_id": ""},
        {"member_id": ""},
        {"member_epoch": -3},
        {"member_epoch": -2},
        {"member_epoch": 5},
        {"rebalance_timeout_ms": -1},
        {"rebalance_timeout_ms": 0},
        {"subscribed_topic_names": None},
        {"topic_partitions": None},
        {"topic_partitions": [TopicPartitions(topic_id=uuid.UUID(int=7), partitions=[0])]},
        {"server_assignor": "none such"},
        {"instance_id": ""},
        {"rack_id": ""},
        {"member_epoch": -1},
    ):
        hear(ask, heartbeat(**({"group": group} | fields) if "group_id" not in fields else {"group": ""}))


@question(ConsumerGroupHeartbeatRequest, "1")
def subscriptions_by_pattern(ask: Ask) -> None:
    group = ask.name("group")
    ask.coordinator(group)
    hear(ask, heartbeat(group, subscribed_topic_names=None, subscribed_topic_regex="["))
    hear(ask, heartbeat(group, subscribed_topic_names=None, subscribed_topic_regex="no such topic.*"))
    hear(ask, heartbeat(ask.name("other"), subscribed_topic_names=None, subscribed_topic_regex=""))


@question(ConsumerGroupHeartbeatRequest, "1")
def a_subscription_by_a_pattern_that_matches(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    coordinator_with(ask, group, topic)
    pattern = re.escape(topic.name[:-1]) + "."
    joined = ask.quietly(heartbeat(group, subscribed_topic_names=None, subscribed_topic_regex=pattern))
    assert joined.error_code == ErrorCode.NONE, joined
    if not joined.assignment.topic_partitions:
        held = {"subscribed_topic_names": None, "rebalance_timeout_ms": -1}
        joined = await_assignment(ask, group, joined.member_epoch, 1, **held)
        ask.answers.pop()  # when it comes is a matter of time
    ask.answers.append(comparable(joined.assignment))


@question(ConsumerGroupHeartbeatRequest)
def a_static_member_with_two_lives(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    coordinator_with(ask, group, topic)
    subscribed = {"subscribed_topic_names": [topic.name], "instance_id": "static"}
    hear(ask, heartbeat(group, **subscribed))
    hear(ask, heartbeat(group, **(subscribed | {"member_id": MEMBER[:-1] + "B"})))
    hear(ask, heartbeat(group, **(subscribed | {"member_epoch": -2})))
    hear(ask, heartbeat(group, **(subscribed | {"member_id": MEMBER[:-1] + "B"})))


@question(ConsumerGroupHeartbeatRequest)
def a_consumer_member_in_a_classic_group(ask: Ask) -> None:
    group = ask.name("group")
    settle(ask, group)
    hear(ask, heartbeat(group))


@question(ConsumerGroupHeartbeatRequest)
def a_classic_member_in_a_consumer_group(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    coordinator_with(ask, group, topic)
    joined = ask.quietly(heartbeat(group, subscribed_topic_names=[topic.name]), 1)
    assert joined.error_code == 0, joined
    classic = ask.quietly(join(group))
    ask.answers.append([classic.error_code])
    beat = ask.quietly(HeartbeatRequest(group_id=group, generation_id=1, member_id=MEMBER))
    ask.answers.append([beat.error_code])


@question(ConsumerGroupHeartbeatRequest)
def offsets_committed_by_consumer_members(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    coordinator_with(ask, group, topic)
    joined = ask.quietly(heartbeat(group, subscribed_topic_names=[topic.name]), 1)
    for member, epoch in (
        (joined.member_id, joined.member_epoch),
        (joined.member_id, 17),
        (joined.member_id, 0),
        ("no such member", joined.member_epoch),
        ("", -1),
    ):
        answer = ask.quietly(commit(group, topic, member_id=member, generation_id_or_member_epoch=epoch))
        ask.answers.append([answer.topics[0].partitions[0].error_code])


@question(ConsumerGroupDescribeRequest)
def consumer_groups_that_are_described(ask: Ask) -> None:
    topic, group, classic = ask.topic(2), ask.name("group"), ask.name("classic")
    settle(ask, classic)
    coordinator_with(ask, group, topic)
    ask.quietly(heartbeat(group, subscribed_topic_names=[topic.name]), 1)
    for name in (group, classic, ask.name("nowhere"), ""):
        ask(ConsumerGroupDescribeRequest(group_ids=[name], include_authorized_operations=True))
