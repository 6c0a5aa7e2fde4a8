"""`faust.Schema`: types and serializers of keys and values, together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ottla.faust.missing import SCHEMA, Lacking


@dataclass(kw_only=True)
class Schema(Lacking):
    """What a topic's keys and values are. It is described, not programmed: a codec says how bytes are read."""

    _lacks = SCHEMA
    _called = "schema"

    key_type: Any = None
    value_type: Any = None
    key_serializer: Any = None
    value_serializer: Any = None
    allow_empty: bool | None = None
