"""What becomes of an event that failed: the policy, and the dead letter with its reason and origin.

A dead letter keeps the key, value, timestamp and headers of the message it was, so that replaying it is sending it back
to `ottla.origin.topic`. Its headers, all UTF-8:

    ottla.error.reason, ottla.error.type                         what was raised
    ottla.error.stack                                            ... by a user's function: where
    ottla.error.step                                             the step of the topology that raised it
    ottla.origin.topic, .partition, .offset                      where it came from; absent for what no one message made
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Literal

from ottla.batch import Batch
from ottla.errors import ConfigError, EventError
from ottla.origins import JoinedMessages
from ottla.transport.contract import Headers, Message, OutputRecord

OnError = Literal["dead_letter", "skip", "fail"]

_STACK_CHARACTERS = 8_000
_LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """What becomes of an event that cannot be decoded, or whose processing raised.

    An agent's event is tried again `retries` times, after `backoff_s` before the first retry and twice as long
    before each next one, 60 s at most; then `on_error` decides. Operators (`map`, `filter`, joins, aggregations)
    are functions of their arguments and are not retried.
    """

    on_error: OnError = "dead_letter"
    retries: int = 0
    backoff_s: float = 0.1

    def __post_init__(self) -> None:
        if self.on_error not in ("dead_letter", "skip", "fail"):
            raise ConfigError(f'on_error={self.on_error!r} is unknown; it is "dead_letter", "skip" or "fail"')
        if self.retries < 0:
            raise ConfigError(f"retries must not be negative, it is {self.retries}")

    def backoff_before(self, retry: int) -> float:
        """Seconds to wait before a retry; the first is 1."""
        return min(self.backoff_s * 2.0 ** min(retry - 1, 30), _LONGEST_BACKOFF_S)


def dead_letters(topic: str, step: str, error: BaseException, batch: Batch, row: int) -> list[OutputRecord]:
    """The records that keep a failed event, or each of the events it was made of, and why it failed."""
    origin = batch.origins[row]
    messages = origin.messages if isinstance(origin, JoinedMessages) else (origin,)
    reason = _reason(step, error)
    letters = [_letter(topic, message, reason) for message in messages if message is not None]
    if None in messages:
        value = repr(batch.values[row]).encode(errors="replace")
        letters.append(OutputRecord(topic, None, value, batch.timestamps[row], reason))
    return letters


def _reason(step: str, error: BaseException) -> Headers:
    headers: Headers = [
        ("ottla.error.reason", describe_error(error).encode(errors="replace")),
        ("ottla.error.type", type(error).__qualname__.encode()),
        ("ottla.error.step", step.encode()),
    ]
    if not isinstance(error, EventError):
        stack = "".join(traceback.format_exception(error))[-_STACK_CHARACTERS:]
        headers.append(("ottla.error.stack", stack.encode(errors="replace")))
    return headers


def _letter(topic: str, origin: Message, reason: Headers) -> OutputRecord:
    headers = [
        *reason,
        ("ottla.origin.topic", origin.topic().encode()),
        ("ottla.origin.partition", b"%d" % origin.partition()),
        ("ottla.origin.offset", b"%d" % origin.offset()),
        *(origin.headers() or ()),
    ]
    return OutputRecord(topic, origin.key(), origin.value(), max(origin.timestamp()[1], 0), headers)


def describe_origin(batch: Batch, row: int) -> str:
    """Where an event came from, for a sentence."""
    origin = batch.origins[row]
    if origin is None:
        return f"a derived event with key {batch.keys[row]!r}"
    return f"the event at {origin.topic()}[{origin.partition()}] offset {origin.offset()}"


def describe_error(error: BaseException) -> str:
    """An error's text with its type, for a sentence."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
