"""Generates encoders: for a message class and a version, a function that appends the encoded parts to a list.

For version 4 of a heartbeat request it reads about so, where adjacent fields of constant size (and the empty tagged
section, `x`) share one `struct` call:

    def encode(m, parts):
        s1 = m.group_id.encode()
        s2 = m.member_id.encode()
        ...
        parts += (_length[len(s1) + 1], s1, _pack_i(m.generation_id), _length[len(s2) + 1], s2, ...)
"""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ottla_wire.codec import Source, fields_of
from ottla_wire.errors import EncodeError
from ottla_wire.fields import INT16, INT32, UUID, Array, Blob, Field, Fixed, Nested, Text, WireType
from ottla_wire.varint import STRING_LENGTH, UVARINT

if TYPE_CHECKING:
    from ottla_wire.message import Message

Encoder: TypeAlias = Callable[["Message", list[Any]], None]


class _ArrayPackers(dict[int, Callable[..., bytes]]):
    """Packers for arrays of one fixed type, by length."""

    def __init__(self, element: Fixed) -> None:
        self._format = element.format

    def __missing__(self, count: int) -> Callable[..., bytes]:
        packer = struct.Struct(f">{count}{self._format}").pack
        if count <= 64:
            self[count] = packer
        return packer


_array_packers: dict[Fixed, _ArrayPackers] = {}


def tagged_section(tagged: dict[int, bytes]) -> bytes:
    """The tagged fields of a structure: a count, then tag, size and value of each, in order of their tags."""
    out = bytearray(UVARINT[len(tagged)])
    for tag, value in tagged.items():
        out += UVARINT[tag]
        out += UVARINT[len(value)]
        out += value
    return bytes(out)


def absent(field: str, version: int) -> EncodeError:
    return EncodeError(f"{field} is set, but version {version} does not have it")


def compile_encoder(cls: "type[Message]", version: int, flexible: bool) -> Encoder:
    """Make the encoder of a message class for a version that it has."""
    generator = _Generator(version, flexible)
    generator.struct(cls, "m")
    generator.flush()
    return generator.source.function("encode", "m, parts", f"<{cls.__name__} version {version} encoder>")


