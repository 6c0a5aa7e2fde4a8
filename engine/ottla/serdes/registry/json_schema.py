"""JSON with a JSON Schema in a registry: see `SchemaRegistry.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from ottla.errors import ConfigError
from ottla.serdes.codec import Codec, Part, Serde
from ottla.serdes.formats import json as json_of
from ottla.serdes.formats import msgpack, type_name
from ottla.serdes.registry.framing import SIZE, schema_id
from ottla.serdes.registry.subjects import SubjectName
from ottla.serdes.registry.writing import Header, Readers

if TYPE_CHECKING:
    from ottla.serdes.registry.client import SchemaRegistry

KIND = "JSON"


class JsonSerde(Serde[Any]):
    """Values of a type, or plain ones, as JSON."""

    def __init__(
        self,
        registry: SchemaRegistry,
        type_: Any,
        schema: Mapping[str, Any] | None,
        subject: SubjectName,
        *,
        auto_register: bool,
    ) -> None:
        self._registry = registry
        self._type = type_
        self._subject = subject
        self._register = auto_register
        self._validate = None if schema is None else _validator(schema)
        self._schema = schema
        if schema is None and type_ is not Any:
            self._schema = _schema_of(type_)

    def codec(self, topic: str, part: Part) -> Codec[Any]:
        from confluent_kafka.schema_registry import Schema

        registry, own, validate = self._registry, self._schema, self._validate
        plain = json_of(self._type)
        encode_json, decode_json = plain.encode, plain.decode
        title = type_name(self._type) if own is None else str(own.get("title", type_name(self._type)))
        header = Header(
            registry,
            self._subject(topic, part, title),
            lambda: Schema(json.dumps(own), KIND),
            register=self._register,
        )
        # A value is checked by its type or by the schema that was given, not by the one it was written with; that one
        # is asked for so that a value of no known schema is noticed.
        known = Readers(lambda identity: registry.schema(identity, KIND))

        def encode(value: Any) -> bytes:
            if own is None:
                raise TypeError("it has no schema: give registry.json() a type, or schema=")
            data = encode_json(value)
            if validate is not None:
                validate(data)
            return header() + data

        def decode(data: bytes) -> Any:
            known[schema_id(data)]
            body = data[SIZE:]
            if validate is not None:
                validate(body)
            return decode_json(body)

        prepare = None if own is None else header.prepare
        name = f"json[{type_name(self._type)}]@registry"
        return Codec(name, encode, decode, self._type, prepare, msgpack(self._type))


def _schema_of(type_: Any) -> dict[str, Any]:
    try:
        schema: dict[str, Any] = msgspec.json.schema(type_)
    except TypeError as error:
        raise ConfigError(f"no JSON Schema follows of {type_name(type_)}: {error}") from error
    return schema


def _validator(schema: Mapping[str, Any]) -> Callable[[bytes], None]:
    try:
        from jsonschema import SchemaError, ValidationError
        from jsonschema.validators import validator_for
    except ImportError:
        raise ConfigError("validating JSON needs jsonschema: pip install 'ottla[schema-registry]'") from None
    kind = validator_for(schema)
    try:
        kind.check_schema(dict(schema))
    except SchemaError as error:
        raise ConfigError(f"this is no JSON Schema ({error.message}): {schema!r:.200}") from error
    validator = kind(dict(schema))

    def validate(data: bytes) -> None:
        try:
            validator.validate(orjson.loads(data))
        except ValidationError as error:
            raise ValueError(f"{error.message} (at {error.json_path})") from error

    return validate
