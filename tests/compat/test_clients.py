"""Every client family takes the broker for a real one: records, groups, idempotence, transactions, administration.

Each test runs with every family that can do what it is about, against Ottla and against Apache Kafka.
"""

import time
from collections.abc import Callable

import pytest

from .brokers import Broker
from .programs import Client, ClientError, Consumer, Record, families_with

SETTLE_TIMEOUT_S = 120
COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"]
NEW_YEAR_MS = 1_735_689_600_000

NewTopic = Callable[..., str]
NewName = Callable[[str], str]


def values(records: list[Record]) -> list[str | None]:
    return [record.value for record in records]


# --- produce and consume


@families_with()
def test_records_come_back_as_they_were_sent(client: Client, new_topic: NewTopic, new_name: NewName) -> None:
    topic = new_topic(2)
    timed = "timestamps" not in client.family.lacks
    headers: list[list[str | None]] = [["source", "compat"]]
    if "headers without value" not in client.family.lacks:
        headers.append(["flag", None])
    sent = [
        Record(topic, "wert", "schlüssel", partition=1, timestamp=NEW_YEAR_MS if timed else None, headers=headers),
        Record(topic, None, "a tombstone", partition=1, timestamp=NEW_YEAR_MS + 1 if timed else None),
        Record(topic, "no key", None, partition=1, timestamp=NEW_YEAR_MS + 2 if timed else None),
    ]
    with client.producer() as producer:
        stored = producer.send(*sent)
    read = client.read(topic, new_name("group"), 3)

    assert stored == [(1, 0), (1, 1), (1, 2)]
    assert [(record.offset, record.key, record.value) for record in read] == [
        (0, "schlüssel", "wert"),
        (1, "a tombstone", None),
        (2, None, "no key"),
    ]
    assert [record.headers for record in read] == [headers, [], []]
    if timed:
        assert [record.timestamp for record in read] == [NEW_YEAR_MS, NEW_YEAR_MS + 1, NEW_YEAR_MS + 2]


@families_with()
def test_every_compression_and_acknowledgement_stores_all_records(
    client: Client, new_topic: NewTopic, new_name: NewName
) -> None:
    topic = new_topic()
    compressions = [compression for compression in COMPRESSIONS if compression not in client.family.lacks]
    expected = []
    for compression in compressions:
        for acks in ("1", "all"):
            batch = [f"{compression} {acks} {index}" for index in range(100)]
            with client.producer(compression=compression, acks=acks) as producer:
                producer.send(*(Record(topic, value, partition=0) for value in batch))
            expected += batch

    assert values(client.read(topic, new_name("group"), len(expected))) == expected


@families_with()
def test_producing_to_an_unknown_topic_creates_it(client: Client, new_name: NewName) -> None:
    topic = new_name("topic")
    with client.producer() as producer:
        producer.send(Record(topic, "first"))
    assert values(client.read(topic, new_name("group"), 1)) == ["first"]


# --- groups


@families_with()
def test_a_group_resumes_where_it_committed(client: Client, new_topic: NewTopic, new_name: NewName) -> None:
    topic, group = new_topic(), new_name("group")
    sent = [f"value {index}" for index in range(100)]
    with client.producer() as producer:
        producer.send(*(Record(topic, value, partition=0) for value in sent))

    with client.consumer(group, topic, limit=40) as consumer:
        before = consumer.read(40)
        consumer.commit()
    with client.consumer(group, topic, limit=60) as consumer:
        after = consumer.read(60)

    assert values(before) == sent[:40]
    assert values(after) == sent[40:]


