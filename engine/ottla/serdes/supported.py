"""Whether msgspec knows a type.

It makes a decoder of any class, and one of a class that it does not know (a model of another library, say) refuses
every message. So what users declare is looked through, with all that it is made of.
"""

from __future__ import annotations

from typing import Any

from ottla.errors import ConfigError
from ottla.serdes.codec import Serde

_DECODED = (bool, int, float, str, list, dict)
"""What msgspec makes of a message by itself, and takes as instances of whatever class has them."""


def check_supported(type_: Any, what: str) -> None:
    """Raises `ConfigError`, naming the class, for a type that holds one that msgspec does not know."""
    from msgspec import inspect  # Only where something is declared.

    if type_ is None or isinstance(type_, (Serde, str)):
        return
    try:
        waiting: list[Any] = [inspect.type_info(type_)]
    except TypeError:  # The codec says why.
        return
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, inspect.CustomType) and not any(issubclass(each, node.cls) for each in _DECODED):
            name = node.cls.__name__
            raise ConfigError(
                f"{what}: {name} is no type that msgspec knows: take a Struct, a dataclass or a TypedDict, or give a "
                f'codec, ottla.Codec("{name}", encode, decode, {name})'
            )
        if isinstance(node, (inspect.Type, inspect.Field)):
            waiting += [getattr(node, name) for name in node.__struct_fields__]
        elif isinstance(node, tuple):
            waiting += node
