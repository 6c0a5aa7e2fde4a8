"""Every error that Ottla raises on purpose.

    OttlaError
    ├── ConfigError              an option of the app is unknown or out of range
    ├── TopologyError            the app's graph cannot run as written
    │   ├── DuplicateName        two things of one kind carry one name
    │   ├── CopartitionError     topics that must have equal partition counts do not
    │   └── IncompatibleState    an earlier version of the app left state that this one cannot read
    ├── NotInTask                a table or a topic was used where no task is running
    ├── EventError               one event cannot be taken through; dead-lettered, skipped or fatal as the app says
    │   ├── DecodeError          its key or value is not what the topic declares
    │   ├── EncodeError          what a step made of it cannot be written as the topic declares
    │   │   ├── RecordTooLarge   ... nor can it be smaller
    │   │   ├── NoDestination    ... nor is there such a topic or partition
    │   │   └── RecordRefused    ... or the broker does not take it
    │   └── InvalidTimestamp     its event time is missing, negative or no integer
    ├── NoAnswer                 an agent that was asked did not answer in time
    ├── AgentFailed              an agent that was asked failed on the request
    ├── RecordsLost              `on_lost_records="fail"`: records were deleted before they were read
    ├── ProcessingFailed         `on_error="fail"`: an event failed, the worker stops
    ├── Unavailable              what an event needs is away for now: the worker tries again, the event is not at fault
    ├── StateError               the state directory cannot be used
    └── TransportError           between a worker and its broker: see `transport/errors.py`

Whatever a user's function raises stays what it is: it is never wrapped unless the worker stops over it.
"""

from __future__ import annotations


class OttlaError(Exception):
    """Base of every error that Ottla raises on purpose."""


class ConfigError(OttlaError, ValueError):
    """An option of the app is unknown, missing or out of range."""


class TopologyError(OttlaError):
    """The app's graph cannot run as written. Raised where the app is declared, or when its worker starts."""


class DuplicateName(TopologyError):  # noqa: N818
    """Two things of one kind carry one name; names identify state across restarts, so they must differ."""


class CopartitionError(TopologyError):
    """Topics that meet in one task have different partition counts, so equal keys would not meet."""


class IncompatibleState(TopologyError):  # noqa: N818
    """The state that an earlier version of the app left cannot be read by this one."""


class NotInTask(OttlaError, RuntimeError):  # noqa: N818
    """A table was read or a topic written outside an agent or operator, where there is no transaction to join."""


class NoAnswer(OttlaError, TimeoutError):  # noqa: N818
    """An agent that was asked did not answer in time. Whether it processed the request is not known."""


class AgentFailed(OttlaError):  # noqa: N818
    """An agent that was asked failed on the request, which went where the app's `on_error` says."""


class EventError(OttlaError, ValueError):
    """One event cannot be taken through. What happens to it is the app's `on_error` policy."""


class DecodeError(EventError):
    """The key or value of an event is not what its topic declares."""


class EncodeError(EventError):
    """A key or value cannot be written as the topic or table declares it."""


class RecordTooLarge(EncodeError):  # noqa: N818
    """A record is larger than the producer may send: `message.max.bytes`, about a megabyte unless it is set."""


class NoDestination(EncodeError):  # noqa: N818
    """What was chosen for an event is no topic that there is, or no partition of it."""


class RecordRefused(EncodeError):  # noqa: N818
    """The broker refuses a record for what it is: its time is too far from the clock, or it has no key where its topic
    is compacted.
    """


class InvalidTimestamp(EventError):  # noqa: N818
    """An event's time is missing, negative, or not an integer of milliseconds since the epoch."""


class RecordsLost(OttlaError):  # noqa: N818
    """Records were deleted before they were read, or a broker has lost some that were, and the app says that it stops
    then (`on_lost_records="fail"`).
    """


class ProcessingFailed(OttlaError):  # noqa: N818
    """An event failed and the app's policy is `on_error="fail"`, or users' code raised what is no `Exception`, such as
    SystemExit. The cause is the original error."""


class Unavailable(OttlaError):  # noqa: N818
    """What an event needs cannot be reached now (a schema registry, say), and the event is not at fault.

    Raised by a codec, or by a user's function for what it needs itself. The worker goes back to its last commit and
    tries again, after a backoff, until it succeeds or is stopped; the event is neither skipped nor dead-lettered.
    """


class StateError(OttlaError):
    """The state directory cannot be used: it is locked by another worker, damaged, or not writable."""
