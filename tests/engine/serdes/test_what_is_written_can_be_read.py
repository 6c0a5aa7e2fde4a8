"""What a codec of a declared type writes, it reads again: everything else is refused where it is written."""

import datetime
import enum
import math
import uuid
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import serdes
from ottla.errors import EncodeError
from ottla.serdes import Codec, checked_state_codec_for, codec_for


class Order(msgspec.Struct, frozen=True):
    item: str
    count: int = 1


@dataclass(frozen=True)
class Point:
    x: float


class Address(TypedDict):
    city: str


class Pair(NamedTuple):
    left: int
    right: str


class Color(enum.Enum):
    RED = "red"


TYPES = {
    str: st.text(),
    bytes: st.binary(),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    Order: st.builds(Order, st.text(), st.integers(-(2**63), 2**63 - 1)),
    Point: st.builds(Point, st.floats(allow_nan=False, allow_infinity=False)),
    Address: st.fixed_dictionaries({"city": st.text()}),
    Pair: st.builds(Pair, st.integers(-9, 9), st.text()),
    Color: st.just(Color.RED),
    list[int]: st.lists(st.integers(-9, 9)),
    dict[str, float]: st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    tuple[int, str]: st.tuples(st.integers(-9, 9), st.text()),
    list[Order | None]: st.lists(st.builds(Order, st.text()) | st.none()),
    int | None: st.integers(-9, 9),
    Order | None: st.builds(Order, st.text()),
    int | str: st.integers(-9, 9) | st.text(),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
    datetime.datetime: st.datetimes(timezones=st.just(datetime.UTC)),
    uuid.UUID: st.uuids(),
}

anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.binary(),
        st.uuids(),
        st.datetimes(),
        st.builds(object),
        *TYPES.values(),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=5,
)

FIXED: list[Codec[Any]] = [
    serdes.RAW,
    serdes.TEXT,
    serdes.SHORT,
    serdes.INTEGER,
    serdes.LONG,
    serdes.FLOAT,
    serdes.DOUBLE,
    serdes.BOOLEAN,
    serdes.UUID,
    serdes.named("json|gzip", Order),
    serdes.avro(Order),
    serdes.avro(uuid.UUID),
    serdes.avro(Literal["a", "b"]),
    serdes.SchemaRegistry("mock://types").json(list[int]).codec("types", "value"),
]


@pytest.mark.parametrize("codec_of", [codec_for, checked_state_codec_for])
@pytest.mark.parametrize("type_", TYPES)
def test_a_value_of_the_type_comes_back_as_it_was(codec_of: Any, type_: Any) -> None:
    codec = codec_of(type_)

    @settings(max_examples=25)
    @given(TYPES[type_])
    def comes_back(value: Any) -> None:
        assert codec.decode(codec.encode(value)) == value
        (column,) = codec.encode_all([value])
        assert column == codec.encode(value)

    comes_back()


@pytest.mark.parametrize(
    "codec",
    [*map(codec_for, TYPES), *map(checked_state_codec_for, TYPES), *FIXED],
    ids=lambda codec: codec.name,
)
def test_what_could_not_be_read_is_not_written(codec: Codec[Any]) -> None:
    @settings(max_examples=25)
    @given(anything)
    def is_read_or_refused(value: Any) -> None:
        try:
            data = codec.encode(value)
        except Exception:
            with pytest.raises(Exception):  # noqa: B017, PT011 - whatever a codec raises
                codec.encode_all([None, value])
            return
        codec.decode(data)
        assert codec.encode_all([None, value, value]) == [None, data, data]

    is_read_or_refused()


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, "12"),
        (int, True),
        (int, 1.5),
        (float, math.nan),
        (float, True),
        (bool, 1),
        (str, 1),
        (bytes, "text"),
        (list[int], ["1"]),
        (Order, {"item": 1}),
        (Order, Point(1.0)),
        (Point, Order("tea")),
        (Address, {"city": None}),
        (int | None, "12"),
        (serdes.BOOLEAN, "yes"),
        (serdes.UUID, "1"),
    ],
)
def test_topics_take_no_value_of_another_type(type_: Any, value: Any) -> None:
    app = ottla.App("typed")
    source, sent, sunk = app.topic("in", value=str), app.topic("sent", value=type_), app.topic("sunk", value=type_)
    refused = []

    @app.agent(source)
    async def send(texts: ottla.Stream[str]) -> None:
        async for _ in texts:
            with pytest.raises(EncodeError, match="cannot be a value of topic 'sent'") as raised:
                await sent.send(value=value)
            refused.append(raised.value)

    app.stream(source).map(lambda _: value).to(sunk)
    with app.test() as driver:
        driver.send(source, value="go")
        (letter,) = driver.dead_letters()
        assert dict(letter.headers)["ottla.error.kind"] == b"production"
        assert not driver.read(sent)
        assert not driver.read(sunk)
    assert len(refused) == 1


def test_plain_forms_of_a_type_may_be_sent() -> None:
    assert codec_for(float).encode(1) == b"1"
    assert codec_for(Order).encode({"item": "tea"}) == b'{"item":"tea"}'
    assert codec_for(list[int]).encode((1, 2)) == b"[1,2]"


@pytest.mark.parametrize(
    ("type_", "value"),
    [(int, "12"), (int, True), (float, "1"), (bool, 1), (str, 1), (bytes, "text"), (Order, {"item": 1})],
)
@pytest.mark.parametrize("kind", ["plain", "global", "versioned", "windowed"])
def test_tables_take_no_value_of_another_type(kind: str, type_: Any, value: Any) -> None:
    app = ottla.App("typed")
    source = app.topic("in", key=str, value=str)
    table: Any = (
        app.GlobalTable("t", key=str, value=type_)
        if kind == "global"
        else app.Table("t", key=str, value=type_, versioned=60)
        if kind == "versioned"
        else app.Table("t", key=str, value=type_)
    )
    written = table.tumbling(60) if kind == "windowed" else table

    @app.agent(source, uses=[written])
    async def write(texts: ottla.Stream[str]) -> None:
        async for event in texts.events():
            written[event.key] = value

    with app.test() as driver:
        driver.send(source, key="k", value="go")
        (letter,) = driver.dead_letters()
        assert b"cannot be a value of table 't'" in dict(letter.headers)["ottla.error.reason"]
