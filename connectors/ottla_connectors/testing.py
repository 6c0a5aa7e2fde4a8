"""A broker in memory for the runtime, with crashes where a test wants them, and a sink in memory.

`MemoryBroker` keeps topics, positions and group offsets; a `MemoryOutput` or `MemoryInput` is the runtime's port to
it in one life of a task. `Crashes` is asked before and after every step that changes something, so that a test can
kill a task between any two of them and start the next one on what is left.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec

from ottla_connectors.contract import Batch, Claim, Guarantee, MalformedRow, Position, Row, TopicPartition
from ottla_connectors.errors import Fenced
from ottla_connectors.runtime.dead_letters import DeadLetter
from ottla_connectors.runtime.sink_runner import Polled, Record
from ottla_connectors.runtime.source_runner import Written


class Crash(Exception):  # noqa: N818
    """The process of a task dies here."""


class Crashes:
    """Raises `Crash` at the steps with these numbers, counted through all lives of a task."""

    def __init__(self, steps: Collection[int] = ()) -> None:
        self._steps = frozenset(steps)
        self.passed = 0

    def step(self) -> None:
        """One more step. Raises Crash if it is one to die at."""
        self.passed += 1
        if self.passed - 1 in self._steps:
            raise Crash(f"at step {self.passed - 1}")


@dataclass
class MemoryBroker:
    """Topics with one partition each, whose records are what transactions committed."""

    records: dict[str, list[Row]] = field(default_factory=dict)
    dead_letters: list[MalformedRow | DeadLetter] = field(default_factory=list)
    positions: dict[str, Position] = field(default_factory=dict)
    owners: dict[str, int] = field(default_factory=dict)
    group_offsets: dict[TopicPartition, int] = field(default_factory=dict)


class MemoryOutput:
    """A source's output into a `MemoryBroker`. See `source_runner.Output`."""

    def __init__(self, broker: MemoryBroker, connector: str, topic: str, crashes: Crashes | None = None) -> None:
        self._broker = broker
        self._connector = connector
        self._topic = topic
        self._crashes = crashes or Crashes()
        self._epoch = 0

    async def open(self) -> Position | None:
        """See `Output.open`."""
        self._crashes.step()
        self._epoch = self._broker.owners[self._connector] = self._broker.owners.get(self._connector, 0) + 1
        self._crashes.step()
        return self._broker.positions.get(self._connector)

    async def write(self, batch: Batch) -> Written:
        """See `Output.write`. The whole transaction takes effect between two steps."""
        self._crashes.step()
        if self._broker.owners[self._connector] != self._epoch:
            raise Fenced(f"a newer task of {self._connector!r} has taken over")
        self._broker.records.setdefault(self._topic, []).extend(batch.rows)
        self._broker.dead_letters.extend(batch.malformed)
        self._broker.positions[self._connector] = batch.position
        self._crashes.step()
        return Written(len(batch.rows), len(batch.malformed), batch.position)

    async def close(self) -> None:
        """See `Output.close`."""


class MemoryInput:
    """A sink's input from topics of a `MemoryBroker`, whose rows it delivers as JSON. See `sink_runner.Input`."""

    def __init__(self, broker: MemoryBroker, topics: Sequence[str], crashes: Crashes | None = None) -> None:
        self._broker = broker
        self._topics = topics
        self._crashes = crashes or Crashes()
        self._next: dict[TopicPartition, int] = {}

    async def open(self) -> None:
        """See `Input.open`."""
        self._crashes.step()

    async def partitions(self) -> Mapping[TopicPartition, str]:
        """See `Input.partitions`. A topic's id is its name."""
        return {TopicPartition(topic, 0): topic for topic in self._topics if topic in self._broker.records}

    async def end_offsets(self) -> Mapping[TopicPartition, int]:
        """See `Input.end_offsets`."""
        return {partition: len(self._broker.records[partition.topic]) for partition in self._next}

    async def committed(self) -> Mapping[TopicPartition, int]:
        """See `Input.committed`."""
        return dict(self._broker.group_offsets)

    async def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        """See `Input.assign`."""
        self._next = {partition: offset or 0 for partition, offset in positions.items()}

    async def poll(self, max_records: int) -> Polled:
        """See `Input.poll`."""
        self._crashes.step()
        records: list[Record] = []
        reached: dict[TopicPartition, int] = {}
        for partition, offset in self._next.items():
            rows = self._broker.records[partition.topic]
            taken = rows[offset : offset + max_records - len(records)]
            for at, row in enumerate(taken, offset):
                key = row.key.encode() if isinstance(row.key, str) else row.key
                value = None if row.value is None else msgspec.json.encode(row.value)
                records.append(Record(partition, at, key, value, row.timestamp_ms, row.headers))
            self._next[partition] = offset + len(taken)
            if self._next[partition] == len(rows):
                reached[partition] = len(rows)
        return Polled(records, reached)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """See `Input.bury`."""
        self._crashes.step()
        self._broker.dead_letters.extend(letters)
        self._crashes.step()

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Input.commit`."""
        self._crashes.step()
        self._broker.group_offsets.update(positions)
        self._crashes.step()

    async def close(self) -> None:
        """See `Input.close`."""


@dataclass
class MemoryTable:
    """What a `MemorySink` writes into; outlives it."""

    rows: list[Row] = field(default_factory=list)
    positions: dict[TopicPartition, tuple[str, int]] = field(default_factory=dict)
    epochs: dict[TopicPartition, int] = field(default_factory=dict)
    epoch: int = 0


class MemorySinkConfig(msgspec.Struct):
    """The config of a `MemorySink`: the table itself."""

    table: Any


class MemorySink:
    """A sink into a `MemoryTable`. See `contract.Sink`."""

    config_type: ClassVar[type[msgspec.Struct]] = MemorySinkConfig
    guarantee: ClassVar[Guarantee] = Guarantee.EXACTLY_ONCE

    def __init__(self, name: str, config: MemorySinkConfig, crashes: Crashes | None = None) -> None:
        self._name = name
        self._table: MemoryTable = config.table
        self._crashes = crashes or Crashes()

    @property
    def row_type(self) -> Any:
        """See `Sink.row_type`: whatever JSON holds."""
        return Any

    async def open(self) -> None:
        """See `Sink.open`."""

    async def claim(self, partitions: Mapping[TopicPartition, str]) -> Claim:
        """See `Sink.claim`."""
        self._crashes.step()
        table = self._table
        table.epoch += 1
        table.epochs.update(dict.fromkeys(partitions, table.epoch))
        kept = {
            partition: table.positions[partition][1]
            for partition, topic_id in partitions.items()
            if table.positions.get(partition, ("", 0))[0] == topic_id
        }
        self._topic_ids = dict(partitions)
        self._crashes.step()
        return Claim(table.epoch, kept)

    async def write(self, rows: Sequence[Row], positions: Mapping[TopicPartition, int], epoch: int) -> None:
        """See `Sink.write`."""
        self._crashes.step()
        if any(self._table.epochs.get(partition) != epoch for partition in positions):
            raise Fenced(f"a newer task of {self._name!r} has taken over")
        self._table.rows.extend(rows)
        for partition, offset in positions.items():
            self._table.positions[partition] = (self._topic_ids[partition], offset)
        self._crashes.step()

    async def close(self) -> None:
        """See `Sink.close`."""
