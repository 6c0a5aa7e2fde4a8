"""Sends records by a librdkafka producer and sees to it that each is acknowledged, or says which was not."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ottla_apps.cli.admin import refusal
from ottla_apps.cli.connection import Cluster
from ottla_apps.cli.errors import CommandError, Refused, Unreachable
from ottla_apps.cli.output import write_bytes
from ottla_apps.cli.record_format import Header, InputRecord, Shown

_QUEUE_PAUSE_S = 0.1
_KEY_DECIDES = -1


class Defaults(NamedTuple):
    """What holds for every record: a key and partition where it has none, headers after its own."""

    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    partition: int | None = None
    empty_is_null: bool = False


class Sender:
    """A context manager: leaving it waits until all records are acknowledged.

    `send` and leaving raise a CommandError as soon as it is known that a record was not written. `render` says what to
    print for each that was.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        settings: dict[str, Any],
        defaults: Defaults,
        render: Callable[[Shown], bytes] | None,
    ) -> None:
        self._topic = topic
        self._defaults = defaults
        self._render = render
        self._failure: CommandError | None = None
        self._timeout_s = cluster.timeout_s
        try:
            self._producer = Producer(cluster.client(settings))
        except KafkaException as error:
            raise refusal("The producer does not start", error.args[0]) from None

    def send(self, record: InputRecord) -> None:
        """Hand over a record; the broker has it only later."""
        defaults = self._defaults
        partition = defaults.partition if defaults.partition is not None else record.partition
        value = None if defaults.empty_is_null and not record.value else record.value
        arguments: dict[str, Any] = {
            "key": defaults.key if record.key is None else record.key,
            "headers": [*record.headers, *defaults.headers],
            "partition": _KEY_DECIDES if partition is None else partition,
            "on_delivery": self._delivered,
        }
        if record.timestamp is not None:
            arguments["timestamp"] = record.timestamp
        while True:
            self._producer.poll(0)
            self._raise_failure()
            try:
                self._producer.produce(self._topic, value, **arguments)
                return
            except BufferError:
                self._producer.poll(_QUEUE_PAUSE_S)
            except KafkaException as error:
                raise refusal(f"A record for {self._topic} cannot be sent", error.args[0]) from None

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            # What follows the first failure is mostly its consequence.
            self._failure = self._failure or self._reason(error, message)
        elif self._render is not None:
            write_bytes(self._render(message))  # type: ignore[arg-type]

    def _reason(self, error: KafkaError, message: Message) -> CommandError:
        what = f"A record for {self._topic} was not written"
        if error.code() == KafkaError.INVALID_RECORD and message.key() is None:
            # The broker says so, but librdkafka does not pass on what it says.
            return Refused(f"{what}: it has no key, which the records of a compacted topic need.", error.code())
        return refusal(what, error)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Every record is delivered or given up within the timeout, as the producer's settings say.
        left = self._producer.flush(self._timeout_s + 1)
        if error is None:
            self._raise_failure()
            if left:
                raise Unreachable(f"{left} records were not acknowledged within {self._timeout_s:g} s.")
