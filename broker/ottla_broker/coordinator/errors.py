"""What can go wrong inside the coordinators and is nobody's fault but ours.

    CoordinatorError
    ├── IllegalTransition    a state machine was asked for a step that its table does not have
    ├── OutOfProducerIds     a decision needs a producer id, and the controller has to be asked for more
    └── UnreadableRecord     a record of a coordinator's log that this version cannot read

A client's mistake is a `KafkaError` with Kafka's code instead, and never one of these.
"""

# ruff: noqa: N818  the names say what happened, as those of the wire package do


class CoordinatorError(Exception):
    """A fault of this broker or of the log it reads."""


class IllegalTransition(CoordinatorError):
    """A state machine was asked for a step that its table does not have."""

    def __init__(self, subject: str, source: object, target: object) -> None:
        super().__init__(f"{subject} cannot go from {source} to {target}")


class OutOfProducerIds(CoordinatorError):
    """No producer id is at hand. Whoever was deciding has changed nothing, and decides again once there are some."""


class UnreadableRecord(CoordinatorError):
    """A record of a coordinator's log is of an unknown type, of an unknown version, or cut short."""
