"""Named aggregations: what `aggregate("hourly", flights=count(), worst=maximum("delay"))` computes per window.

A definition is compiled once into functions, `update`, `merge` and `result`, whose source is written for exactly its
aggregations: per event there is one call, no loop over the aggregations and no reflection. State is a tuple and never
changed in place, so that an update that raises leaves the old state as it was.

All but `count` and `reduce` take a field's name or a function of the value, and leave out events for which it is None,
as SQL does. Their `type` is what a restart decodes the state as; it is needed for what msgpack does not tell
apart by itself, like Decimal and date.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from keyword import iskeyword
from operator import itemgetter
from typing import Any

import msgspec

from ottla.errors import ConfigError, TopologyError
from ottla.hints import Selector, check_selector, returned_type, selected
from ottla.serdes import Codec

_CALLED = ("function", "initial", "merger", "remover")
"""What the text of an aggregation may call, by the names of its fields."""

State = tuple[Any, ...]
"""The newest timestamp in the window, then the slots of each aggregation."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One aggregation as source text. In the text `{x}` is the selected value (None: leave the event out), `{0}`, `{1}`
    the aggregation's own slots, `{other0}`, `{other1}` those of a later window, `timestamp` and `{value}` the event's,
    and `{function}`, `{initial}`, `{merger}` the user's callables.

    `first` makes the slots from the first event, `then` from the slots and the next event, `merge` from the slots of
    two sessions that become one, `result` the answer. `undo` makes what the slots were without an event that is in
    them. Without `merge` there are no sessions, without `undo` no tables whose values change. `calls` are functions of
    the user's that are called by one of ours.
    """

    kind: str
    first: tuple[str, ...]
    then: tuple[str, ...]
    merge: tuple[str, ...]
    result: str
    slot_types: tuple[Any, ...]
    result_type: Any
    selector: Selector | None = None
    function: Callable[[Any, Any], Any] | None = None
    initial: Callable[[], Any] | None = None
    merger: Callable[[Any, Any], Any] | None = None
    undo: tuple[str, ...] = ()
    remover: Callable[[Any, Any], Any] | None = None
    calls: tuple[Selector | None, ...] = ()

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The user's functions that it calls."""
        given = (self.selector, self.function, self.initial, self.merger, self.remover, *self.calls)
        return [each for each in given if callable(each) and not _is_ours(each)]


def count() -> Aggregation:
    """How many events."""
    return Aggregation("count", ("1",), ("{0} + 1",), ("{0} + {other0}",), "{0}", (int,), int, undo=("{0} - 1",))


def sum(selector: Selector, *, type: Any = Any) -> Aggregation:  # noqa: A001, A002 - named for what users know
    """The sum of a field; 0 if no event has it."""
    return Aggregation(
        "sum",
        ("0 if {x} is None else 0 + {x}",),
        ("{0} if {x} is None else {0} + {x}",),
        ("{0} + {other0}",),
        "{0}",
        (type,),
        type,
        _checked(selector, "sum"),
        undo=("{0} if {x} is None else {0} - {x}",),
    )


def mean(selector: Selector, *, type: Any = Any) -> Aggregation:  # noqa: A002 - as in reduce
    """The arithmetic mean of a field; None if no event has it."""
    return Aggregation(
        "mean",
        ("0 if {x} is None else 0 + {x}", "0 if {x} is None else 1"),
        ("{0} if {x} is None else {0} + {x}", "{1} if {x} is None else {1} + 1"),
        ("{0} + {other0}", "{1} + {other1}"),
        "{0} / {1} if {1} else None",
        (type, int),
        Any,
        _checked(selector, "mean"),
        undo=("{0} if {x} is None else {0} - {x}", "{1} if {x} is None else {1} - 1"),
    )


def minimum(selector: Selector, *, type: Any = Any) -> Aggregation:  # noqa: A002 - as in reduce
    """The smallest value of a field; None if no event has it."""
    return _extreme("minimum", "<", selector, type)


def maximum(selector: Selector, *, type: Any = Any) -> Aggregation:  # noqa: A002 - as in reduce
    """The largest value of a field; None if no event has it."""
    return _extreme("maximum", ">", selector, type)


def first(selector: Selector | None = None, *, type: Any = Any) -> Aggregation:  # noqa: A002 - as in reduce
    """A field of the earliest event that has it, or its value; None if no event has it. Of equal times the first that
    came."""
    return _at_one_end("first", "timestamp < {0}", "{other0} < {0}", selector, type)


