"""Avro: the schemas that follow of types, and what is written with them."""

import dataclasses
import datetime
import enum
import sys
import uuid
from decimal import Decimal
from typing import Any, Literal

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ottla
from ottla import serdes
from ottla.serdes.avro_schema import avro_schema


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(msgspec.Struct, rename="camel"):
    post_code: str
    metres: float = 0.5


class Order(msgspec.Struct):
    item: str
    when: datetime.datetime
    day: datetime.date
    number: uuid.UUID
    color: Color
    to: Place
    via: Place | None = None
    amount: int | str = "one"
    tags: list[str] = []
    counts: dict[str, int] = {}
    data: bytes = b""
    kind: Literal["a", "b"] = "a"


@dataclasses.dataclass
class Node:
    name: str
    children: list["Node"] = dataclasses.field(default_factory=list)


def test_a_type_says_its_schema() -> None:
    assert avro_schema(Place) == {
        "type": "record",
        "name": "Place",
        "fields": [{"name": "postCode", "type": "string"}, {"name": "metres", "type": "double", "default": 0.5}],
    }
    assert avro_schema(list[int]) == {"type": "array", "items": "long"}
    assert avro_schema(str | None) == ["null", "string"]
    fields = {field["name"]: field for field in avro_schema(Order)["fields"]}  # type: ignore[call-overload]
    assert fields["via"] == {"name": "via", "type": ["null", "Place"], "default": None}
    assert fields["amount"] == {"name": "amount", "type": ["string", "long"], "default": "one"}
    assert fields["color"]["type"] == {"type": "enum", "name": "Color", "symbols": ["red", "blue"]}


orders = st.builds(
    Order,
    item=st.text(),
    when=st.datetimes(
        min_value=datetime.datetime(1970, 1, 1),
        max_value=datetime.datetime(2100, 1, 1),
        timezones=st.just(datetime.UTC),
    ),
    amount=st.integers(-(2**63), 2**63 - 1) | st.text(),
    counts=st.dictionaries(st.text(), st.integers(0, 9)),
    to=st.builds(Place, metres=st.floats(allow_nan=False)),
    via=st.none() | st.builds(Place, metres=st.floats(allow_nan=False)),
)


@given(orders)
def test_what_is_written_comes_back(order: Order) -> None:
    codec = serdes.avro(Order)
    assert codec.decode(codec.encode(order)) == order


def test_types_may_contain_themselves() -> None:
    codec = serdes.avro(Node)
    tree = Node("root", [Node("leaf"), Node("branch", [Node("leaf")])])
    assert codec.decode(codec.encode(tree)) == tree


def test_a_schema_may_be_given_with_or_without_a_type() -> None:
    schema: dict[str, Any] = {"type": "record", "name": "P", "fields": [{"name": "metres", "type": "float"}]}
    plain, typed = serdes.avro(schema=schema), serdes.avro(dict[str, float], schema=schema)
    assert plain.decode(plain.encode({"metres": 0.5})) == typed.decode(b"\0\0\0?") == {"metres": 0.5}


def test_a_decimal_is_written_as_the_given_schema_says() -> None:
    class Price(msgspec.Struct):
        amount: Decimal

    amount = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
    schema: dict[str, Any] = {"type": "record", "name": "Price", "fields": [{"name": "amount", "type": amount}]}
    codec = serdes.avro(Price, schema=schema)
    assert codec.encode(Price(Decimal("2.50"))) == b"\x04\x00\xfa"
    assert codec.decode(codec.encode(Price(Decimal("-0.01")))) == Price(Decimal("-0.01"))
    with pytest.raises(ottla.ConfigError, match="a part \\(decimal\\)"):
        serdes.avro(Price)


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastavro", None)
    with pytest.raises(ottla.ConfigError, match=r"pip install 'ottla\[avro\]'"):
        serdes.avro(int)
    with pytest.raises(ottla.ConfigError, match=r"pip install 'ottla\[avro\]'"):
        serdes.SchemaRegistry("mock://").avro().codec("orders", "value")


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        (Any, "a part \\(any\\) of which no Avro schema follows"),
        (tuple[int, str], "a part \\(tuple\\)"),
        (dict[int, str], "a part \\(dict\\)"),
        (msgspec.defstruct("Tagged", [("x", int)], tag=True), "Tagged has a part \\(struct\\)"),
        (msgspec.defstruct("Two", [("a", list[int] | set[int])]), "is not supported"),
        (msgspec.defstruct("Two", [("a", Color | str)]), "cannot be a key or value type|cannot be told apart"),
        (
            msgspec.defstruct("Twice", [("a", Place), ("b", msgspec.defstruct("Place", [("x", int)]))]),
            "two types named Place",
        ),
    ],
)
def test_a_type_of_which_no_schema_follows_is_refused(type_: Any, message: str) -> None:
    with pytest.raises(ottla.ConfigError, match=message):
        serdes.avro(type_)


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ottla.ConfigError, match="this is no Avro schema"):
        serdes.avro(schema={"type": "recrod"})


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x02a" + bytes(8) + b"?"])
def test_what_is_cut_or_too_long_is_no_value(data: bytes) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - fastavro raises several kinds
        serdes.avro(Place).decode(data)


def test_a_value_that_is_not_of_the_schema_is_refused() -> None:
    with pytest.raises((TypeError, ValueError, fastavro.validation.ValidationError)):
        serdes.avro(Place).encode(Node("no place"))
