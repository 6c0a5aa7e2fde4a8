"""A worker's events per second beside faust-streaming's and quixstreams', at the same jobs on the same broker."""

import json
import os
import random
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ottla_apps.bench.rounds import Measure, Measurement

CONTENDERS = Path(__file__).parent / "contenders"
PEERS = ("faust-streaming==0.15.3", "quixstreams==3.28.1")
JOBS = ("agent", "table", "produce")
TOPIC = "payments"
ACCOUNTS = 10_000
ENDING_S = 60.0
"""How long a contender may take for starting and joining its group, besides the time it is measured for."""


class Payment(msgspec.Struct):
    """The event: about 150 bytes of JSON."""

    id: int
    account: str
    amount: float
    note: str


def peers_python(environment: Path, say: Callable[[str], None]) -> Path:
    """The interpreter of the peers' own environment, which is made on first use because their pins exclude ours.

    Raises:
        RuntimeError: the peers could not be installed; the sentence ends with what pip said.
    """
    python, complete = environment / "bin" / "python", environment / "complete"
    wanted = "\n".join(PEERS)
    if not complete.exists() or complete.read_text() != wanted:
        say(f"installing {' and '.join(PEERS)} into {environment}")
        venv.create(environment, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", *PEERS]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the peers could not be installed: {done.stderr.strip()}")
        complete.write_text(wanted)
    return python


def load(address: str, count: int) -> None:
    """Fills the input topic, one partition, with `count` payments of accounts drawn evenly by a fixed seed."""
    _create(AdminClient({"bootstrap.servers": address}), TOPIC)
    producer = Producer({"bootstrap.servers": address, "linger.ms": 20, "queue.buffering.max.messages": count + 1})
    draw = random.Random(0)
    encode = msgspec.json.Encoder().encode
    for index in range(count):
        account = f"account-{draw.randrange(ACCOUNTS):05}"
        payment = Payment(index, account, draw.randrange(100_000) / 100, "x" * 80)
        producer.produce(TOPIC, encode(payment), account)
    if unsent := producer.flush(120):
        raise RuntimeError(f"{unsent} of {count} payments were not acknowledged within 120 s")


def contenders(job: str, address: str, count: int, seconds: float, peers: Path | None) -> dict[str, Measure]:
    """Everyone who does this job; `peers` is their interpreter, or None to leave them out."""
    own = Path(sys.executable)
    programs = {
        "ottla exactly once": (own, "ottla_jobs.py", "exactly_once"),
        "ottla at least once": (own, "ottla_jobs.py", "at_least_once"),
    }
    if peers is not None:
        programs["faust-streaming"] = (peers, "faust_jobs.py", "")
        programs["quixstreams"] = (peers, "quixstreams_jobs.py", "")

    def measure(python: Path, program: str, guarantee: str) -> Measure:
        return lambda: _run(python, program, guarantee, job, address, count, seconds)

    return {name: measure(*program) for name, program in programs.items()}


def _run(python: Path, program: str, guarantee: str, job: str, address: str, count: int, seconds: float) -> Measurement:
    """Runs one contender to its end. What it says it produced must stand in the output topic to count."""
    admin = AdminClient({"bootstrap.servers": address})
    output = f"{TOPIC}-out"
    _create(admin, output)
    command = [str(python), str(CONTENDERS / program), job, address, TOPIC, str(count), str(seconds)]
    if guarantee:
        command.append(guarantee)
    with tempfile.TemporaryDirectory(prefix="ottla-bench-") as state_dir:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + ENDING_S,
            env=os.environ | {"TMPDIR": state_dir},
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"events"')]
    if not lines:
        raise RuntimeError(f"{program} {job} ended without a figure: {(done.stderr or done.stdout).strip()[-2000:]}")
    figures = json.loads(lines[-1])
    events = figures["events"]
    if job == "produce":
        events = min(events, _end_offset(address, output))
    admin.delete_topics([output])[output].result(30)
    return {"events_per_s": events / figures["seconds"], "events": events}


def _create(admin: AdminClient, topic: str) -> None:
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)


def _end_offset(address: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench-end"})
    try:
        _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)
        return int(high)
    finally:
        consumer.close()
