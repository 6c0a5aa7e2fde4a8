"""Named aggregations: what `aggregate("hourly", flights=count(), worst=maximum("delay"))` computes per window.

A definition is compiled once into two functions, `update` and `result`, whose source is written for exactly its
aggregations: per event there is one call, no loop over the aggregations and no reflection. State is a tuple and never
changed in place, so that an update that raises leaves the old state as it was.

`sum`, `mean`, `minimum` and `maximum` take a field's name or a function of the value, and leave out events for which it
is None, as SQL does. Their `type` is what a restart decodes the state as; it is needed for what msgpack does not tell
apart by itself, like Decimal and date.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

import msgspec

from ottla.errors import ConfigError, TopologyError
from ottla.hints import Selector, returned_type

State = tuple[Any, ...]
"""The newest timestamp in the window, then the slots of each aggregation."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One aggregation as source text. In the text `{x}` is the selected value (None: leave the event out), `{0}`, `{1}`
    the aggregation's own slots, `{value}` the event's value and `{function}`, `{initial}` the user's callables.

    `first` makes the slots from the first event, `then` from the slots and the next event, `result` the answer.
    """

    kind: str
    first: tuple[str, ...]
    then: tuple[str, ...]
    result: str
    slot_types: tuple[Any, ...]
    result_type: Any
    selector: Selector | None = None
    function: Callable[[Any, Any], Any] | None = None
    initial: Callable[[], Any] | None = None


def count() -> Aggregation:
    """How many events."""
    return Aggregation("count", ("1",), ("{0} + 1",), "{0}", (int,), int)


def sum(selector: Selector, *, type: Any = Any) -> Aggregation:  # noqa: A001, A002 - named for what users know
    """The sum of a field; 0 if no event has it."""
    return Aggregation(
        "sum",
        ("0 if {x} is None else 0 + {x}",),
        ("{0} if {x} is None else {0} + {x}",),
        "{0}",
        (type,),
        type,
        _checked(selector, "sum"),
    )


def mean(selector: Selector, *, type: Any = Any) -> Aggregation:  # noqa: A002 - as in reduce
    """The arithmetic mean of a field; None if no event has it."""
    return Aggregation(
        "mean",
        ("0 if {x} is None else 0 + {x}", "0 if {x} is None else 1"),
        ("{0} if {x} is None else {0} + {x}", "{1} if {x} is None else {1} + 1"),
        "{0} / {1} if {1} else None",
        (type, int),
        Any,
        _checked(selector, "mean"),
    )


def minimum(selector: Selector, *, type: Any = Any) -> Aggregation:  # noqa: A002 - as in reduce
    """The smallest value of a field; None if no event has it."""
    return _extreme("minimum", "<", selector, type)


def maximum(selector: Selector, *, type: Any = Any) -> Aggregation:  # noqa: A002 - as in reduce
    """The largest value of a field; None if no event has it."""
    return _extreme("maximum", ">", selector, type)


def reduce(
    function: Callable[[Any, Any], Any],
    initial: Any = msgspec.UNSET,
    *,
    type: Any = None,  # noqa: A002 - the word users know from topics and tables
) -> Aggregation:
    """Folds events with `function(so_far, value)`.

    Begins with `initial`, which is called if it is callable (`list`, `dict`, a lambda), or else with the first value.
    `type` is what a restart decodes the state as; without it the annotated return type of `function` or the type of
    `initial` is used. The function must return a new object or be given one it may change: state is kept by reference.
    """
    resolved = type if type is not None else _reduced_type(function, initial)
    given = initial is not msgspec.UNSET
    return Aggregation(
        "reduce",
        ("{function}({initial}(), {value})" if given else "{value}",),
        ("{function}({0}, {value})",),
        "{0}",
        (resolved,),
        resolved,
        function=function,
        initial=(initial if callable(initial) else lambda: initial) if given else None,
    )


def _extreme(kind: str, wins: str, selector: Selector, type_: Any) -> Aggregation:
    then = f"{{0}} if {{x}} is None else {{x}} if {{0}} is None or {{x}} {wins} {{0}} else {{0}}"
    slot = type_ if type_ is Any else type_ | None
    return Aggregation(kind, ("{x}",), (then,), "{0}", (slot,), slot, _checked(selector, kind))


def _checked(selector: Selector, kind: str) -> Selector:
    if isinstance(selector, str) and (not selector.isidentifier() or iskeyword(selector)):
        raise ConfigError(f"{kind}({selector!r}): a field name is an identifier; use a function for anything else")
    if not isinstance(selector, str) and not callable(selector):
        raise ConfigError(f"{kind}({selector!r}) takes a field name or a function of the value")
    return selector


def _reduced_type(function: Callable[[Any, Any], Any], initial: Any) -> Any:
    annotated = returned_type(function)
    if annotated is not None:
        return annotated
    if isinstance(initial, type):
        return initial
    if initial is msgspec.UNSET or callable(initial):
        raise TopologyError(
            "reduce cannot see the type of its state: annotate the function's return type or give type="
        )
    return initial.__class__


@dataclass(frozen=True, slots=True)
class Compiled:
    """An aggregate definition as two functions.

    `update(state or None, value, timestamp)` returns the next state, whose first slot is the newest timestamp; it
    raises what the user's selectors and functions raise. `result(state)` returns an instance of `result_type`, a
    frozen Struct with a field per aggregation.
    """

    update: Callable[[State | None, Any, int], State]
    result: Callable[[State], Any]
    state_type: Any
    result_type: type[msgspec.Struct]


def compile_aggregations(name: str, aggregations: Mapping[str, Aggregation]) -> Compiled:
    """Writes and compiles the functions of a definition. `name` is the step's, for tracebacks and the result's
    class."""
    if not aggregations:
        raise TopologyError(f"aggregate({name!r}) computes nothing: name at least one aggregation, like events=count()")
    scope: dict[str, Any] = {}
    selected: list[str] = []
    first: list[str] = ["timestamp"]
    then: list[str] = ["timestamp if timestamp > newest else newest"]
    results: list[str] = []
    slots: list[str] = []
    slot_types: list[Any] = [int]
    for index, (field, aggregation) in enumerate(aggregations.items()):
        if not isinstance(aggregation, Aggregation):
            raise TopologyError(
                f"aggregate({name!r}): {field}={aggregation!r} is no aggregation; use count(), mean(...)"
            )
        own = [f"s{len(slots) + offset}" for offset in range(len(aggregation.then))]
        words = {"x": f"x{index}", "value": "value", "function": f"function{index}", "initial": f"initial{index}"}
        scope |= {words["function"]: aggregation.function, words["initial"]: aggregation.initial}
        if isinstance(aggregation.selector, str):
            selected.append(
                f"{words['x']} = None if value is None else value[{aggregation.selector!r}]"
                f" if isinstance(value, dict) else value.{aggregation.selector}"
            )
        elif aggregation.selector is not None:
            scope[f"select{index}"] = aggregation.selector
            selected.append(f"{words['x']} = select{index}(value)")
        first += [text.format(*own, **words) for text in aggregation.first]
        then += [text.format(*own, **words) for text in aggregation.then]
        results.append(aggregation.result.format(*own, **words))
        slots += own
        slot_types += aggregation.slot_types
    scope["Result"] = result_type = _result_type(name, aggregations)
    lines = [
        "def update(state, value, timestamp):",
        *(f"    {line}" for line in selected),
        "    if state is None:",
        f"        return ({', '.join(first)},)",
        f"    newest, {', '.join(slots)} = state",
        f"    return ({', '.join(then)},)",
        "",
        "def result(state):",
        f"    _, {', '.join(slots)} = state",
        f"    return Result({', '.join(results)})",
    ]
    source = "\n".join(lines)
    file = f"<ottla aggregate {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), scope)
    return Compiled(scope["update"], scope["result"], tuple[tuple(slot_types)], result_type)  # type: ignore[misc]


def _result_type(name: str, aggregations: Mapping[str, Aggregation]) -> type[msgspec.Struct]:
    words = "".join(word.capitalize() for word in name.replace("-", "_").split("_"))
    class_name = words if words.isidentifier() else "Aggregate"
    return msgspec.defstruct(
        class_name, [(field, each.result_type) for field, each in aggregations.items()], frozen=True
    )
