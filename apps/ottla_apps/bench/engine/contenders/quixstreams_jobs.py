"""The jobs for quixstreams, whose state is kept in RocksDB with a changelog topic."""

import tempfile
import uuid
from datetime import timedelta

from meter import CHECK_EVERY, arguments
from quixstreams import Application, State

job, broker, topic_name, meter = arguments()

app = Application(
    broker_address=broker,
    consumer_group=f"bench-{uuid.uuid4()}",
    auto_offset_reset="earliest",
    state_dir=tempfile.mkdtemp(prefix="ottla-bench-quixstreams-"),
    loglevel="ERROR",
)
payments = app.topic(topic_name, key_deserializer="str", value_deserializer="json")
doubled = app.topic(f"{topic_name}-out", key_serializer="str", value_serializer="json")
stream = app.dataframe(payments)
events, total = 0, 0.0


def passed():
    global events
    if not events:
        meter.start()
    events += 1
    if not events % CHECK_EVERY:
        meter.passed(events)


def agent(payment: dict) -> None:
    global total
    total += payment["amount"]
    passed()


def table(_payment: dict, state: State) -> None:
    state.set("count", state.get("count", 0) + 1)
    passed()


def produce(payment: dict) -> dict:
    payment["amount"] *= 2
    passed()
    return payment


def seen(_payment: dict) -> None:
    passed()


match job:
    case "agent":
        stream.update(agent)
    case "table":
        stream.update(table, stateful=True)
    case "produce":
        stream.apply(produce).to_topic(doubled)
    case "windowed":
        windows = stream.update(seen).tumbling_window(timedelta(minutes=5), grace_ms=timedelta(minutes=1))
        windows.count().final().to_topic(doubled)
    case "join":
        accounts = app.topic("accounts", key_deserializer="str", value_deserializer="json")
        stream.join_asof(
            app.dataframe(accounts), on_merge=lambda payment, account: (payment["amount"], account["owner"])
        ).update(seen)

if __name__ == "__main__":
    app.run()
