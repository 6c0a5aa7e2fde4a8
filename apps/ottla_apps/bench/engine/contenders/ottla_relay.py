"""Consume, agent, produce: ottla_relay.py BROKER TOPIC OUTPUT GUARANTEE STATE_DIR, until it is told to stop."""

import sys
from collections.abc import AsyncIterator
from typing import Literal, cast

import ottla
from ottla.worker.launch import run_worker
from ottla_apps.bench.engine.topics import Payment

broker, topic_name, output, guarantee, state_dir = sys.argv[1:]
app = ottla.App(
    f"relay-{topic_name}",
    broker=f"kafka://{broker}",
    processing_guarantee=cast(Literal["exactly_once", "at_least_once"], guarantee),
    state_dir=state_dir,
)


@app.agent(app.topic(topic_name, key=str, value=Payment), sink=[app.topic(output, key=str, value=Payment)])
async def double(payments: ottla.Stream[Payment]) -> AsyncIterator[Payment]:
    async for payment in payments:
        payment.amount *= 2
        yield payment


if __name__ == "__main__":
    run_worker(app.topology, app.config)
