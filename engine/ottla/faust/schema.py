"""`faust.Schema`: types and serializers of keys and values, together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(kw_only=True)
class Schema:
    """What a topic's keys and values are."""

    key_type: Any = None
    value_type: Any = None
    key_serializer: Any = None
    value_serializer: Any = None
    allow_empty: bool | None = None
