"""How keys and values are written in URLs and on command lines."""

import uuid
from datetime import date
from enum import Enum
from typing import Any

import msgspec
import pytest

from ottla.errors import ConfigError
from ottla.serdes import JSON, RAW, TEXT, UUID, Codec, json
from ottla.web.text import from_text, shown


class Colour(Enum):
    RED = "red"


class Key(msgspec.Struct):
    shop: str


SOME_UUID = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("codec", "text", "value"),
    [
        (TEXT, "1", "1"),
        (TEXT, '"q"', '"q"'),
        (RAW, "abc", b"abc"),
        (RAW, '{"base64": "/wA="}', b"\xff\x00"),
        (RAW, '{"base64": "x"}', b'{"base64": "x"}'),
        (json(int), "-5", -5),
        (json(Key), '{"shop": "a"}', Key("a")),
        (UUID, SOME_UUID, uuid.UUID(SOME_UUID)),
        (UUID, f'"{SOME_UUID}"', uuid.UUID(SOME_UUID)),
        (json(date), "2026-01-31", date(2026, 1, 31)),
        (json(Colour), "red", Colour.RED),
        (JSON, "red", "red"),
        (JSON, "1", 1),
    ],
)
def test_a_key_is_written_as_it_is_shown(codec: Codec[Any], text: str, value: Any) -> None:
    assert from_text(codec, text, "a key") == value


@pytest.mark.parametrize(
    ("codec", "text", "reason"),
    [
        (json(int), "five", "Expected `int`, got `str`"),
        (json(Key), '{"shop": "a"', "Input data was truncated"),
        (json(Key), '{"shop": 1}', "Expected `str`, got `int` - at `$.shop`"),
        (UUID, "five", "Invalid UUID"),
    ],
)
def test_what_is_no_key_is_said(codec: Codec[Any], text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match="is not a key") as refused:
        from_text(codec, text, "a key")
    assert reason in str(refused.value)


@pytest.mark.parametrize("value", [b"abc", b"", "ü".encode(), b"\xff\x00"])
def test_bytes_are_shown_as_they_can_be_asked_for(value: bytes) -> None:
    text = shown(value)
    assert from_text(RAW, text if isinstance(text, str) else msgspec.json.encode(text).decode(), "a key") == value
