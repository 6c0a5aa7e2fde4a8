"""What state costs: a table of a million keys in RocksDB, written with its changelog, and restored from it."""

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ottla_apps.bench.engine.jobs import CONTENDERS, figures_of
from ottla_apps.bench.engine.topics import Record, account_name, administration, delete, fill, payment
from ottla_apps.bench.rounds import Measurement

KEYS = 1_000_000
_TIMEOUT_S = 600.0


def measure(address: str, keys: int) -> Measurement:
    """Fills a table with `keys` keys, takes its state directory away, and restores it.

    The figures: events per second into the table, the worker's peak of resident memory in MB (10^6 bytes) while it did
    so, records per second restored, and the peak of the worker that restored them.
    """
    topic = f"opened-{uuid.uuid4()}"
    app_id = f"bench-{uuid.uuid4()}"
    fill(address, topic, _opened(keys))
    with tempfile.TemporaryDirectory(prefix="ottla-bench-") as directory:
        filled = _run(address, topic, app_id, Path(directory) / "first")
        restored = _run(address, topic, app_id, Path(directory) / "second")
    delete(administration(address), topic)
    return {
        "fill_events_per_s": filled["events"] / filled["seconds"],
        "fill_resident_mb": filled["resident_mb"],
        "restore_records_per_s": restored["restored"] / restored["restore_seconds"],
        "restore_resident_mb": restored["resident_mb"],
    }


def _run(address: str, topic: str, app_id: str, state_dir: Path) -> dict[str, float]:
    """A worker's life from the committed offsets to the end of the topic."""
    program = [sys.executable, str(CONTENDERS / "ottla_state.py"), address, topic, app_id, str(state_dir)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, env=os.environ)
    return figures_of(program, done)


def _opened(keys: int) -> Iterator[Record]:
    encode = msgspec.json.Encoder().encode
    for number in range(keys):
        account = account_name(number)
        yield account, encode(payment(number, account, 0.0)), 1_000 + number
