"""`ottla consume`."""

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
Name = Callable[[str], str]


@pytest.fixture
def numbers(ottla: Run, name: Name, send: Callable[..., None]) -> str:
    """A topic with one partition and the values 0 to 9, one a minute from 2013-01-01T10:00Z on."""
    topic = name("numbers")
    ottla("topic", "create", topic, "-p", "1").ok()
    records = [(0, None, b"%d" % number) for number in range(10)]
    send(topic, records, [1357034400000 + number * 60_000 for number in range(10)])
    return topic


def test_formats(ottla: Run, topic: str) -> None:
    read = ("consume", topic, "-p", "1", "-e")
    assert ottla(*read).ok().out == "value 1\n"
    assert ottla(*read, "-f", "%t %p %o %k=%v [%h]\\n").ok().out == f"{topic} 1 0 1=value 1 []\n"
    shown = ottla(*read, "-f", "json").ok().json
    assert (shown["topic"], shown["partition"], shown["offset"], shown["value"]) == (topic, 1, 0, "value 1")


@pytest.mark.parametrize(
    ("offset", "values"),
    [
        ("start", "0123456789"),
        ("end", ""),
        ("7", "789"),
        ("+8", "89"),
        ("-2", "89"),
        ("-99", "0123456789"),
        ("3:5", "34"),
        ("5:3", ""),
        (":2", "01"),
        ("8:", "89"),
        ("8:99", "89"),
        ("-3:-1", "78"),
        ("@2013-01-01T10:08", "89"),
        ("@2013-01-01T10:02:30:@2013-01-01T10:05", "34"),
        ("@2040-01-01", ""),
    ],
)
def test_where_it_begins_and_stops(ottla: Run, numbers: str, offset: str, values: str) -> None:
    assert ottla("consume", numbers, "-e", "-o", offset, "-f", "%v").ok().out == values


def test_it_stops_without_being_told_to_where_that_is_certain(ottla: Run, numbers: str) -> None:
    assert ottla("consume", numbers, "-n", "3", "-f", "%v").ok().out == "012"
    assert ottla("consume", numbers, "-o", ":end", "-f", "%v").ok().out == "0123456789"
    assert ottla("consume", numbers, "-o", "2:4", "-f", "%v").ok().out == "23"
    assert ottla("consume", numbers, "--from-beginning", "--no-follow", "-n", "1", "-f", "%v").ok().out == "0"


def test_records_before_the_start_are_gone(ottla: Run, numbers: str) -> None:
    ottla("topic", "trim", numbers, "-o", "6").ok()
    assert ottla("consume", numbers, "-e", "-o", "2", "-f", "%v").ok().out == "6789"


def test_partitions_that_have_not_come_to_the_start_yet_are_passed_over(
    ottla: Run, topic: str, numbers: str, name: Name
) -> None:
    read = ("consume", topic, numbers, "-e", "-o", "8", "-f", "%v")
    assert ottla(*read).ok().out == "89"
    assert ottla(*read, "-g", name("group")).ok().out == "89"


def test_several_topics_and_partitions(ottla: Run, topic: str, numbers: str) -> None:
    out = ottla("consume", topic, numbers, "-e", "-p", "0", "-f", "%t\\n").ok().out
    assert sorted(out.splitlines()) == sorted([topic, *[numbers] * 10])


def test_a_group_goes_on_where_it_was(ottla: Run, numbers: str, name: Name) -> None:
    read = ("consume", numbers, "-g", name("group"), "-e", "-f", "%v")
    assert ottla(*read, "-n", "4").ok().out == "0123"
    assert ottla(*read).ok().out == "456789"
    assert ottla(*read).ok().out == ""
    assert ottla(*read, "--from-beginning", "-n", "2").ok().out == "01"
    assert ottla(*read).ok().out == "23456789"
    assert ottla(*read, "-o", "-1").ok().out == "9"


def test_mistakes_are_told(ottla: Run, topic: str) -> None:
    read = ("consume", topic)
    ottla("consume", "nope").fails("Topic 'nope' does not exist; .*")
    ottla(*read, "-p", "9").fails(f"Topic '{topic}' has no partition 9; .*", 2)
    ottla(*read, "-o", "99").fails(f"{topic}-0 has no offset 99 yet: 1 is the next one.", 2)  # nor have the others
    ottla(*read, "-o", "x").fails("'x' is no position: .*", 2)
    ottla(*read, "-o", "1:x").fails("'1:x' is no range: .*", 2)
    ottla(*read, "-f", "%q").fails("There is no %q in the format '%q'; .*", 2)
    ottla(*read, "-o", "1", "--from-beginning").fails("--from-beginning is --offset start: give one of them.", 2)
    ottla(*read, "-g", "g", "-p", "0").fails("A group decides who reads which partition: .*", 2)
    ottla(*read, "-g", "g", "-o", "1:2").fails("A group reads on: .*", 2)
