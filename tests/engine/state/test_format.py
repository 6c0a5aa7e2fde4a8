"""Which changes of a type leave its state readable: decided by description, and held against what msgspec does read."""

import enum
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import pytest

from ottla import serdes
from ottla.serdes import Codec, state_codec_for
from ottla.state.format import StoreFormat, changes, format_of


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class MoreColors(enum.Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


class Order(msgspec.Struct):
    item: str = "tea"
    count: int = 1


class Wider(msgspec.Struct):
    item: str | None = "tea"
    count: float = 1
    note: str = ""


class Narrower(msgspec.Struct):
    item: str = "tea"


class Demanding(msgspec.Struct):
    note: str
    item: str = "tea"
    count: int = 1


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    item: str = "tea"


class Retyped(msgspec.Struct):
    item: str = "tea"
    count: str = ""


@dataclass
class Tree:
    name: str = "root"
    children: list["Tree"] = field(default_factory=list)


class Basket(msgspec.Struct):
    orders: list[Order] = msgspec.field(default_factory=lambda: [Order()])


class WiderBasket(msgspec.Struct):
    orders: list[Wider] = []


class RetypedBasket(msgspec.Struct):
    orders: list[Retyped] = []


def value_of(type_: Any) -> Any:
    """Some value of the type, with every part of it in use."""
    samples = {
        int: 5,
        float: 0.5,
        str: "text",
        bytes: b"raw",
        list[int]: [5],
        list[float]: [0.5],
        dict[str, int]: {"a": 5},
        dict[str, str]: {"a": "b"},
        tuple[int, str]: (5, "text"),
        tuple[int, int]: (5, 5),
        tuple[int, int, int]: (5, 5, 5),
        int | str: "text",
        int | None: None,
        Color: Color.RED,
        MoreColors: MoreColors.GREEN,
        Literal["a", "b"]: "b",
        Literal["a"]: "a",
    }
    return samples[type_] if type_ in samples else type_("x") if type_ is Demanding else type_()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (int, int, ""),
        (int, float, ""),
        (float, int, "the value was number and is integer"),
        (int, str, "the value was 'msgpack[int]' and is 'text'"),
        (int, int | None, ""),
        (int | None, int, "the value was null and is integer"),
        (int, int | str, ""),
        (int | str, int, "the value was string and is integer"),
        (list[int], list[float], ""),
        (list[float], list[int], "the value[...] was number and is integer"),
        (dict[str, int], dict[str, str], "the value[...] was integer and is string"),
        (tuple[int, int], tuple[int, str], "the value[1] was integer and is string"),
        (tuple[int, int], tuple[int, int, int], "the value had 2 entries and has 3"),
        (Color, MoreColors, ""),
        (MoreColors, Color, "the value cannot be 'green' any more"),
        (Literal["a"], Literal["a", "b"], ""),
        (Literal["a", "b"], Literal["a"], "the value cannot be 'b' any more"),
        (Order, Order, ""),
        (Order, Wider, ""),
        (Wider, Order, "the value.item was null and is string"),
        (Order, Narrower, ""),
        (Narrower, Order, ""),
        (Order, Demanding, "the value has a new field 'note' without a default"),
        (Order, Strict, "the value has lost the field 'count' and forbids others"),
        (Order, Retyped, "the value.count was integer and is string"),
        (Basket, WiderBasket, ""),
        (Basket, RetypedBasket, "the value.orders[...].count was integer and is string"),
        (Tree, Tree, ""),
        (Order, Any, ""),
    ],
)
def test_a_change_of_type_is_refused_if_the_old_state_cannot_be_read(old: Any, new: Any, problem: str) -> None:
    formats = [format_of("Table", serdes.TEXT, state_codec_for(each)) for each in (old, new)]
    assert ", ".join(changes(*formats)[:1]) == problem
    # What is called readable msgspec reads. What is not it may read by luck: null is refused only where it is.
    if not problem:
        data = state_codec_for(old).encode(value_of(old))
        state_codec_for(new).decode(data)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"kind": "aggregate"}, "its kind was 'Table' and is 'aggregate'"),
        ({"keys": "json[int]"}, "the key was 'text' and is 'json[int]'"),
        ({"definition": "tumbling 2:00:00"}, "its definition was 'tumbling 1:00:00' and is 'tumbling 2:00:00'"),
        ({"values": "json[Order]"}, "the value was 'msgpack[Order]' and is 'json[Order]'"),
        ({"values": "msgpack[Renamed]"}, "the value was 'msgpack[Order]' and is 'msgpack[Renamed]'"),
        ({"kind": "", "keys": "", "values": "", "definition": ""}, ""),
    ],
)
def test_what_else_must_not_change(change: dict[str, str], problem: str) -> None:
    old = StoreFormat("Table", "text", "msgpack[Order]", None, "tumbling 1:00:00")
    assert ", ".join(changes(old, msgspec.structs.replace(old, **change))) == problem


def test_a_class_may_be_renamed_but_not_what_only_its_codec_tells() -> None:
    renamed = msgspec.defstruct("Renamed", [("item", str, "tea"), ("count", int, 1)])
    old, new = (format_of("Table", serdes.TEXT, state_codec_for(each)) for each in (Order, renamed))
    assert (new.values, changes(old, new)) == ("msgpack[Renamed]", [])
    old, new = (
        format_of("SetTable", serdes.TEXT, Codec(f"set[{each}]", bytes, bytes, set)) for each in ("text", "raw")
    )
    assert changes(old, new) == ["the value was 'set[text]' and is 'set[raw]'"]
