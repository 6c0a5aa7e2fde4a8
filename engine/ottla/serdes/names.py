"""Codecs by name, one's own among them: `serdes.register("yaml", codec)`, then `value="yaml|gzip"`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ottla.errors import ConfigError, DuplicateName
from ottla.serdes import builtin, transforms
from ottla.serdes.codec import Codec
from ottla.serdes.formats import json, msgpack, typed
from ottla.serdes.unsafe_pickle import UNSAFE_PICKLE

Maker = Callable[[Any], Codec[Any]]
"""Makes the codec of a type, which is `Any` where none is known."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def register(name: str, codec: Codec[Any] | Maker) -> None:
    """Gives a codec a name: a `Codec`, or a function that makes one of a type.

    Names are of small letters, digits, dots, dashes and underscores. Raises `DuplicateName` for one that is taken by
    another codec, and `ConfigError` for what cannot be a name.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be a codec's name: small letters, digits, dots, dashes and underscores")
    if _known.setdefault(name, codec) is not codec:
        raise DuplicateName(f"there is a codec named {name!r} already; give this one another name")


def named(names: str, type_: Any = Any) -> Codec[Any]:
    """The codec of a name, or of several that are to be applied after each other: `named("json|gzip", Order)`.

    The first makes bytes of a value of `type_`, each further one makes bytes of bytes; reading goes the other way
    round. Raises `ConfigError` for a name that is not known, and for one that does not make bytes of bytes behind
    another.
    """
    first, *others = names.split("|")
    codec = _typed(first, type_)
    for name in others:
        then = _find(name)
        if not isinstance(then, Codec) or then.type is not bytes:
            raise ConfigError(f"in {names!r}, {name!r} stands behind another codec but does not make bytes of bytes")
        codec = codec | then
    return codec


def _find(name: str) -> Codec[Any] | Maker:
    if name not in _known:
        raise ConfigError(f"no codec is named {name!r}; there is {', '.join(sorted(_known))}")
    return _known[name]


def _typed(name: str, type_: Any) -> Codec[Any]:
    known = _find(name)
    if not isinstance(known, Codec):
        return known(type_)
    # A codec that says what it makes is taken at its word; one that does not makes plain values.
    return known if type_ is Any or known.type is not Any else typed(known, type_)


_known: dict[str, Codec[Any] | Maker] = {
    **{
        codec.name: codec
        for codec in (
            builtin.RAW,
            builtin.TEXT,
            builtin.SHORT,
            builtin.INTEGER,
            builtin.LONG,
            builtin.FLOAT,
            builtin.DOUBLE,
            builtin.BOOLEAN,
            builtin.UUID,
            transforms.GZIP,
            transforms.ZLIB,
            transforms.LZ4,
            transforms.ZSTD,
            transforms.BASE64,
        )
    },
    "json": json,
    "msgpack": msgpack,
    UNSAFE_PICKLE.name: lambda _: UNSAFE_PICKLE,
}