class _Generator:
    """Walks the fields of a class, gathering what can be written by one statement until control flow intervenes."""

    def __init__(self, version: int, flexible: bool) -> None:
        self.source = Source()
        self.source.names.update(
            _uvarint=UVARINT, _length=STRING_LENGTH, _tagged_section=tagged_section, _absent=absent
        )
        self._version = version
        self._flexible = flexible
        self._sink = "parts"
        self._run: list[tuple[str, str | None]] = []  # formats and expressions that one `pack` will write
        self._parts: list[str] = []  # expressions that one `parts +=` will add

    # --- gathering ---

    def fixed(self, wire_type: Fixed, expression: str) -> None:
        self._run.append((wire_type.format, f"{expression}.bytes" if wire_type == UUID else expression))

    def part(self, expression: str) -> None:
        self._end_run()
        self._parts.append(expression)

    def _end_run(self) -> None:
        if not self._run:
            return
        expressions = [expression for _, expression in self._run if expression is not None]
        if expressions:
            pack = self.source.struct_method([character for character, _ in self._run], "pack")
            self._parts.append(f"{pack}({', '.join(expressions)})")
        else:
            self._parts.append(repr(bytes(len(self._run))))
        self._run = []

    def flush(self) -> None:
        self._end_run()
        if self._parts:
            self.source.line(f"{self._sink} += ({', '.join(self._parts)},)")
            self._parts = []

    # --- structures ---

    def struct(self, cls: type, instance: str) -> None:
        tagged: list[Field] = []
        for field in fields_of(cls):
            value = f"{instance}.{field.name}"
            if self._version not in field.versions:
                if not field.ignorable:
                    self._check_absent(cls, field, value)
            elif field.tag is not None:
                tagged.append(field)
            elif self._version in field.nullable:
                self._nullable(field.type, value)
            else:
                self._value(field.type, value)
        if tagged:
            self._tagged_section(tagged, instance)
        elif self._flexible:
            self._run.append(("x", None))

    def _check_absent(self, cls: type, field: Field, value: str) -> None:
        self.source.line(f"if {self._differs(field, value)}:")
        self.source.line(f"    raise _absent({f'{cls.__name__}.{field.name}'!r}, {self._version})")

    def _differs(self, field: Field, value: str) -> str:
        """The condition under which a field is not at its default."""
        default = field.absent_value
        if default is None:
            return f"{value} is not None"
        if default is False or (isinstance(field.type, Array | Text | Blob) and not default):
            return value
        return f"{value} != {self.source.literal(default)}"

    def _tagged_section(self, tagged: list[Field], instance: str) -> None:
        self.flush()
        section, outer = self.source.local("tagged"), self._sink
        self.source.line(f"{section} = {{}}")
        for field in sorted(tagged, key=lambda field: field.tag or 0):
            value = f"{instance}.{field.name}"
            self.source.line(f"if {self._differs(field, value)}:")
            self.source.indent()
            self._sink = self.source.local("field")
            self.source.line(f"{self._sink} = []")
            # None is the default of a nested structure that is not sent, hence never written here.
            sent_as_null = self._version in field.nullable and not (
                isinstance(field.type, Nested) and field.default is None
            )
            if sent_as_null:
                self._nullable(field.type, value)
            else:
                self._value(field.type, value)
            self.flush()
            self.source.line(f'{section}[{field.tag}] = b"".join({self._sink})')
            self.source.dedent()
        self._sink = outer
        self.part(f'_tagged_section({section}) if {section} else b"\\x00"')

    # --- values ---

    def _value(self, wire_type: WireType, value: str) -> None:
        match wire_type:
            case Fixed():
                self.fixed(wire_type, value)
            case Text():
                encoded = self.source.local("s")
                self.source.line(f"{encoded} = {value}.encode()")
                self._sized(wire_type, f"len({encoded})", encoded)
            case Blob():
                self._sized(wire_type, f"len({value})", value)
            case Array(element):
                self._count(f"len({value})")
                self._elements(element, value)
            case Nested(cls):
                self.struct(cls, value)

    def _nullable(self, wire_type: WireType, value: str) -> None:
        match wire_type:
            case Text() | Blob():
                encoded, size = self.source.local("s"), self.source.local("n")
                expression = f"{value}.encode()" if isinstance(wire_type, Text) else value
                self.source.line(f'if {value} is None: {encoded} = b""; {size} = -1')
                self.source.line(f"else: {encoded} = {expression}; {size} = len({encoded})")
                self._sized(wire_type, size, encoded)
            case Array(element):
                self._count(f"-1 if {value} is None else len({value})")
                self._elements(element, f"({value} or ())")
            case Nested(cls):
                self.flush()
                self.source.line(f'if {value} is None: {self._sink}.append(b"\\xff")')
                self.source.line("else:")
                self.source.indent()
                self._parts.append(repr(b"\x01"))
                self.struct(cls, value)
                self.flush()
                self.source.dedent()
            case Fixed():
                raise TypeError("the protocol has no null of constant size")

    def _sized(self, wire_type: Text | Blob, size: str, encoded: str) -> None:
        if self._flexible:
            table = "_length" if isinstance(wire_type, Text) else "_uvarint"
            self.part(f"{table}[{size} + 1]")
        else:
            self.fixed(INT16 if isinstance(wire_type, Text) else INT32, size)
        self.part(encoded)

    def _count(self, count: str) -> None:
        if self._flexible:
            self.part(f"_uvarint[({count}) + 1]")
        else:
            self.fixed(INT32, count)

    def _elements(self, element: WireType, value: str) -> None:
        if isinstance(element, Fixed) and element != UUID:
            packers = _array_packers.setdefault(element, _ArrayPackers(element))
            name = self.source.name("_pack_array", packers)
            self.part(f"{name}[len({value})](*{value})")
            return
        self.flush()
        item = self.source.local("item")
        self.source.line(f"for {item} in {value}:")
        self.source.indent()
        self._value(element, item)
        self.flush()
        self.source.dedent()
