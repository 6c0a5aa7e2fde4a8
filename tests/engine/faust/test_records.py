"""`faust.Record`: fields, options, and the serialized form, which is Faust's."""

import os
import pickle
import sys
import typing
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

import ottla.faust as faust
from ottla import TopologyError
from ottla.faust.models.fields import FieldDescriptor, StringField
from ottla.faust.serializers import codecs
from ottla.faust.serializers.codecs import codec_of


class Colour(Enum):
    RED = "red"


class Account(faust.Record, namespace="test.Account"):
    id: str
    name: str | None = None


class Order(faust.Record, isodates=True, decimals=True, namespace="test.Order"):
    account: Account
    when: datetime
    price: Decimal
    colours: list[Colour]
    others: dict[str, Account]
    count: int = 1


ORDER = Order(Account("a"), datetime(2020, 1, 2, 3, 4), Decimal("1.50"), [Colour.RED], {"b": Account("b", "Bob")})


def test_the_serialized_form_is_faust_s() -> None:
    assert orjson.loads(Account("a").dumps()) == {"id": "a", "name": None, "__faust": {"ns": "test.Account"}}
    written = orjson.loads(ORDER.dumps())
    assert written["account"] == {"id": "a", "name": None, "__faust": {"ns": "test.Account"}}
    assert (written["when"], written["price"]) == ("2020-01-02T03:04:00", "1.50")


def test_what_is_written_is_read_again() -> None:
    assert Order.loads(ORDER.dumps()) == ORDER
    codec = codec_of(Order, "json")
    assert codec.decode(codec.encode(ORDER)) == ORDER


def test_untyped_values_are_what_they_say_they_are() -> None:
    codec = codec_of(None, "json")
    assert codec.decode(codec.encode(ORDER)) == ORDER
    assert codec.decode(b'{"a": 1}') == {"a": 1}


