"""Generates decoders: for a message class and a version, a function from bytes and a position to an instance and the
position after it.

Adjacent fields of constant size, with the length of a string or array that follows them, are read by one `struct` call.
Every length is held against the bytes that remain before anything is sliced or allocated, and the elements of all
arrays of a request against `MAX_ELEMENTS`: a structure of a few bytes takes forty times as many in memory. Reads past
the end raise struct.error or IndexError, which `Message.decode` turns into MalformedMessage.
"""

import struct
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ottla_wire.codec import Source, fields_of, minimum_size
from ottla_wire.errors import MalformedMessage
from ottla_wire.fields import INT8, INT16, INT32, UUID, Array, Blob, Field, Fixed, Nested, Text, WireType
from ottla_wire.varint import MAX_STRING, continue_uvarint

if TYPE_CHECKING:
    from ottla_wire.message import Message

Decoder: TypeAlias = Callable[[bytes | bytearray | memoryview, int], "tuple[Message, int]"]

# How many elements the arrays of one request may have together. Responses come from those that we have asked.
MAX_ELEMENTS = 200_000

# The first byte of an unsigned varint, read as part of a run; completed afterwards where it says so.
_VARINT_START = Fixed("B", 1)


class _Uuids(dict[bytes, uuid.UUID]):
    """UUIDs by their bytes: topic ids come again and again, and the class is slow to construct."""

    def __missing__(self, data: bytes) -> uuid.UUID:
        if len(self) >= 10_000:
            self.clear()
        value = self[data] = uuid.UUID(bytes=data)
        return value


class _ArrayUnpackers(dict[int, Callable[..., tuple[Any, ...]]]):
    """Unpackers for arrays of one fixed type, by length."""

    def __init__(self, element: Fixed) -> None:
        self._format = element.format

    def __missing__(self, count: int) -> Callable[..., tuple[Any, ...]]:
        unpacker = struct.Struct(f">{count}{self._format}").unpack_from
        if count <= 64:
            self[count] = unpacker
        return unpacker


_uuids = _Uuids()
_array_unpackers: dict[Fixed, _ArrayUnpackers] = {}


def overrun(field: str, claimed: int, remaining: int) -> MalformedMessage:
    if claimed < 0:
        return MalformedMessage(f"{field} is null, which this version does not allow")
    return MalformedMessage(f"{field} claims a length of {claimed}, but {max(remaining, 0)} bytes remain")


def too_many(field: str) -> MalformedMessage:
    return MalformedMessage(f"{field} brings the elements of the request's arrays to more than {MAX_ELEMENTS}")


def skip_tagged(data: bytes | bytearray | memoryview, position: int, count: int) -> int:
    """Skip `count` tagged fields, none of which the structure knows; return the position after them."""
    size = len(data)
    if count > 127:
        count, position = continue_uvarint(data, position, count)
    for _ in range(count):
        _, length, position = tagged_header(data, position, size)
        position += length
    return position


def tagged_header(data: bytes | bytearray | memoryview, position: int, size: int) -> tuple[int, int, int]:
    """Read the tag and the length of a tagged field; return them with the position of its value."""
    tag = data[position]
    position += 1
    if tag > 127:
        tag, position = continue_uvarint(data, position, tag)
    length = data[position]
    position += 1
    if length > 127:
        length, position = continue_uvarint(data, position, length)
    if length > size - position:
        raise overrun(f"tagged field {tag}", length, size - position)
    return tag, length, position


def wrong_tagged_size(field: str) -> MalformedMessage:
    return MalformedMessage(f"{field} is not as long as its tag says")


def compile_decoder(cls: "type[Message]", version: int, flexible: bool) -> Decoder:
    """Make the decoder of a message class for a version that it has."""
    generator = _Generator(version, flexible, bounded=cls.is_request)
    source = generator.source
    source.line("size = len(data)")
    if cls.is_request:
        source.line(f"left = {MAX_ELEMENTS}")
    instance = generator.struct(cls)
    generator.flush()
    source.line(f"return {instance}, pos")
    return source.function("decode", "data, pos", f"<{cls.__name__} version {version} decoder>")


