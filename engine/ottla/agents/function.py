"""What a function must be for `@app.agent` to make an agent of it."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from typing import Any, get_origin

from ottla.errors import TopologyError
from ottla.hints import argument_types
from ottla.stream import Stream


def check_function(agent: str, function: Callable[..., Any]) -> None:
    """Raises `TopologyError`, before an event has to fail for it, if it cannot be called with one argument."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)  # A decorator may give it further arguments.
    except ValueError:  # a builtin that does not tell
        return
    try:
        signature.bind(None)
    except TypeError:
        raise TopologyError(
            f"agent {agent!r}: its function takes one argument, the stream if it is async, else a value; "
            f"this one takes {signature}"
        ) from None


def check_kind(agent: str, function: Callable[..., Any], *, over_stream: bool, values: Any) -> None:
    """Raises `TopologyError` if what the function's argument is annotated as is what the other kind of agent gets:
    a value where the function is async and does not iterate, a stream where it is not async."""
    annotated = next(iter(argument_types(function)), None)
    if over_stream and values is not Any and annotated == values and not _iterates(function):
        raise TopologyError(
            f"agent {agent!r}: an async function is given the stream, and not each "
            f"{getattr(annotated, '__name__', annotated)}: read it with `async for`, or make it a plain function"
        )
    if not over_stream and (get_origin(annotated) or annotated) is Stream:
        raise TopologyError(
            f"agent {agent!r}: a plain function is given each value, and not the stream: make it async, and read the "
            "stream with `async for`"
        )


def _iterates(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    return code is None or any(each.opname == "GET_AITER" for each in dis.get_instructions(code))
