"""What annotations say about the values that flow: the types that internal topics and stores decode as.

Where a function makes new values (`map`, an agent, a joiner) its return annotation is the only thing that knows their
type before the first event; `type=` says it where there is none. An annotation that cannot be resolved says nothing.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from ottla.errors import TopologyError
from ottla.serdes import Codec, checked_state_codec_for

Selector = str | Callable[[Any], Any]
"""The name of a field, or a function of the event's value."""


def selected(selector: Selector, values: Codec[Any] | None = None) -> Callable[[Any], Any]:
    """The function behind a selector. A field is an attribute, or an item where the value is a dict; a null value has
    none. Raises `TopologyError` for what is no selector, and for a field that the `values` are known not to have."""
    check_selector(selector, values)
    if not isinstance(selector, str):
        return selector
    attribute = attrgetter(selector)

    def select(value: Any) -> Any:
        return None if value is None else value[selector] if isinstance(value, dict) else attribute(value)

    return select


def check_selector(selector: Selector, values: Codec[Any] | None) -> None:
    """Raises `TopologyError` for what is neither a field nor a function, and for a field that values of a Struct or
    dataclass do not have."""
    if not isinstance(selector, str):
        if not callable(selector):
            raise TopologyError(f"{selector!r} is neither the name of a field nor a function of the value")
        return
    type_ = None if values is None else values.type
    if not isinstance(type_, type) or hasattr(type_, selector):  # A property has no field.
        return
    if issubclass(type_, msgspec.Struct):
        fields = list(type_.__struct_fields__)
    elif dataclasses.is_dataclass(type_):
        fields = [field.name for field in dataclasses.fields(type_)]
    else:
        return
    if selector.partition(".")[0] not in fields:
        raise TopologyError(f"{type_.__name__} has no field {selector!r}; it has {', '.join(fields)}")


def check_hashable(what: str, keys: Codec[Any]) -> None:
    """Raises `TopologyError` for keys that no table or window can be kept by: Python cannot hash them."""
    type_ = get_origin(keys.type) or keys.type
    if not isinstance(type_, type):
        return
    mutable = issubclass(type_, msgspec.Struct) and not (type_.__struct_config__.frozen or "__hash__" in vars(type_))
    if mutable or type_.__hash__ is None:
        hint = "a tuple" if type_ is list else "a Struct with frozen=True" if type_ is dict else "frozen=True"
        raise TopologyError(f"{what}: keys of {type_.__name__} can be changed, and cannot be looked up; use {hint}")


def returned_type(function: Callable[..., Any]) -> Any:
    """The type that a function is annotated to return, the class itself for a class; None if nothing says it."""
    if isinstance(function, type):
        return function
    return _hints(function).get("return")


def argument_types(function: Callable[..., Any]) -> list[Any]:
    """The types that a function's arguments are annotated as, in their order; None for one of which nothing says it."""
    hints = _hints(function)
    return [hints.get(name) for name in inspect.signature(function).parameters]


def element_type(function: Callable[..., Any]) -> Any:
    """The type of what an iterator that the function returns yields; None if nothing says it."""
    arguments = get_args(returned_type(function))
    return arguments[0] if arguments else None


def selected_type(selector: Selector, values: Codec[Any] | None) -> Any:
    """The type of what a selector finds in values of a codec; None if nothing says it."""
    if not isinstance(selector, str):
        return returned_type(selector)
    return None if values is None else _hints(values.type).get(selector)


def value_codec(type_: Any) -> Codec[Any] | None:
    """The codec of values of a type that may be unknown."""
    return None if type_ is None else checked_state_codec_for(type_)


def _hints(thing: Any) -> Mapping[str, Any]:
    try:
        return get_type_hints(thing)
    except (TypeError, NameError, AttributeError):
        return {}
