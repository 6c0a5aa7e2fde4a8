"""Every message and version, byte for byte, against the independent codecs of kio."""

import datetime
import importlib
import io
import re
import types
import typing
import uuid
from collections.abc import Callable
from dataclasses import fields as dataclass_fields
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kio.serial import entity_reader, entity_writer

from ottla_wire.errors import ErrorCode
from ottla_wire.fields import Array, Nested
from ottla_wire.message import Message, Struct

# kio reads some integers as richer types, which do not hold every integer. What they do hold, in milliseconds:
EPOCH_MS = st.integers(0, 4_000_000_000_000)
DOMAINS: dict[str, st.SearchStrategy[Any]] = {
    "error_code": st.sampled_from([int(code) for code in ErrorCode]),
    "timedelta_i64": st.integers(0, 2**40),
    "datetime_i64": EPOCH_MS,
}


def kio_class(message: type[Message], version: int) -> type:
    api = message.__module__.rpartition(".")[2]
    module = "request" if message.is_request else "response"
    if api == "consumer_protocol":
        api, module = re.sub(r"(?<!^)(?=[A-Z])", "_", message.__name__).lower(), "data"
    found: type = getattr(importlib.import_module(f"kio.schema.{api}.v{version}.{module}"), message.__name__)
    return found


def pairs_of_fields(ours: type[Struct], theirs: type, version: int) -> list[tuple[Any, Any]]:
    """The fields of a version on both sides, which are declared in the same order."""
    present = [field for field in ours.fields if version in field.versions]
    return list(zip(present, dataclass_fields(theirs), strict=True))


def nested_class(annotation: Any) -> Any:
    """The structure within `X`, `X | None`, `tuple[X, ...]` and so on."""
    while not hasattr(annotation, "__version__"):
        annotation = next(a for a in typing.get_args(annotation) if a not in (type(None), Ellipsis))
    return annotation


def nested_struct(wire_type: Any) -> type[Struct] | None:
    while isinstance(wire_type, Array):
        wire_type = wire_type.element
    return wire_type.struct if isinstance(wire_type, Nested) else None


def overrides(ours: type[Struct], theirs: type, version: int) -> dict[tuple[type, str], st.SearchStrategy[Any]]:
    found: dict[tuple[type, str], st.SearchStrategy[Any]] = {}
    for mine, yours in pairs_of_fields(ours, theirs, version):
        struct = nested_struct(mine.type)
        if struct is not None:
            found |= overrides(struct, nested_class(yours.type), version)
            continue
        domain = DOMAINS.get(yours.metadata.get("kafka_type", ""))
        if domain is not None:
            if isinstance(mine.type, Array):
                domain = st.lists(domain, max_size=2)
            elif typing.get_origin(yours.type) in (typing.Union, types.UnionType):
                domain = st.just(-1) | domain
            found[ours, mine.name] = domain
    return found


def plain(value: Any) -> Any:
    """A value of kio's as ours writes it."""
    match value:
        case datetime.timedelta():
            return value // datetime.timedelta(milliseconds=1)
        case datetime.datetime():
            return round(value.timestamp() * 1000)
    return value


def assert_same(mine: Any, yours: Any, version: int) -> None:
    if isinstance(mine, Struct):
        for field, their_field in pairs_of_fields(type(mine), type(yours), version):
            assert_same(getattr(mine, field.name), getattr(yours, their_field.name), version)
    elif isinstance(mine, list):
        assert len(mine) == len(yours)
        for one, other in zip(mine, yours, strict=True):
            assert_same(one, other, version)
    elif mine is None and yours is not None:
        assert yours == type(yours)()  # a tagged structure that was not sent
    elif yours is None and mine is not None:
        assert mine in (uuid.UUID(int=0), -1)  # kio's null for ids and for times
    else:
        assert mine == plain(yours)


def test_encodes_and_decodes_as_kio_does(
    message: type[Message], version: int, instances: Callable[..., Any], wire_settings: settings
) -> None:
    theirs = kio_class(message, version)
    read: Any = entity_reader(theirs)
    write: Any = entity_writer(theirs)

    @wire_settings
    @given(ours=instances(message, version, overrides(message, theirs, version)))
    def check(ours: Message) -> None:
        encoded = ours.encode(version)
        yours, size = read(encoded, 0)
        assert size == len(encoded)
        assert_same(ours, yours, version)

        rewritten = io.BytesIO()
        write(rewritten, yours)
        assert rewritten.getvalue() == encoded
        assert message.decode(rewritten.getvalue(), version) == (ours, len(encoded))

    check()