def last(selector: Selector | None = None, *, type: Any = Any) -> Aggregation:  # noqa: A002 - as in reduce
    """A field of the latest event that has it, or its value; None if no event has it. Of equal times the last that
    came."""
    return _at_one_end("last", "timestamp >= {0}", "{other0} >= {0}", selector, type)


def collect(
    selector: Selector | None = None,
    *,
    limit: int | None = None,
    distinct: bool = False,
    type: Any = Any,  # noqa: A002 - as in reduce
) -> Aggregation:
    """The values of a field, or the events' values, in a list: as they came, and of sessions that become one those of
    the earlier first.

    With `distinct` a value that is in the list already is left out, and with `limit` what comes when it is full.
    """
    if limit is not None and limit < 1:
        raise ConfigError(f"collect(limit={limit}) collects nothing: it is at least 1")
    full = "" if limit is None else f" or len({{0}}) >= {limit}"
    known = " or {x} in {0}" if distinct else ""
    return Aggregation(
        "collect",
        ("[] if {x} is None else [{x}]",),
        (f"{{0}} if {{x}} is None{full}{known} else [*{{0}}, {{x}}]",),
        ("{merger}({0}, {other0})",),
        "list({0})",
        (list[type],),
        list[type],
        _whole if selector is None else _checked(selector, "collect"),
        merger=partial(_joined, limit, distinct),
        undo=() if limit is not None or distinct else ("{0} if {x} is None else {remover}({0}, {x})",),
        remover=_without,
    )


def top(most: int, selector: Selector, *, of: Selector | None = None, type: Any = Any) -> Aggregation:  # noqa: A002
    """The largest values of a field, `most` of them, the largest first; or what `of` finds in the events that have
    them. Of equal ones those that came first."""
    if most < 1:
        raise ConfigError(f"top({most}) keeps nothing: it is at least 1")
    by, given = selected(_checked(selector, "top")), None if of is None else selected(_checked(of, "top"))

    def ranked(value: Any) -> Any:
        rank = by(value)
        return None if rank is None else (rank, rank if given is None else given(value))

    return Aggregation(
        "top",
        ("[] if {x} is None else [{x}]",),
        ("{0} if {x} is None else {function}({0}, {x})",),
        ("{merger}({0}, {other0})",),
        "[each[1] for each in {0}]",
        (list[tuple[Any, type]],),
        list[type],
        ranked,
        function=partial(_ranked_in, most),
        merger=partial(_highest, most),
        calls=(selector, of),
    )


def reduce(
    function: Callable[[Any, Any], Any],
    initial: Any = msgspec.UNSET,
    *,
    type: Any = None,  # noqa: A002 - the word users know from topics and tables
    merge: Callable[[Any, Any], Any] | None = None,
    remove: Callable[[Any, Any], Any] | None = None,
) -> Aggregation:
    """Folds events with `function(so_far, value)`.

    Begins with `initial`, which is called if it is callable (`list`, `dict`, a lambda), or else with the first value.
    None is no state: what comes after it, a first null value or a function that returned it, begins again. `type` is
    what a restart decodes the state as; without it the annotated return type of `function` or the type of `initial` is
    used. `merge(earlier, later)` makes the state of one session of those of two; without `initial` it is
    `function`. `remove(so_far, value)` takes a value out again, which is needed where the values of a table are
    aggregated. The functions must return a new object and leave what they are given as it is.
    """
    resolved = _or_none(type if type is not None else _reduced_type(function, initial))
    given = initial is not msgspec.UNSET
    begun = "{function}({initial}(), {value})" if given else "{value}"
    merged = "{other0} if {0} is None else {0} if {other0} is None else {merger}({0}, {other0})"
    return Aggregation(
        "reduce",
        (begun,),
        (f"{begun} if {{0}} is None else {{function}}({{0}}, {{value}})",),
        (merged,) if merge is not None or not given else (),
        "{0}",
        (resolved,),
        resolved,
        function=function,
        initial=(initial if callable(initial) else lambda: initial) if given else None,
        merger=merge if given or merge is not None else function,
        undo=() if remove is None else ("None if {0} is None else {remover}({0}, {value})",),
        remover=remove,
    )


