"""The engine's own tests of what it does on a broker, on Apache Kafka and on Ottla's broker as a cluster of its own.

Those run that take a cluster from `OTTLA_KAFKA_BOOTSTRAP`: the transport's contract; workers that share tasks, take
over, restore, join, rest while paused, begin where they are told to, and are refused; their pages and tables over
HTTP; the command line.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .brokers import BROKERS

ROOT = Path(__file__).parents[2]
# Where the tests of a module are all on the cluster, none of them says so in its name.
ON_A_CLUSTER = {
    "transport": ["-k", "kafka", "tests/engine/transport"],
    "workers": ["-k", "kafka", "tests/engine/worker"],
    "queries": ["-k", "kafka", "tests/engine/web"],
    "dead letters": ["tests/engine/worker/test_dead_letter_command.py"],
    "app commands": ["tests/engine/cli/test_app_commands.py"],
}


@pytest.fixture(scope="module", params=BROKERS)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster for these tests alone: they delete what they find."""
    with BROKERS[request.param](tmp_path_factory.mktemp(request.param)) as broker:
        yield broker.address


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("tests", ON_A_CLUSTER.values(), ids=ON_A_CLUSTER)
def test_the_engine_keeps_its_promises(tests: list[str], cluster: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "OTTLA_KAFKA_BOOTSTRAP": cluster}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1700, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
