"""Runs a source: each batch and the position after it become one commit of an output.

`Output` is the port to the broker: `kafka_output.py` implements it with transactions, `testing.py` in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

import msgspec

from ottla_connectors.contract import Batch, Position, Source
from ottla_connectors.runtime.stopping import see_through


class Written(msgspec.Struct, frozen=True):
    """What one commit added: rows in the topic, malformed ones among the dead letters, and the position after them."""

    rows: int
    malformed: int
    position: Position


class Output(Protocol):
    """Where a source's batches go. Used by one runner, call after call."""

    async def open(self) -> Position | None:
        """Fences earlier outputs of this connector, and only then says where they ended."""

    async def write(self, batch: Batch) -> Written:
        """Commits rows, dead letters and position as one. Raises ConnectorError, and then none of it took effect.

        The one exception is a connection lost while the commit was on its way: then the next `open` says what happened.
        """

    async def close(self) -> None:
        """Releases everything, within a bound. Called once, also after an error."""


OnWritten = Callable[[Written], Awaitable[None]]
"""Awaited after each commit; as long as it does not return, the source is held."""


class SourceRunner:
    """Takes a source from the last committed position to the end of its input."""

    def __init__(self, source: Source, output: Output, on_written: OnWritten | None = None) -> None:
        self._source = source
        self._output = output
        self._on_written = on_written

    async def run(self) -> None:
        """Returns when the input ends. Raises what the source or the output raises.

        A batch that is being written when this is cancelled is seen through (`stopping.py`), and told as any other.
        """
        try:
            position = await self._output.open()
            async with aclosing(self._source.read(position)) as batches:
                async for batch in batches:
                    written = await see_through(self._output.write(batch))
                    if self._on_written is not None:
                        await self._on_written(written)
                    await asyncio.sleep(0)  # where it ends if it was cancelled meanwhile: a source need not wait
        finally:
            await see_through(self._output.close())
