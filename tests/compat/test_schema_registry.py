"""Serdes of a schema registry beside Confluent's own serializers: each reads what the other wrote."""

import json
from typing import Any

import msgspec
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ottla.serdes import SchemaRegistry
from ottla.serdes.avro_schema import avro_schema

CONTEXT = SerializationContext("orders", MessageField.VALUE)


class Order(msgspec.Struct):
    item: str
    count: int = 1


@pytest.fixture
def registry() -> SchemaRegistry:
    return SchemaRegistry("mock://")


@pytest.fixture
def client(registry: SchemaRegistry) -> SchemaRegistryClient:
    """The client that the serdes use: what one side registers the other finds."""
    return registry._client


@pytest.fixture
def line() -> Any:
    """The class of a message that is nested in another."""
    file = descriptor_pb2.FileDescriptorProto(name="order.proto", package="shop", syntax="proto3")
    outer = file.message_type.add(name="Order")
    outer.nested_type.add(name="Other")
    nested = outer.nested_type.add(name="Line")
    nested.field.add(name="item", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Order.Line"))


def test_avro(registry: SchemaRegistry, client: SchemaRegistryClient) -> None:
    ours = registry.avro(Order).codec("orders", "value")
    assert AvroDeserializer(client)(ours.encode(Order("tea", 2)), CONTEXT) == {"item": "tea", "count": 2}
    theirs = AvroSerializer(client, json.dumps(avro_schema(Order)))
    assert ours.decode(theirs({"item": "tea", "count": 3}, CONTEXT)) == Order("tea", 3)
    assert ours.encode(Order("tea", 3)) == theirs({"item": "tea", "count": 3}, CONTEXT)


def test_json(registry: SchemaRegistry, client: SchemaRegistryClient) -> None:
    schema = {"title": "Order", "type": "object", "properties": {"item": {"type": "string"}}}
    ours = registry.json(Order, schema=schema).codec("orders", "value")
    theirs = JSONDeserializer(json.dumps(schema), schema_registry_client=client)
    assert theirs(ours.encode(Order("tea", 2)), CONTEXT) == {"item": "tea", "count": 2}
    assert ours.decode(JSONSerializer(json.dumps(schema), client)({"item": "tea"}, CONTEXT)) == Order("tea", 1)


def test_protobuf(registry: SchemaRegistry, client: SchemaRegistryClient, line: Any) -> None:
    ours = registry.protobuf(line).codec("orders", "value")
    settings = {"use.deprecated.format": False}
    theirs = ProtobufSerializer(line, client, settings)
    assert ours.encode(line(item="tea")) == theirs(line(item="tea"), CONTEXT)
    assert ours.decode(theirs(line(item="tea"), CONTEXT)) == line(item="tea")
    assert ProtobufDeserializer(line, settings)(ours.encode(line(item="tea")), CONTEXT) == line(item="tea")
