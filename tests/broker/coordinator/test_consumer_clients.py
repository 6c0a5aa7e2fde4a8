"""librdkafka's consumer protocol against a broker process: sharing, kill -9, static members, expressions, migration."""

import socket
import time
from collections import Counter

import pytest
from confluent_kafka import (
    Consumer,
    ConsumerGroupState,
    ConsumerGroupType,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from ottla_wire.headers import RequestHeader
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest

DEADLINE_S = 40
REBALANCED = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
}
"""What a commit is answered while its group moves."""


@pytest.fixture
def broker(start_broker):
    """One whose groups react quickly."""
    return start_broker(
        offsets_topic_num_partitions=2,
        transaction_state_log_num_partitions=2,
        group_consumer_min_heartbeat_interval_ms=50,
        group_consumer_heartbeat_interval_ms=100,
        group_consumer_min_session_timeout_ms=1_000,
        group_consumer_session_timeout_ms=2_000,
        group_consumer_assignment_interval_ms=0,
    )


@pytest.fixture
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.address})


@pytest.fixture
def consumer(broker):
    """`consumer(protocol="consumer", **settings)`: closed at the end if the test has not done so."""
    made = []

    def make(protocol="consumer", **settings):
        options = {
            "bootstrap.servers": broker.address,
            "group.id": "group",
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "topic.metadata.refresh.interval.ms": 500,
        }
        if protocol == "classic":
            options |= {
                "session.timeout.ms": 6_000,
                "heartbeat.interval.ms": 100,
                "partition.assignment.strategy": "cooperative-sticky",
            }
        made.append(Consumer(options | {name.replace("_", "."): value for name, value in settings.items()}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def create_topic(admin, name, partitions):
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(DEADLINE_S)


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
    return result


def shares(*consumers):
    """How many partitions each has, after a turn of all of them; None while one partition has two of them."""
    for each in consumers:
        message = each.poll(0.02)
        assert message is None or message.error() is None, message.error()
    owned = [{(tp.topic, tp.partition) for tp in each.assignment()} for each in consumers]
    return [len(partitions) for partitions in owned] if len(set().union(*owned)) == sum(map(len, owned)) else None


def wait_for_shares(expected, *consumers):
    wait_for(lambda: sorted(shares(*consumers) or []) == sorted(expected), f"shares of {expected}")


def test_consumers_share_a_topic_and_take_over_from_who_leaves(admin, consumer):
    create_topic(admin, "shared", 6)
    one, two, three = consumer(), consumer(), consumer()
    for count, each in enumerate((one, two, three), 1):
        each.subscribe(["shared"])
        wait_for_shares([6 // count] * count, *(one, two, three)[:count])
    two.close()
    wait_for_shares([3, 3], one, three)
    one.close()
    wait_for_shares([6], three)


def test_a_group_and_its_offsets_survive_kill_9(broker, admin, consumer):
    create_topic(admin, "numbers", 1)
    writer = Producer({"bootstrap.servers": broker.address})
    for number in range(20):
        writer.produce("numbers", str(number))
    writer.flush(DEADLINE_S)

    def read(each, count):
        messages = [wait_for(lambda: each.poll(0.1), "a message") for _ in range(count)]
        each.commit(messages[-1], asynchronous=False)
        return [int(message.value()) for message in messages]

    one = consumer()
    one.subscribe(["numbers"])
    assert read(one, 8) == list(range(8))
    broker.kill()
    broker.start()
    assert read(one, 6) == list(range(8, 14)), "it goes on as the member that it was"
    one.close()
    two = consumer()
    (committed,) = two.committed([TopicPartition("numbers", 0)], DEADLINE_S)
    assert committed.offset == 14
    two.subscribe(["numbers"])
    assert read(two, 6) == list(range(14, 20))


def test_a_static_member_that_restarts_has_its_partitions_at_once_and_nobody_else_moves(admin, consumer):
    create_topic(admin, "static", 4)
    one, two = consumer(group_instance_id="one"), consumer(group_instance_id="two")
    moves = []
    for each in (one, two):
        each.subscribe(["static"], on_assign=lambda *_: moves.append(1), on_revoke=lambda *_: moves.append(-1))
    wait_for_shares([2, 2], one, two)
    owned = two.assignment()
    two.close()
    moves.clear()
    again = consumer(group_instance_id="two")
    again.subscribe(["static"])
    wait_for(lambda: again.poll(0.02) is None and again.assignment() == owned, "the partitions of its former self")
    assert shares(one, again) == [2, 2]
    assert moves == []


def test_a_member_that_never_speaks_again_is_replaced_after_the_session_timeout(broker, admin, consumer):
    create_topic(admin, "left", 2)
    one = consumer()
    one.subscribe(["left"])
    wait_for_shares([2], one)
    request = ConsumerGroupHeartbeatRequest(
        group_id="group",
        member_id="ghost",
        member_epoch=0,
        rebalance_timeout_ms=60_000,
        subscribed_topic_names=["left"],
        topic_partitions=[],
    )
    frame = RequestHeader(68, 1, 1, "ghost").encode() + request.encode(1)
    host, port = broker.address.split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(len(frame).to_bytes(4, "big") + frame)
        assert connection.recv(4)
    wait_for_shares([1], one)
    wait_for_shares([2], one)


def test_topics_that_match_an_expression_are_consumed_as_they_appear(admin, consumer):
    create_topic(admin, "logs-a", 1)
    one = consumer()
    one.subscribe(["^logs-.*"])
    wait_for_shares([1], one)
    create_topic(admin, "logs-b", 2)
    create_topic(admin, "other", 2)
    wait_for_shares([3], one)


def test_partitions_that_are_added_are_shared_too(admin, consumer):
    create_topic(admin, "grows", 2)
    one, two = consumer(), consumer()
    one.subscribe(["grows"])
    two.subscribe(["grows"])
    wait_for_shares([1, 1], one, two)
    admin.create_partitions([NewPartitions("grows", 6)])["grows"].result(DEADLINE_S)
    wait_for_shares([3, 3], one, two)


def test_a_group_is_listed_described_and_deleted(admin, consumer):
    create_topic(admin, "described", 2)
    one = consumer(client_id="the-client")
    one.subscribe(["described"])
    wait_for_shares([2], one)
    (listed,) = admin.list_consumer_groups(request_timeout=DEADLINE_S).result().valid
    assert (listed.group_id, listed.state, listed.type) == (
        "group",
        ConsumerGroupState.STABLE,
        ConsumerGroupType.CONSUMER,
    )
    described = admin.describe_consumer_groups(["group"])["group"].result(DEADLINE_S)
    (member,) = described.members
    assert (described.type, described.partition_assignor) == (ConsumerGroupType.CONSUMER, "uniform")
    assert member.client_id == "the-client"
    assert [tp.partition for tp in member.assignment.topic_partitions] == [0, 1]
    assert [tp.partition for tp in member.target_assignment.topic_partitions] == [0, 1]
    one.close()
    admin.delete_consumer_groups(["group"])["group"].result(DEADLINE_S)
    assert admin.list_consumer_groups(request_timeout=DEADLINE_S).result().valid == []


def test_consumers_of_both_protocols_share_a_topic_and_the_group_moves_up_and_down(admin, consumer):
    create_topic(admin, "migrating", 6)

    def group_type():
        (listed,) = admin.list_consumer_groups(request_timeout=DEADLINE_S).result().valid
        return listed.type

    old = [consumer("classic"), consumer("classic")]
    for each in old:
        each.subscribe(["migrating"])
    wait_for_shares([3, 3], *old)
    assert group_type() is ConsumerGroupType.CLASSIC
    new = consumer()
    new.subscribe(["migrating"])
    wait_for_shares([2, 2, 2], *old, new)
    assert group_type() is ConsumerGroupType.CONSUMER
    new.close()
    wait_for_shares([3, 3], *old)
    assert group_type() is ConsumerGroupType.CLASSIC


def test_a_rolling_upgrade_reads_every_message_of_committed_progress_once(broker, admin, consumer):
    create_topic(admin, "rolling", 4)
    writer = Producer({"bootstrap.servers": broker.address})
    seen = Counter()
    uncommitted = set()  # a rebalance came before the commit, so that the next owner reads them once more
    produced = 0

    def turn(*consumers):
        nonlocal produced
        for _ in range(20):
            writer.produce("rolling", str(produced), partition=produced % 4)
            produced += 1
        writer.flush(DEADLINE_S)
        deadline = time.monotonic() + DEADLINE_S
        while len(seen) < produced:
            assert time.monotonic() < deadline, "messages are missing"
            for each in consumers:
                message = each.poll(0.02)
                if message is not None and message.error() is None:
                    seen[message.value()] += 1
                    try:
                        each.commit(message, asynchronous=False)
                    except KafkaException as refused:
                        if refused.args[0].code() not in REBALANCED:
                            raise
                        uncommitted.add(message.value())

    def start(protocol):
        each = consumer(protocol)
        each.subscribe(["rolling"])
        return each

    one, two = start("classic"), start("classic")
    turn(one, two)
    for protocol in ("consumer", "classic"):
        one.close()
        one = start(protocol)
        turn(one, two)
        two.close()
        two = start(protocol)
        turn(one, two)
    assert len(seen) == produced
    assert {value for value, times in seen.items() if times > 1} <= uncommitted
