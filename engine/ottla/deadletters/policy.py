"""What is to become of an event that failed, as users say it: for the app, for an agent, for a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from ottla.errors import ConfigError, ProcessingFailed, Unavailable
from ottla.event import Event
from ottla.time import Duration, duration_ms

Decision = Literal["dead_letter", "skip", "fail"]
FailureKind = Literal["deserialization", "processing", "production"]

_LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """An event that failed, as a handler is told of it.

    `kind` is "deserialization" for an event that could not be read (its key, value or time), "processing" for one that
    a function raised on, "production" for a result that cannot be written (it cannot be encoded, or is too large).
    `step` is the step of the topology. `event` has as much of the event as could be decoded; `raw_key` and `raw_value`
    are the bytes it was read as, None for what no one message made.
    """

    kind: FailureKind
    step: str
    error: BaseException
    event: Event[Any]
    raw_key: bytes | None
    raw_value: bytes | None


OnError = Decision | Callable[[Failure], Decision]
"""What becomes of an event that failed, or a function that decides it for each, and must not wait."""


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """What one step does otherwise than its app. None is what the app does."""

    on_error: OnError | None = None
    retries: int | None = None
    retry_backoff: Duration | None = None


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """What becomes of an event that cannot be read or written, or whose processing raised.

    An agent's event is tried again `retries` times, after `backoff_s` before the first retry and twice as long
    before each next one, 60 s at most; then `on_error` decides. Operators (`map`, `filter`, joins, aggregations)
    are functions of their arguments and are not retried. `on_deserialization_error` and `on_production_error` decide
    of their kind where they are given.
    """

    on_error: OnError = "dead_letter"
    retries: int = 0
    backoff_s: float = 0.1
    on_deserialization_error: OnError | None = None
    on_production_error: OnError | None = None

    def __post_init__(self) -> None:
        for option in ("on_error", "on_deserialization_error", "on_production_error"):
            chosen = getattr(self, option)
            if chosen is not None and not callable(chosen) and chosen not in get_args(Decision):
                raise ConfigError(
                    f'{option}={chosen!r} is unknown; it is "dead_letter", "skip" or "fail", or a function that '
                    "returns one of them"
                )
        if self.retries < 0:
            raise ConfigError(f"retries must not be negative, it is {self.retries}")

    def at(self, step: StepPolicy | None) -> ErrorPolicy:
        """The policy of a step. What it says of errors holds for all kinds. Raises `ConfigError`."""
        if step is None:
            return self
        policy = self
        if step.on_error is not None:
            policy = replace(policy, on_error=step.on_error, on_deserialization_error=None, on_production_error=None)
        if step.retries is not None:
            policy = replace(policy, retries=step.retries)
        if step.retry_backoff is not None:
            policy = replace(policy, backoff_s=duration_ms(step.retry_backoff, "retry_backoff") / 1000)
        return policy

    def backoff_before(self, retry: int) -> float:
        """The most seconds to wait before a retry; the first is 1."""
        return min(self.backoff_s * 2.0 ** min(retry - 1, 30), _LONGEST_BACKOFF_S)

    def decide(self, kind: FailureKind, failure: Callable[[], Failure]) -> Decision:
        """What is to become of an event. `failure` describes it to a function, if there is one to be asked.

        Raises `ProcessingFailed` when that function raises or decides nothing known, and `Unavailable` when it does.
        """
        chosen = {
            "deserialization": self.on_deserialization_error,
            "processing": None,
            "production": self.on_production_error,
        }[kind] or self.on_error
        if not callable(chosen):
            return chosen
        told = failure()
        try:
            decision = chosen(told)
        except Unavailable:
            raise
        except Exception as error:
            raise ProcessingFailed(
                f"the handler of failed events raised {type(error).__name__} ({error}) over what {told.step} failed on"
            ) from error
        if decision not in get_args(Decision):
            raise ProcessingFailed(
                f'the handler of failed events returned {decision!r}, where "dead_letter", "skip" or "fail" is expected'
            )
        return decision