def _is_ours(function: Callable[..., Any]) -> bool:
    return getattr(getattr(function, "func", function), "__module__", None) == __name__


def _joined(limit: int | None, distinct: bool, earlier: list[Any], later: list[Any]) -> list[Any]:
    joined = [*earlier, *(each for each in later if not distinct or each not in earlier)]
    return joined if limit is None else joined[:limit]


def _without(values: list[Any], value: Any) -> list[Any]:
    """The list without the first of the values that are equal to one."""
    place = values.index(value)
    return [*values[:place], *values[place + 1 :]]


def _ranked_in(most: int, ranking: list[Any], ranked: Any) -> list[Any]:
    """The ranking with one more, which comes after those of its rank."""
    place = len(ranking)
    while place and ranking[place - 1][0] < ranked[0]:
        place -= 1
    return ranking if place >= most else [*ranking[:place], ranked, *ranking[place : most - 1]]


def _highest(most: int, earlier: list[Any], later: list[Any]) -> list[Any]:
    return sorted([*earlier, *later], key=itemgetter(0), reverse=True)[:most]


def _whole(value: Any) -> Any:
    return value


def _at_one_end(kind: str, wins: str, other_wins: str, selector: Selector | None, type_: Any) -> Aggregation:
    taken = f"{{x}} is not None and ({{0}} is None or {wins})"
    merged = f"{{other0}} is not None and ({{0}} is None or {other_wins})"
    slot = _or_none(type_)
    return Aggregation(
        kind,
        ("None if {x} is None else timestamp", "{x}"),
        (f"timestamp if {taken} else {{0}}", f"{{x}} if {taken} else {{1}}"),
        (f"{{other0}} if {merged} else {{0}}", f"{{other1}} if {merged} else {{1}}"),
        "{1}",
        (int | None, slot),
        slot,
        _whole if selector is None else _checked(selector, kind),
    )


def _extreme(kind: str, wins: str, selector: Selector, type_: Any) -> Aggregation:
    then = f"{{0}} if {{x}} is None else {{x}} if {{0}} is None or {{x}} {wins} {{0}} else {{0}}"
    merge = f"{{0}} if {{other0}} is None else {{other0}} if {{0}} is None or {{other0}} {wins} {{0}} else {{0}}"
    slot = _or_none(type_)
    return Aggregation(kind, ("{x}",), (then,), (merge,), "{0}", (slot,), slot, _checked(selector, kind))


def _or_none(type_: Any) -> Any:
    return type_ if type_ is Any else type_ | None


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


Fold = Callable[
    [
        Iterable[tuple[Any, Any, int]],
        dict[Any, State],
        Callable[[Any], State | None],
        Callable[[int, Exception], None],
    ],
    None,
]


@dataclass(frozen=True, slots=True)
class Compiled:
    """An aggregate definition as functions.

    `update(state or None, value, timestamp)` returns the next state, whose first slot is the newest timestamp.
    `fold(events, written, before, failed)` does that for many (key, value, timestamp) with one call: it puts the next
    state of each key into `written`, where the one so far may be; if not, `before` is asked for it. `failed(row,
    error)` is called for an event that raises, which leaves no trace.
    `merge(earlier, later)` that of two sessions; `undo(state, value, timestamp)` the state without a value that is in
    it. The last two are None if an aggregation has no way to do that. All raise what the user's selectors and functions
    raise. `result(state)` returns an instance of `result_type`, a frozen Struct with a field per aggregation.
    """

    update: Callable[[State | None, Any, int], State]
    fold: Fold
    merge: Callable[[State, State], State] | None
    undo: Callable[[State, Any, int], State] | None
    result: Callable[[State], Any]
    state_type: Any
    result_type: type[msgspec.Struct]


