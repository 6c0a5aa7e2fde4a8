"""`faust.Record`: models as Faust apps write them, and their serialized form, which is Faust's.

    class Order(faust.Record, isodates=True):
        account: str
        amount: float = 0.0

Options of the class: serializer, namespace, include_metadata, isodates, decimals, coerce, coercions, validation,
abstract, allow_blessed_key, polymorphic_fields, date_parser, lazy_creation. As in Faust no type is checked or
converted but where they say so; what is in serialized data beyond the fields is kept as attributes.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Self, Union, get_args, get_origin, get_type_hints

from ottla.faust.exceptions import ValidationError
from ottla.faust.missing import MODEL, Lacking
from ottla.faust.models.fields import CharField, Convert, FieldDescriptor, converter
from ottla.faust.utils import module_of

BLESSED_KEY = "__faust"

registry: dict[str, type[Record]] = {}
"""Models by namespace: those that serialized data may name."""


@dataclass
class ModelOptions(Lacking):
    """What a model's class statement says, and what was made of it."""

    _lacks = MODEL
    _called = "model"

    serializer: Any = None
    namespace: str = ""
    include_metadata: bool = True
    isodates: bool = False
    decimals: bool = False
    coerce: bool = False
    coercions: Mapping[Any, Convert] = field(default_factory=dict)
    validation: bool = False
    allow_blessed_key: bool = False
    polymorphic_fields: bool = False
    date_parser: Callable[[Any], datetime] | None = None
    lazy_creation: bool = False
    descriptors: dict[str, FieldDescriptor[Any]] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """The types of the fields."""
        return {name: each.type for name, each in self.descriptors.items()}

    @property
    def fieldset(self) -> frozenset[str]:
        return frozenset(self.descriptors)

    @property
    def fieldpos(self) -> dict[int, str]:
        """The fields by their place among positional arguments."""
        order = sorted(self.descriptors, key=lambda name: not self.descriptors[name].required)
        return dict(enumerate(order))

    @property
    def optionalset(self) -> frozenset[str]:
        return frozenset(name for name, each in self.descriptors.items() if not each.required)

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the fields that have one."""
        return {name: each.default for name, each in self.descriptors.items() if not each.required}


class Record:
    """A model with fields."""

    _options: ClassVar[ModelOptions] = ModelOptions()
    __is_abstract__: ClassVar[bool] = True

    def __init_subclass__(cls, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__()
        unknown = options.keys() - _SETTABLE
        if unknown:
            raise TypeError(f"{cls.__name__}: a Record has no option {min(unknown)!r}")
        given = {name: value for name, value in options.items() if value is not None}
        given["namespace"] = options.get("namespace") or f"{module_of(cls)}.{cls.__qualname__}"
        if given.get("validation"):
            given["coerce"] = True
        cls._options = replace(cls._options, **given, descriptors=dict(cls._options.descriptors))
        cls.__is_abstract__ = abstract
        if not (abstract or cls._options.lazy_creation):
            cls.make_final()

    @classmethod
    def make_final(cls) -> None:
        """Makes the fields of a model that was declared with `lazy_creation`: what their annotations name is there
        now."""
        cls._options.lazy_creation = False
        cls._options.descriptors = _descriptors(cls)
        registry[cls._options.namespace] = cls

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        cls = type(self)
        if cls.__is_abstract__:
            raise NotImplementedError(f"cannot instantiate abstract model {cls.__name__!r}")
        fields = cls._options.descriptors
        order = sorted(fields, key=lambda name: not fields[name].required)
        if len(args) > len(order):
            raise TypeError(f"{cls.__name__} takes {len(order)} fields, and {len(args)} were given")
        given = dict(zip(order, args, strict=False))
        twice = given.keys() & kwargs.keys()
        if twice:
            raise TypeError(f"{cls.__name__} got multiple values for field {min(twice)!r}")
        given |= kwargs
        if unknown := given.keys() - fields.keys():
            raise TypeError(f"{cls.__name__} has no field {min(unknown)!r}")
        missing = [name for name in order if fields[name].required and name not in given]
        if missing:
            raise TypeError(f"{cls.__name__} is missing the field {missing[0]!r}")
        coerce = cls._options.coerce
        for name, each in fields.items():
            value = given.get(name)
            if value is None and not each.required:
                value = each.default
            elif coerce and each.convert is not None and value is not None:
                value = each.convert(value)
            self.__dict__[name] = value
        self._made()

    @classmethod
    def from_data(cls, data: Any, *, preferred_type: Any = None) -> Any:
        """The model of deserialized data, or the one that the data names, where that is allowed."""
        if isinstance(data, Record):
            return data
        return (named_model(data, preferred_type) or cls)._load(data)

    @classmethod
    def _load(cls, data: Mapping[str, Any]) -> Self:
        if cls.__is_abstract__:
            raise TypeError(f"{cls.__name__} is abstract, and the data names no model")
        if not isinstance(data, Mapping):
            raise TypeError(f"{cls.__name__} is made of an object, not of {type(data).__name__}")
        self = cls.__new__(cls)
        values = self.__dict__
        known = int(BLESSED_KEY in data)
        for name, each in cls._options.descriptors.items():
            value = data.get(each.input_name)
            if value is not None:
                known += 1
                if each.convert is not None:
                    value = each.convert(value)
            elif each.input_name in data:
                known += 1
                value = each.default
            elif each.required:
                raise TypeError(f"{cls.__name__} is missing the field {each.input_name!r}")
            else:
                value = each.default
            values[name] = value
        if len(data) > known:
            fields = {BLESSED_KEY, *(each.input_name for each in cls._options.descriptors.values())}
            values.update((name, each) for name, each in data.items() if name not in fields)
        self._made()
        return self

    @classmethod
    def loads(cls, s: bytes, *, default_serializer: Any = None, serializer: Any = None) -> Any:
        """The model of serialized data."""
        from ottla.faust.serializers.codecs import get_codec

        return cls.from_data(get_codec(cls._options.serializer or serializer or default_serializer or "json").loads(s))

    def dumps(self, *, serializer: Any = None) -> bytes:
        """The serialized form."""
        from ottla.faust.serializers.codecs import get_codec

        return get_codec(self._options.serializer or serializer or "json").dumps(self.to_representation())

    def asdict(self) -> dict[str, Any]:
        """The fields by the names they are written under."""
        values = self.__dict__
        return {each.output_name: values[name] for name, each in self._options.descriptors.items() if not each.exclude}

    def to_representation(self) -> dict[str, Any]:
        """What is serialized: the fields, and the model's namespace."""
        data = self.asdict()
        if self._options.include_metadata:
            data[BLESSED_KEY] = {"ns": self._options.namespace}
        return data

    def derive(self, *objects: Record, **fields: Any) -> Self:
        """A copy, with the fields of other objects, and those given."""
        values = {name: self.__dict__[name] for name in self._options.descriptors}
        for each in objects:
            values |= {name: each.__dict__[name] for name in each._options.descriptors}
        return type(self)(**(values | fields))

    def validate(self) -> list[ValidationError]:
        """What is wrong with the fields."""
        values = self.__dict__
        fields = self._options.descriptors
        return [error for name, each in fields.items() for error in each.validate_all(values.get(name))]

    @property
    def validation_errors(self) -> list[ValidationError]:
        return self.validate()

    def is_valid(self) -> bool:
        return not self.validate()

    def validate_or_raise(self) -> None:
        """Raises the first `ValidationError`."""
        errors = self.validate()
        if errors:
            raise errors[0]

    def _made(self) -> None:
        """After the fields were set."""
        post_init = getattr(self, "__post_init__", None)
        if post_init is not None:
            post_init()
        if self._options.validation:
            self.validate_or_raise()

    def _key(self) -> tuple[Any, ...]:
        return tuple(self.__dict__[name] for name in self._options.descriptors)

    def __eq__(self, other: object) -> bool:
        return (
            self._key() == other._key() if isinstance(other, Record) and type(other) is type(self) else NotImplemented
        )

    def __lt__(self, other: Record) -> bool:
        return self._key() < other._key() if type(other) is type(self) else NotImplemented

    def __le__(self, other: Record) -> bool:
        return self._key() <= other._key() if type(other) is type(self) else NotImplemented

    def __gt__(self, other: Record) -> bool:
        return self._key() > other._key() if type(other) is type(self) else NotImplemented

    def __ge__(self, other: Record) -> bool:
        return self._key() >= other._key() if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"<{type(self).__name__}: {fields}>"


