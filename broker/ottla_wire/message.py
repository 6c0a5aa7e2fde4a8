"""Struct and Message: classes that declare a protocol message once, for all its versions.

    class HeartbeatRequest(Message, key=12, versions="0-4", flexible="4+"):
        group_id: str
        generation_id: Int32
        member_id: str
        group_instance_id: str | None = since("3+", default=None)

A class has keyword-only parameters and slots, compares by value, and costs almost nothing to import: its constructor is
compiled when the first instance is made, and its encoder and decoder for a version when that version is first used
(see `codec`).
"""

import importlib
import struct
import sys
from typing import Any, ClassVar, Self, dataclass_transform

from ottla_wire.api_keys import ApiKey
from ottla_wire.chunks import Chunks
from ottla_wire.codec import compile_constructor
from ottla_wire.decoding import Decoder, compile_decoder
from ottla_wire.encoding import Encoder, compile_encoder
from ottla_wire.errors import EncodeError, MalformedMessage, UnsupportedVersion
from ottla_wire.fields import (
    REQUIRED,
    Field,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Records,
    Uint16,
    Uint32,
    VersionRange,
    between,
    field,
    resolve,
    since,
    tagged,
    until,
)

__all__ = [
    "Field",
    "Float64",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "Message",
    "Records",
    "Struct",
    "Uint16",
    "Uint32",
    "VersionRange",
    "between",
    "field",
    "since",
    "tagged",
    "until",
]

NO_KEY = -1

_ENCODE_FAILURES = (struct.error, AttributeError, TypeError, ValueError, OverflowError)
_DECODE_FAILURES = (struct.error, IndexError, ValueError)


def _annotations(namespace: dict[str, Any]) -> dict[str, Any]:
    """The annotations of a class body that was just run."""
    if sys.version_info >= (3, 14):  # they are evaluated on demand (PEP 749)
        import annotationlib

        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        return annotationlib.call_annotate_function(annotate, annotationlib.Format.VALUE) if annotate else {}
    annotations: dict[str, Any] = namespace.get("__annotations__", {})
    return annotations


@dataclass_transform(kw_only_default=True, field_specifiers=(field, since, until, between, tagged))
class StructType(type):
    """Metaclass that turns annotations into slots, and keeps the declarations for when they are needed."""

    _declared: dict[str, tuple[Any, Any]]
    _fields: tuple[Field, ...] | None

    def __new__(
        metaclass, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **keywords: Any
    ) -> "StructType":
        declared = {
            attribute: (annotation, namespace.pop(attribute, REQUIRED))
            for attribute, annotation in _annotations(namespace).items()
            if not _is_class_variable(annotation)
        }
        namespace["__slots__"] = tuple(declared)
        namespace["_declared"] = declared
        namespace["_fields"] = None
        return super().__new__(metaclass, name, bases, namespace, **keywords)

    @property
    def fields(cls) -> tuple[Field, ...]:
        """The declared fields in wire order."""
        if cls._fields is None:
            cls._fields = tuple(resolve(name, *declaration) for name, declaration in cls._declared.items())
        return cls._fields


def _is_class_variable(annotation: Any) -> bool:
    return annotation is ClassVar or getattr(annotation, "__origin__", None) is ClassVar


