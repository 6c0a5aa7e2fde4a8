"""What is declared with a function is called as the function is, unless it is given a name."""

from __future__ import annotations

from ottla.errors import TopologyError


def name_of(what: str, function: object, name: str | None = None) -> str:
    """The name of what is declared with the function. Raises `TopologyError` for what is no function, or has no name of
    its own, as a `functools.partial` has none."""
    if not callable(function):
        raise TopologyError(f"{what} is made of a function, not of {function!r}")
    found = name if name is not None else getattr(function, "__name__", None)
    if not isinstance(found, str) or not found:
        raise TopologyError(f"{what} needs a name, and {function!r} has none of its own: give it name=")
    return found
