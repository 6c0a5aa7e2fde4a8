"""The fields of a Record: what they are called, what serialized values become, what is valid.

A field of a class is a `FieldDescriptor`, which `group_by` takes; the field of an instance is a plain attribute.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from ottla.errors import TopologyError
from ottla.faust.exceptions import ValidationError
from ottla.faust.missing import FIELD, Lacking, refusal

T = TypeVar("T")

Convert = Callable[[Any], Any]


class FieldDescriptor(Lacking, Generic[T]):
    """A field of a model. `Order.account` is one; `order.account` is the value.

    Kinds of one's own say in `validate` what is wrong with a value; what they take besides goes to `options`.
    """

    _lacks = FIELD
    _called = "field"

    def __init__(
        self,
        *,
        default: T | None = None,
        required: bool = True,
        input_name: str = "",
        output_name: str = "",
        coerce: bool | None = None,
        exclude: bool = False,
        date_parser: Callable[[Any], datetime] | None = None,
        field: str = "",
        type: Any = None,  # noqa: A002 - Faust's name
        model: Any = None,
        **options: Any,
    ) -> None:
        if lacking := options.keys() & FIELD.keys():
            raise TopologyError(refusal("field", min(lacking), FIELD))
        self.default = default
        self.required = required
        self.input_name = input_name
        self.output_name = output_name
        self.coerce = coerce
        self.exclude = exclude
        self.date_parser = date_parser
        self.options = options
        self.field = field
        self.type = type
        self.model = model
        self.convert: Convert | None = None

    def __repr__(self) -> str:
        default = "" if self.required else f" = {self.default!r}"
        return f"<{type(self).__name__}: {self.ident}: {getattr(self.type, '__name__', self.type)}{default}>"

    def attach(self, model: Any, name: str, type_: Any) -> None:
        """The field is that of a model now."""
        self.model, self.field, self.type = model, name, type_
        self.input_name = self.input_name or name
        self.output_name = self.output_name or self.input_name

    def __get__(self, instance: object, owner: type) -> Any:
        # Not a data descriptor: the value in an instance's dict comes first, at the speed of a plain attribute.
        if instance is None:
            return self
        raise AttributeError(self.field)

    @property
    def ident(self) -> str:
        return f"{self.model.__name__}.{self.field}"

    def getattr(self, obj: Any) -> Any:
        """The field's value in an object."""
        return attrgetter(self.field)(obj)

    def __call__(self, obj: Any) -> Any:
        """The field's value as windows take a time, `table.relative_to_field(Order.ordered)`; it is in seconds."""
        value = self.getattr(obj)
        return round(value * 1000) if isinstance(value, (int, float)) else value

    def validate_all(self, value: Any) -> Iterator[ValidationError]:
        """What is wrong with a value: that there is none, its type, and what `validate` says."""
        if value is None:
            if self.required:
                yield self.validation_error(f"{self.field} is required")
            return
        expected = plain_type(self.type)
        if isinstance(expected, type) and not isinstance(value, (expected, int) if expected is float else expected):
            yield self.validation_error(
                f"{self.field} is not correct type for {self.ident}, got {type(value).__name__}"
            )
        else:
            yield from self.validate(value)

    def validate(self, value: T) -> Iterable[ValidationError]:  # noqa: ARG002 - kinds of fields use it
        """What is wrong with a value of the right type."""
        return ()

    def prepare_value(self, value: Any, *, coerce: bool | None = None) -> Any:  # noqa: ARG002 - kinds of fields use it
        """To be overridden: what becomes of a value that was read, or given where the model coerces."""
        return value

    def prepared(self) -> Convert | None:
        """What makes the field's value, `prepare_value` included where a kind of field has one of its own."""
        convert = self.convert
        if type(self).prepare_value is FieldDescriptor.prepare_value:
            return convert
        return lambda value: self.prepare_value(value if convert is None else convert(value))

    def to_python(self, value: Any) -> Any:
        """The field's value of a serialized one."""
        return value if value is None or self.convert is None else self.convert(value)

    def should_coerce(self, value: Any, coerce: bool | None = None) -> bool:
        """Whether a value is made of the field's type."""
        wanted = self.coerce if coerce is None else coerce
        return value is not None and bool(self.model._options.coerce if wanted is None else wanted)

    def as_dict(self) -> dict[str, Any]:
        """What the field was declared with."""
        names = ("field", "type", "model", "required", "default", "coerce", "exclude", "input_name", "output_name")
        return {**{name: getattr(self, name) for name in names}, "date_parser": self.date_parser, **self.options}

    def clone(self, **options: Any) -> FieldDescriptor[T]:
        """The field, with other options."""
        return type(self)(**{**self.as_dict(), **options})

    def validation_error(self, reason: str) -> ValidationError:
        """An error of this field, to be yielded by `validate`."""
        return ValidationError(reason, field=self)


class BooleanField(FieldDescriptor[bool]):
    """A bool."""


