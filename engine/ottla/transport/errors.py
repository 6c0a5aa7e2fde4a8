"""What can go wrong between a worker and its broker.

OttlaError
└── TransportError                 the broker cannot be reached, refuses, or does not know
    ├── TransactionAbortedError    this transaction is lost, the next one may succeed: abort, rewind, go on
    ├── DeliveryError              a record could not be delivered (at least once): rewind, go on
    │   ├── RecordRefusedError     ... or a transaction is lost, because of what a record is: go on without it
    │   └── OffsetsUnknownError    all was, and the offsets may be committed or not: ask the group, and restore
    └── FatalTransportError        this worker cannot go on: replaced by its successor, or not authorised
        ├── ProducerFencedError    its producer cannot; a new one can, if it was not a successor that fenced it
        └── MemberFencedError      it is no member; it can become one again, if it is not a successor that is
"""

from ottla.errors import OttlaError


class TransportError(OttlaError):
    """The broker cannot be reached, refuses what was asked, or does not know it."""


class TransactionAbortedError(TransportError):
    """The open transaction cannot be committed. After `Transport.abort` a new one may succeed."""


class DeliveryError(TransportError):
    """A record was not delivered in the at-least-once mode: nothing since the last commit may be acknowledged."""


class RecordRefusedError(TransactionAbortedError, DeliveryError):
    """The broker refuses a record for what it is: its time, its size, or that it has no key. It always will, the others
    it may take: `Transport.limits` says what it goes by.
    """


class OffsetsUnknownError(DeliveryError):
    """At least once: the offsets of a commit may have been stored or not. Who went on from those before might write
    older state than goes with those that are stored, and would lose events if it ended then.
    """


class FatalTransportError(TransportError):
    """The client can never succeed again; the worker stops. A newer producer of the same id is the usual cause."""


class ProducerFencedError(FatalTransportError):
    """The producer was fenced: by another worker with this one's id, or by one that found it gone. After
    `Transport.renew` a worker that was only thought to be gone may go on.
    """


class MemberFencedError(FatalTransportError):
    """The group has another member in this worker's place: another worker with its id, or a join of its own of which it
    did not hear, since it slept or was cut off. After `Transport.rejoin` it may go on.
    """