def test_fields_by_position_and_name_defaults_and_equality() -> None:
    assert Account("a", name="b") == Account(id="a", name="b") != Account("a")
    assert hash(Account("a")) == hash(Account("a"))
    assert Account("a") < Account("b")
    assert ORDER.count == 1
    assert repr(Account("a")) == "<Account: id='a', name=None>"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Account(), "missing the field 'id'"),
        (lambda: Account("a", "b", "c"), "takes 2 fields"),
        (lambda: Account("a", id="b"), "multiple values for field 'id'"),
        (lambda: Account("a", nme="b"), "no field 'nme'"),
        (lambda: Account.loads(b"{}"), "missing the field 'id'"),
    ],
)
def test_wrong_fields_are_refused(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_what_is_beyond_the_fields_is_kept() -> None:
    assert Account.loads(b'{"id": "a", "age": 3}').age == 3  # type: ignore[attr-defined]


def test_derive_and_asdict() -> None:
    assert Account("a").derive(name="b") == Account("a", "b")
    assert Account("a", "x").derive(Account("b", "c")) == Account("b", "c")
    assert Account("a").asdict() == {"id": "a", "name": None}


def test_types_are_converted_only_where_the_model_says_so() -> None:
    class Loose(faust.Record):
        number: int

    class Coerced(faust.Record, coerce=True):
        number: int

    assert Loose("3").number == "3"  # type: ignore[comparison-overlap]
    assert Coerced("3").number == 3
    assert Coerced.loads(b'{"number": "4"}').number == 4


def test_validation_raises_for_a_new_object_and_a_read_one() -> None:
    class Person(faust.Record, validation=True):
        age: int = faust.models.fields.IntegerField(min_value=18, max_value=99)
        name: str = faust.models.fields.StringField(max_length=5)

    assert Person(age=18, name="Ann").is_valid()
    with pytest.raises(faust.ValidationError, match="age must be at least 18"):
        Person(age=17, name="Ann")
    with pytest.raises(faust.ValidationError, match="name cannot be longer than 5"):
        Person.loads(b'{"age": 20, "name": "Bartholomew"}')


def test_abstract_models_hold_fields_and_stand_for_their_kinds() -> None:
    class Base(faust.Record, abstract=True):
        id: str

    class Dog(Base, namespace="test.Dog"):
        barks: bool = True

    class Owner(faust.Record):
        pet: Base

    assert Owner.loads(Owner(Dog("rex")).dumps()).pet == Dog("rex")
    with pytest.raises(NotImplementedError, match="abstract"):
        Base("x")


def test_a_polymorphic_model_is_read_as_what_the_data_says() -> None:
    class Animal(faust.Record, polymorphic_fields=True, namespace="test.Animal"):
        id: str

    class Cat(Animal, namespace="test.Cat"):
        lives: int = 9

    codec = codec_of(Animal, "json")
    assert codec.decode(Cat("tom").dumps()) == Cat("tom")


def test_fields_of_the_class_are_descriptors() -> None:
    assert Account.name.ident == "Account.name"  # type: ignore[union-attr]
    assert repr(Account.id).startswith("<FieldDescriptor: Account.id: str")
    assert Account.id.getattr(Account("a")) == "a"  # type: ignore[attr-defined]


def test_serializers_are_chained_and_registered() -> None:
    class Upper(faust.Codec):
        def _dumps(self, obj: bytes) -> bytes:
            return obj.upper()

        def _loads(self, data: bytes) -> bytes:
            return data.lower()

    faust.serializers.codecs.register("upper", Upper())
    codec = codec_of(None, "json|upper|binary")
    assert codec.encode({"a": "b"}) == b"eyJBIjoiQiJ9"
    assert codec.decode(b"eyJBIjoiQiJ9") == {"a": "b"}


@pytest.mark.parametrize(
    ("type_", "serializer", "value", "written"),
    [(int, "json", 3, b"3"), (str, "json", "a", b'"a"'), (str, "raw", "a", b"a"), (bytes, "raw", b"a", b"a")],
)
def test_plain_types(type_: Any, serializer: str, value: object, written: bytes) -> None:
    codec = codec_of(type_, serializer)
    assert (codec.encode(value), codec.decode(written)) == (written, value)


class ChoiceField(FieldDescriptor[str]):
    def __init__(self, choices: list[str], **options: Any) -> None:
        self.choices = choices
        super().__init__(choices=choices, **options)

    def validate(self, value: str) -> Iterator[faust.ValidationError]:
        if value not in self.choices:
            yield self.validation_error(f"{self.field} must be one of {', '.join(self.choices)}")


def test_a_kind_of_field_may_be_of_one_s_own() -> None:
    class Trade(faust.Record):
        side: str = ChoiceField(["buy", "sell"])  # type: ignore[assignment]

    assert Trade("buy").is_valid()
    assert [str(error) for error in Trade("hold").validate()] == ["side must be one of buy, sell"]
    assert Trade.side.options == {"choices": ["buy", "sell"]}  # type: ignore[attr-defined]


def test_the_fields_of_a_polymorphic_model_are_what_the_data_says() -> None:
    class Asset(faust.Record):
        url: str

    class Video(Asset):
        seconds: float

    class Page(faust.Record):
        assets: list[Asset]

    class Article(Page, polymorphic_fields=True):
        assets: list[Asset]

    assets = [Asset("a"), Video("v", 2.0)]
    assert Article.loads(Article(assets).dumps()).assets == assets
    assert [type(each) for each in Page.loads(Page(assets).dumps()).assets] == [Asset, Asset]


def test_white_space_is_trimmed_where_values_are_coerced() -> None:
    class User(faust.Record, coerce=True):
        name: str = StringField(trim_whitespace=True)  # type: ignore[assignment]

    assert User(" ann ").name == User.loads(b'{"name": "ann\\n"}').name == "ann"


def test_collections_need_not_say_of_what() -> None:
    class Request(faust.Record):
        arguments: typing.Sequence
        names: typing.Mapping

    request = Request.loads(b'{"arguments": [1, "a"], "names": {"b": 2}}')
    assert (request.arguments, request.names) == ([1, "a"], {"b": 2})


def test_a_model_of_a_script_has_the_name_that_others_import_it_by(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "shop" / "orders.py"), raising=False)
    order = type("Order", (faust.Record,), {"__module__": "__main__", "__annotations__": {"id": str}})
    assert order._options.namespace == "shop.orders.Order"  # type: ignore[attr-defined]


