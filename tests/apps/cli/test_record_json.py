"""Records as lines of JSON."""

from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from ottla_apps.cli.errors import BadArgument
from ottla_apps.cli.record_format import InputRecord
from ottla_apps.cli.record_json import from_json, to_json


def message(key: bytes | None, value: bytes | None, headers: Any = None, timestamp: int = 5) -> Message:
    return Message("flights", 1, 41, key, value, headers, None, (1, timestamp))


def test_a_record_is_one_line() -> None:
    assert to_json(message(b"UA", b'{"x": 1}', [("h", b"1"), ("h", None)])) == (
        b'{"topic":"flights","partition":1,"offset":41,"timestamp":5,"key":"UA","value":"{\\"x\\": 1}",'
        b'"headers":[{"key":"h","value":"1"},{"key":"h","value":null}]}\n'
    )


def test_bytes_that_are_no_text_are_base64() -> None:
    assert b'"key":null,"value":{"base64":"/wA="}' in to_json(message(None, b"\xff\0"))


def test_a_line_needs_no_more_than_a_value() -> None:
    assert from_json(b'{"value": "v"}') == InputRecord(None, b"v")


@pytest.mark.parametrize(
    "line",
    [b"", b"x", b"[]", b'{"valu": 1}', b'{"value": 1}', b'{"value": {"base64": "?"}}', b'{"headers": [{}]}', b"\xff"],
)
def test_a_line_that_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(BadArgument, match="no record in JSON"):
        from_json(line)


data = st.none() | st.binary(max_size=20)
headers = st.lists(st.tuples(st.text(max_size=5), data), max_size=3)


@given(data, data, headers, st.integers(0, 2**40))
def test_a_record_survives_the_way_there_and_back(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]], timestamp: int
) -> None:
    line = to_json(message(key, value, headers, timestamp))
    assert line.count(b"\n") == 1
    assert from_json(line) == InputRecord(key, value, tuple(headers), 1, timestamp)
