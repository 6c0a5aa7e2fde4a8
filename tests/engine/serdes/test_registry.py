"""Serdes of a schema registry: the wire format, subjects, versions, and a registry that is away or refuses."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import ottla
from ottla import serdes
from ottla.serdes import Codec, SchemaRegistry
from ottla.serdes.avro_schema import avro_schema
from ottla.serdes.registry.client import UnknownSchema
from ottla.serdes.registry.framing import message_path, skip_message_path


class Order(msgspec.Struct):
    item: str
    count: int = 1


def message_classes() -> dict[str, Any]:
    """`shop.Money` in a file of its own, and `shop.Order.Line`, nested second, in one that imports it."""
    money = descriptor_pb2.FileDescriptorProto(name="money.proto", package="shop", syntax="proto3")
    money.message_type.add(name="Money").field.add(name="cents", number=1, type="TYPE_INT64", label="LABEL_OPTIONAL")
    order = descriptor_pb2.FileDescriptorProto(
        name="order.proto", package="shop", syntax="proto3", dependency=["money.proto"]
    )
    order.message_type.add(name="Other")
    outer = order.message_type.add(name="Order")
    outer.nested_type.add(name="First")
    line = outer.nested_type.add(name="Line")
    line.field.add(name="item", number=1, type="TYPE_STRING", label="LABEL_OPTIONAL")
    line.field.add(name="price", number=2, type="TYPE_MESSAGE", type_name=".shop.Money", label="LABEL_OPTIONAL")
    pool = descriptor_pool.DescriptorPool()
    for file in (money, order):
        pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"shop.{name}"))
        for name in ("Money", "Order.Line")
    }


MESSAGES = message_classes()
LINE = MESSAGES["Order.Line"](item="tea", price=MESSAGES["Money"](cents=250))

KINDS: dict[str, tuple[Callable[[SchemaRegistry], Any], Any]] = {
    "avro": (lambda registry: registry.avro(Order), Order("tea", 2)),
    "json": (lambda registry: registry.json(Order), Order("tea", 2)),
    "protobuf": (lambda registry: registry.protobuf(MESSAGES["Order.Line"]), LINE),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def codec_of(registry: SchemaRegistry, kind: str) -> tuple[Codec[Any], Any]:
    make, value = KINDS[kind]
    return make(registry).codec("orders", "value"), value


@every_kind
def test_a_value_is_preceded_by_the_id_of_its_schema(registry_server: Any, kind: str) -> None:
    codec, value = codec_of(registry_server.registry(), kind)
    data = codec.encode(value)
    assert data[0] == 0
    assert registry_server.subjects["orders-value"] == [int.from_bytes(data[1:5])]
    other, _ = codec_of(registry_server.registry(), kind)
    assert other.decode(data) == value
    # Each schema is asked for once, whatever is written and read.
    asked = len(registry_server.requests)
    assert [other.decode(codec.encode(value)) for _ in range(3)] == [value] * 3
    assert len(registry_server.requests) == asked


@every_kind
def test_an_unknown_schema_is_the_fault_of_the_value(registry_server: Any, kind: str) -> None:
    codec, _ = codec_of(registry_server.registry(), kind)
    for _ in range(3):
        with pytest.raises(UnknownSchema, match="does not know schema 77"):
            codec.decode(b"\0\0\0\0\x4d" + b"\0")
    assert registry_server.requests == ["GET /schemas/ids/77"]
    for data, message in [(b"\0\0", "too short"), (b'{"item": 1}', "begins with byte 123")]:
        with pytest.raises(ValueError, match=message):
            codec.decode(data)


@every_kind
def test_a_schema_of_another_kind_is_the_fault_of_the_value(registry_server: Any, kind: str) -> None:
    registry_server.schemas = [{"schema": '"string"', "schemaType": "THRIFT"}]
    codec, _ = codec_of(registry_server.registry(), kind)
    with pytest.raises(ValueError, match="schema 1 is of type THRIFT"):
        codec.decode(b"\0\0\0\0\1\0")


@every_kind
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_that_does_not_answer_is_not_the_fault_of_the_value(
    registry_server: Any, kind: str, status: int
) -> None:
    codec, value = codec_of(registry_server.registry(), kind)
    registry_server.status = status
    for attempt in (lambda: codec.encode(value), lambda: codec.decode(b"\0\0\0\0\1\0"), codec.prepare):
        assert attempt is not None
        with pytest.raises(ottla.Unavailable, match=f"answers {status} for .*: as the test says"):
            attempt()
    registry_server.status = 200
    assert codec.decode(codec.encode(value)) == value


@every_kind
@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_does_not_let_the_app_in_ends_its_start_and_is_waited_for_later(
    registry_server: Any, kind: str, status: int
) -> None:
    codec, value = codec_of(registry_server.registry(), kind)
    registry_server.status = status
    assert codec.prepare is not None
    with pytest.raises(ottla.ConfigError, match=f"answers {status} for .*; SchemaRegistry.*basic.auth.user.info"):
        codec.prepare()
    for attempt in (lambda: codec.encode(value), lambda: codec.decode(b"\0\0\0\0\1\0")):
        with pytest.raises(ottla.Unavailable, match=f"answers {status} for .*: as the test says"):
            attempt()


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'"hello"'])
def test_what_is_no_registry_is_said_to_be_none(registry_server: Any, answer: bytes) -> None:
    codec, value = codec_of(registry_server.registry(), "avro")
    registry_server.answer = lambda *_: (200, answer)
    with pytest.raises(ottla.Unavailable, match=r"what answers at http://.* for subject 'orders-value' is no schema"):
        codec.encode(value)


def test_a_registry_that_cannot_be_reached_is_unavailable() -> None:
    codec, value = codec_of(SchemaRegistry("http://127.0.0.1:1"), "avro")
    with pytest.raises(
        ottla.Unavailable, match=r"at http://127\.0\.0\.1:1 cannot be reached for subject 'orders-value'"
    ):
        codec.encode(value)


def test_a_schema_that_is_refused_is_refused_before_the_first_event(registry_server: Any) -> None:
    codec, _ = codec_of(registry_server.registry(), "avro")
    registry_server.status = 409
    assert codec.prepare is not None
    with pytest.raises(ottla.ConfigError, match="refuses the schema: subject 'orders-value': as the test says"):
        codec.prepare()


def test_a_schema_that_is_not_registered_is_only_used_if_it_may_be(registry_server: Any) -> None:
    codec = registry_server.registry().avro(Order, auto_register=False).codec("orders", "value")
    with pytest.raises(ottla.ConfigError, match="does not have this schema: register it"):
        codec.encode(Order("tea"))
    assert registry_server.subjects == {}
    codec_of(registry_server.registry(), "avro")[0].encode(Order("tea"))
    assert codec.decode(codec.encode(Order("tea"))) == Order("tea")


@pytest.mark.parametrize(
    ("strategy", "subject"),
    [
        (serdes.topic_name, "orders-key"),
        (serdes.record_name, "shop.Order"),
        (serdes.topic_record_name, "orders-shop.Order"),
    ],
)
def test_subjects_are_named_by_a_strategy(registry_server: Any, strategy: Any, subject: str) -> None:
    registry = registry_server.registry()
    registry.avro(Order, namespace="shop", subject=strategy).codec("orders", "key").encode(Order("tea"))
    assert list(registry_server.subjects) == [subject]


def test_what_was_written_with_an_older_schema_is_read_with_the_defaults_of_the_new(registry_server: Any) -> None:
    class Older(msgspec.Struct):
        item: str
        gone: int

    registry = registry_server.registry()
    older = registry.avro(schema={**avro_schema(Older), "name": "Order"}).codec("orders", "value")
    newer = registry.avro(Order).codec("orders", "value")
    assert newer.decode(older.encode({"item": "tea", "gone": 5})) == Order("tea", 1)
    anything = registry.avro().codec("orders", "value")
    assert anything.decode(older.encode({"item": "tea", "gone": 5})) == {"item": "tea", "gone": 5}
    with pytest.raises(TypeError, match="has no schema"):
        anything.encode({"item": "tea"})


def test_a_schema_may_refer_to_schemas_that_refer_to_others(registry_server: Any) -> None:
    registry = registry_server.registry()

    def registered(name: str, fields: dict[str, Any], refers_to: list[str]) -> Schema:
        text = {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}
        schema = Schema(json.dumps(text), "AVRO", [SchemaReference(each, each, 1) for each in refers_to])
        registry.schema_id(name, schema, register=True)
        return schema

    registered("Money", {"cents": "long"}, [])
    registered("Line", {"item": "string", "price": "Money"}, ["Money"])
    registered("Basket", {"lines": {"type": "array", "items": "Line"}, "total": "Money"}, ["Line", "Money"])
    data = b"\0\0\0\0\3" + b"\2\6tea\4\0" + b"\4"
    assert registry.avro().codec("baskets", "value").decode(data) == {
        "lines": [{"item": "tea", "price": {"cents": 2}}],
        "total": {"cents": 2},
    }


def test_the_files_that_a_message_imports_are_registered_first(registry_server: Any) -> None:
    codec, value = codec_of(registry_server.registry(), "protobuf")
    data = codec.encode(value)
    assert list(registry_server.subjects) == ["money.proto", "orders-value"]
    assert registry_server.schemas[1]["references"] == [{"name": "money.proto", "subject": "money.proto", "version": 1}]
    # The second message of the file, and the second nested in it.
    assert skip_message_path(data)[0] == (1, 1)
    with pytest.raises(TypeError, match="it is of type str"):
        codec.encode("tea")


@pytest.mark.parametrize("path", [(0,), (1,), (0, 3), (300, 0, 70_000)])
def test_the_place_of_a_message_is_read_as_it_was_written(path: tuple[int, ...]) -> None:
    data = b"\0\0\0\0\1" + message_path(path) + b"rest"
    found, start = skip_message_path(data)
    assert (found, data[start:]) == (path, b"rest")


@pytest.mark.parametrize("rest", [b"", b"\2", b"\1", b"\xff\xff\xff\xff\xff\xff\1", b"\xf0\x0f\2"])
def test_a_place_that_makes_no_sense_is_refused(rest: bytes) -> None:
    with pytest.raises(ValueError, match=r"index|ends before"):
        skip_message_path(b"\0\0\0\0\1" + rest)


def test_json_is_checked_by_its_type_or_by_the_schema_that_is_given(registry_server: Any) -> None:
    registry = registry_server.registry()
    typed = registry.json(Order).codec("orders", "value")
    header = typed.encode(Order("tea"))[:5]
    with pytest.raises(msgspec.ValidationError, match="Expected `str`, got `int`"):
        typed.decode(header + b'{"item": 1}')
    schema = {"title": "Order", "type": "object", "properties": {"count": {"type": "integer", "maximum": 9}}}
    given = registry.json(schema=schema).codec("orders", "value")
    assert given.decode(given.encode({"count": 9})) == {"count": 9}
    with pytest.raises(ValueError, match=r"10 is greater than the maximum of 9 \(at \$.count\)"):
        given.encode({"count": 10})
    with pytest.raises(ValueError, match="is greater than the maximum"):
        given.decode(header + b'{"count": 10}')
    with pytest.raises(ottla.ConfigError, match="this is no JSON Schema"):
        registry.json(schema={"type": "nonsense"})


def test_settings_that_the_client_refuses_are_refused() -> None:
    with pytest.raises(ottla.ConfigError, match="are refused: Invalid url"):
        SchemaRegistry("registry:8081")
    with pytest.raises(ottla.ConfigError, match="Unrecognized properties: colour"):
        SchemaRegistry("http://registry:8081", config={"colour": "red"})


def test_an_app_is_tested_with_a_registry_in_memory(app: ottla.App) -> None:
    registry = SchemaRegistry("mock://")
    orders = app.topic("orders", key=str, value=registry.avro(Order))
    bills = app.topic("bills", key=str, value=registry.json(Order) | serdes.GZIP)
    latest = app.Table("latest", key=str, value=registry.avro(Order))

    @app.agent(orders, sink=[bills])
    async def bill(stream: ottla.Stream[Order]) -> Any:
        async for key, order in stream.items():
            latest[key] = order
            yield order

    with app.test() as driver:
        driver.send(orders, key="a", value=Order("tea"))
        driver.send_raw(orders, b"a", b"\0\0\0\0\x63oops")
        assert [event.value for event in driver.read(bills)] == [Order("tea")]
        driver.crash_and_restart(lose_state=True)
        assert driver.table(latest)["a"] == Order("tea")
        [letter] = driver.dead_letters()
    reason = dict(letter.headers)["ottla.error.reason"]
    assert reason is not None
    assert b"the value is no avro[Order]@registry: the schema registry at mock:// does not know schema 99" in reason


def app_with_a_table(registry: SchemaRegistry) -> ottla.App:
    app = ottla.App("shop")
    latest = app.Table("latest", key=str, value=registry.avro(Order))

    @app.agent(app.topic("orders", value=Order))
    async def keep(stream: ottla.Stream[Order]) -> None:
        async for key, order in stream.items():
            latest[key] = order

    return app


def test_the_schemas_of_tables_are_registered_before_the_first_event(registry_server: Any) -> None:
    with app_with_a_table(registry_server.registry()).test():
        assert list(registry_server.subjects) == ["shop-latest-changelog-value"]
    registry_server.status = 409
    with pytest.raises(ottla.ConfigError, match="refuses the schema: subject 'shop-latest-changelog-value'"):
        app_with_a_table(registry_server.registry()).test()


@every_kind
def test_what_is_only_read_is_kept_without_the_registry(app: ottla.App, registry_server: Any, kind: str) -> None:
    # Given a table and a stream of values whose schema the app may not register, and that go through its own topics
    written, value = codec_of(registry_server.registry(), kind)
    make, _ = KINDS[kind]
    registry = registry_server.registry()
    reading = registry.avro() if kind == "avro" else make(registry)
    orders = app.topic("orders", key=str, value=reading)
    latest = app.Table("latest", source=orders)
    seen: list[Any] = []

    def see(order: Any) -> None:
        seen.append(order)

    app.stream(orders).group_by(lambda _: "all", name="all", type=str).map(see)
    with app.test() as driver:
        driver.send_raw(orders, b"a", written.encode(value))
        before = list(registry_server.subjects)
        kept = driver.table(latest)["a"]
        driver.crash_and_restart(lose_state=True)
        assert driver.table(latest)["a"] == kept
        assert driver.dead_letters() == []
    plain = {"item": "tea", "count": 2} if kind == "avro" else value
    assert seen[0] == kept == plain
    assert list(registry_server.subjects) == before
