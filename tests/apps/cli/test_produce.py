"""`ottla produce`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def records(ottla: Run, topic: str) -> Callable[[], list[dict[str, Any]]]:
    """What the topic has got beyond the three records that it began with."""
    from json import loads

    return lambda: [
        loads(line) for line in ottla("consume", topic, "-e", "-f", "json", "-o", "1").ok().out.splitlines()
    ]


Records = Callable[[], list[dict[str, Any]]]


def test_lines_are_values(ottla: Run, topic: str, records: Records) -> None:
    assert ottla("produce", topic, "-p", "0", stdin=b"one\n\nthree\r\nlast").ok().out == ""
    assert [(record["key"], record["value"]) for record in records()] == [
        (None, "one"),
        (None, ""),
        (None, "three"),
        (None, "last"),
    ]


def test_keys_go_where_java_clients_put_them(ottla: Run, topic: str) -> None:
    out = ottla("produce", topic, "-K", ":", "-o", "%k %p\\n", stdin=b"UA:1\nDL:2\nAA:3\nB6:4\n").ok().out
    # murmur2(key) modulo 3, by Apache Kafka's producer.
    assert sorted(out.splitlines()) == ["AA 0", "B6 0", "DL 2", "UA 1"]


def test_a_format_a_key_headers_and_a_partition(ottla: Run, topic: str, records: Records) -> None:
    options = ("-p", "2", "-k", "default", "-H", "a=1", "-H", "b", "-z", "lz4")
    ottla("produce", topic, "-f", "%h %T %v\\n", *options, stdin=b"x=9 1357034400000 v w\n").ok()
    (record,) = records()
    assert (record["partition"], record["timestamp"], record["key"], record["value"]) == (
        2,
        1357034400000,
        "default",
        "v w",
    )
    assert [(header["key"], header["value"]) for header in record["headers"]] == [("x", "9"), ("a", "1"), ("b", None)]


def test_tombstones(ottla: Run, topic: str, records: Records) -> None:
    ottla("produce", topic, "-K", ":", "-Z", "-p", "0", stdin=b"k:\nk:v\n").ok()
    assert [record["value"] for record in records()] == [None, "v"]


def test_json_goes_there_and_back(ottla: Run, topic: str, records: Records) -> None:
    ottla(
        "produce", topic, "-f", "json", stdin=b'{"key":{"base64":"/w=="},"value":null,"partition":1,"timestamp":5}\n'
    ).ok()
    (record,) = records()
    assert record["key"] == {"base64": "/w=="}
    copied = ottla("consume", topic, "-e", "-f", "json", "-o", "1").ok().out.encode()
    ottla("produce", topic, "-f", "json", "-p", "2", stdin=copied).ok()
    again = next(found for found in records() if found["partition"] == 2)
    assert {**again, "partition": 1, "offset": record["offset"]} == record


def test_files(ottla: Run, topic: str, records: Records, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\n")
    ottla("produce", topic, str(tmp_path / "a"), "-", "-p", "0", stdin=b"3\n").ok()
    assert [record["value"] for record in records()] == ["1", "2", "3"]
    ottla("produce", topic, str(tmp_path / "nope")).fails(".*nope cannot be read: No such file or directory.")
    ottla("produce", topic, str(tmp_path)).fails(".* cannot be read: Is a directory.")


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks(ottla: Run, topic: str, records: Records, acks: str) -> None:
    ottla("produce", topic, "--acks", acks, "-p", "1", stdin=b"x\n").ok()
    assert [record["value"] for record in records()] == ["x"]


def test_lines_before_a_bad_one_are_sent(ottla: Run, topic: str, records: Records) -> None:
    result = ottla("produce", topic, "-K", ":", "-p", "0", stdin=b"a:1\nbad\nb:2\n")
    result.fails("Line 2 of stdin was not sent, nor any after it: there is no ':' after %k.")
    assert [record["key"] for record in records()] == ["a"]


def test_mistakes_are_told(ottla: Run, topic: str) -> None:
    ottla("produce", "nope", stdin=b"x\n").fails("Topic 'nope' does not exist; .*")
    ottla("produce", topic, "-p", "9", stdin=b"x\n").fails(
        f"Topic '{topic}' has no partition 9; it has 3, counted from 0.", 2
    )
    ottla("produce", topic, "-f", "%k%v").fails("Nothing separates %k and %v in '%k%v'.", 2)
    ottla("produce", topic, "-f", "%v", "-K", ":").fails("--key-separator is a format already: leave out --format.", 2)
    ottla("produce", topic, "-K", "").fails("--key-separator is empty.", 2)
    ottla("produce", topic, "-H", "=x").fails("'=x' is no header: .*", 2)
    ottla("produce", topic, "-f", "json", stdin=b"{}x\n").fails(
        "Line 1 of stdin was not sent, .* no record in JSON: .*"
    )
    ottla("produce", topic, "-f", "json", stdin=b'{"partition": 9}\n').fails(f"A record for {topic} .*")


def test_a_record_that_the_topic_does_not_take_is_told(ottla: Run, topic: str) -> None:
    long = ("produce", topic, "--max-message-bytes", "2000")
    ottla(*long, stdin=b"x" * 3000).fails("Line 1 of stdin is longer than 2000 bytes; see --max-message-bytes.")
    ottla("topic", "alter-config", topic, "-s", "max.message.bytes=1000").ok()
    ottla("produce", topic, stdin=b"x" * 2000).fails(f"A record for {topic} was not written: .*too large.")
    ottla("topic", "alter-config", topic, "-s", "cleanup.policy=compact").ok()
    ottla("produce", topic, stdin=b"no key\n").fails(f"A record for {topic} was not written: it has no key, .*")