def settle(members: list[Consumer], *sizes: int) -> list[Record]:
    """Poll until the members hold as many partitions as `sizes` says, none twice; what they read meanwhile."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    records = []
    while True:
        for member in members:
            records += member.poll(timeout_ms=100)
        assigned = [member.assignment() for member in members]
        if sorted(map(len, assigned)) == sorted(sizes) and len(set().union(*assigned)) == sum(sizes):
            return records
        assert time.monotonic() < deadline, f"the group did not settle: {assigned}"


def share(client: Client, protocol: str, topic: str, group: str) -> None:
    """A group of one, of two, of one again: partitions move and no record is missed."""
    with client.producer() as producer, client.consumer(group, topic, protocol=protocol) as first:
        settle([first], 4)
        with client.consumer(group, topic, protocol=protocol) as second:
            settle([first, second], 2, 2)
            producer.send(*(Record(topic, f"shared {partition}", partition=partition) for partition in range(4)))
            shared = first.read(2) + second.read(2)
            assert sorted(values(shared)) == [f"shared {partition}" for partition in range(4)]
            first.commit()
            second.commit()
        settle([first], 4)
        producer.send(*(Record(topic, f"alone {partition}", partition=partition) for partition in range(4)))
        assert sorted(values(first.read(4))) == [f"alone {partition}" for partition in range(4)]


@families_with()
def test_a_classic_group_shares_partitions_and_takes_them_back(
    client: Client, new_topic: NewTopic, new_name: NewName
) -> None:
    share(client, "classic", new_topic(4), new_name("group"))


@families_with("consumer protocol")
def test_a_consumer_group_shares_partitions_and_takes_them_back(
    client: Client, new_topic: NewTopic, new_name: NewName
) -> None:
    share(client, "consumer", new_topic(4), new_name("group"))


# --- idempotence


@families_with()
def test_an_idempotent_producer_whose_answer_is_lost_stores_every_record_once(
    client: Client, broker: Broker, new_topic: NewTopic, new_name: NewName
) -> None:
    topic = new_topic(at=broker.lossy.address)
    client, lost = client.at(broker.lossy.address), broker.lossy.lost
    with client.producer(idempotent=True) as producer:
        producer.send(*(Record(topic, f"before {index}", partition=0) for index in range(10)))
        broker.lossy.lose_next_answer()
        producer.send(*(Record(topic, f"lost {index}", partition=0) for index in range(10)))
        producer.send(*(Record(topic, f"after {index}", partition=0) for index in range(10)))
    assert broker.lossy.lost == lost + 1

    expected = [f"{when} {index}" for when in ("before", "lost", "after") for index in range(10)]
    with client.consumer(new_name("group"), topic) as consumer:
        assert values(consumer.read(30)) == expected
        assert consumer.poll() == []


# --- transactions


@families_with()
def test_who_reads_committed_sees_what_was_committed(client: Client, new_topic: NewTopic, new_name: NewName) -> None:
    topic = new_topic()
    with client.producer(transactional_id=new_name("transactions")) as producer:
        for number, ended in enumerate(["commit", "abort", "commit", "abort"]):
            producer.call("begin")
            producer.send(*(Record(topic, f"{ended} {number}.{index}", partition=0) for index in range(5)))
            producer.call(ended)
    everything = [
        f"{ended} {number}.{index}"
        for number, ended in enumerate(["commit", "abort", "commit", "abort"])
        for index in range(5)
    ]

    with client.consumer(new_name("group"), topic, read_committed=True) as consumer:
        assert values(consumer.read(10)) == [value for value in everything if value.startswith("commit")]
        assert consumer.poll() == []
    uncommitted = values(client.read(topic, new_name("group"), 10))
    assert set(uncommitted) <= set(everything)


@families_with("open transactions")
def test_who_reads_committed_waits_for_the_end_of_a_transaction(
    client: Client, new_topic: NewTopic, new_name: NewName
) -> None:
    topic = new_topic()
    with (
        client.producer(transactional_id=new_name("transactions")) as producer,
        client.consumer(new_name("group"), topic, read_committed=True) as patient,
        client.consumer(new_name("group"), topic) as eager,
    ):
        producer.call("begin")
        producer.send(Record(topic, "undecided", partition=0))
        assert values(eager.read(1)) == ["undecided"]
        assert patient.poll(timeout_ms=500) == []
        producer.call("commit")
        assert values(patient.read(1)) == ["undecided"]


@families_with("transactional offsets")
def test_offsets_are_committed_with_the_transaction_or_not_at_all(
    client: Client, new_topic: NewTopic, new_name: NewName
) -> None:
    source, target, group = new_topic(), new_topic(), new_name("group")
    identity = new_name("transactions")
    with client.producer() as producer:
        producer.send(*(Record(source, f"value {index}", partition=0) for index in range(4)))

    attempts = [
        ("abort", ["value 0", "value 1"]),
        ("commit", ["value 0", "value 1"]),
        ("commit", ["value 2", "value 3"]),
    ]
    for ended, expected in attempts:
        with (
            client.consumer(group, source, read_committed=True, limit=2, transactional_id=identity) as consumer,
            client.producer(transactional_id=identity) as producer,
        ):
            read = values(consumer.read(2))
            assert read == expected
            producer.call("begin")
            producer.send(*(Record(target, f"{ended} {value}", partition=0) for value in read))
            producer.call("send_offsets", consumer=consumer.handle)
            producer.call(ended)

    copied = client.read(target, new_name("group"), 4, read_committed=True)
    assert values(copied) == [f"commit value {index}" for index in range(4)]


@families_with("open transactions")
def test_a_producer_is_fenced_by_its_successor(client: Client, new_topic: NewTopic, new_name: NewName) -> None:
    topic, identity = new_topic(), new_name("transactions")
    with client.producer(transactional_id=identity) as predecessor:
        predecessor.call("begin")
        predecessor.send(Record(topic, "predecessor", partition=0))
        with client.producer(transactional_id=identity) as successor, successor.transaction():
            successor.send(Record(topic, "successor", partition=0))
        with pytest.raises(ClientError, match=r"(?i)fenced|epoch"):
            predecessor.call("commit")

    with client.consumer(new_name("group"), topic, read_committed=True) as consumer:
        assert values(consumer.read(1)) == ["successor"]
        assert consumer.poll() == []


# --- administration


def listed(client: Client, topic: str, *, there: bool) -> None:
    """Wait until a topic is listed, or no longer: a broker follows its controller, and clients remember."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while (topic in client.call("list_topics")) != there:
        assert time.monotonic() < deadline


