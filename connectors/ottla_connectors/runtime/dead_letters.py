"""Dead letters: input that became no row, kept in a topic with the reason and the place it came from.

The headers are those of the engine's dead letters, so that one tool shows and replays both.
"""

from __future__ import annotations

from typing import NamedTuple

from ottla_connectors.contract import Headers, MalformedRow, TopicPartition
from ottla_connectors.runtime.broker import RECORD_MAX_BYTES

_REASON_MAX_CHARACTERS = 8_000


class DeadLetter(NamedTuple):
    """A record of a dead-letter topic. What is longer than a record may be has lost its end."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def dead_letter_topic(connector: str) -> str:
    """The name of a connector's dead-letter topic."""
    return f"{connector}-dead-letter"


def from_source(row: MalformedRow) -> DeadLetter:
    """The dead letter of input that a source could not make a row of."""
    origin = ("ottla.origin.position", row.origin.encode())
    return DeadLetter(None, row.data[:RECORD_MAX_BYTES], (*_reason(row.reason), origin))


def from_topic(
    reason: str, partition: TopicPartition, offset: int, key: bytes | None, value: bytes | None
) -> DeadLetter:
    """The dead letter of a record that a sink could not write."""
    origin = (
        ("ottla.origin.topic", partition.topic.encode()),
        ("ottla.origin.partition", str(partition.partition).encode()),
        ("ottla.origin.offset", str(offset).encode()),
    )
    return DeadLetter(key, None if value is None else value[:RECORD_MAX_BYTES], (*_reason(reason), *origin))


def _reason(reason: str) -> Headers:
    return (
        ("ottla.error.reason", reason[:_REASON_MAX_CHARACTERS].encode(errors="replace")),
        ("ottla.error.type", MalformedRow.__name__.encode()),
    )