class _Generator:
    """Walks the fields of a class, gathering what one `unpack` can read until a length or branch intervenes."""

    def __init__(self, version: int, flexible: bool, *, bounded: bool) -> None:
        self.source = Source()
        self.source.names.update(
            _new=object.__new__,
            _uuids=_uuids,
            _continue=continue_uvarint,
            _overrun=overrun,
            _too_many=too_many,
            _skip_tagged=skip_tagged,
            _tagged_header=tagged_header,
            _wrong_tagged_size=wrong_tagged_size,
            _view=memoryview,
        )
        self._version = version
        self._flexible = flexible
        self._bounded = bounded
        self._run: list[tuple[Fixed, str]] = []  # types and targets that one `unpack` will read
        self._afterwards: list[str] = []  # lines that follow it

    # --- gathering ---

    def fixed(self, wire_type: Fixed, target: str) -> None:
        if wire_type == UUID:
            raw = self.source.local("u")
            self._run.append((wire_type, raw))
            self._afterwards.append(f"{target} = _uuids[{raw}]")
        else:
            self._run.append((wire_type, target))

    def flush(self) -> None:
        if not self._run:
            return
        targets = [target for _, target in self._run]
        size = sum(wire_type.size for wire_type, _ in self._run)
        if [wire_type for wire_type, _ in self._run] == [_VARINT_START]:
            self.source.line(f"{targets[0]} = data[pos]")
        else:
            unpack = self.source.struct_method([wire_type.format for wire_type, _ in self._run], "unpack_from")
            self.source.line(f"{', '.join(targets)}{',' * (len(targets) == 1)} = {unpack}(data, pos)")
        self.source.line(f"pos += {size}")
        for line in self._afterwards:
            self.source.line(line)
        self._run, self._afterwards = [], []

    def _uvarint(self) -> str:
        """Read an unsigned varint; return the local that holds it."""
        number = self.source.local("n")
        self._run.append((_VARINT_START, number))
        self.flush()
        self.source.line(f"if {number} > 127: {number}, pos = _continue(data, pos, {number})")
        return number

    def _length(self, wire_type: Fixed) -> str:
        """Read a length, -1 for null; return the local that holds it."""
        if self._flexible:
            number = self._uvarint()
            self.source.line(f"{number} -= 1")
        else:
            number = self.source.local("n")
            self._run.append((wire_type, number))
            self.flush()
        return number

    # --- structures ---

    def struct(self, cls: type) -> str:
        """Read a structure into a new instance; return the local that holds it."""
        instance = self.source.local("m")
        name = self.source.name(f"_{cls.__name__}", cls)
        self.source.line(f"{instance} = _new({name})")
        tagged: list[Field] = []
        for field in fields_of(cls):
            target = f"{instance}.{field.name}"
            if self._version not in field.versions or field.tag is not None:
                self.source.line(f"{target} = {self.source.literal(field.absent_value)}")
                if self._version in field.versions:
                    tagged.append(field)
            else:
                self._value(cls, field, target)
        if self._flexible:
            self._tagged_section(cls, tagged, instance)
        return instance

    def _tagged_section(self, cls: type, tagged: list[Field], instance: str) -> None:
        source = self.source
        count = source.local("n")
        self._run.append((_VARINT_START, count))
        self.flush()
        source.line(f"if {count}:")
        source.indent()
        if not tagged:
            source.line(f"pos = _skip_tagged(data, pos, {count})")
            source.dedent()
            return
        tag, length, end = source.local("tag"), source.local("n"), source.local("end")
        source.line(f"if {count} > 127: {count}, pos = _continue(data, pos, {count})")
        source.line(f"for _ in range({count}):")
        source.indent()
        source.line(f"{tag}, {length}, pos = _tagged_header(data, pos, size)")
        source.line(f"{end} = pos + {length}")
        for field in tagged:
            source.line(f"if {tag} == {field.tag}:")
            source.indent()
            self._value(cls, field, f"{instance}.{field.name}")
            self.flush()
            source.line(f"if pos != {end}: raise _wrong_tagged_size({_path(cls, field)!r})")
            source.dedent()
        source.line(f"pos = {end}")
        source.dedent()
        source.dedent()

    # --- values ---

    def _value(self, cls: type, field: Field, target: str) -> None:
        # A tagged structure whose default is None is absent rather than null: it has no null marker.
        marked = not (field.tag is not None and isinstance(field.type, Nested) and field.default is None)
        self._typed(field.type, target, _path(cls, field), marked and self._version in field.nullable)

    def _typed(self, wire_type: WireType, target: str, path: str, nullable: bool) -> None:
        match wire_type:
            case Fixed():
                self.fixed(wire_type, target)
            case Text() | Blob():
                self._sized(wire_type, target, path, nullable)
            case Array(element):
                self._array(element, target, path, nullable)
            case Nested(cls) if nullable:
                marker = self.source.local("n")
                self._run.append((INT8, marker))
                self.flush()
                self.source.line(f"if {marker} < 0: {target} = None")
                self.source.line("else:")
                self.source.indent()
                self.source.line(f"{target} = {self._complete(cls)}")
                self.source.dedent()
            case Nested(cls):
                self.flush()
                self.source.line(f"{target} = {self._complete(cls)}")

    def _complete(self, cls: type) -> str:
        instance = self.struct(cls)
        self.flush()
        return instance

    def _sized(self, wire_type: Text | Blob, target: str, path: str, nullable: bool) -> None:
        source = self.source
        length = self._length(INT16 if isinstance(wire_type, Text) else INT32)
        end = source.local("end")
        match wire_type:
            case Text():
                take = f'str(data[pos:{end}], "utf-8")'
                excessive = f" or {length} > {MAX_STRING}" if self._flexible else ""
            case Blob(view=True):
                take, excessive = f"_view(data)[pos:{end}]", ""
            case Blob():
                take, excessive = f"bytes(data[pos:{end}])", ""
        if nullable:
            source.line(f"if {length} < 0: {target} = None")
            source.line("else:")
            source.indent()
            guard = f"{end} > size"
        else:
            guard = f"{length} < 0 or {end} > size"
        source.line(f"{end} = pos + {length}")
        source.line(f"if {guard}{excessive}: raise _overrun({path!r}, {length}, size - pos)")
        source.line(f"{target} = {take}")
        source.line(f"pos = {end}")
        if nullable:
            source.dedent()

    def _array(self, element: WireType, target: str, path: str, nullable: bool) -> None:
        source = self.source
        count = self._length(INT32)
        least = minimum_size(element, self._version, self._flexible)
        if nullable:
            source.line(f"if {count} < 0: {target} = None")
            source.line("else:")
            source.indent()
        fits = f"0 <= {count} <= (size - pos) // {least}"
        source.line(f"if not {fits}: raise _overrun({path!r}, {count}, size - pos)")
        if self._bounded:
            source.line(f"left -= {count}")
            source.line(f"if left < 0: raise _too_many({path!r})")
        if isinstance(element, Fixed) and element != UUID:
            unpackers = _array_unpackers.setdefault(element, _ArrayUnpackers(element))
            name = source.name("_unpack_array", unpackers)
            source.line(f"{target} = list({name}[{count}](data, pos))")
            source.line(f"pos += {element.size} * {count}")
        else:
            items = source.local("items")
            source.line(f"{items} = {target} = []")
            source.line(f"for _ in range({count}):")
            source.indent()
            if isinstance(element, Nested):
                item = self._complete(element.struct)
            else:
                item = source.local("item")
                self._typed(element, item, path, False)
                self.flush()
            source.line(f"{items}.append({item})")
            source.dedent()
        if nullable:
            source.dedent()


def _path(cls: type, field: Field) -> str:
    return f"{cls.__name__}.{field.name}"