class Struct(metaclass=StructType):
    """A structure within messages. Its versions are those of the message around it."""

    __slots__: ClassVar[tuple[str, ...]]

    def __init__(self, **values: Any) -> None:
        # The first instance compiles the real constructor, which then takes this one's place.
        cls = type(self)
        cls.__init__ = compile_constructor(cls, cls.fields)  # type: ignore[method-assign]
        cls.__init__(self, **values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={_abbreviated(getattr(self, name))}" for name in self.__slots__)
        return f"{type(self).__name__}({values})"


def _abbreviated(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview) and len(value) > 32:
        return f"<{len(value)} bytes>"
    return repr(value)


class Message(Struct):
    """A request, a response, or a record that Kafka stores: encoded and decoded by version, without any header.

    Class keywords: `key`, the API key, where it has one; `versions`, such as "0-4"; `flexible`, such as "4+" or "none",
    the versions that use compact lengths and tagged fields (KIP-482).
    """

    api_key: ClassVar[int]
    versions: ClassVar[VersionRange]
    flexible: ClassVar[VersionRange]
    is_request: ClassVar[bool]
    _encoders: ClassVar[dict[int, Encoder]]
    _decoders: ClassVar[dict[int, Decoder]]

    def __init_subclass__(cls, *, versions: str, flexible: str, key: int = NO_KEY) -> None:
        cls.api_key = key
        cls.versions = VersionRange.parse(versions)
        cls.flexible = VersionRange.parse(flexible)
        cls.is_request = cls.__name__.endswith("Request")
        cls._encoders = {}
        cls._decoders = {}

    @staticmethod
    def request(api_key: int) -> "type[Message]":
        """The request class of an API, imported on demand. Raises UnsupportedVersion for an API without one."""
        return _lookup(api_key, "Request")

    @staticmethod
    def response(api_key: int) -> "type[Message]":
        """The response class of an API, imported on demand. Raises UnsupportedVersion for an API without one."""
        return _lookup(api_key, "Response")

    def encode(self, version: int) -> bytes:
        """The body in the given version.

        Raises UnsupportedVersion outside of `versions`, and EncodeError for a value that does not fit its field, a null
        that the version does not allow, or a value in a field that the version lacks.
        """
        parts: list[Any] = []
        self._encode(version, parts)
        try:
            return b"".join(parts)
        except TypeError:
            raise EncodeError(f"{type(self).__name__} holds a file region: use encode_into") from None

    def encode_into(self, version: int, out: Chunks) -> None:
        """Append the body to `out`. File regions in `Records` fields are passed on as they are. Raises as `encode`."""
        self._encode(version, out.parts)

    def _encode(self, version: int, parts: list[Any]) -> None:
        encoder = self._encoders.get(version)
        if encoder is None:
            encoder = self._compile_encoder(version)
        try:
            encoder(self, parts)
        except _ENCODE_FAILURES as error:
            raise EncodeError(f"{type(self).__name__} does not fit version {version}: {error}") from error

    @classmethod
    def decode(cls, data: bytes | bytearray | memoryview, version: int, position: int = 0) -> tuple[Self, int]:
        """Read a body that starts at `position`; return it with the position after it.

        What follows the body is left to the caller. `Records` fields are memoryviews of `data`, all else is copied.
        Raises UnsupportedVersion outside of `versions`, and MalformedMessage for bytes that are no such message.
        """
        decoder = cls._decoders.get(version)
        if decoder is None:
            decoder = cls._compile_decoder(version)
        try:
            message: tuple[Self, int] = decoder(data, position)  # type: ignore[assignment]
            return message
        except _DECODE_FAILURES as error:
            raise MalformedMessage(f"{cls.__name__} version {version} is cut short or garbled: {error}") from error

    @classmethod
    def _compile_encoder(cls, version: int) -> Encoder:
        cls._check_version(version)
        encoder = compile_encoder(cls, version, version in cls.flexible)
        cls._encoders[version] = encoder
        return encoder

    @classmethod
    def _compile_decoder(cls, version: int) -> Decoder:
        cls._check_version(version)
        decoder = compile_decoder(cls, version, version in cls.flexible)
        cls._decoders[version] = decoder
        return decoder

    @classmethod
    def _check_version(cls, version: int) -> None:
        if version not in cls.versions:
            raise UnsupportedVersion(f"{cls.__name__} has the versions {cls.versions}, not {version}")


def _lookup(api_key: int, suffix: str) -> type[Message]:
    try:
        api = ApiKey(api_key)
        module = importlib.import_module(f"ottla_wire.messages.{api.name.lower()}")
    except (ValueError, ModuleNotFoundError):
        raise UnsupportedVersion(f"there are no messages for API key {api_key}") from None
    message: type[Message] = getattr(module, api.camel_case + suffix)
    return message