class NumberField(FieldDescriptor[T]):
    """A number within bounds."""

    def __init__(self, *, max_value: Any = None, min_value: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.max_value = max_value
        self.min_value = min_value

    def validate(self, value: Any) -> Iterator[ValidationError]:
        if self.max_value is not None and value > self.max_value:
            yield self.validation_error(f"{self.field} cannot be more than {self.max_value}")
        if self.min_value is not None and value < self.min_value:
            yield self.validation_error(f"{self.field} must be at least {self.min_value}")


class IntegerField(NumberField[int]):
    """An int within bounds."""


class FloatField(NumberField[float]):
    """A float within bounds."""


class DecimalField(NumberField[Decimal]):
    """A finite Decimal of so many digits."""

    def __init__(self, *, max_digits: int | None = None, max_decimal_places: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.max_digits = max_digits
        self.max_decimal_places = max_decimal_places

    def validate(self, value: Decimal) -> Iterator[ValidationError]:
        if not value.is_finite():
            yield self.validation_error(f"{self.field} must be finite")
            return
        yield from super().validate(value)
        digits, exponent = value.as_tuple().digits, value.as_tuple().exponent
        assert isinstance(exponent, int), "it is finite"
        if self.max_decimal_places is not None and -exponent > self.max_decimal_places:
            yield self.validation_error(f"{self.field} must have at most {self.max_decimal_places} decimal places")
        if self.max_digits is not None and len(digits) > self.max_digits:
            yield self.validation_error(f"{self.field} must have at most {self.max_digits} digits")


class CharField(FieldDescriptor[T]):
    """Text or bytes of some length."""

    def __init__(
        self,
        *,
        max_length: int | None = None,
        min_length: int | None = None,
        trim_whitespace: bool = False,
        allow_blank: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.max_length = max_length
        self.min_length = min_length
        self.trim_whitespace = trim_whitespace
        self.allow_blank = allow_blank

    def validate(self, value: Any) -> Iterator[ValidationError]:
        if not value and not self.allow_blank:
            yield self.validation_error(f"{self.field} cannot be left blank")
        if self.max_length is not None and len(value) > self.max_length:
            yield self.validation_error(f"{self.field} cannot be longer than {self.max_length}")
        if self.min_length is not None and len(value) < self.min_length:
            yield self.validation_error(f"{self.field} must be at least {self.min_length} long")


class StringField(CharField[str]):
    """A text of some length."""


class BytesField(CharField[bytes]):
    """Bytes of some length."""


class DatetimeField(FieldDescriptor[datetime]):
    """A datetime, written in ISO 8601."""


def converter(
    type_: Any,
    model: Callable[[Any], Convert | None],
    *,
    coerce: bool,
    isodates: bool,
    decimals: bool,
    coercions: Mapping[Any, Convert],
    date_parser: Callable[[Any], datetime] | None,
) -> Convert | None:
    """What makes a value of the type of a serialized one; None if it stays as it is. `model` knows the models."""

    def inner(of: Any) -> Convert | None:
        return converter(
            of, model, coerce=coerce, isodates=isodates, decimals=decimals, coercions=coercions, date_parser=date_parser
        )

    origin, arguments = get_origin(type_), get_args(type_)
    if origin in (Union, types.UnionType):
        options = [each for each in arguments if each is not type(None)]
        if len(options) > 1:
            return model(type_)
        return _unless_none(inner(options[0]))
    if origin is not None and isinstance(origin, type):
        return _of_collection(origin, arguments, inner)
    if not isinstance(type_, type):
        return None
    for of, convert in coercions.items():
        if issubclass(type_, of):
            return lambda value: value if isinstance(value, type_) else convert(value)
    if (found := model(type_)) is not None:
        return found
    if issubclass(type_, Enum):
        return type_
    if issubclass(type_, tuple) and hasattr(type_, "_fields"):
        return lambda value: value if isinstance(value, type_) else type_(*value)
    if type_ is datetime:
        return _parser(date_parser or datetime.fromisoformat) if isodates or coerce or date_parser else None
    if type_ is Decimal:
        return Decimal if decimals or coerce else None
    if coerce and type_ in (int, float, bool):
        return type_
    if coerce and type_ is str:
        return lambda value: value.decode() if isinstance(value, bytes) else str(value)
    if coerce and type_ is bytes:
        return lambda value: value.encode() if isinstance(value, str) else bytes(value)
    return None


def _of_collection(origin: type, arguments: tuple[Any, ...], inner: Callable[[Any], Convert | None]) -> Convert | None:
    if issubclass(origin, Mapping):
        key, value = (inner(each) for each in arguments or (Any, Any))
        if key is None and value is None:
            return None
        keep = _same
        return lambda data: {(key or keep)(name): (value or keep)(each) for name, each in data.items()}
    if issubclass(origin, tuple):
        if not arguments or arguments[1:] == (Ellipsis,):
            every = (inner(arguments[0]) if arguments else None) or _same
            return lambda data: tuple(map(every, data))
        each_of = [inner(each) or _same for each in arguments]
        return lambda data: tuple(convert(each) for convert, each in zip(each_of, data, strict=True))
    element = inner(arguments[0]) if arguments else None
    make = origin if issubclass(origin, (set, frozenset, list)) else list
    if element is None and make is list:
        return None
    return lambda data: make(map(element or _same, data))


def plain_type(type_: Any) -> Any:
    """The class that values of the type are of; None where that is more than one."""
    origin = get_origin(type_)
    if origin in (Union, types.UnionType):
        options = [each for each in get_args(type_) if each is not type(None)]
        return plain_type(options[0]) if len(options) == 1 else None
    return type_ if origin is None else origin


def _parser(parse: Callable[[Any], datetime]) -> Convert:
    return lambda value: value if isinstance(value, datetime) else parse(value)


def _unless_none(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda value: None if value is None else convert(value)


def _same(value: Any) -> Any:
    return value
