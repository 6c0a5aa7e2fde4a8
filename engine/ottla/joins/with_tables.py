"""Joins of a stream with tables as they are declared: what may be joined with what, and the steps that this makes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from ottla.errors import TopologyError
from ottla.hints import Selector, returned_type, selected, value_codec
from ottla.joins.stream_table import Joiner, StreamTableJoin, TableJoin
from ottla.joins.waiting import waiting_spec
from ottla.relations import View
from ottla.tables import GlobalTable, Table, TableSource, VersionedTable
from ottla.time import Duration, duration_ms

if TYPE_CHECKING:
    from ottla.stream import Stream

How = Literal["inner", "left"]


def join_table(
    stream: Stream[Any],
    table: Table[Any, Any] | View[Any, Any],
    joiner: Joiner,
    *,
    left: bool,
    key: Selector | None,
    grace: Duration,
    name: str | None,
    type_: Any,
) -> Stream[Any]:
    """Adds the step of a join with a table and returns the stream of its results."""
    kind = "left_join" if left else "join"
    grace_ms = duration_ms(grace, "a join's grace")
    if isinstance(table, GlobalTable):
        if table.home is not stream.graph:
            raise TopologyError(f"{kind}: {stream!r} and {table!r} belong to two apps")
        if key is None:
            stream.check_keys(table, kind)
    elif key is not None:
        raise TopologyError(
            f"{kind} with {table!r}: only a global table can be joined by another key than the event's, for it is on "
            f"every worker; declare it as one, or give the events that key first: .group_by({key!r})"
        )
    elif isinstance(table, View) or table.graph is not None or stream.scattered:
        stream.check_meets(table, kind)
    if grace_ms and not isinstance(table, VersionedTable):
        raise TopologyError(
            f"{kind} with {table!r}: grace= needs a table that knows its past; declare it with versioned=, "
            "for at least as long"
        )
    join = TableJoin(table, joiner, left, None if key is None else selected(key, stream.value_codec), grace_ms=grace_ms)
    step = name or stream.graph.unique(f"{stream.step}.{kind}.{table.name}")
    return _add(stream, kind, step, join, type_, own_table=False)


def join_as_of(
    stream: Stream[Any],
    other: Table[Any, Any] | Stream[Any],
    joiner: Joiner,
    *,
    how: How,
    tolerance: Duration | None,
    allow_exact_matches: bool,
    grace: Duration,
    retention: Duration,
    name: str | None,
    type_: Any,
) -> Stream[Any]:
    """Adds the steps of an as-of join and returns the stream of its results."""
    if how not in ("inner", "left"):
        raise TopologyError(f'join_asof: how={how!r} is unknown; it is "inner" or "left"')
    tolerance_ms = None if tolerance is None else duration_ms(tolerance, "join_asof(tolerance=)")
    grace_ms = duration_ms(grace, "a join's grace")
    if isinstance(other, VersionedTable):
        if other.source is not None:
            stream.check_meets(other, "join_asof")
        table, step = other, name or stream.graph.unique(f"{stream.step}.join_asof.{other.name}")
    elif isinstance(other, Table):
        raise TopologyError(f"join_asof with {other!r} needs a table that knows its past; declare it with versioned=")
    else:
        own, others = (each.step.removeprefix("topic.") for each in (stream, other))
        step = name or stream.graph.unique(f"{own}-asof-{others}")
        needed_ms = grace_ms + (tolerance_ms or 0)
        table = _past(stream, other, step, max(duration_ms(retention, "join_asof(retention=)"), needed_ms, 1))
    join = TableJoin(
        table,
        joiner,
        left=how == "left",
        tolerance_ms=tolerance_ms,
        exact=allow_exact_matches,
        grace_ms=grace_ms,
    )
    return _add(stream, "join_asof", step, join, type_, own_table=table is not other)


def _past(stream: Stream[Any], other: Stream[Any], step: str, retention_ms: int) -> VersionedTable[Any, Any]:
    """Adds the step that keeps what the other stream had for each key, under the join's name."""
    stream.check_meets(other, "join_asof")
    name = f"{step}-past"
    table: VersionedTable[Any, Any] = VersionedTable(
        stream.graph.app_id, name, other.key_codec, other.known_values("join_asof"), retention_ms=retention_ms
    )
    stream.graph.add(
        name,
        "table",
        lambda context, _: TableSource(context, name, name),
        parents=(other.step,),
        stores=(table.spec,),
        owner=_owner(step),
    )
    return table


def _add(stream: Stream[Any], kind: str, step: str, join: TableJoin, type_: Any, *, own_table: bool) -> Stream[Any]:
    """Adds the step of a join, with the store of what waits, and with that of the table if it is the join's own."""
    table, graph = join.table, stream.graph
    stores = (table.spec,) if own_table and isinstance(table, Table) else ()
    if join.grace_ms:
        if isinstance(table, VersionedTable) and join.grace_ms > table.retention_ms:
            raise TopologyError(
                f"{kind} with {table!r}: its past of {timedelta(milliseconds=table.retention_ms)} must be at least the "
                f"grace of {timedelta(milliseconds=join.grace_ms)}; declare it with a longer versioned="
            )
        waiting = f"{step.removeprefix('topic.')}-waiting"
        values = stream.known_values(f"{kind} with grace")
        stores = (*stores, waiting_spec(graph.app_id, waiting, stream.key_codec, values))
        join = replace(join, waiting=waiting)
    graph.add(
        step,
        kind,
        lambda context, name: StreamTableJoin(context, name, join),
        parents=(stream.step,),
        stores=stores,
        reads=table.specs() if isinstance(table, View) else (),
        tables=() if own_table or isinstance(table, View | GlobalTable) else (table,),
        functions=(join.joiner,) if join.key is None else (join.joiner, join.key),
        detail=f"grace {timedelta(milliseconds=join.grace_ms)}" if join.grace_ms else "",
        owner=_owner(step),
    )
    return stream.behind(step, value_codec(type_ if type_ is not None else returned_type(join.joiner)))


def _owner(step: str) -> str:
    return f"join {step!r}"
