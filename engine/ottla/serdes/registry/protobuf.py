"""Protocol Buffers with a schema registry: see `SchemaRegistry.protobuf`."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from ottla.serdes.codec import Codec, Part, Serde
from ottla.serdes.protobuf import conversions, full_name, protobuf
from ottla.serdes.registry.framing import message_path, schema_id, skip_message_path
from ottla.serdes.registry.subjects import SubjectName
from ottla.serdes.registry.writing import Header, Readers

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema
    from google.protobuf.descriptor import Descriptor, FileDescriptor

    from ottla.serdes.registry.client import SchemaRegistry

KIND = "PROTOBUF"

_KNOWN_TO_REGISTRIES = ("google/protobuf/", "google/type/", "confluent/")


class ProtobufSerde(Serde[Any]):
    """Messages of one class."""

    def __init__(
        self, registry: SchemaRegistry, message: type[Any], subject: SubjectName, *, auto_register: bool
    ) -> None:
        self._registry = registry
        self._message = message
        self._name = full_name(message)
        self._subject = subject
        self._register = auto_register

    def codec(self, topic: str, part: Part) -> Codec[Any]:
        registry, descriptor = self._registry, self._message.DESCRIPTOR
        encode_message, decode_message = conversions(self._message)
        header = Header(
            registry,
            self._subject(topic, part, self._name),
            lambda: self._schema(descriptor.file),
            register=self._register,
            suffix=message_path(_path(descriptor)),
        )
        # The message's class knows how to read what other versions of it wrote; the schema is asked for so that a
        # value of no known schema is noticed.
        known = Readers(lambda identity: registry.schema(identity, KIND))

        def encode(value: Any) -> bytes:
            data = encode_message(value)
            return header() + data

        def decode(data: bytes) -> Any:
            known[schema_id(data)]
            _, start = skip_message_path(data)
            return decode_message(data[start:])

        name = f"protobuf[{self._name}]@registry"
        return Codec(name, encode, decode, self._message, header.prepare, protobuf(self._message))

    def _schema(self, file: FileDescriptor) -> Schema:
        """A file as a schema, after those it imports were found or registered, each under its own name."""
        from confluent_kafka.schema_registry import Schema, SchemaReference
        from google.protobuf.descriptor_pb2 import FileDescriptorProto

        references = [
            SchemaReference(
                imported.name,
                imported.name,
                self._registry.version(imported.name, self._schema(imported), register=self._register),
            )
            for imported in file.dependencies
            if not imported.name.startswith(_KNOWN_TO_REGISTRIES)
        ]
        described = FileDescriptorProto()
        file.CopyToProto(described)
        text = base64.b64encode(described.SerializeToString(deterministic=True)).decode()
        return Schema(text, KIND, references)


def _path(descriptor: Descriptor) -> list[int]:
    """The place of a message in its file: its number there, or the numbers of those it is nested in and its own."""
    outer = descriptor.containing_type
    if outer is None:
        names = list(descriptor.file.message_types_by_name)
        return [names.index(descriptor.name)]
    return [*_path(outer), [each.name for each in outer.nested_types].index(descriptor.name)]
