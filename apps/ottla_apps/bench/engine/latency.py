"""From an event's producer through a worker to its consumer: how long that takes at a steady rate.

One process holds both ends, so that there is one clock. Events leave on schedule, whatever becomes of those before, so
a worker that pauses has all the events of the pause counted against it.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from ottla_apps.bench.engine.jobs import CONTENDERS
from ottla_apps.bench.engine.topics import Payment, account_name, administration, create, delete, payment
from ottla_apps.bench.rounds import Measurement

PER_SECOND = 5_000
_WARM_UP_S = 2.0
_TICK_S = 0.001
_MOST_RECEIVED = 1_000
_FIRST_TIMEOUT_S = 60.0
_LAST_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 30.0


def measure(address: str, guarantee: str, seconds: float) -> Measurement:
    """Percentiles of the latency in milliseconds at 5,000 events a second, the first two seconds left out."""
    admin = administration(address)
    topic = f"latency-{uuid4()}"
    output = f"{topic}-out"
    create(admin, topic)
    create(admin, output)
    with tempfile.TemporaryDirectory(prefix="ottla-bench-") as directory:
        program = [str(CONTENDERS / "ottla_relay.py"), address, topic, output, guarantee, directory]
        worker = subprocess.Popen([sys.executable, *program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            latencies = _exchange(address, topic, output, seconds)
        finally:
            worker.terminate()
            try:
                worker.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
    delete(admin, topic)
    delete(admin, output)
    cuts = statistics.quantiles(latencies, n=1000, method="inclusive")
    return {"p50_ms": cuts[499], "p99_ms": cuts[989], "p999_ms": cuts[998], "events": len(latencies)}


def _exchange(address: str, topic: str, output: str, seconds: float) -> list[float]:
    """Sends at the rate for so long after the warm-up and receives all; the latencies in milliseconds.

    Raises:
        RuntimeError: the worker did not begin, or did not send everything on, within its time.
    """
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0})
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "bench-latency",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 100,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(output, 0, 0)])
    count, warm_up = int((_WARM_UP_S + seconds) * PER_SECOND), int(_WARM_UP_S * PER_SECOND)
    latencies: list[float] = []
    try:
        _send(producer, topic, 1)  # the worker is ready when this one is back
        if not _receive(consumer, _FIRST_TIMEOUT_S):
            raise RuntimeError(f"the worker sent nothing on within {_FIRST_TIMEOUT_S:.0f} s")
        with ThreadPoolExecutor(1) as sender:
            sending = sender.submit(_send, producer, topic, count)
            while len(latencies) < count:
                received = _receive(consumer, _LAST_TIMEOUT_S)
                if not received:
                    raise RuntimeError(f"{len(latencies)} of {count} events came out of the worker")
                latencies += received
            sending.result()
    finally:
        consumer.close()
        producer.flush(_STOP_TIMEOUT_S)
    return latencies[warm_up:]


def _send(producer: Producer, topic: str, count: int) -> None:
    """Sends so many events, each when it is due; those that are due at once leave together. Sleeps between them: who
    went round and round would take a core from those that are measured.
    """
    encode = msgspec.json.Encoder().encode
    sent, start = 0, time.perf_counter()
    while True:
        due = min(count, int((time.perf_counter() - start) * PER_SECOND) + 1)
        while sent < due:
            event = payment(time.perf_counter_ns(), account_name(0), 1.0)
            producer.produce(topic, encode(event), event.account)
            sent += 1
        producer.poll(0)
        if sent == count:
            return
        time.sleep(_TICK_S)


def _receive(consumer: Consumer, timeout_s: float) -> list[float]:
    """Waits for an event, and takes what has come with it; the latency of each in milliseconds."""
    decode = msgspec.json.Decoder(Payment).decode
    messages = consumer.consume(1, timeout_s)
    if messages:
        messages += consumer.consume(_MOST_RECEIVED, 0)
    now = time.perf_counter_ns()
    return [(now - decode(message.value() or b"").id) / 1e6 for message in messages]
