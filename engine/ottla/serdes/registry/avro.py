"""Avro with a schema registry: see `SchemaRegistry.avro`."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ottla.serdes.avro import Parsed, check_read, conversions, fastavro_module, named_types, parse
from ottla.serdes.avro_schema import Schema as AvroSchema
from ottla.serdes.avro_schema import avro_schema
from ottla.serdes.codec import Codec, Part, Serde
from ottla.serdes.formats import msgpack, type_name
from ottla.serdes.registry.framing import SIZE, schema_id
from ottla.serdes.registry.subjects import SubjectName
from ottla.serdes.registry.writing import Header, Readers

if TYPE_CHECKING:
    from ottla.serdes.registry.client import SchemaRegistry

KIND = "AVRO"


class AvroSerde(Serde[Any]):
    """Values of a type, or plain ones, as Avro."""

    def __init__(
        self,
        registry: SchemaRegistry,
        type_: Any,
        schema: AvroSchema | None,
        namespace: str,
        subject: SubjectName,
        *,
        auto_register: bool,
    ) -> None:
        self._registry = registry
        self._type = type_
        self._subject = subject
        self._register = auto_register
        if schema is None and type_ is not Any:
            schema = avro_schema(type_)
            if namespace and isinstance(schema, dict) and "name" in schema:
                schema = {**schema, "namespace": namespace}
        self._schema = schema
        self._parsed: Parsed = None if schema is None else parse(schema)

    def codec(self, topic: str, part: Part) -> Codec[Any]:
        from confluent_kafka.schema_registry import Schema

        registry, own, parsed = self._registry, self._schema, self._parsed
        builtins, convert = conversions(self._type)
        header = Header(
            registry,
            self._subject(topic, part, _full_name(parsed)),
            lambda: Schema(json.dumps(own), KIND),
            register=self._register,
        )
        fastavro = fastavro_module()
        write, read = fastavro.schemaless_writer, fastavro.schemaless_reader

        def writers_schema(identity: int) -> Parsed:
            schema = registry.schema(identity, KIND)
            types: dict[str, Any] = {}
            for referenced in registry.referenced(schema).values():
                types |= named_types(json.loads(referenced.schema_str or ""), types)
            return parse(json.loads(schema.schema_str or ""), types)

        readers = Readers(writers_schema)

        def encode(value: Any) -> bytes:
            if parsed is None:
                raise TypeError("it has no schema: give registry.avro() a type, or schema=")
            out = BytesIO()
            out.write(header())
            write(out, parsed, builtins(value))
            return out.getvalue()

        def decode(data: bytes) -> Any:
            written = readers[schema_id(data)]
            source = BytesIO(data)
            source.seek(SIZE)
            value = convert(read(source, written, parsed))
            check_read(source)
            return value

        prepare = None if parsed is None else header.prepare
        name = f"avro[{type_name(self._type)}]@registry"
        return Codec(name, encode, decode, self._type, prepare, msgpack(self._type))


def _full_name(parsed: Parsed) -> str:
    """The name of a record with its namespace; the type's name for a schema that has none."""
    if isinstance(parsed, dict):
        return str(parsed.get("name", parsed["type"]))
    return str(parsed)
