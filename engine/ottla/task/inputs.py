"""The order in which a task takes the events of its inputs: by timestamp between inputs, by offset within one.

As Kafka Streams' `PartitionGroup`: the input whose next event has the smallest timestamp goes first, and an input
with nothing buffered that is not known to be at its end holds the others back. Here an input is taken in runs, as
long as its timestamps do not exceed the heads of the others, so that batches stay large.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ottla.task.batch import Batch
from ottla.task.operators import Source
from ottla.transport.contract import Message


@dataclass(slots=True)
class _Chunk:
    """What one `add` brought, decoded, and how far it was taken. `failures` are the rows that could not be decoded."""

    batch: Batch
    failures: dict[int, Exception]
    newest: int
    taken: int = 0


class Run(NamedTuple):
    """Events to be processed now, all of one input: those of `batch` but for the `failures`, by row."""

    input: Input
    batch: Batch
    failures: dict[int, Exception]


class Input:
    """The buffered events of one input partition."""

    def __init__(self, topic: str, source: Source, *, record_by_record: bool) -> None:
        self.topic = topic
        self.source = source
        self.record_by_record = record_by_record
        self.buffered = 0
        self._chunks: deque[_Chunk] = deque()

    def add(self, messages: Sequence[Message]) -> None:
        """Takes messages in offset order and decodes them."""
        if messages:
            batch, failures = self.source.decode(messages)
            self._chunks.append(_Chunk(batch, failures, max(batch.timestamps)))
            self.buffered += len(messages)

    @property
    def head(self) -> int:
        """The timestamp of the next event. There must be one."""
        chunk = self._chunks[0]
        return chunk.batch.timestamps[chunk.taken]

    def take(self, limit: int | None, most: int | None = None) -> Run:
        """The next events of one chunk up to the first whose timestamp is above the limit, at least one event, and
        `most` at most.
        """
        chunk = self._chunks[0]
        timestamps = chunk.batch.timestamps
        start, end = chunk.taken, len(timestamps)
        if limit is not None and chunk.newest > limit:
            row = start + 1
            while row < end and timestamps[row] <= limit:
                row += 1
            end = row
        if most is not None:
            end = min(end, start + most)
        if end == len(timestamps):
            self._chunks.popleft()
        else:
            chunk.taken = end
        self.buffered -= end - start
        failures = chunk.failures
        if failures:
            failures = {row - start: error for row, error in failures.items() if start <= row < end}
        return Run(self, chunk.batch.slice(start, end), failures)


def next_run(inputs: Sequence[Input], caught_up: Collection[str], most: int | None = None) -> Run | None:
    """The events to take next, `most` at most, or None while nothing may be taken. Among equal timestamps the earlier
    input goes first.
    """
    ready: list[tuple[int, int]] = []
    for rank, each in enumerate(inputs):
        if each.buffered:
            ready.append((each.head, rank))
        elif each.topic not in caught_up:
            return None
    if not ready:
        return None
    ready.sort()
    first = inputs[ready[0][1]]
    if len(ready) == 1:
        return first.take(None, most)
    timestamp, rank = ready[1]
    return first.take(timestamp if ready[0][1] < rank else timestamp - 1, most)