def compile_aggregations(
    name: str, aggregations: Mapping[str, Aggregation], values: Codec[Any] | None = None
) -> Compiled:
    """Writes and compiles the functions of a definition. `name` is the step's, for tracebacks and the result's class.
    Raises `TopologyError` for a field that the `values` are known not to have."""
    if not aggregations:
        raise TopologyError(f"aggregate({name!r}) computes nothing: name at least one aggregation, like events=count()")
    scope: dict[str, Any] = {}
    selected_values: list[str] = []
    first: list[str] = ["timestamp"]
    then: list[str] = ["timestamp if timestamp > newest else newest"]
    merged: list[str] = ["max(newest, other_newest)"]
    undone: list[str] = [then[0]]
    results: list[str] = []
    slots: list[str] = []
    slot_types: list[Any] = [int]
    for index, (field, aggregation) in enumerate(aggregations.items()):
        if not isinstance(aggregation, Aggregation):
            raise TopologyError(
                f"aggregate({name!r}): {field}={aggregation!r} is no aggregation; use count(), mean(...)"
            )
        for selector in (aggregation.selector, *aggregation.calls):
            if selector is not None:
                check_selector(selector, values)
        own = [f"s{len(slots) + offset}" for offset in range(len(aggregation.then))]
        words = {word: f"{word}{index}" for word in ("x", *_CALLED)} | {"value": "value"}
        words |= {f"other{offset}": f"other_{slot}" for offset, slot in enumerate(own)}
        scope |= {words[word]: getattr(aggregation, word) for word in _CALLED}
        if isinstance(aggregation.selector, str):
            selected_values.append(
                f"{words['x']} = None if value is None else value[{aggregation.selector!r}]"
                f" if isinstance(value, dict) else value.{aggregation.selector}"
            )
        elif aggregation.selector is not None:
            scope[f"select{index}"] = aggregation.selector
            selected_values.append(f"{words['x']} = select{index}(value)")
        first += [text.format(*own, **words) for text in aggregation.first]
        then += [text.format(*own, **words) for text in aggregation.then]
        merged += [text.format(*own, **words) for text in aggregation.merge]
        undone += [text.format(*own, **words) for text in aggregation.undo]
        results.append(aggregation.result.format(*own, **words))
        slots += own
        slot_types += aggregation.slot_types
    scope["Result"] = result_type = _result_type(name, aggregations)
    lines = [
        "def update(state, value, timestamp):",
        *(f"    {line}" for line in selected_values),
        "    if state is None:",
        f"        return ({', '.join(first)},)",
        f"    newest, {', '.join(slots)} = state",
        f"    return ({', '.join(then)},)",
        "",
        "def fold(events, written, before, failed):",
        "    find = written.get",
        "    for row, (key, value, timestamp) in enumerate(events):",
        "        try:",
        *(f"            {line}" for line in selected_values),
        "            state = find(key)",
        "            if state is None:",
        "                state = before(key)",
        "            if state is None:",
        f"                state = ({', '.join(first)},)",
        "            else:",
        f"                newest, {', '.join(slots)} = state",
        f"                state = ({', '.join(then)},)",
        "            written[key] = state",
        "        except Exception as error:",
        "            failed(row, error)",
        "",
        "def merge(state, other):",
        f"    newest, {', '.join(slots)} = state",
        f"    other_newest, {', '.join(f'other_{slot}' for slot in slots)} = other",
        f"    return ({', '.join(merged)},)",
        "",
        "def undo(state, value, timestamp):",
        *(f"    {line}" for line in selected_values),
        f"    newest, {', '.join(slots)} = state",
        f"    return ({', '.join(undone)},)",
        "",
        "def result(state):",
        f"    _, {', '.join(slots)} = state",
        f"    return Result({', '.join(results)})",
    ]
    source = "\n".join(lines)
    file = f"<ottla aggregate {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), scope)
    merge = scope["merge"] if all(each.merge for each in aggregations.values()) else None
    undo = scope["undo"] if all(each.undo for each in aggregations.values()) else None
    state_type: Any = tuple[tuple(slot_types)]  # type: ignore[misc]
    return Compiled(scope["update"], scope["fold"], merge, undo, scope["result"], state_type, result_type)


def describe_aggregations(aggregations: Mapping[str, Aggregation]) -> str:
    """What is computed, as text that stays the same as long as what it means does."""
    return ", ".join(
        f"{name}={each.kind}({each.selector if isinstance(each.selector, str) else ''})"
        for name, each in aggregations.items()
    )


def _result_type(name: str, aggregations: Mapping[str, Aggregation]) -> type[msgspec.Struct]:
    words = "".join(word.capitalize() for word in name.replace("-", "_").split("_"))
    class_name = words if words.isidentifier() else "Aggregate"
    fields = [(field, each.result_type) for field, each in aggregations.items()]
    # What holds nothing but numbers is in no cycle, and there are many of these.
    collectable = any(type_ not in (int, float) for _, type_ in fields)
    return msgspec.defstruct(class_name, fields, frozen=True, gc=collectable)
