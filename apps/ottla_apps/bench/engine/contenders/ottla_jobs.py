"""The jobs for Ottla, whose state is kept in RocksDB with a changelog topic. The guarantee stands before the
other arguments."""

import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Literal, cast

import msgspec

import ottla
from ottla.worker.launch import run_worker
from ottla_apps.bench.engine.contenders.meter import CHECK_EVERY, arguments

guarantee = sys.argv.pop(1)
job, broker, topic_name, meter = arguments()


class Payment(msgspec.Struct):
    id: int
    account: str
    amount: float
    note: str


class Account(msgspec.Struct):
    account: str
    owner: str


class Count(msgspec.Struct):
    account: str
    start: int
    payments: int


app = ottla.App(
    f"bench-{uuid.uuid4()}",
    broker=f"kafka://{broker}",
    processing_guarantee=cast(Literal["exactly_once", "at_least_once"], guarantee),
    state_dir=tempfile.mkdtemp(prefix="ottla-bench-"),
)
payments = app.topic(topic_name, key=str, value=Payment)
if job == "table":
    counts = app.Table("counts", key=str, default=int)
counted = 0


def seen(_payment: Payment) -> bool:
    global counted
    if not counted:
        meter.start()
    counted += 1
    if not counted % CHECK_EVERY:
        meter.passed(counted)
    return True


async def joined(stream: ottla.Stream[tuple[Payment, Account]]) -> None:
    events, longest = 0, ""
    async for payment, account in stream:
        if not events:
            meter.start()
        longest = max(longest, account.owner) if payment.amount else longest
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


async def agent(stream: ottla.Stream[Payment]) -> None:
    events, total = 0, 0.0
    async for payment in stream:
        if not events:
            meter.start()
        total += payment.amount
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


async def table(stream: ottla.Stream[Payment]) -> None:
    events = 0
    async for payment in stream:
        if not events:
            meter.start()
        counts[payment.account] += 1
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


async def produce(stream: ottla.Stream[Payment]) -> AsyncIterator[Payment]:
    events = 0
    async for payment in stream:
        if not events:
            meter.start()
        payment.amount *= 2
        yield payment
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


match job:
    case "agent":
        app.agent(payments)(agent)
    case "table":
        app.agent(payments, uses=[counts])(table)
    case "produce":
        app.agent(payments, sink=[app.topic(f"{topic_name}-out", key=str, value=Payment)])(produce)
    case "windowed":
        (
            app.stream(payments)
            .filter(seen)
            .window(ottla.tumbling(minutes=5, grace=timedelta(minutes=1)))
            .aggregate("counts", payments=ottla.count())
            .map(lambda window: Count(window.key, window.start, window.value.payments))
            .to(app.topic(f"{topic_name}-out", key=str, value=Count))
        )
    case "join":
        accounts = app.Table("accounts", source=app.topic("accounts", key=str, value=Account))
        app.agent(app.stream(payments).join(accounts, lambda payment, account: (payment, account)))(joined)

if __name__ == "__main__":
    run_worker(app.topology, app.config)
