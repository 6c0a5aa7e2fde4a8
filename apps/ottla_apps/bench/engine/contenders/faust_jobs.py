"""The jobs for faust-streaming, whose tables are kept in memory: its fastest store."""

import uuid
from datetime import timedelta

import faust
from meter import CHECK_EVERY, arguments

job, broker, topic_name, meter = arguments()

app = faust.App(
    f"bench-{uuid.uuid4()}",
    broker=f"kafka://{broker}",
    store="memory://",
    consumer_auto_offset_reset="earliest",
    topic_partitions=1,
    topic_replication_factor=1,
    topic_disable_leader=True,
    web_enabled=False,
)


class Payment(faust.Record, serializer="json"):
    id: int
    account: str
    amount: float
    note: str


payments = app.topic(topic_name, key_type=str, value_type=Payment)
doubled = app.topic(f"{topic_name}-out", key_type=str, value_type=Payment)


async def agent(stream):
    events, total = 0, 0.0
    async for payment in stream:
        if not events:
            meter.start()
        total += payment.amount
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


async def table(stream):
    events = 0
    async for payment in stream:
        if not events:
            meter.start()
        counts[payment.account] += 1
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


async def produce(stream):
    events = 0
    async for payment in stream:
        if not events:
            meter.start()
        payment.amount *= 2
        await doubled.send(key=payment.account, value=payment)
        events += 1
        if not events % CHECK_EVERY:
            meter.passed(events)


counts = app.Table("counts", default=int, partitions=1)
if job == "windowed":  # Faust has no emission on close: its windowed tables are read, not sent on
    counts = counts.tumbling(timedelta(minutes=5), expires=timedelta(minutes=6))
app.agent(payments)({"agent": agent, "table": table, "produce": produce, "windowed": table}[job])

if __name__ == "__main__":
    faust.Worker(app, loglevel="ERROR").execute_from_commandline()