def test_a_model_can_be_looked_into() -> None:
    class Point(faust.Record):
        x: int
        y: int = 3

    options = Point._options
    assert (options.fields, options.fieldset, options.fieldpos) == ({"x": int, "y": int}, {"x", "y"}, {0: "x", 1: "y"})
    assert (options.optionalset, options.defaults) == ({"y"}, {"y": 3})


def test_a_restricted_pickle_makes_nothing_but_what_is_allowed() -> None:
    codec = codecs.get_codec("pickle_restricted")
    value = {"at": datetime(2020, 1, 1), "price": Decimal("1.5"), "who": {"ann"}}
    assert codec.loads(codec.dumps(value)) == value
    with pytest.raises(pickle.UnpicklingError, match=r"posix.system is not of RestrictedUnpickler.ALLOWED_CLASSES"):
        codec.loads(codecs.get_codec("pickle").dumps(os.system))


def test_packages_may_bring_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shout(codecs.Codec):
        def _dumps(self, obj: Any) -> bytes:
            return str(obj).upper().encode()

        def _loads(self, data: bytes) -> Any:
            return data.decode().lower()

    class Extension:
        name = "shout"

        def load(self) -> Any:
            return Shout

    monkeypatch.setattr(codecs, "entry_points", lambda group: [Extension()] if group == "faust.codecs" else [])
    monkeypatch.setattr(codecs, "codecs", dict(codecs.codecs))
    assert codecs.dumps("shout|binary", "hi") == b"SEk="


class Loud(FieldDescriptor[str]):
    """A field that prepares its values."""

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:
        prepared = super().prepare_value(value, coerce=coerce)
        return prepared.upper()


class Place(NamedTuple):
    x: int
    y: int = 0


class Sign(faust.Record, coerce=True, namespace="records.Sign"):
    text: str = Loud()  # type: ignore[assignment]
    at: Place = Place(0)


def test_a_field_prepares_its_values() -> None:
    assert (Sign("stop").text, Sign(3).text) == ("STOP", "3")  # type: ignore[arg-type]
    assert Sign.loads(b'{"text": "go", "at": [1, 2]}', serializer="json").asdict() == {"text": "GO", "at": Place(1, 2)}


def test_named_tuples_are_read_as_such() -> None:
    sign = Sign.loads(Sign("stop", Place(3)).dumps(serializer="json"), serializer="json")
    assert (type(sign.at), sign.at) == (Place, Place(3, 0))


def test_a_model_may_be_made_when_what_it_names_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Order(faust.Record, lazy_creation=True):
        lines: "list[Late]"  # type: ignore[name-defined]

    class Late(faust.Record):
        item: str

    monkeypatch.setitem(globals(), "Late", Late)
    Order.make_final()
    assert Order.from_data({"lines": [{"item": "tea"}]}).lines == [Late("tea")]


def test_a_field_is_cloned_and_makes_values_by_itself() -> None:
    class Paid(faust.Record, decimals=True):
        amount: Decimal = Decimal(1)

    field: Any = Paid.amount
    assert field.to_python("2.5") == Decimal("2.5")
    assert not field.should_coerce("2.5")
    other = field.clone(required=True, coerce=True)
    assert (other.field, other.required, other.should_coerce("2.5")) == ("amount", True, True)
    with pytest.raises(TopologyError, match=r"field\.tag is not part of"):
        StringField(tag=str)
