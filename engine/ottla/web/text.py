"""Keys and values as they are written in a URL or on a command line, and how they are shown."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from ottla.errors import ConfigError
from ottla.serdes import Codec


class _Base64(msgspec.Struct, forbid_unknown_fields=True):
    """How bytes that are no text are written."""

    base64: bytes


def from_text(codec: Codec[Any], text: str, what: str) -> Any:
    """What the text says: text and bytes as they are, anything else as JSON, or without its quotes where it is a text
    in JSON (a UUID, a date, an enum). Where types are not known, text that is no JSON is text.

    `what` names it in the `ConfigError` that is raised for text that says nothing of the codec's type.
    """
    if codec.type is str:
        return text
    if codec.type is bytes:
        return _bytes(text)
    try:
        return msgspec.json.decode(text, type=codec.type)
    except msgspec.MsgspecError as error:
        if codec.type is Any:
            return text
        try:
            return msgspec.convert(text, codec.type)
        except msgspec.ValidationError as plain:
            reason = error if text.startswith(("{", "[", '"')) else plain
            raise ConfigError(f"{text!r} is not {what} ({codec.name}): {reason}") from reason


def _bytes(text: str) -> bytes:
    try:
        return msgspec.json.decode(text, type=_Base64).base64
    except msgspec.MsgspecError:
        return text.encode()


def shown(value: Any) -> Any:
    """A key or value for JSON: bytes as the text that they are, or as `{"base64": ...}`."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
