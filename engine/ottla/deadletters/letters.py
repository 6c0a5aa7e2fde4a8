"""The dead letter: what it keeps of an event that failed, and how that is read again.

A letter keeps the key, value, timestamp and headers of the message it was, so that replaying it is sending it back
to `ottla.origin.topic`. Before the message's own headers it has these, all text:

    ottla.error.kind                            deserialization, processing or production
    ottla.error.reason, ottla.error.type        what was raised
    ottla.error.stack                           ... by a user's function: where
    ottla.error.step                            the step of the topology that failed
    ottla.error.time                            when, in milliseconds since the epoch
    ottla.origin.timestamp                      the event's time, where the letter's topic takes none that is so far off
    ottla.letter.left_out                       the size of the value, where it was too large to be kept
    ottla.origin.topic, .partition, .offset     where it came from; absent for what no one message made
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from ottla.deadletters.policy import FailureKind
from ottla.errors import EventError
from ottla.task.batch import Batch
from ottla.task.origins import JoinedMessages
from ottla.transport.contract import ANY_TIME, Headers, Message, OutputRecord, TopicSpec

_STACK_CHARACTERS = 8_000
_LEFT_OUT = "ottla.letter.left_out"
_TIMESTAMP = "ottla.origin.timestamp"
_LAST_OF_OURS = "ottla.origin.offset"


def dead_letter_topic(name: str) -> TopicSpec:
    """The topic of an app's dead letters.

    Letters have the times of their events, which may be of any age: none is deleted for it, nor refused for being ahead
    of the clock.
    """
    return TopicSpec(name, 1, {"cleanup.policy": "delete", "retention.ms": "-1", **ANY_TIME})


def dead_letters(
    topic: str,
    kind: FailureKind,
    step: str,
    error: BaseException,
    batch: Batch,
    row: int,
    *,
    now_ms: int,
    max_bytes: int,
    takes_time: Callable[[str, int], bool] = lambda _topic, _timestamp: True,
) -> list[OutputRecord]:
    """The records that keep a failed event, or each of the events it was made of, and why it failed.

    A value with which a letter would be larger than `max_bytes` stays where it came from. A letter whose time the topic
    does not take, as `takes_time` says, has the time `now_ms`.
    """
    origin = batch.origins[row]
    messages = origin.messages if isinstance(origin, JoinedMessages) else (origin,)
    reason = _reason(kind, step, error, now_ms)
    letters = [_letter(topic, message, reason, max_bytes) for message in messages if message is not None]
    if None in messages:
        value = repr(batch.values[row]).encode(errors="replace")
        letters.append(OutputRecord(topic, None, value, batch.timestamps[row], reason))
    for letter in letters:
        if not takes_time(topic, letter.timestamp_ms):
            letter.headers = [(_TIMESTAMP, b"%d" % letter.timestamp_ms), *(letter.headers or ())]
            letter.timestamp_ms = now_ms
    return letters


def _reason(kind: FailureKind, step: str, error: BaseException, now_ms: int) -> Headers:
    headers: Headers = [
        ("ottla.error.kind", kind.encode()),
        ("ottla.error.reason", describe_error(error).encode(errors="replace")),
        ("ottla.error.type", type(error).__qualname__.encode()),
        ("ottla.error.step", step.encode()),
        ("ottla.error.time", b"%d" % now_ms),
    ]
    if not isinstance(error, EventError):
        stack = "".join(traceback.format_exception(error))[-_STACK_CHARACTERS:]
        headers.append(("ottla.error.stack", stack.encode(errors="replace")))
    return headers


def _letter(topic: str, origin: Message, reason: Headers, max_bytes: int) -> OutputRecord:
    key, value = origin.key(), origin.value()
    left_out: Headers = []
    if value is not None and len(value) + len(key or b"") > max_bytes:
        left_out, value = [(_LEFT_OUT, b"%d" % len(value))], None
    headers = [
        *reason,
        *left_out,
        ("ottla.origin.topic", origin.topic().encode()),
        ("ottla.origin.partition", b"%d" % origin.partition()),
        (_LAST_OF_OURS, b"%d" % origin.offset()),
        *(origin.headers() or ()),
    ]
    return OutputRecord(topic, key, value, max(origin.timestamp()[1], 0), headers)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it is read: where it is in its topic, why it is there, and the message it was.

    `origin` is None for what no one message made: its value is a text for people, and it cannot be sent back. Nor can
    one whose value of `left_out` bytes was too large to be kept. `position` says where a connector's source had it
    from.
    """

    partition: int
    offset: int
    kind: str
    reason: str
    type: str
    step: str
    stack: str
    failed_ms: int
    origin: tuple[str, int, int] | None
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    left_out: int = 0
    position: str = ""

    @property
    def number(self) -> tuple[int, int]:
        """By which it is called: its partition and offset in the dead-letter topic."""
        return self.partition, self.offset


def read_letter(message: Message) -> DeadLetter | None:
    """The letter that a message of a dead-letter topic is; None for what is none."""
    headers = message.headers() or []
    names = [name for name, _ in headers]
    ours = names.index(_LAST_OF_OURS) + 1 if _LAST_OF_OURS in names else len(headers)
    found = {name: (value or b"").decode(errors="replace") for name, value in headers[:ours]}
    if "ottla.error.reason" not in found:
        return None
    timestamp_ms = int(found.get(_TIMESTAMP, message.timestamp()[1]))
    origin = None
    if "ottla.origin.topic" in found:
        origin = found["ottla.origin.topic"], int(found["ottla.origin.partition"]), int(found[_LAST_OF_OURS])
    return DeadLetter(
        message.partition(),
        message.offset(),
        found.get("ottla.error.kind", ""),
        found["ottla.error.reason"],
        found.get("ottla.error.type", ""),
        found.get("ottla.error.step", ""),
        found.get("ottla.error.stack", ""),
        int(found.get("ottla.error.time", message.timestamp()[1])),
        origin,
        timestamp_ms,
        message.key(),
        message.value(),
        headers[ours:],
        int(found.get(_LEFT_OUT, 0)),
        found.get("ottla.origin.position", ""),
    )


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
