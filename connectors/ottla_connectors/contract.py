"""What a connector plugin is: a `Source` that fills a topic, or a `Sink` that empties topics into a target.

The runtime drives plugins and owns everything about Kafka: transactions, positions, dead letters, restarts. A plugin
knows its own system alone, and the contract is small on purpose:

- A source yields batches, each with the position *after* it. The runtime writes rows and position in one transaction
  and hands the last position back when the task starts again.
- A sink commits a batch *and* the topic positions after it in one transaction of its target, and says at the start
  where it stands. An epoch that rises with every claim makes the target refuse a zombie.

Every class that an entry point names is called as `plugin(name, config)`: the connector's name and an instance of its
`config_type`. `tests/connectors/test_source_contract.py` and `test_sink_contract.py` hold each plugin to what is said
here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias

import msgspec


class Guarantee(Enum):
    """What a connector promises about each row, through crashes at any moment, with no setting for it."""

    EXACTLY_ONCE = "exactly once"
    """Neither lost nor doubled: a source resumes at the exact row, a sink commits rows and positions as one."""

    AT_LEAST_ONCE = "at least once"
    """Never lost; a crash may repeat the rows since the last position."""


Position: TypeAlias = dict[str, Any]
"""Where a source stands: a JSON object that only the source understands (Kafka Connect's source offset)."""


class TopicPartition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]


class Row(msgspec.Struct, frozen=True):
    """One row on its way between a topic and another system.

    `value` is what a JSON document can hold, a Struct or a dataclass. `timestamp_ms` is the event time in
    milliseconds since the epoch, None for a source that knows none. `origin` tells a person where the row stands,
    such as `flights.csv:12` or `delays-3@77`.
    """

    key: str | bytes | None
    value: Any
    timestamp_ms: int | None = None
    headers: Headers = ()
    origin: str = ""


class MalformedRow(msgspec.Struct, frozen=True):
    """Input that is no row: why, where, and its bytes. It goes to the dead-letter topic and never stops the rest."""

    reason: str
    origin: str
    data: bytes


class Batch(msgspec.Struct, frozen=True):
    """Rows in their order, the malformed ones apart, and the position after all of them."""

    rows: Sequence[Row]
    malformed: Sequence[MalformedRow]
    position: Position


class Claim(msgspec.Struct, frozen=True):
    """A sink task's hold on its partitions: the epoch to write with, and the next offset of those that have one."""

    epoch: int
    positions: Mapping[TopicPartition, int]


class Source(Protocol):
    """Reads one thing, such as a file or a table, in an order that does not change."""

    config_type: ClassVar[type[msgspec.Struct]]
    guarantee: ClassVar[Guarantee]

    def __init__(self, name: str, config: Any) -> None:
        """Raises ConfigError where the config contradicts itself. Touches nothing outside yet."""

    @property
    def partition(self) -> Mapping[str, str]:
        """What this source reads, Kafka Connect's source partition; with the connector's name it keys the position."""

    def read(self, position: Position | None) -> AsyncGenerator[Batch, None]:
        """Batches from after `position`, or from the start; ends where the input ends.

        Bounded: a batch fits in memory and in one transaction. May be called again, with any position it yielded
        earlier. Raises SourceError; ConfigError where the input contradicts the config.
        """


class Sink(Protocol):
    """Writes rows into one target, such as a table."""

    config_type: ClassVar[type[msgspec.Struct]]
    guarantee: ClassVar[Guarantee]

    def __init__(self, name: str, config: Any) -> None:
        """Raises ConfigError where the config contradicts itself. Touches nothing outside yet."""

    @property
    def row_type(self) -> Any:
        """The type that the runtime decodes each value into; a value that is not of it becomes a dead letter."""

    async def open(self) -> None:
        """Connects, makes the target ready. Raises SinkError; ConfigError where the target contradicts the config."""

    async def claim(self, partitions: Mapping[TopicPartition, str]) -> Claim:
        """Takes the partitions over: every earlier claim on any of them is fenced from here on, in the target itself.

        Each partition comes with the id of its topic. A position that was stored under another id belongs to a topic
        that has been deleted since, or to another cluster: it is forgotten, not returned.

        Called after `open`, and again when partitions are added. A sink that only guarantees AT_LEAST_ONCE may return
        no positions; the runtime then starts from the offsets of the consumer group.
        """

    async def write(self, rows: Sequence[Row], positions: Mapping[TopicPartition, int], epoch: int) -> None:
        """Commits the rows and the next offset of each partition they came from, as one; `rows` may be empty.

        Raises Fenced when `epoch` is not that of the last claim on each of `positions`, RowsRejected when the target
        refuses single rows, SinkUnavailable when it may work later. After any of these nothing of the call has taken
        effect.
        """

    async def close(self) -> None:
        """Releases what `open` took. Called once, also after an error."""
