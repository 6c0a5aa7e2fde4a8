"""Which tables a function uses, read from its code.

A task must hold its stores before its first event, as in Kafka Streams, where stores are connected to processors by
hand. Here the function's code says it: global names, closures and defaults that are tables, also in the functions
of the same top-level package that it calls, and in the attributes of objects it refers to. What is reached in other
ways (a table passed through a dict, say) is named with `uses=`.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ottla.tables import Table

_MOST_FUNCTIONS = 2_000


def tables_used_by(functions: Iterable[Callable[..., Any]]) -> list[Table[Any, Any]]:
    """The tables that the functions refer to, in the order in which they are found."""
    found: dict[int, Table[Any, Any]] = {}
    seen: set[int] = set()
    pending: list[Any] = list(functions)
    home = {_package(getattr(function, "func", function)) for function in pending}
    while pending and len(seen) < _MOST_FUNCTIONS:
        thing = pending.pop(0)
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, Table):
            found[id(thing)] = thing
        elif isinstance(thing, types.FunctionType):
            if _package(thing) in home:
                pending += _references(thing)
        elif isinstance(thing, types.MethodType):
            pending += [thing.__func__, thing.__self__]
        elif isinstance(thing, functools.partial):
            pending += [thing.func, *thing.args, *thing.keywords.values()]
        elif not isinstance(thing, types.ModuleType) and _package(type(thing)) in home:
            pending += [*getattr(thing, "__dict__", {}).values(), *vars(type(thing)).values()]
        elif isinstance(thing, type) and _package(thing) in home:
            pending += vars(thing).values()
    return list(found.values())


def names_in(function: Callable[..., Any]) -> set[str]:
    """The global names and attributes that a function's code mentions, inner functions included."""
    code = getattr(function, "__code__", None)
    return set() if code is None else {name for each in _codes(code) for name in each.co_names}


def _references(function: types.FunctionType) -> Iterator[Any]:
    names = names_in(function)
    for name in sorted(names & function.__globals__.keys()):
        thing = function.__globals__[name]
        if isinstance(thing, types.ModuleType):
            yield from (vars(thing)[attribute] for attribute in sorted(names & vars(thing).keys()))
        else:
            yield thing
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # Not assigned yet: a function that refers to itself while it is being decorated.
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _package(thing: Any) -> str | None:
    module = getattr(thing, "__module__", None)
    return module.partition(".")[0] if isinstance(module, str) else None
