"""What a step of the topology becomes in a task: a processor, and the context that all processors of a task share.

A processor receives batches and hands batches on to the next ones; it awaits only what a user's agent awaits. Everything
that leaves the task (outputs, dead letters, counts) goes through the `TaskContext`.
"""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from ottla.batch import Batch
from ottla.errors import ConfigError, NotInTask, ProcessingFailed
from ottla.state.cache import StoreCache
from ottla.transport.contract import Message, OutputRecord

OnError = Literal["dead_letter", "skip", "fail"]


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """What becomes of an event that cannot be decoded, or whose processing raised.

    An agent's event is tried again `retries` times, waiting `backoff_s` before the first retry and twice as long before
    each next one, 60 s at most; then `on_error` decides. Operators (`map`, `filter`, joins, aggregations) are functions of
    their arguments and are not retried.
    """

    on_error: OnError = "dead_letter"
    retries: int = 0
    backoff_s: float = 0.1

    def __post_init__(self) -> None:
        if self.on_error not in ("dead_letter", "skip", "fail"):
            raise ConfigError(f'on_error={self.on_error!r} is unknown; it is "dead_letter", "skip" or "fail"')
        if self.retries < 0 or self.backoff_s < 0:
            raise ConfigError("retries and retry_backoff must not be negative")

    def backoff_before(self, retry: int) -> float:
        """Seconds to wait before the retry; the first is 1."""
        return min(self.backoff_s * 2.0 ** (retry - 1), 60.0)


@dataclass(slots=True)
class TaskCounts:
    """What a task did with the events it was given, since it was made."""

    processed: int = 0
    dead_lettered: int = 0
    skipped: int = 0
    retried: int = 0
    null_key_dropped: int = 0
    null_value_dropped: int = 0
    late_dropped: int = 0
    windows_closed: int = 0


@dataclass(slots=True)
class TaskContext:
    """What the processors of one task share.

    `sleep` is how a retry waits: the worker passes `asyncio.sleep`, tests one that moves their clock.
    """

    task: str
    partition: int
    stores: Mapping[str, StoreCache]
    policy: ErrorPolicy
    dead_letter_topic: str
    sleep: Callable[[float], Awaitable[None]]
    outputs: list[OutputRecord] = field(default_factory=list)
    counts: TaskCounts = field(default_factory=TaskCounts)
    event_time_ms: int = 0

    def reject(self, step: str, error: BaseException, origin: Message | None, *, value: Any = None) -> None:
        """Does with a failed event what the policy says: dead letter, skip, or `ProcessingFailed`.

        `value` stands in for the event's bytes when it has no origin.
        """
        policy = self.policy.on_error
        if policy == "fail":
            raise ProcessingFailed(f"{step} failed on {_where(origin)}: {_reason(error)}") from error
        if policy == "skip":
            self.counts.skipped += 1
            return
        self.counts.dead_lettered += 1
        self.outputs.append(_dead_letter(self.dead_letter_topic, step, error, origin, value, self.event_time_ms))


_current: ContextVar[TaskContext] = ContextVar("ottla.task")
enter_task = _current.set
leave_task = _current.reset


def current_task(what: str) -> TaskContext:
    """The context of the task that is running now. Raises `NotInTask`, naming what was tried."""
    try:
        return _current.get()
    except LookupError:
        raise NotInTask(
            f"{what} is possible only inside an agent or operator while its task runs; "
            "in tests use app.test(), elsewhere a Kafka client"
        ) from None


class Processor:
    """A step at work in one task."""

    __slots__ = ("children",)

    def __init__(self) -> None:
        self.children: list[Processor] = []

    async def receive(self, batch: Batch) -> None:
        """Takes a batch, never an empty one. Returns when its events are dealt with."""
        raise NotImplementedError

    async def end_of_input(self) -> None:
        """No batch will follow: hands on whatever is held back. Called in the order of the steps."""

    async def close(self) -> None:
        """The task ends here, perhaps before its input: frees what is held, hands nothing on."""

    async def forward(self, batch: Batch) -> None:
        """Hands a batch to the next steps."""
        if batch.values:
            for child in self.children:
                await child.receive(batch)


def _where(origin: Message | None) -> str:
    if origin is None:
        return "a derived event"
    return f"{origin.topic()}[{origin.partition()}] offset {origin.offset()}"


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _dead_letter(
    topic: str, step: str, error: BaseException, origin: Message | None, value: Any, event_time_ms: int
) -> OutputRecord:
    headers: list[tuple[str, bytes | None]] = [
        ("ottla.error.reason", _reason(error).encode(errors="replace")),
        ("ottla.error.type", type(error).__qualname__.encode()),
        ("ottla.error.step", step.encode()),
    ]
    if error.__traceback__ is not None:
        headers.append(("ottla.error.stack", "".join(traceback.format_exception(error)).encode(errors="replace")))
    if origin is None:
        return OutputRecord(topic, None, repr(value).encode(errors="replace"), event_time_ms, headers)
    headers += [
        ("ottla.origin.topic", origin.topic().encode()),
        ("ottla.origin.partition", str(origin.partition()).encode()),
        ("ottla.origin.offset", str(origin.offset()).encode()),
        *(origin.headers() or ()),
    ]
    return OutputRecord(topic, origin.key(), origin.value(), max(origin.timestamp()[1], 0), headers)
