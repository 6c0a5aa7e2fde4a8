"""Records as text, both ways: formats in the notation of kcat and rpk. Pure.

    %t  topic                 %k  key      %K  its length in bytes      %h  headers, as NAME=VALUE,NAME=VALUE
    %p  partition             %v  value    %V  its length in bytes      %H  their number
    %o  offset                %T  timestamp in milliseconds since 1970
    %%  a percent sign        \\n \\t \\r \\0 \\\\ \\xHH  bytes that are hard to type

A layout in braces says how a field is written: `%k{hex}`, `%v{base64}`, `%T{iso}`; `%h{%k: %v\\n}` is a format of its
own for each header. A key or value that is null is written as nothing.

`Renderer` writes records in a format; `Parser` reads lines that were written in one: what stands between two fields
separates them.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from ottla_apps.cli.errors import BadArgument
from ottla_apps.cli.points import format_time

Header = tuple[str, bytes | None]


class Shown(Protocol):
    """A record that can be rendered; `confluent_kafka.Message` is one."""

    def topic(self) -> str | None: ...
    def partition(self) -> int | None: ...
    def offset(self) -> int | None: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> Sequence[Header] | None: ...


class InputRecord(NamedTuple):
    """A record to be produced. Without a partition its key decides, without a timestamp the time of sending counts."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()
    partition: int | None = None
    timestamp: int | None = None


class Field(NamedTuple):
    """A `%` field of a format, with what stands in its braces."""

    name: str
    layout: str | None


Part = bytes | Field

_FIELDS = "tpokKvVThH"
_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "0": b"\0", "\\": b"\\"}
_ENCODINGS: dict[str | None, Callable[[bytes], bytes]] = {
    None: bytes,
    "hex": lambda data: data.hex().encode(),
    "base64": base64.b64encode,
}


def split(text: str) -> list[Part]:
    """The fields of a format and the bytes between them. Raises BadArgument."""
    parts: list[Part] = []
    position = 0
    while position < len(text):
        if text[position] == "%" and text[position + 1 : position + 2] not in ("%", ""):
            field, position = _field(text, position)
            parts.append(field)
            continue
        data, position = _literal(text, position)
        if parts and isinstance(parts[-1], bytes):
            parts[-1] += data
        else:
            parts.append(data)
    return parts


def _field(text: str, position: int) -> tuple[Field, int]:
    name = text[position + 1]
    if name not in _FIELDS:
        known = " ".join(f"%{field}" for field in _FIELDS)
        raise BadArgument(f"There is no %{name} in the format {text!r}; there are {known} and %%.")
    position += 2
    if text[position : position + 1] != "{":
        return Field(name, None), position
    depth, end = 1, position + 1
    while depth and end < len(text):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    if depth:
        raise BadArgument(f"The brace after %{name} in the format {text!r} is not closed.")
    return Field(name, text[position + 1 : end - 1]), end


def _literal(text: str, position: int) -> tuple[bytes, int]:
    """The bytes that one character, or one escape, stands for."""
    if text[position] == "%":
        if text[position + 1 : position + 2] != "%":
            raise BadArgument(f"The format {text!r} ends within a field; %% is a percent sign.")
        return b"%", position + 2
    if text[position] != "\\":
        return text[position].encode(errors="surrogateescape"), position + 1
    escape = text[position + 1 : position + 2]
    if escape in _ESCAPES:
        return _ESCAPES[escape], position + 2
    digits = text[position + 2 : position + 4]
    if escape == "x" and len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits):
        return bytes.fromhex(digits), position + 4
    raise BadArgument(f"The format {text!r} has an unknown escape; there are \\n \\t \\r \\0 \\\\ and \\xHH.")


# ---- writing


class Renderer:
    """Writes records in a format. Raises BadArgument for a format that cannot be written."""

    def __init__(self, text: str) -> None:
        self._parts = [_constant(part) if isinstance(part, bytes) else _writer(part) for part in split(text)]

    def __call__(self, record: Shown) -> bytes:
        return b"".join([part(record) for part in self._parts])


def _constant(data: bytes) -> Callable[[Shown], bytes]:
    return lambda _: data


def _writer(field: Field) -> Callable[[Shown], bytes]:
    name, layout = field
    if name in ("k", "v"):
        encode = _encoding(field)
        if name == "k":
            return lambda record: encode(record.key() or b"")
        return lambda record: encode(record.value() or b"")
    if name == "h":
        return _headers_writer(layout)
    if name == "T" and layout == "iso":
        return lambda record: format_time(record.timestamp()[1]).encode()
    if layout is not None:
        raise BadArgument(f"%{name} has no layout {{{layout}}}.")
    number = _NUMBERS[name]
    return lambda record: str(number(record)).encode()


_NUMBERS: dict[str, Callable[[Shown], object]] = {
    "t": lambda record: record.topic(),
    "p": lambda record: record.partition(),
    "o": lambda record: record.offset(),
    "K": lambda record: len(record.key() or b""),
    "V": lambda record: len(record.value() or b""),
    "T": lambda record: record.timestamp()[1],
    "H": lambda record: len(record.headers() or ()),
}