def settles(read: Callable[[], object], expected: object) -> None:
    """What is read becomes what is expected: a broker follows its controller."""
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while (found := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    assert found == expected


@families_with("administration")
def test_topics_are_created_described_grown_and_deleted(client: Client, new_name: NewName) -> None:
    topic = new_name("topic")
    client.call("create_topic", topic=topic, partitions=2, configs={"retention.ms": "3600000"})
    listed(client, topic, there=True)
    client.call("grow_topic", topic=topic, partitions=3)

    settles(
        lambda: sorted(client.call("describe_topic", topic=topic), key=lambda partition: partition["partition"]),
        [{"partition": index, "leader": 1, "replicas": [1], "isr": [1]} for index in range(3)],
    )

    client.call("delete_topic", topic=topic)
    listed(client, topic, there=False)


@families_with("administration")
def test_a_topic_that_exists_is_not_created_again(client: Client, new_topic: NewTopic) -> None:
    with pytest.raises(ClientError, match=r"(?i)already.?exists"):
        client.call("create_topic", topic=new_topic(), partitions=1, configs={})


@families_with("administration")
def test_a_setting_that_does_not_exist_is_refused(client: Client, new_name: NewName) -> None:
    with pytest.raises(ClientError, match=r"(?i)config"):
        client.call("create_topic", topic=new_name("topic"), partitions=1, configs={"no.such.setting": "1"})


@families_with("administration")
def test_settings_of_a_topic_are_read_and_changed(client: Client, new_topic: NewTopic) -> None:
    topic = new_topic()
    assert client.call("topic_config", topic=topic)["retention.ms"] == "604800000"
    client.call("set_topic_config", topic=topic, name="retention.ms", value="3600000")
    settles(lambda: client.call("topic_config", topic=topic)["retention.ms"], "3600000")


@families_with("administration")
def test_groups_are_listed_described_and_their_offsets_read(
    client: Client, new_topic: NewTopic, new_name: NewName
) -> None:
    topic, group = new_topic(), new_name("group")
    with client.producer() as producer:
        producer.send(*(Record(topic, f"value {index}", partition=0) for index in range(7)))
    with client.consumer(group, topic) as consumer:
        consumer.read(7)
        consumer.commit()
        assert group in client.call("list_groups")
        described = client.call("describe_group", group=group)
        assert (described["state"].upper(), described["members"]) == ("STABLE", 1)
    assert client.call("describe_group", group=group)["state"].upper() == "EMPTY"
    assert client.call("group_offsets", group=group) == [[topic, 0, 7]]
    if "deleting groups" not in client.family.lacks:
        client.call("delete_group", group=group)
        assert group not in client.call("list_groups")


@families_with("administration")
def test_records_are_deleted_up_to_an_offset(client: Client, new_topic: NewTopic, new_name: NewName) -> None:
    topic = new_topic()
    with client.producer() as producer:
        producer.send(*(Record(topic, f"value {index}", partition=0) for index in range(10)))
    assert client.call("log_offsets", topic=topic, partition=0) == [0, 10]

    client.call("delete_records", topic=topic, partition=0, before=6)

    assert client.call("log_offsets", topic=topic, partition=0) == [6, 10]
    assert values(client.read(topic, new_name("group"), 4)) == [f"value {index}" for index in range(6, 10)]
