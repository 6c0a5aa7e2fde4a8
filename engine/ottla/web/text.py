"""Keys and values as they are written in a URL or on a command line."""

from __future__ import annotations

from typing import Any

import msgspec

from ottla.errors import ConfigError
from ottla.serdes import Codec


def from_text(codec: Codec[Any], text: str, what: str) -> Any:
    """What the text says: text and bytes as they are, anything else as JSON; where types are not known, text that is no
    JSON as it is.

    `what` names it in the `ConfigError` that is raised for text that says nothing of the codec's type.
    """
    if codec.type is str:
        return text
    if codec.type is bytes:
        return text.encode()
    try:
        return msgspec.json.decode(text, type=codec.type)
    except msgspec.MsgspecError as error:
        if codec.type is Any:
            return text
        raise ConfigError(f"{text!r} is not {what} ({codec.name}): {error}") from error
