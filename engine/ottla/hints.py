"""What annotations say about the values that flow: the types that internal topics and stores decode as.

Where a function makes new values (`map`, an agent, a joiner) its return annotation is the only thing that knows their
type before the first event; `type=` says it where there is none. An annotation that cannot be resolved says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, get_args, get_type_hints

from ottla.serdes import Codec, checked_state_codec_for

Selector = str | Callable[[Any], Any]
"""The name of a field, or a function of the event's value."""


def selected(selector: Selector) -> Callable[[Any], Any]:
    """The function behind a selector. A field is an attribute, or an item where the value is a dict; a null value has
    none."""
    if not isinstance(selector, str):
        return selector
    attribute = attrgetter(selector)

    def select(value: Any) -> Any:
        return None if value is None else value[selector] if isinstance(value, dict) else attribute(value)

    return select


def returned_type(function: Callable[..., Any]) -> Any:
    """The type that a function is annotated to return, the class itself for a class; None if nothing says it."""
    if isinstance(function, type):
        return function
    return _hints(function).get("return")


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
