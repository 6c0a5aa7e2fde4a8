"""What the generators of source code share. Constructors are made here, encoders in `encoding`, decoders in `decoding`.

Generated code is straight-line: no field is looked at at run time to decide what to do with it. Names in it that begin
with an underscore are our helpers, others are locals.
"""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ottla_wire.fields import REQUIRED, Array, Blob, Field, Fixed, Nested, Text, WireType

if TYPE_CHECKING:
    from ottla_wire.message import StructType


class Source:
    """Python source under construction, and the names it refers to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self._depth = 1
        self._locals = 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self._depth + text)

    def indent(self) -> None:
        self._depth += 1

    def dedent(self) -> None:
        self._depth -= 1

    def local(self, prefix: str) -> str:
        """A name that is used for nothing else in this function."""
        self._locals += 1
        return f"{prefix}{self._locals}"

    def literal(self, value: Any) -> str:
        """An expression for a default value."""
        if value is None or isinstance(value, bool | int | float | str | bytes | list):
            return repr(value)
        return self.name(f"_{type(value).__name__}", value)

    def name(self, wanted: str, value: Any) -> str:
        """Bind `value` to the wanted name, or one like it."""
        name, count = wanted, 1
        while name in self.names and self.names[name] is not value:
            count += 1
            name = f"{wanted}_{count}"
        self.names[name] = value
        return name

    def struct_method(self, formats: list[str], method: str) -> str:
        """Bind `struct.Struct(...).pack` or `.unpack_from` for a run of big-endian fields."""
        joined = "".join(formats)
        name = f"_{method}_{joined.replace('16s', 'u').replace('?', 't')}"
        if name not in self.names:
            self.names[name] = getattr(struct.Struct(">" + joined), method)
        return name

    def function(self, name: str, parameters: str, filename: str) -> Callable[..., Any]:
        """Compile the lines as the body of a function."""
        body = self.lines or ["    pass"]
        source = "\n".join([f"def {name}({parameters}):", *body])
        exec(compile(source, filename, "exec"), self.names)
        function: Callable[..., Any] = self.names[name]
        return function


def minimum_size(wire_type: WireType, version: int, flexible: bool) -> int:
    """The fewest bytes that a value can take: what bounds the length of an array before anything is allocated."""
    match wire_type:
        case Fixed(size=size):
            return size
        case Text():
            return 1 if flexible else 2
        case Blob() | Array():
            return 1 if flexible else 4
        case Nested(struct=cls):
            total = 1 if flexible else 0
            for field in fields_of(cls):
                if version in field.versions and field.tag is None:
                    nullable_struct = isinstance(field.type, Nested) and version in field.nullable
                    total += 1 if nullable_struct else minimum_size(field.type, version, flexible)
            return max(total, 1)


def fields_of(cls: Any) -> tuple[Field, ...]:
    fields: tuple[Field, ...] = cls.fields
    return fields


def compile_constructor(cls: "StructType", fields: tuple[Field, ...]) -> Callable[..., None]:
    """Make `__init__` for a Struct class: keyword-only, with the declared defaults."""
    source = Source()
    parameters = ["self"]
    for field in fields:
        if len(parameters) == 1:
            parameters.append("*")
        if field.default is REQUIRED:
            parameters.append(field.name)
        elif field.default == [] and isinstance(field.type, Array):
            parameters.append(f"{field.name}=_EMPTY")
            source.names["_EMPTY"] = _EMPTY
            source.line(f"self.{field.name} = [] if {field.name} is _EMPTY else {field.name}")
            continue
        else:
            parameters.append(f"{field.name}={source.literal(field.default)}")
        source.line(f"self.{field.name} = {field.name}")
    return source.function("__init__", ", ".join(parameters), f"<{cls.__name__} constructor>")


_EMPTY: list[Any] = []
