"""The jobs that Ottla and its peers do: who does which, and one turn of one of them on the broker they share."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from ottla_apps.bench.engine.topics import ADMIN_TIMEOUT_S, PAYMENTS, WIDE_PAYMENTS, administration, create, delete
from ottla_apps.bench.rounds import Measure, Measurement

CONTENDERS = Path(__file__).parent / "contenders"
JOBS = {"agent": PAYMENTS, "table": PAYMENTS, "produce": PAYMENTS, "windowed": WIDE_PAYMENTS, "join": PAYMENTS}
"""By job, the topic that it reads."""
EXACTLY_ONCE, AT_LEAST_ONCE = "ottla exactly once", "ottla at least once"
ENDING_S = 90.0
"""How long a contender may take for starting and joining its group, besides the time it is measured for."""


class Peers(NamedTuple):
    """Where the peers are: the Python ones' interpreter, and the directory of Apache Kafka's jars."""

    python: Path
    jars: Path


def contenders(job: str, address: str, count: int, seconds: float, peers: Peers | None) -> dict[str, Measure]:
    """Everyone who does this job, the peers if they are there."""
    own = [sys.executable, str(CONTENDERS / "ottla_jobs.py")]
    programs = {
        EXACTLY_ONCE: [*own, "exactly_once"],
        AT_LEAST_ONCE: [*own, "at_least_once"],
    }
    if peers is not None:
        programs |= _programs_of(job, peers)

    def measure(program: list[str]) -> Measure:
        return lambda: _run(program, job, address, count, seconds)

    return {name: measure(program) for name, program in programs.items()}


def _programs_of(job: str, peers: Peers) -> dict[str, list[str]]:
    """The peers that can do it: Faust has no joins, and nobody compares a JVM with a Python loop that adds up."""
    programs: dict[str, list[str]] = {}
    if job != "join":
        programs["faust-streaming"] = [str(peers.python), str(CONTENDERS / "faust_jobs.py")]
    programs["quixstreams"] = [str(peers.python), str(CONTENDERS / "quixstreams_jobs.py")]
    if job in ("windowed", "join"):
        java = ["java", "-cp", f"{peers.jars}/*", "-Xmx1G", str(CONTENDERS / "StreamsJobs.java")]
        programs["kafka streams exactly once"] = [*java, "exactly_once_v2"]
        programs["kafka streams at least once"] = [*java, "at_least_once"]
    return programs


def _run(program: list[str], job: str, address: str, count: int, seconds: float) -> Measurement:
    """Runs one contender to its end. What it says it produced must stand in the output topic to count."""
    admin = administration(address)
    topic = JOBS[job]
    output = f"{topic}-out"
    create(admin, output)
    with tempfile.TemporaryDirectory(prefix="ottla-bench-") as directory:
        done = subprocess.run(
            [*program, job, address, topic, str(count), str(seconds)],
            capture_output=True,
            text=True,
            check=False,
            cwd=directory,
            timeout=2 * seconds + ENDING_S,
            env=os.environ | {"TMPDIR": directory, "JAVA_TOOL_OPTIONS": f"-Djava.io.tmpdir={directory}"},
        )
    figures = figures_of(program, done)
    events = figures["events"]
    if job == "produce":
        events = min(events, _end_offset(address, output))
    delete(admin, output)
    return {"events_per_s": events / figures["seconds"], "events": events}


def figures_of(program: list[str], done: subprocess.CompletedProcess[str]) -> dict[str, float]:
    """The figures that a program printed as its last line. Raises RuntimeError if it ended without."""
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"')]
    if not lines:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise RuntimeError(f"{' '.join(program)} ended without a figure: {said}")
    figures: dict[str, float] = json.loads(lines[-1])
    return figures


def _end_offset(address: str, topic: str) -> int:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench-end"})
    try:
        _, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=ADMIN_TIMEOUT_S)
        return int(high)
    finally:
        consumer.close()
