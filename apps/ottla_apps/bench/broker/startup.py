"""Starting: from the process to a broker that answers, and the memory that it then holds with nothing to do."""

import time

from ottla_apps.bench.broker.contenders import Contender, data_directory
from ottla_apps.bench.rounds import Measurement

# The figure is idle memory: what start-up has put off is to happen first.
SETTLE_S = 3.0


def measure(contender: Contender) -> Measurement:
    """Start on a new data directory."""
    with data_directory() as directory, contender.launch(directory) as broker:
        time.sleep(SETTLE_S)
        return {"start_s": broker.start_s, "idle_resident_mb": broker.resident_mb()}
