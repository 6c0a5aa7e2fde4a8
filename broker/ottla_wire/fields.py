"""The vocabulary in which messages are declared: wire types, version ranges and field options.

A field is an annotation with, where it needs one, a default or one of the options below:

    class JoinGroupRequest(Message, key=11, versions="0-9", flexible="6+"):
        group_id: str                                             # in every version, no default
        rebalance_timeout_ms: Int32 = since("1+", default=-1)     # from version 1 on
        group_instance_id: str | None = since("5+", default=None)

`X | None` is nullable on the wire in every version, unless `nullable=` narrows it.
"""

import types
import uuid
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, TypeAlias, Union, get_args, get_origin

import msgspec

from ottla_wire.chunks import FileRegion

MAX_VERSION = 0x7FFF


class VersionRange(NamedTuple):
    """An inclusive range of versions. `VersionRange.none()` holds nothing."""

    lowest: int
    highest: int

    @classmethod
    def parse(cls, text: str) -> "VersionRange":
        """Read Kafka's notation: "3", "0-4", "3+" or "none"."""
        if text == "none":
            return cls.none()
        if text.endswith("+"):
            return cls(int(text[:-1]), MAX_VERSION)
        lowest, _, highest = text.partition("-")
        return cls(int(lowest), int(highest or lowest))

    @classmethod
    def none(cls) -> "VersionRange":
        return cls(0, -1)

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.lowest <= version <= self.highest

    def __str__(self) -> str:
        if self.highest < self.lowest:
            return "none"
        if self.highest == MAX_VERSION:
            return f"{self.lowest}+"
        return str(self.lowest) if self.lowest == self.highest else f"{self.lowest}-{self.highest}"


EVERY = VersionRange(0, MAX_VERSION)
NONE = VersionRange.none()


# --- wire types ---


class Fixed(msgspec.Struct, frozen=True):
    """A value of constant size, named by its `struct` format character."""

    format: str
    size: int


INT8, INT16, INT32, INT64 = Fixed("b", 1), Fixed("h", 2), Fixed("i", 4), Fixed("q", 8)
UINT16, UINT32, FLOAT64 = Fixed("H", 2), Fixed("I", 4), Fixed("d", 8)
BOOL, UUID = Fixed("?", 1), Fixed("16s", 16)


class Text(msgspec.Struct, frozen=True):
    """A UTF-8 string: int16 length, or a compact one in flexible versions."""


class Blob(msgspec.Struct, frozen=True):
    """Bytes: int32 length, or a compact one in flexible versions. `view` leaves them uncopied (record batches)."""

    view: bool = False


class Array(msgspec.Struct, frozen=True):
    """A counted sequence, a list in Python."""

    element: "WireType"


class Nested(msgspec.Struct, frozen=True):
    """Another Struct."""

    struct: type


WireType: TypeAlias = Fixed | Text | Blob | Array | Nested

Int8: TypeAlias = Annotated[int, INT8]
Int16: TypeAlias = Annotated[int, INT16]
Int32: TypeAlias = Annotated[int, INT32]
Int64: TypeAlias = Annotated[int, INT64]
Uint16: TypeAlias = Annotated[int, UINT16]
Uint32: TypeAlias = Annotated[int, UINT32]
Float64: TypeAlias = Annotated[float, FLOAT64]
# Decoded as a memoryview of the frame, never copied; encoded from any of these.
Records: TypeAlias = Annotated[bytes | bytearray | memoryview | FileRegion, Blob(view=True)]

_PLAIN: dict[object, WireType] = {str: Text(), bytes: Blob(), bool: BOOL, uuid.UUID: UUID}


def _wire_type(annotation: Any) -> WireType:
    if (plain := _PLAIN.get(annotation)) is not None:
        return plain
    origin = get_origin(annotation)
    if origin is Annotated:
        wire_type: WireType = annotation.__metadata__[0]
        return wire_type
    if origin is list:
        return Array(_wire_type(get_args(annotation)[0]))
    if isinstance(annotation, type):
        return Nested(annotation)
    raise TypeError(f"{annotation!r} has no wire type")


# --- field options ---

REQUIRED: Any = object()


class Option(msgspec.Struct, frozen=True):
    """What a field helper says beyond the annotation."""

    versions: VersionRange
    default: Any
    factory: Callable[[], list[Any]] | None
    nullable: VersionRange
    ignorable: bool
    tag: int | None = None


def field(
    versions: str = "0+",
    *,
    default: Any = REQUIRED,
    factory: Callable[[], list[Any]] | None = None,
    nullable: str = "0+",
    ignorable: bool = False,
) -> Any:
    """Say in which versions a field exists, in which it may be null, and what it is where it does not exist.

    Writing a value other than the default in a version without the field raises EncodeError, unless it is `ignorable`.
    `factory=list` stands for an empty list.
    """
    return Option(VersionRange.parse(versions), default, factory, VersionRange.parse(nullable), ignorable)


# The same, under names that read as what the version range says: since("3+"), until("0-12"), between("8-10").
since = until = between = field


def tagged(
    tag: int,
    *,
    versions: str,
    default: Any = REQUIRED,
    factory: Callable[[], list[Any]] | None = None,
    nullable: str = "0+",
    ignorable: bool = False,
) -> Any:
    """Declare a tagged field (KIP-482): written only when it differs from the default.

    A nested structure that is tagged is declared `X | None` with the default None, which means "not sent".
    """
    return Option(VersionRange.parse(versions), default, factory, VersionRange.parse(nullable), ignorable, tag)


class Field(msgspec.Struct, frozen=True):
    """A declared field, resolved: what the codec compiler works from."""

    name: str
    type: WireType
    versions: VersionRange
    nullable: VersionRange
    ignorable: bool
    tag: int | None
    default: Any  # REQUIRED where the constructor demands it; [] stands for a new list each time

    @property
    def absent_value(self) -> Any:
        """What the field reads as in a version that lacks it."""
        return self.zero if self.default is REQUIRED else self.default

    @property
    def zero(self) -> Any:
        """The schema language's implicit default: zero, empty or null."""
        match self.type:
            case Fixed("?"):
                return False
            case Fixed("16s"):
                return uuid.UUID(int=0)
            case Fixed("d"):
                return 0.0
            case Fixed():
                return 0
            case Text():
                return ""
            case Array():
                return []
            case Blob(view=False):
                return b""
        return None


def resolve(name: str, annotation: Any, declared: Any) -> Field:
    """Turn an annotation and its right-hand side (REQUIRED if it had none) into a Field."""
    nullable = NONE
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (part for part in get_args(annotation) if part is not types.NoneType)
        nullable = EVERY
    wire_type = _wire_type(annotation)
    if not isinstance(declared, Option):
        return Field(name, wire_type, EVERY, nullable, False, None, declared)
    if nullable is EVERY:
        nullable = declared.nullable
    default = declared.factory() if declared.factory is not None else declared.default
    return Field(name, wire_type, declared.versions, nullable, declared.ignorable, declared.tag, default)
