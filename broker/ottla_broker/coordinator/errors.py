"""What can go wrong inside the coordinators and is nobody's fault but ours.

    CoordinatorError
    ├── IllegalTransition    a state machine was asked for a step that its table does not have
    └── UnreadableRecord     a record of a coordinator's log that this version cannot read

A client's mistake is a `KafkaError` with Kafka's code instead, and never one of these.
"""


class CoordinatorError(Exception):
    """A fault of this broker or of the log it reads."""


class IllegalTransition(CoordinatorError):  # noqa: N818 - what it says is the name
    """A state machine was asked for a step that its table does not have."""

    def __init__(self, subject: str, source: object, target: object) -> None:
        super().__init__(f"{subject} cannot go from {source} to {target}")


class UnreadableRecord(CoordinatorError):  # noqa: N818
    """A record of a coordinator's log is of an unknown type, of an unknown version, or cut short."""
