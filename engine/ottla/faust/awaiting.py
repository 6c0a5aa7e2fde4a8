"""`filter` and `group_by` with async functions: an agent before the step awaits them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, get_type_hints

import ottla
from ottla.agents.agent import AgentDecorator


class Keyed(NamedTuple):
    """A value with its key to be."""

    key: Any
    value: Any


def filtered(stream: ottla.Stream[Any], function: Callable[[Any], Awaitable[Any]]) -> ottla.Stream[Any]:
    """The events for whose value the function is true."""

    async def passing(values: ottla.Stream[Any]) -> AsyncIterator[Any]:
        async for value in values:
            if await function(value):
                yield value

    name = stream.graph.unique(f"{stream.step}.filter")
    return AgentDecorator(stream.graph, stream, None, name=name, results=stream.value_codec)(passing).stream


def grouped(
    stream: ottla.Stream[Any], function: Callable[[Any], Awaitable[Any]], name: str | None, partitions: int | None
) -> ottla.Stream[Any]:
    """The events under the keys that the function gives, in the partitions of those."""

    async def keying(values: ottla.Stream[Any]) -> AsyncIterator[Any]:
        async for value in values:
            yield Keyed(await function(value), value)

    label = name or stream.graph.unique(f"{stream.step.removeprefix('topic.')}-by-{function.__name__}")
    keyed = AgentDecorator(stream.graph, stream, None, name=f"{label}.key")(keying).stream
    placed = keyed.select_key(lambda each: each.key, type=get_type_hints(function).get("return"))
    values = placed.map(lambda each: each.value)
    written: ottla.Stream[Any] = ottla.Stream(
        values.graph, values.step, values.key_codec, stream.value_codec, scattered=True
    )
    return written.repartition(name=label, partitions=partitions)
