"""The table of a million keys: ottla_state.py BROKER TOPIC APP_ID STATE_DIR, to the end of the topic.

Prints `{"events": N, "seconds": S, "restored": N, "restore_seconds": S, "resident_mb": M}`; resident
memory is the peak.
"""

import json
import sys
import time
from pathlib import Path

import ottla
from ottla.worker.launch import run_worker
from ottla.worker.metrics import WorkerMetrics
from ottla_apps.bench.engine.topics import Payment

broker, topic_name, app_id, state_dir = sys.argv[1:]
app = ottla.App(app_id, broker=f"kafka://{broker}", state_dir=state_dir)
opened = app.topic(topic_name, key=str, value=Payment)
amounts = app.Table("amounts", key=str, default=float)
first = 0.0
events = 0


@app.agent(opened)
async def add(payments: ottla.Stream[Payment]) -> None:
    global first, events
    async for payment in payments:
        first = first or time.perf_counter()
        amounts[payment.account] += payment.amount
        events += 1


def figure(metrics: WorkerMetrics, name: str) -> float:
    return metrics.registry.get_sample_value(name, {"app": app_id}) or 0.0


def peak_resident_mb() -> float:
    """In MB (10^6 bytes). Not `getrusage`: what it says begins with the peak of the process that started this one."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024 / 1e6


if __name__ == "__main__":
    metrics = WorkerMetrics(app_id)
    run_worker(app.topology, app.config, until_end=True, metrics=metrics)
    figures = {
        "events": events,
        "seconds": time.perf_counter() - first,  # to the last commit
        "restored": figure(metrics, "ottla_restored_records_total"),
        "restore_seconds": figure(metrics, "ottla_restore_seconds_sum"),
        "resident_mb": peak_resident_mb(),
    }
    print(json.dumps(figures))
