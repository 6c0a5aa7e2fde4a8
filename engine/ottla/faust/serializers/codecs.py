"""Serializers by their Faust names, and the codecs of topics and tables that they make.

    json        text, with Records as Faust writes them                raw       bytes as they are
    binary      base64                                                 pickle    as base64; only what every producer of
    is trusted
    pickle_restricted   the same, of which only classes are made that `RestrictedUnpickler` allows

They can be chained, `"json|binary"`, and one's own registered: `codecs.register("mine", MyCodec())`, or by a package's
entry point of the group `faust.codecs`.
"""

from __future__ import annotations

import base64
import pickle as pickling
from collections.abc import Callable, Mapping, Set
from decimal import Decimal
from importlib.metadata import entry_points
from io import BytesIO
from typing import Any, ClassVar

import msgspec
import orjson

import ottla
from ottla.errors import ConfigError
from ottla.faust.models.record import Record, maybe_model

CodecArg = Any
"""A `Codec`, or the name of one."""


class Codec:
    """A serializer. Subclasses say how in `_dumps` and `_loads`."""

    def __init__(self, children: tuple[Codec, ...] = (), **kwargs: Any) -> None:
        self.children = children
        self.kwargs = kwargs

    def _dumps(self, obj: Any) -> bytes:
        raise NotImplementedError

    def _loads(self, data: bytes) -> Any:
        raise NotImplementedError

    def dumps(self, obj: Any) -> bytes:
        data = self._dumps(obj)
        for each in self.children:
            data = each.dumps(data)
        return data

    def loads(self, s: bytes) -> Any:
        for each in reversed(self.children):
            s = each.loads(s)
        return self._loads(s)

    @property
    def nodes(self) -> tuple[Codec, ...]:
        """Those that it chains, itself first."""
        return (self, *self.children)

    def clone(self, *children: Codec) -> Codec:
        return type(self)(self.children + children, **self.kwargs)

    def __or__(self, other: Codec) -> Codec:
        return self.clone(other)


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_representation()
    raise NotImplementedError(f"{type(value).__name__} cannot be written as JSON")


_ENCODE = msgspec.json.Encoder(enc_hook=_plain).encode


class json(Codec):  # noqa: N801 - Faust's name
    def _dumps(self, obj: Any) -> bytes:
        return _ENCODE(obj)

    def _loads(self, data: bytes) -> Any:
        return orjson.loads(data)


class raw(Codec):  # noqa: N801
    def _dumps(self, obj: Any) -> bytes:
        return obj if isinstance(obj, bytes) else str(obj).encode()

    def _loads(self, data: bytes) -> Any:
        return data


class binary(Codec):  # noqa: N801
    def _dumps(self, obj: Any) -> bytes:
        return base64.b64encode(obj if isinstance(obj, bytes) else obj.encode())

    def _loads(self, data: bytes) -> Any:
        return base64.b64decode(data)


class pickle(Codec):  # noqa: N801
    def _dumps(self, obj: Any) -> bytes:
        return base64.b64encode(pickling.dumps(obj))

    def _loads(self, data: bytes) -> Any:
        return pickling.loads(base64.b64decode(data))


class RestrictedUnpickler(pickling.Unpickler):
    """Makes objects only of the classes of `ALLOWED_CLASSES`, by module; an app may add its own.

    Raises `pickle.UnpicklingError` for any other, so that data cannot have code run.
    """

    ALLOWED_CLASSES: ClassVar[Mapping[str, Set[str]]] = {
        "builtins": frozenset({"complex", "frozenset", "range", "set", "slice"}),
        "collections": frozenset({"Counter", "OrderedDict", "deque"}),
        "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
        "decimal": frozenset({"Decimal"}),
        "fractions": frozenset({"Fraction"}),
        "uuid": frozenset({"SafeUUID", "UUID"}),
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        if global_name not in self.ALLOWED_CLASSES.get(module_name, ()):
            raise pickling.UnpicklingError(f"{module_name}.{global_name} is not of RestrictedUnpickler.ALLOWED_CLASSES")
        return super().find_class(module_name, global_name)


class pickle_restricted(pickle):  # noqa: N801
    def _loads(self, data: bytes) -> Any:
        return RestrictedUnpickler(BytesIO(base64.b64decode(data))).load()


codecs: dict[str, Codec] = {
    "json": json(),
    "raw": raw(),
    "binary": binary(),
    "base64": binary(),
    "pickle": pickle(),
    "pickle_restricted": pickle_restricted(),
}


def register(name: str, codec: Codec) -> None:
    """Makes a serializer known by a name."""
    codecs[name] = codec


def get_codec(name_or_codec: CodecArg) -> Codec:
    """A serializer by its name, which may chain several with `|`. Raises `ConfigError`."""
    if isinstance(name_or_codec, Codec):
        return name_or_codec
    names = str(name_or_codec).split("|")
    if not codecs.keys() >= set(names):
        for extension in entry_points(group="faust.codecs"):
            if extension.name in names and extension.name not in codecs:
                register(extension.name, extension.load()())
    unknown = [name for name in names if name not in codecs]
    if unknown:
        raise ConfigError(f"there is no serializer {unknown[0]!r}; there are {', '.join(sorted(codecs))}")
    first, *rest = (codecs[name] for name in names)
    return first.clone(*rest) if rest else first


def dumps(codec: CodecArg, obj: Any) -> bytes:
    """An object, serialized."""
    return get_codec(codec).dumps(obj)


def loads(codec: CodecArg, data: bytes) -> Any:
    """What was serialized."""
    return get_codec(codec).loads(data)


def codec_of(type_: Any, serializer: CodecArg) -> ottla.Codec[Any]:
    """The codec of keys or values of a type, as Faust's registry has it."""
    chosen = getattr(getattr(type_, "_options", None), "serializer", None) or serializer
    codec = get_codec(chosen)
    prepare = _prepared(type_)
    loads = codec.loads
    label = f"faust-{chosen}[{getattr(type_, '__name__', type_)}]"
    return ottla.Codec(label, lambda value: _dumps(value, codec), lambda data: prepare(loads(data)), type_ or Any)


def _dumps(value: Any, codec: Codec) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, Record):
        own = value._options.serializer
        return (codec if own is None else get_codec(own)).dumps(value.to_representation())
    return codec.dumps(value)


def _prepared(type_: Any) -> Callable[[Any], Any]:
    """What makes a value of the type of a deserialized one."""
    if type_ is None or type_ is Any:
        return maybe_model
    if type_ is int or type_ is float or type_ is Decimal:
        return lambda value: type_(_text(value))
    if type_ is str:
        return _text
    if type_ is bytes:
        return lambda value: value.encode() if isinstance(value, str) else value
    if isinstance(type_, type) and issubclass(type_, Record):
        return lambda value: type_.from_data(value, preferred_type=type_)
    return maybe_model


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
