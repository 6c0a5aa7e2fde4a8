"""Runs a sink: batches of topic records become rows in a target, with the positions after them in the same transaction.

The target is the truth about what was written; the offsets of the consumer group only follow it, for lag tools and
for sinks that cannot store positions. Tasks do not join the group: partitions are assigned, and a claim in the target
fences whoever had them before. `Input` is the port to the broker: `kafka_input.py` implements it, `testing.py` in
memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from ottla_connectors.contract import Claim, Guarantee, Headers, Row, Sink, TopicPartition
from ottla_connectors.errors import RowsRejected
from ottla_connectors.runtime import dead_letters
from ottla_connectors.runtime.dead_letters import DeadLetter
from ottla_connectors.runtime.stopping import see_through


class Record(NamedTuple):
    """A record of a topic as a sink's input delivers it."""

    partition: TopicPartition
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None
    headers: Headers


class Polled(NamedTuple):
    """What one poll brought. `reached` holds, of partitions that were read to their end, the offset of that end.

    The end may lie past the last record, because the markers of transactions take offsets too.
    """

    records: Sequence[Record]
    reached: Mapping[TopicPartition, int]


class Input(Protocol):
    """Where a sink's records come from. Used by one runner, call after call."""

    async def open(self) -> None:
        """Connects."""

    async def partitions(self) -> Mapping[TopicPartition, str]:
        """The partitions that exist now, each with its topic's id. Raises BrokerUnavailable for a missing topic."""

    async def end_offsets(self) -> Mapping[TopicPartition, int]:
        """Where the committed records of each partition end now."""

    async def committed(self) -> Mapping[TopicPartition, int]:
        """The offsets of the consumer group, of partitions that have one."""

    async def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        """Reads from these offsets on, None being the start, and from no other partition."""

    async def poll(self, max_records: int) -> Polled:
        """Committed records, in order within a partition; returns soon when there is none.

        Raises BrokerError when an assigned offset no longer exists.
        """

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """Stores dead letters, durably when it returns."""

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commits offsets of the consumer group."""

    async def close(self) -> None:
        """Releases everything, within a bound. Called once, also after an error."""


class Sunk(msgspec.Struct, frozen=True):
    """What one write brought into the target, and where the topics stand after it."""

    rows: int
    malformed: int
    positions: Mapping[TopicPartition, int]


OnSunk = Callable[[Sunk], Awaitable[None]]
"""Awaited after each write."""


class SinkRunner:
    """Takes records from topics into a sink, to the end or for ever.

    `clock` returns seconds; every `refresh_s` the runner looks for partitions that were added to its topics.
    """

    def __init__(
        self,
        sink: Sink,
        source: Input,
        *,
        clock: Callable[[], float],
        on_sunk: OnSunk | None = None,
        batch_rows: int = 5_000,
        refresh_s: float = 30.0,
    ) -> None:
        self._sink = sink
        self._input = source
        self._clock = clock
        self._on_sunk = on_sunk
        self._batch_rows = batch_rows
        self._refresh_s = refresh_s
        self._decode = msgspec.json.Decoder(sink.row_type).decode
        self._epoch = 0
        self._positions: dict[TopicPartition, int] = {}

    async def run(self, *, until_end: bool) -> None:
        """With `until_end`, returns when everything is written that the topics held at the start; otherwise never.

        Raises what the sink or the input raises. Records that are not rows are dead-lettered before the rows of their
        batch are committed: a crash in between repeats a dead letter, it never loses one. A batch that is being
        written when this is cancelled is seen through (`stopping.py`), and told as any other.
        """
        try:
            await self._input.open()
            await self._sink.open()
            assigned = await self._take_over()
            ends = await self._input.end_offsets() if until_end else None
            refresh_at = self._clock() + self._refresh_s
            while ends is None or any(self._positions.get(partition, 0) < end for partition, end in ends.items()):
                polled = await self._input.poll(self._batch_rows)
                sunk = await see_through(self._advance(polled))
                if sunk is not None and self._on_sunk is not None:
                    await self._on_sunk(sunk)
                await asyncio.sleep(0)  # where it ends if it was cancelled meanwhile: an input need not wait
                if self._clock() >= refresh_at:
                    if await self._input.partitions() != assigned:
                        assigned = await self._take_over()
                    refresh_at = self._clock() + self._refresh_s
        finally:
            await see_through(self._close())

    async def _close(self) -> None:
        try:
            await self._input.close()
        finally:
            await self._sink.close()

    async def _take_over(self) -> Mapping[TopicPartition, str]:
        """Claims all partitions in the target and reads on from where it stands."""
        partitions = await self._input.partitions()
        claim = await self._sink.claim(partitions)
        self._epoch = claim.epoch
        self._positions = await self._starting_positions(claim)
        await self._input.assign({partition: self._positions.get(partition) for partition in partitions})
        return partitions

    async def _starting_positions(self, claim: Claim) -> dict[TopicPartition, int]:
        if self._sink.guarantee is Guarantee.EXACTLY_ONCE:
            return dict(claim.positions)
        return {**await self._input.committed(), **claim.positions}

    async def _advance(self, polled: Polled) -> Sunk | None:
        """Writes what was polled; None where nothing was."""
        after = dict(polled.reached)
        for record in polled.records:
            after[record.partition] = max(after.get(record.partition, 0), record.offset + 1)
        moved = {partition: offset for partition, offset in after.items() if self._positions.get(partition) != offset}
        if not moved:
            return None
        batch, letters = self._rows(polled.records)
        malformed = len(letters)
        while True:
            if letters:
                await self._input.bury(letters)
            try:
                await self._sink.write([row for row, _ in batch], moved, self._epoch)
                break
            except RowsRejected as refusal:
                reasons = dict(refusal.rejected)
                letters = [_letter(batch[index][1], reason) for index, reason in reasons.items()]
                batch = [pair for index, pair in enumerate(batch) if index not in reasons]
                malformed += len(letters)
        self._positions.update(moved)
        await self._input.commit(moved)
        return Sunk(len(batch), malformed, moved)

    def _rows(self, records: Sequence[Record]) -> tuple[list[tuple[Row, Record]], list[DeadLetter]]:
        decode = self._decode
        rows: list[tuple[Row, Record]] = []
        letters: list[DeadLetter] = []
        for record in records:
            if record.value is None:
                letters.append(_letter(record, "no value"))
                continue
            try:
                value: Any = decode(record.value)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                letters.append(_letter(record, str(error)))
                continue
            (topic, partition), offset = record.partition, record.offset
            origin = f"{topic}-{partition}@{offset}"
            rows.append((Row(record.key, value, record.timestamp_ms, record.headers, origin), record))
        return rows, letters


def _letter(record: Record, reason: str) -> DeadLetter:
    return dead_letters.from_topic(reason, record.partition, record.offset, record.key, record.value)
