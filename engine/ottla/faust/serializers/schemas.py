"""`faust.Schema`: types and serializers of keys and values, together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ottla.errors import ConfigError

_STEPS = ("loads_", "dumps_", "on_dumps_", "decode", "compile")
"""What methods are called that say how Faust reads and writes."""


@dataclass(kw_only=True)
class Schema:
    """What a topic's keys and values are. It is described, not programmed: a codec says how bytes are read."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if own := sorted(name for name in vars(cls) if name.startswith(_STEPS)):
            raise ConfigError(
                f"{cls.__name__}.{own[0]}() is not part of Ottla's Faust facade: a schema names types and serializers; "
                "what is made of bytes says a Codec, registered with faust.serializers.codecs.register"
            )

    key_type: Any = None
    value_type: Any = None
    key_serializer: Any = None
    value_serializer: Any = None
    allow_empty: bool | None = None
