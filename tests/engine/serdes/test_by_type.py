"""How keys and values become bytes."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla.errors import ConfigError
from ottla.serdes import Codec, checked_state_codec_for, codec_for, state_codec_for, state_key_codec_for


class Point(msgspec.Struct):
    x: int
    y: float


@pytest.mark.parametrize(
    ("type_", "value", "data"),
    [
        (str, "å", "å".encode()),
        (bytes, b"\xff", b"\xff"),
        (int, 12, b"12"),
        (Point, Point(1, 2.5), b'{"x":1,"y":2.5}'),
        (list[int], [1, 2], b"[1,2]"),
        (Any, {"a": 1}, b'{"a":1}'),
    ],
)
def test_topics_hold_text_raw_bytes_or_json(type_: Any, value: Any, data: bytes) -> None:
    codec = codec_for(type_)
    assert codec.encode(value) == data
    assert codec.decode(data) == value


@pytest.mark.parametrize(
    ("type_", "value"), [(int, "12"), (int, 1.5), (int, True), (float, "1.5"), (float, False), (bool, 1), (bool, "yes")]
)
def test_numbers_and_truth_values_are_written_only_as_what_they_are_declared(type_: Any, value: Any) -> None:
    for codec in (codec_for(type_), checked_state_codec_for(type_), state_key_codec_for(type_)):
        with pytest.raises(
            msgspec.ValidationError, match=rf"Expected `{type_.__name__}`, got `{type(value).__name__}`"
        ):
            codec.encode(value)


def test_a_key_that_could_not_be_read_is_not_written() -> None:
    codec = state_key_codec_for(tuple[str, int])
    assert codec.decode(codec.encode(("a", 1))) == ("a", 1)
    with pytest.raises(msgspec.ValidationError):
        codec.encode(("a", "b"))


@given(st.floats() | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.text())
def test_state_comes_back_as_it_was(value: Any) -> None:
    codec = state_codec_for(Any)
    back = codec.decode(codec.encode(value))
    assert back == value or (math.isnan(value) and math.isnan(back))


@given(st.text() | st.integers(-(2**53), 2**53) | st.tuples(st.text(), st.integers(0, 9)))
def test_untyped_keys_come_back_as_they_were(key: Any) -> None:
    codec = state_key_codec_for(None)
    assert codec.decode(codec.encode(key)) == key


def test_a_codec_of_ones_own_is_taken_as_it_is() -> None:
    codec: Codec[int] = Codec("hex", lambda number: b"%x" % number, lambda data: int(data, 16))
    assert codec_for(codec) is codec
    assert state_codec_for(codec) is codec


def test_a_type_that_cannot_be_decoded_is_refused_by_name() -> None:

    with pytest.raises(ConfigError, match=r"cannot be a key or value type"):
        codec_for(Point | dict[str, int])