_SETTABLE = set(ModelOptions.__dataclass_fields__) - {"descriptors"}


def named_model(data: Any, preferred_type: Any = None) -> type[Record] | None:
    """The model that the data names, if the type that is expected lets it. Raises `KeyError` for one that is unknown
    where only the data says which it is."""
    if not isinstance(data, dict) or not isinstance(named := data.get(BLESSED_KEY), dict):
        return None
    open_to_any = preferred_type is None or preferred_type is Record
    model = registry[named["ns"]] if open_to_any else registry.get(named["ns"])
    if model is not None and (open_to_any or model._options.allow_blessed_key or model._options.polymorphic_fields):
        return model
    return None


def maybe_model(data: Any) -> Any:
    """The model that the data names, made of it; the data itself if it names none."""
    model = named_model(data) if isinstance(data, dict) and BLESSED_KEY in data else None
    return data if model is None else model._load(data)


def _descriptors(cls: type[Record]) -> dict[str, FieldDescriptor[Any]]:
    """A descriptor for each annotated field, inherited ones first."""
    try:
        hints = get_type_hints(cls, localns={cls.__name__: cls})
    except NameError as error:
        raise TypeError(f"{cls.__name__}: the annotation of a field cannot be resolved: {error}") from None
    own = inspect.get_annotations(cls)
    found: dict[str, FieldDescriptor[Any]] = {}
    with_default: str | None = None
    for name, type_ in hints.items():
        if get_origin(type_) is ClassVar or name in Record.__annotations__:
            continue
        inherited = cls._options.descriptors.get(name)
        given = cls.__dict__.get(name, inherited if inherited is not None else _NONE)
        if isinstance(given, FieldDescriptor):
            each = copy(given)
        else:
            each = FieldDescriptor[Any]() if given is _NONE else FieldDescriptor(default=given, required=False)
        if each.default is not None or _is_optional(type_):
            each.required = False
        if name in own:
            if given is _NONE and with_default is not None and not _is_optional(type_):
                raise TypeError(
                    f"{cls.__name__}: field {name!r} without a default follows {with_default!r}, which has one"
                )
            if given is not _NONE and not each.required:
                with_default = name
        each.attach(cls, name, type_)
        options = cls._options
        each.convert = converter(
            type_,
            partial(_model_converter, polymorphic=options.polymorphic_fields),
            coerce=options.coerce if each.coerce is None else each.coerce,
            isodates=options.isodates,
            decimals=options.decimals,
            coercions=options.coercions,
            date_parser=each.date_parser or options.date_parser,
        )
        if isinstance(each, CharField) and each.trim_whitespace and each.convert is not None:
            each.convert = _stripped(each.convert)
        each.convert = each.prepared()
        setattr(cls, name, each)
        found[name] = each
    return found


def _model_converter(type_: Any, *, polymorphic: bool) -> Convert | None:
    """What makes models of serialized ones: of the type, or where it is open or `polymorphic` of the one that the data
    names."""
    if get_origin(type_) in (Union, types.UnionType):
        models = [each for each in get_args(type_) if isinstance(each, type) and issubclass(each, Record)]
        return maybe_model if models else None
    if not issubclass(type_, Record):
        return None
    if type_.__is_abstract__:
        return maybe_model
    if polymorphic:
        return lambda data: data if isinstance(data, Record) else (named_model(data) or type_)._load(data)
    return lambda data: type_.from_data(data, preferred_type=type_)


def _stripped(convert: Convert) -> Convert:
    return lambda value: convert(value).strip()


def _is_optional(type_: Any) -> bool:
    return get_origin(type_) in (Union, types.UnionType) and type(None) in get_args(type_)


_NONE: Any = object()