def _encoding(field: Field) -> Callable[[bytes], bytes]:
    if field.layout not in _ENCODINGS:
        raise BadArgument(f"%{field.name} has no layout {{{field.layout}}}; there are {{hex}} and {{base64}}.")
    return _ENCODINGS[field.layout]


def _headers_writer(layout: str | None) -> Callable[[Shown], bytes]:
    if layout is None:
        return lambda record: b",".join(
            name.encode() + (b"" if value is None else b"=" + value) for name, value in record.headers() or ()
        )
    parts = split(layout)
    if foreign := next((part.name for part in parts if isinstance(part, Field) and part.name not in ("k", "v")), None):
        raise BadArgument(f"A header has %k and %v, but no %{foreign}.")
    encodings = [part if isinstance(part, bytes) else (part.name, _encoding(part)) for part in parts]

    def write(record: Shown) -> bytes:
        out = []
        for name, value in record.headers() or ():
            sides = {"k": name.encode(), "v": value or b""}
            out += [part if isinstance(part, bytes) else part[1](sides[part[0]]) for part in encodings]
        return b"".join(out)

    return write


# ---- reading


def _read_hex(data: bytes) -> bytes:
    return bytes.fromhex(data.decode("ascii"))


def _read_base64(data: bytes) -> bytes:
    return base64.b64decode(data, validate=True)


def _read_number(data: bytes) -> int:
    return int(data.decode("ascii"))


def parse_headers(data: bytes) -> tuple[Header, ...]:
    """Read `NAME=VALUE,NAME=VALUE`; a name alone has the value null. Raises ValueError."""
    headers = []
    for part in data.split(b",") if data else ():
        name, equals, value = part.partition(b"=")
        if not name:
            raise ValueError(f"{part!r} is no header, which is NAME=VALUE")
        headers.append((name.decode(), value if equals else None))
    return tuple(headers)


_READERS: dict[Field, tuple[str, Callable[[bytes], object]]] = {
    Field("k", None): ("key", bytes),
    Field("k", "hex"): ("key", _read_hex),
    Field("k", "base64"): ("key", _read_base64),
    Field("v", None): ("value", bytes),
    Field("v", "hex"): ("value", _read_hex),
    Field("v", "base64"): ("value", _read_base64),
    Field("p", None): ("partition", _read_number),
    Field("T", None): ("timestamp", _read_number),
    Field("h", None): ("headers", parse_headers),
}


class Parser:
    """Reads records from lines that are written in a format. Raises BadArgument for a format that cannot be read.

    What stands before, between and after the fields has to be in the line; a field ends where what follows it comes
    first, the last one takes the rest.
    """

    def __init__(self, text: str) -> None:
        # Lines are read without their end, so a format may have it or not.
        parts = split(text.removesuffix("\\n"))
        self._prefix = parts.pop(0) if parts and isinstance(parts[0], bytes) else b""
        self._fields: list[tuple[Field, bytes]] = []
        for part in parts:
            if isinstance(part, bytes):
                self._fields[-1] = (self._fields[-1][0], part)
            elif part not in _READERS:
                raise BadArgument(f"%{part.name}{_braces(part)} cannot be read from a line; there are %k %v %h %p %T.")
            elif self._fields and not self._fields[-1][1]:
                raise BadArgument(f"Nothing separates %{self._fields[-1][0].name} and %{part.name} in {text!r}.")
            else:
                self._fields.append((part, b""))
        names = [_READERS[field][0] for field, _ in self._fields]
        if len(set(names)) < len(names):
            raise BadArgument(f"A field is twice in the format {text!r}.")
        if not {"key", "value"} & set(names):
            raise BadArgument(f"The format {text!r} has neither %k nor %v.")

    def __call__(self, line: bytes) -> InputRecord:
        """Read a line without its end. Raises BadArgument, which says what is wrong but not where."""
        assert isinstance(self._prefix, bytes)
        if not line.startswith(self._prefix):
            raise BadArgument(f"the line does not begin with {self._prefix.decode(errors='replace')!r}")
        position = len(self._prefix)
        found: dict[str, object] = {}
        for field, separator in self._fields:
            end = line.find(separator, position) if separator else len(line)
            if end < 0:
                raise BadArgument(f"there is no {separator.decode(errors='replace')!r} after %{field.name}")
            name, read = _READERS[field]
            try:
                found[name] = read(line[position:end])
            except (ValueError, binascii.Error):
                raise BadArgument(f"%{field.name} cannot be read from {line[position:end][:100]!r}") from None
            position = end + len(separator)
        return InputRecord(**{"key": None, "value": None} | found)  # type: ignore[arg-type]


def _braces(field: Field) -> str:
    return "" if field.layout is None else f"{{{field.layout}}}"
