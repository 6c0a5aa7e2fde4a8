"""librdkafka against a broker process: groups that rebalance, static members, transactions, and kill -9 in between."""

import time
import uuid

import pytest
from confluent_kafka import Consumer, ConsumerGroupState, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

DEADLINE_S = 40  # not how long anything takes, but how long it may on a machine that is overloaded


def create_topic(broker, name, partitions=1):
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_topics([NewTopic(name, partitions, 1)])[name].result(DEADLINE_S)


def wait_for(condition, what):
    deadline = time.monotonic() + DEADLINE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
    return result


@pytest.fixture
def consumer(broker):
    """`consumer(group, **settings)`: closed at the end if the test has not done so."""
    made = []

    def make(group="group", **settings):
        made.append(
            Consumer(
                {
                    "bootstrap.servers": broker.address,
                    "group.id": group,
                    "auto.offset.reset": "earliest",
                    "session.timeout.ms": 6_000,
                    "heartbeat.interval.ms": 200,
                    "enable.auto.commit": False,
                    **{name.replace("_", "."): value for name, value in settings.items()},
                }
            )
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


def producer(broker, **settings):
    options = {name.replace("_", "."): value for name, value in settings.items()}
    return Producer({"bootstrap.servers": broker.address, "linger.ms": 0, **options})


def transactional(broker, transactional_id="x", **settings):
    made = producer(broker, transactional_id=transactional_id, **settings)
    made.init_transactions(DEADLINE_S)
    return made


def read(consumer, count):
    """The next `count` values."""
    values = []
    deadline = time.monotonic() + DEADLINE_S
    while len(values) < count:
        assert time.monotonic() < deadline, f"timed out waiting for {count} messages; got {values}"
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            values.append(message.value().decode())
    return values


def rest(broker, topic, count, isolation_level="read_committed"):
    """What a new reader of the topic gets: `count` values, and then the end."""
    reader = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": str(uuid.uuid4()),
            "enable.partition.eof": True,
            "isolation.level": isolation_level,
        }
    )
    reader.assign([TopicPartition(topic, 0, 0)])
    values = []
    deadline = time.monotonic() + DEADLINE_S
    while True:
        assert time.monotonic() < deadline, f"timed out waiting for {count} messages and the end; got {values}"
        message = reader.poll(0.1)
        if message is None:
            continue
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF
            if len(values) >= count:
                break
        else:
            values.append(message.value().decode())
    reader.close()
    return values


# -- groups


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_two_consumers_share_a_topic_and_one_takes_over_when_the_other_leaves(broker, consumer, strategy):
    create_topic(broker, "shared", 4)
    one = consumer(partition_assignment_strategy=strategy)
    two = consumer(partition_assignment_strategy=strategy)
    one.subscribe(["shared"])
    wait_for(lambda: one.poll(0.05) is None and len(one.assignment()) == 4, "the first to have all partitions")
    two.subscribe(["shared"])

    def split():
        one.poll(0.05)
        two.poll(0.05)
        return len(one.assignment()) == len(two.assignment()) == 2

    wait_for(split, "two partitions each")
    owned = {(tp.topic, tp.partition) for tp in one.assignment() + two.assignment()}
    assert owned == {("shared", index) for index in range(4)}
    two.close()
    wait_for(lambda: one.poll(0.05) is None and len(one.assignment()) == 4, "the first to have all partitions again")


def test_committed_offsets_survive_kill_9_and_a_new_consumer_resumes(broker, consumer):
    create_topic(broker, "numbers")
    writer = producer(broker)
    for number in range(10):
        writer.produce("numbers", str(number))
    writer.flush(DEADLINE_S)
    one = consumer()
    one.subscribe(["numbers"])
    assert read(one, 4) == ["0", "1", "2", "3"]
    one.commit(offsets=[TopicPartition("numbers", 0, 4, metadata="half way")], asynchronous=False)
    one.close()
    broker.kill()
    broker.start()
    two = consumer()
    (committed,) = two.committed([TopicPartition("numbers", 0)], DEADLINE_S)
    assert (committed.offset, committed.metadata) == (4, "half way")
    two.subscribe(["numbers"])
    assert read(two, 6) == ["4", "5", "6", "7", "8", "9"]


def test_a_static_member_that_restarts_gets_its_partitions_back_without_a_rebalance(broker, consumer):
    create_topic(broker, "static", 2)
    one = consumer(group_instance_id="one")
    two = consumer(group_instance_id="two")
    rebalances = []
    for each in (one, two):
        each.subscribe(
            ["static"], on_assign=lambda *_: rebalances.append(1), on_revoke=lambda *_: rebalances.append(-1)
        )

    def split():
        one.poll(0.05)
        two.poll(0.05)
        return len(one.assignment()) == len(two.assignment()) == 1

    wait_for(split, "a partition each")
    owned = two.assignment()
    two.close()  # a static member does not leave
    rebalances.clear()
    again = consumer(group_instance_id="two")
    again.subscribe(["static"])
    wait_for(lambda: again.poll(0.05) is None and again.assignment() == owned, "the partition of its former self")
    one.poll(0.5)
    assert rebalances == []


