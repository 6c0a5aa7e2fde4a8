"""The jobs for Ottla, whose state is kept in RocksDB with a changelog topic. A sixth argument is the guarantee."""

import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from typing import Literal, cast

import msgspec

import ottla
from ottla.launch import run_worker
from ottla_apps.bench.contenders.meter import CHECK_EVERY, arguments

guarantee = sys.argv.pop()
job, broker, topic_name, meter = arguments()


class Payment(msgspec.Struct):
    id: int
    account: str
    amount: float
    note: str


app = ottla.App(
    f"bench-{uuid.uuid4()}",
    broker=f"kafka://{broker}",
    processing_guarantee=cast(Literal["exactly_once", "at_least_once"], guarantee),
    state_dir=tempfile.mkdtemp(prefix="ottla-bench-"),
)
payments = app.topic(topic_name, key=str, value=Payment)
doubled = app.topic(f"{topic_name}-out", key=str, value=Payment)
if job == "table":
    counts = app.Table("counts", key=str, default=int)


async def agent(stream: ottla.Stream[Payment]) -> None:
    events, total = 0, 0.0
    async for payment in stream:
        meter.start()
        total += payment.amount
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


async def table(stream: ottla.Stream[Payment]) -> None:
    events = 0
    async for payment in stream:
        meter.start()
        counts[payment.account] += 1
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


async def produce(stream: ottla.Stream[Payment]) -> AsyncIterator[Payment]:
    events = 0
    async for payment in stream:
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
        app.agent(payments, sink=[doubled])(produce)

if __name__ == "__main__":
    run_worker(app.topology, app.config)
