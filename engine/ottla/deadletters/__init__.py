"""What becomes of an event that failed: the policy, the dead letter, and sending it back.

Three kinds of failure are told apart, as by the three handlers of Kafka Streams (KIP-161, KIP-210, KIP-1033): an event
that cannot be read, one that a function raises on, and a result that cannot be written.
"""

from ottla.deadletters.letters import dead_letters, describe_error, describe_origin
from ottla.deadletters.policy import Decision, ErrorPolicy, Failure, FailureKind, OnError, StepPolicy

__all__ = [
    "Decision",
    "ErrorPolicy",
    "Failure",
    "FailureKind",
    "OnError",
    "StepPolicy",
    "dead_letters",
    "describe_error",
    "describe_origin",
]
