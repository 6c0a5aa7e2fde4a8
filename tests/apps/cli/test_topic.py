"""`ottla topic`."""

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
Name = Callable[[str], str]


def test_a_topic_is_created_listed_described_and_deleted(ottla: Run, name: Name) -> None:
    topic = name("flights")
    created = ottla("topic", "create", topic, "-p", "2", "-c", "retention.ms=1000000").ok()
    assert created.out == f"TOPIC\tSTATUS\n{topic}\tcreated\n"
    assert [topic, "2", "1"] in ottla("topic", "list").ok().rows
    described = ottla("topic", "describe", topic, "--format", "json").ok().json
    assert described["summary"]["partitions"] == 2
    assert len(described["summary"]["topic_id"]) == 22
    assert {"key": "retention.ms", "value": "1000000", "source": "DYNAMIC_TOPIC_CONFIG"} in described["configs"]
    assert [(row["partition"], row["log_start_offset"], row["high_watermark"]) for row in described["partitions"]] == [
        (0, 0, 0),
        (1, 0, 0),
    ]
    assert ottla("topic", "delete", topic, "--dry-run").ok().rows == [[topic, "would be deleted"]]
    assert ottla("topic", "delete", topic).ok().rows == [[topic, "deleted"]]
    assert topic not in ottla("topic", "list").ok().out


def test_a_dry_run_of_creating_checks_and_creates_nothing(ottla: Run, name: Name) -> None:
    topic = name("flights")
    assert ottla("topic", "create", topic, "--dry-run").ok().rows == [[topic, "would be created"]]
    ottla("topic", "create", topic, "--dry-run", "-c", "nonsense=1").fails(
        f"Cannot create topic '{topic}': .*nonsense.*"
    )
    ottla("topic", "describe", topic).fails(f"Topic '{topic}' does not exist; `ottla topic create {topic}` makes it.")


def test_one_failure_does_not_hide_what_went_well(ottla: Run, name: Name, topic: str) -> None:
    new = name("new")
    result = ottla("topic", "create", topic, new).fails(f"Cannot create topic '{topic}': .*already exists.")
    assert result.rows == [[new, "created"]]
    assert ottla("topic", "create", topic, new, "--if-not-exists").ok().rows == [[topic, "exists"], [new, "exists"]]


@pytest.mark.parametrize("bad", ["", "a b", "x" * 250, "..", "a\x1b[31m"])
def test_a_name_that_no_topic_may_have_is_refused(ottla: Run, bad: str) -> None:
    result = ottla("topic", "create", bad).fails("Cannot create topic .*")
    assert "\x1b" not in result.err


def test_numbers_that_no_topic_may_have_are_refused(ottla: Run, name: Name) -> None:
    ottla("topic", "create", name("t"), "-p", "0").fails("Cannot create topic .*")
    ottla("topic", "create", name("t"), "-r", "5").fails("Cannot create topic .*")
    ottla("topic", "create", name("t"), "-c", "retention.ms").fails("'retention.ms' is no setting: write KEY=VALUE.", 2)


def test_a_list_takes_a_pattern(ottla: Run, topic: str) -> None:
    assert ottla("topic", "list", "-r", f"^{topic}$").ok().rows == [[topic, "3", "1"]]
    ottla("topic", "list", "-r", "(").fails(r"'\(' is no regular expression: .*", 2)


def test_the_brokers_own_topics_are_shown_when_asked_for(ottla: Run, topic: str, name: Name) -> None:
    ottla("consume", topic, "-g", name("group"), "-n", "1").ok()
    assert "__consumer_offsets" not in ottla("topic", "list").ok().out
    assert "__consumer_offsets" in ottla("topic", "list", "-i").ok().out


def test_settings_of_a_topic_are_altered(ottla: Run, topic: str) -> None:
    def settings() -> dict[str, set[str]]:
        configs = ottla("topic", "describe", topic, "--format", "json").ok().json["configs"]
        return {row["key"]: set(row["value"].split(",")) for row in configs if row["source"] == "DYNAMIC_TOPIC_CONFIG"}

    alter = ("topic", "alter-config", topic)
    ottla(*alter, "-s", "retention.ms=5000000", "--append", "cleanup.policy=compact", "--dry-run").ok()
    assert settings() == {}
    ottla(*alter, "-s", "retention.ms=5000000", "--append", "cleanup.policy=compact").ok()
    assert settings() == {"retention.ms": {"5000000"}, "cleanup.policy": {"compact", "delete"}}
    ottla(*alter, "-d", "retention.ms", "--subtract", "cleanup.policy=delete").ok()
    assert settings() == {"cleanup.policy": {"compact"}}


def test_mistakes_in_altering_are_told(ottla: Run, topic: str) -> None:
    alter = ("topic", "alter-config", topic)
    ottla(*alter).fails("Nothing to change: .*", 2)
    ottla(*alter, "-s", "a=1", "-d", "a").fails("a is given twice.", 2)
    ottla(*alter, "-s", "retention.ms=abc").fails(f"Cannot change the settings of topic '{topic}': .*abc.*")
    ottla(*alter, "-s", "nonsense=1").fails(f"Cannot change the settings of topic '{topic}': .*nonsense.*")


def test_partitions_are_added(ottla: Run, topic: str) -> None:
    add = ("topic", "add-partitions", topic, "-n", "2")
    assert ottla(*add, "--dry-run").ok().rows == [[topic, "would have 5 partitions"]]
    assert ottla(*add).ok().rows == [[topic, "has 5 partitions"]]
    assert ottla("topic", "list", "-r", topic).ok().rows == [[topic, "5", "1"]]
    ottla("topic", "add-partitions", "nope", "-n", "1").fails("Topic 'nope' does not exist; .*")


def test_records_are_trimmed(ottla: Run, topic: str, send: Callable[..., None]) -> None:
    send(topic, [(1, None, b"1"), (1, None, b"2"), (1, None, b"3")])
    trim = ("topic", "trim", topic, "-p", "1", "-o")
    assert ottla(*trim, "-1", "--dry-run").ok().rows == [[topic, "1", "0", "3", "1"]]
    assert ottla(*trim, "2").ok().rows == [[topic, "1", "0", "2", "2"]]
    assert ottla("consume", topic, "-p", "1", "-e", "-f", "%o %v\\n").ok().out == "2 2\n3 3\n"
    assert ottla("topic", "trim", topic, "-o", "end").ok().rows[1] == [topic, "1", "2", "4", "0"]
    ottla(*trim, "99").fails(f"{topic}-1 has no offset 99 yet: 4 is the next one.", 2)
    ottla("topic", "trim", topic, "-o", "1", "-p", "9").fails(f"Topic '{topic}' has no partition 9; .*", 2)


def test_offsets_of_a_topic(ottla: Run, topic: str, send: Callable[..., None]) -> None:
    ottla("topic", "trim", topic, "-o", "end").ok()
    send(topic, [(0, None, b"x")] * 3, [1357034400000, 1357034401000, 1357034402000])
    offsets = ("topic", "offsets", topic, "-p", "0")
    assert ottla(*offsets).ok().rows == [[topic, "0", "1", "4", "4"]]
    assert ottla(*offsets, "--at", "@2013-01-01T10:00:01Z").ok().rows == [[topic, "0", "1", "4", "4", "2"]]
    assert ottla(*offsets, "--at", "@2040-01-01").ok().rows[0][-1] == "4"
    assert ottla(*offsets, "--at", "-9").ok().rows[0][-1] == "1"
    ottla(*offsets, "--at", "noon").fails("'noon' is no position: .*", 2)
