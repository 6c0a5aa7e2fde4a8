"""`ottla group`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer

Run = Callable[..., Any]
Name = Callable[[str], str]


@contextmanager
def member(brokers: str, group: str, topic: str, **settings: str) -> Iterator[Consumer]:
    """A consumer that has joined and has its partitions."""
    common = {"bootstrap.servers": brokers, "group.id": group, "client.id": "visitor", "auto.offset.reset": "earliest"}
    consumer = Consumer(common | {"enable.auto.commit": False} | settings)
    assigned: list[Any] = []
    consumer.subscribe([topic], on_assign=lambda _, partitions: assigned.extend(partitions))
    try:
        for _ in range(100):
            consumer.poll(0.2)
            if assigned:
                break
        assert assigned
        yield consumer
    finally:
        consumer.close()


@pytest.fixture
def group(ottla: Run, topic: str, name: Name, send: Callable[..., None]) -> str:
    """A group without members that is at the end of the topic but for one record that came later, in partition 0."""
    group = name("group")
    ottla("group", "seek", group, "--to", "end", "-t", topic).ok()
    send(topic, [(0, None, b"later")])
    return group


def test_a_group_without_members(ottla: Run, group: str, topic: str, send: Callable[..., None]) -> None:
    ottla("consume", topic, "-g", group, "-e").ok()
    rows = ottla("group", "list").ok().rows
    assert [row[1:4] for row in rows if row[0] == group] == [["classic", "consumer", "Empty"]]
    assert group in ottla("group", "list", "-s", "empty").ok().out
    assert group not in ottla("group", "list", "-s", "Stable").ok().out
    send(topic, [(0, None, b"later still")])
    described = ottla("group", "describe", group, "--format", "json").ok().json
    assert (described["summary"]["state"], described["summary"]["lag"]) == ("Empty", 1)
    assert [
        (row["partition"], row["committed_offset"], row["end_offset"], row["lag"], row["member_id"])
        for row in described["partitions"]
    ] == [(0, 2, 3, 1, None), (1, 1, 1, 0, None), (2, 1, 1, 0, None)]
    assert ottla("group", "members", group).ok().rows == []
    assert ottla("group", "lag", group).ok().out == (
        f"TOPIC\tPARTITIONS\tLAG\n{topic}\t3\t1\n\nPARTITIONS\t3\nLAG\t1\n"
    )


def test_a_group_with_a_static_member(ottla: Run, brokers: str, group: str, topic: str) -> None:
    with member(brokers, group, topic, **{"group.instance.id": "one"}):
        described = ottla("group", "describe", group, "--format", "json").ok().json
        assert described["summary"]["state"] == "Stable"
        assert described["summary"]["assignor"] == "range"
        assert {row["client_id"] for row in described["partitions"]} == {"visitor"}
        (only,) = ottla("group", "members", group, "--format", "json").ok().json
        assert (only["instance_id"], only["partitions"]) == ("one", [f"{topic}-{index}" for index in range(3)])
        with_members = f"Group '{group}' has members; stop them first."
        ottla("group", "seek", group, "--to", "start").fails(with_members)
        ottla("group", "seek", group, "--to", "start", "--dry-run").fails(with_members)
        ottla("group", "delete", group, "--dry-run").fails(with_members)
        ottla("group", "delete", group).fails(f"Cannot delete group '{group}': The group is not empty.")
        # Leaving does not remove a static member; the session timeout would.


def test_a_group_of_the_new_protocol(ottla: Run, brokers: str, topic: str, name: Name) -> None:
    apis = ottla("cluster", "features", "--apis", "--format", "json").ok().json["apis"]
    if "ConsumerGroupHeartbeat" not in {api["api"] for api in apis}:
        pytest.skip("the broker does not serve KIP-848 groups")
    group = name("group")
    with member(brokers, group, topic, **{"group.protocol": "consumer"}):
        described = ottla("group", "describe", group, "--format", "json").ok().json
        assert (described["summary"]["type"], described["summary"]["state"]) == ("consumer", "Stable")
        assert len(described["partitions"]) == 3
        (only,) = ottla("group", "members", group, "--format", "json").ok().json
        assert only["partitions"] == [f"{topic}-{index}" for index in range(3)]


@pytest.mark.parametrize(
    ("to", "offsets"),
    [
        ("earliest", [0, 0, 0]),
        ("start", [0, 0, 0]),
        ("latest", [2, 1, 1]),
        ("+1", [1, 1, 1]),
        ("-1", [1, 0, 0]),
        ("1", [1, 1, 1]),
        ("@2001-01-01", [0, 0, 0]),
        ("@2040-01-01", [2, 1, 1]),
    ],
)
def test_offsets_move(ottla: Run, group: str, topic: str, to: str, offsets: list[int]) -> None:
    moved = [[topic, str(index), "1", str(offset)] for index, offset in enumerate(offsets)]
    seek = ("group", "seek", group, "--to", to)
    assert ottla(*seek, "--dry-run").ok().rows == moved
    assert [row["committed_offset"] for row in committed(ottla, group)] == [1, 1, 1]
    assert ottla(*seek).ok().rows == moved
    assert [row["committed_offset"] for row in committed(ottla, group)] == offsets


def committed(ottla: Run, group: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ottla("group", "describe", group, "--format", "json").ok().json["partitions"]
    return rows


def test_offsets_of_one_partition_move(ottla: Run, group: str, topic: str) -> None:
    assert ottla("group", "seek", group, "--to", "end", "-t", f"{topic}:0").ok().rows == [[topic, "0", "1", "2"]]
    assert ottla("consume", topic, "-g", group, "-e").ok().out == ""


def test_a_group_that_does_not_exist_is_made_by_a_seek(ottla: Run, topic: str, name: Name) -> None:
    group = name("new")
    ottla("group", "seek", group, "--to", "end").fails(f"Group '{group}' has committed no offsets; .*", 2)
    rows = ottla("group", "seek", group, "--to", "end", "-t", topic).ok().rows
    assert rows == [[topic, str(index), "-", "1"] for index in range(3)]


def test_mistakes_in_seeking_are_told(ottla: Run, group: str, topic: str) -> None:
    seek = ("group", "seek", group, "--to")
    ottla(*seek, "77").fails(f"{topic}-0 has no offset 77 yet: 2 is the next one.", 2)
    ottla(*seek, "noon").fails("'noon' is no position: .*", 2)
    ottla(*seek, "start", "-t", "nope").fails("Topic 'nope' does not exist; .*")
    ottla(*seek, "start", "-t", f"{topic}:7").fails(f"Topic '{topic}' has no partition 7; .*", 2)
    ottla(*seek, "start", "-t", f"{topic}:x").fails(f"'{topic}:x' names no partitions: .*", 2)


def test_offsets_are_deleted(ottla: Run, brokers: str, group: str, topic: str) -> None:
    delete = ("group", "offset-delete", group, "-t")
    assert ottla(*delete, f"{topic}:0,2", "--dry-run").ok().rows == [[topic, "0", "1"], [topic, "2", "1"]]
    assert len(committed(ottla, group)) == 3
    assert ottla(*delete, f"{topic}:0,2").ok().rows == [[topic, "0", "1"], [topic, "2", "1"]]
    assert [row["partition"] for row in committed(ottla, group)] == [1]
    ottla(*delete, f"{topic}:0").fails(f"Group '{group}' has committed no offsets of {topic}:0.", 2)
    with member(brokers, group, topic):
        refused = ottla(*delete, topic).fails(f"Cannot delete the offset of group '{group}' in {topic}-1: .*")
        assert refused.rows == []


def test_groups_are_deleted(ottla: Run, group: str) -> None:
    assert ottla("group", "delete", group, "--dry-run").ok().rows == [[group, "would be deleted"]]
    result = ottla("group", "delete", group, "nope").fails("Cannot delete group 'nope': .*")
    assert result.rows == [[group, "deleted"]]
    ottla("group", "describe", group).fails(f"Group '{group}' does not exist.")
    ottla("group", "members", group).fails(f"Group '{group}' does not exist.")
    ottla("group", "lag", group).fails(f"Group '{group}' does not exist.")


def test_the_lag_of_a_topic_that_was_deleted_is_not_shown(ottla: Run, group: str, topic: str) -> None:
    ottla("topic", "delete", topic).ok()
    assert ottla("group", "describe", group, "--format", "json").ok().json["partitions"] == []
