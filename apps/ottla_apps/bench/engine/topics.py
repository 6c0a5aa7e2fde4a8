"""What the jobs read: topics with one partition, filled once for all contenders, the same at every run."""

import random
import time
from collections.abc import Callable, Iterator

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

PAYMENTS = "payments"
"""Payments of ACCOUNTS accounts drawn evenly, one millisecond of event time apart."""
WIDE_PAYMENTS = "payments-wide"
"""The same of WIDE_ACCOUNTS accounts."""
ACCOUNTS_TOPIC = "accounts"
"""Who owns each of the ACCOUNTS accounts; older than every payment."""
ACCOUNTS = 10_000
WIDE_ACCOUNTS = 100_000
ADMIN_TIMEOUT_S = 30.0

_QUEUE = 100_000
_FLUSH_TIMEOUT_S = 120.0
_NEWEST_AGE_MS = 3_600_000


class Payment(msgspec.Struct):
    """The event: about 150 bytes of JSON."""

    id: int
    account: str
    amount: float
    note: str


class Account(msgspec.Struct):
    """The other side of the join."""

    account: str
    owner: str


Record = tuple[str, bytes, int]
"""Key, value and timestamp in milliseconds."""


def load(address: str, count: int, say: Callable[[str], None]) -> None:
    """Fills all topics, with `count` payments each.

    Raises:
        RuntimeError: the broker did not acknowledge all of them in time.
    """
    newest_ms = int(time.time() * 1000) - _NEWEST_AGE_MS
    for topic, records, size in (
        (ACCOUNTS_TOPIC, _accounts(newest_ms - count - 1), ACCOUNTS),
        (PAYMENTS, _payments(count, ACCOUNTS, newest_ms - count), count),
        (WIDE_PAYMENTS, _payments(count, WIDE_ACCOUNTS, newest_ms - count), count),
    ):
        say(f"producing {size:,} records to {topic}")
        fill(address, topic, records)


def fill(address: str, topic: str, records: Iterator[Record]) -> None:
    """Makes the topic and produces the records to it. Raises RuntimeError if some were not acknowledged."""
    create(administration(address), topic)
    producer = Producer({"bootstrap.servers": address, "linger.ms": 20, "queue.buffering.max.messages": _QUEUE})
    for number, (key, value, timestamp_ms) in enumerate(records, start=1):
        if not number % _QUEUE:
            producer.flush(_FLUSH_TIMEOUT_S)
        producer.produce(topic, value, key, timestamp=timestamp_ms)
    if unsent := producer.flush(_FLUSH_TIMEOUT_S):
        raise RuntimeError(f"{unsent} records of {topic} were not acknowledged within {_FLUSH_TIMEOUT_S:.0f} s")


def administration(address: str) -> AdminClient:
    """A client that says nothing but errors: librdkafka remarks upon every topic that is deleted."""
    return AdminClient({"bootstrap.servers": address, "log_level": 3})


def create(admin: AdminClient, topic: str) -> None:
    """Makes a topic with one partition."""
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(ADMIN_TIMEOUT_S)


def delete(admin: AdminClient, topic: str) -> None:
    admin.delete_topics([topic])[topic].result(ADMIN_TIMEOUT_S)


def account_name(number: int) -> str:
    return f"account-{number:06}"


def payment(number: int, account: str, amount: float) -> Payment:
    return Payment(number, account, amount, "x" * 86)


def _payments(count: int, accounts: int, start_ms: int) -> Iterator[Record]:
    draw = random.Random(0)
    encode = msgspec.json.Encoder().encode
    for number in range(count):
        account = account_name(draw.randrange(accounts))
        yield account, encode(payment(number, account, draw.randrange(100_000) / 100)), start_ms + number


def _accounts(timestamp_ms: int) -> Iterator[Record]:
    encode = msgspec.json.Encoder().encode
    for number in range(ACCOUNTS):
        account = account_name(number)
        yield account, encode(Account(account, f"owner {number}")), timestamp_ms