def test_a_group_is_listed_described_and_deleted(broker, consumer):
    create_topic(broker, "described")
    admin = AdminClient({"bootstrap.servers": broker.address})
    one = consumer("seen", client_id="the-client")
    one.subscribe(["described"])
    wait_for(lambda: one.poll(0.05) is None and one.assignment(), "an assignment")
    one.commit(offsets=[TopicPartition("described", 0, 7)], asynchronous=False)
    listed = admin.list_consumer_groups(request_timeout=DEADLINE_S).result().valid
    assert [(group.group_id, group.state) for group in listed] == [("seen", ConsumerGroupState.STABLE)]
    described = admin.describe_consumer_groups(["seen"])["seen"].result(DEADLINE_S)
    (member,) = described.members
    assert member.client_id == "the-client"
    assert [(tp.topic, tp.partition) for tp in member.assignment.topic_partitions] == [("described", 0)]
    with pytest.raises(KafkaException) as error:
        admin.delete_consumer_groups(["seen"])["seen"].result(DEADLINE_S)
    assert error.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    one.close()
    admin.delete_consumer_groups(["seen"])["seen"].result(DEADLINE_S)
    assert admin.list_consumer_groups(request_timeout=DEADLINE_S).result().valid == []


# -- transactions


def test_a_committed_reader_sees_committed_transactions_only(broker):
    create_topic(broker, "ledger")
    writer = transactional(broker)
    for value, commit in (("a", True), ("b", False), ("c", True)):
        writer.begin_transaction()
        writer.produce("ledger", value)
        writer.flush(DEADLINE_S)
        if commit:
            writer.commit_transaction(DEADLINE_S)
        else:
            writer.abort_transaction(DEADLINE_S)
    assert rest(broker, "ledger", 2) == ["a", "c"]
    assert rest(broker, "ledger", 3, "read_uncommitted") == ["a", "b", "c"]


def test_a_second_producer_of_the_same_id_fences_the_first_and_aborts_its_transaction(broker):
    create_topic(broker, "fenced")
    first = transactional(broker)
    first.begin_transaction()
    first.produce("fenced", "lost")
    first.flush(DEADLINE_S)
    second = transactional(broker)
    with pytest.raises(KafkaException) as error:
        first.commit_transaction(DEADLINE_S)
    assert error.value.args[0].code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH)
    second.begin_transaction()
    second.produce("fenced", "kept")
    second.commit_transaction(DEADLINE_S)
    assert rest(broker, "fenced", 1) == ["kept"]


def test_a_transaction_that_is_open_for_too_long_is_aborted(broker):
    create_topic(broker, "hanging")
    writer = transactional(broker, transaction_timeout_ms=1_000)
    writer.begin_transaction()
    writer.produce("hanging", "never")
    writer.flush(DEADLINE_S)
    plain = producer(broker)
    plain.produce("hanging", "after")
    plain.flush(DEADLINE_S)
    assert rest(broker, "hanging", 1) == ["after"]


def process(consumer, writer, count):
    """Read `count` messages and write each in capitals, in one transaction with the offsets."""
    writer.begin_transaction()
    for value in read(consumer, count):
        writer.produce("output", value.upper())
    writer.send_offsets_to_transaction(
        consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), DEADLINE_S
    )


@pytest.mark.parametrize("kill", [False, True], ids=["abort", "kill -9"])
def test_outputs_and_offsets_of_a_transaction_take_effect_together_or_not_at_all(broker, consumer, kill):
    create_topic(broker, "input")
    create_topic(broker, "output")
    source = producer(broker)
    for value in "abcdef":
        source.produce("input", value)
    source.flush(DEADLINE_S)

    one, writer = consumer(), transactional(broker)
    one.subscribe(["input"])
    process(one, writer, 3)
    writer.commit_transaction(DEADLINE_S)
    process(one, writer, 2)
    if kill:
        writer.flush(DEADLINE_S)
        broker.kill()
        broker.start()
    else:
        writer.abort_transaction(DEADLINE_S)
    one.close()

    # Whoever takes over begins with the id of the former producer, which ends what that left open.
    successor, two = transactional(broker), consumer()
    (committed,) = two.committed([TopicPartition("input", 0)], DEADLINE_S)
    assert committed.offset == 3
    two.subscribe(["input"])
    process(two, successor, 3)
    successor.commit_transaction(DEADLINE_S)
    assert rest(broker, "output", 6) == ["A", "B", "C", "D", "E", "F"]
    (committed,) = two.committed([TopicPartition("input", 0)], DEADLINE_S)
    assert committed.offset == 6


def test_a_committed_transaction_survives_kill_9(broker):
    create_topic(broker, "durable")
    writer = transactional(broker)
    for number in range(5):
        writer.begin_transaction()
        writer.produce("durable", str(number))
        writer.commit_transaction(DEADLINE_S)
    broker.kill()
    broker.start()
    assert rest(broker, "durable", 5) == ["0", "1", "2", "3", "4"]
