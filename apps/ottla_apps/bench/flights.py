"""The flights app from end to end, as a user runs it."""

import re
import subprocess
import sys

from ottla_apps.bench.rounds import Measurement

TIMEOUT_S = 300.0
LAST_LINE = re.compile(r"flights: ([\d,]+) events read, .* ([\d,]+) events/s")


def measure() -> Measurement:
    """Runs `ottla flights` in a process of its own and reads its last line.

    Raises:
        RuntimeError: it failed; the sentence ends with what it said.
    """
    command = [sys.executable, "-m", "ottla", "flights"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines or not (last := LAST_LINE.search(lines[-1])):
        raise RuntimeError(f"the flights app failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    events, per_second = (float(figure.replace(",", "")) for figure in last.groups())
    return {"events_per_s": per_second, "events": events}
