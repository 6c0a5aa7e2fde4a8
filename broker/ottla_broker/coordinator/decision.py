"""What a coordinator decides: records to append, answers to give once they are durable, and what follows. Pure.

The runtime carries a `Decision` out in this order: append `records` as one batch, replay each of them into the state,
run `then`, give the `answers`, carry out what `then` has decided. If the append is refused, nothing is replayed, every
answer becomes that refusal, and `otherwise` says what to do about state that is not in the log (members who wait, for
example).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.message import Message

R = TypeVar("R")


class CoordinatorRecord(NamedTuple):
    """A record of a coordinator's log: Kafka's own key and value schemas; a value of None is a tombstone."""

    key: Message
    value: Message | None


class Producer(NamedTuple):
    """Under which producer a transactional batch is appended."""

    id: int
    epoch: int


class Ticket(Generic[R]):
    """Stands for one request that waits for its answer of type R. A core may keep it and answer much later."""

    __slots__ = ()


@dataclass(slots=True)
class Decision:
    """See the module's text. `producer` makes the batch part of that producer's transaction."""

    records: list[CoordinatorRecord] = field(default_factory=list)
    answers: list[tuple[Ticket[Any], Any]] = field(default_factory=list)
    deferred: list[Ticket[Any]] = field(default_factory=list)
    """Requests that what `then` decides will see to; a refusal goes to them too."""
    producer: Producer | None = None
    then: "Callable[[], Decision | None] | None" = None
    otherwise: "Callable[[int], Decision] | None" = None

    def append(self, key: Message, value: Message | None) -> None:
        """Add a record; `value` None deletes what `key` names."""
        self.records.append(CoordinatorRecord(key, value))

    def refuse(self, ticket: Ticket[Any], code: ErrorCode, message: str | None = None) -> None:
        """Answer the request behind `ticket` with an error."""
        self.answers.append((ticket, KafkaError(code, message)))

    def answer(self, ticket: Ticket[R], reply: R) -> None:
        """Answer the request behind `ticket` once the records are durable, or at once if there are none."""
        self.answers.append((ticket, reply))
