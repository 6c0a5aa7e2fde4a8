"""What the compatibility tests run against: our broker as a process of its own, and Apache Kafka."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def broker_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that all tests of a session share; each makes topics and groups of its own."""
    directory: Path = tmp_path_factory.mktemp("broker")
    command = [sys.executable, "-m", "ottla_broker", "--data-dir", str(directory), "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "listening on" in line, f"the broker did not start: {line!r}"
        yield line.split("listening on ")[1].split(",")[0]
        process.terminate()
        assert process.wait(30) == 0
