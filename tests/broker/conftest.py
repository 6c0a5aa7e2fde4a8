"""Brokers to test against, on port 0, in the test's own directory.

`start_broker` starts as many as a test wants, each as a process of its own, and ends exactly those. `broker` is one of
them, `shared_broker` one for all tests of a file. `start_node` runs one inside the test's event loop, for tests that
look at it from within.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ottla_broker.config import BrokerConfig
from ottla_broker.node import Node

START_TIMEOUT_S = 100
SHARED_MEMORY = Path("/dev/shm")


@dataclass
class BrokerProcess:
    """A broker that runs as a child process. `data_dir` survives it, so that it can be started again."""

    data_dir: Path
    settings: dict[str, str] = field(default_factory=dict)
    address: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self) -> "BrokerProcess":
        """Start it, and return when it accepts connections. A restart keeps the port."""
        command = [sys.executable, "-m", "ottla_broker", "--data-dir", str(self.data_dir)]
        command += ["--listen", self.address or "127.0.0.1:0", "--exit-with-parent"]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("ottla broker: listening on "), f"{line!r}\n{self.log}"
        self.address = line.removeprefix("ottla broker: listening on ").split(",")[0]
        return self

    @property
    def log_file(self) -> Path:
        return self.data_dir.with_suffix(".log")

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return self.log_file.read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self, number: int) -> int:
        """Send a signal and wait; the exit status."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(number)
        assert process.stdout is not None
        process.stdout.close()
        return process.wait(timeout=START_TIMEOUT_S)

    def stop(self) -> int:
        return self.end(signal.SIGTERM)

    def kill(self) -> None:
        self.end(signal.SIGKILL)


@contextmanager
def brokers_in(directory: Path) -> Iterator[Callable[..., BrokerProcess]]:
    """`start(name="data", **settings)`; settings by Kafka's names with underscores for dots."""
    started: list[BrokerProcess] = []

    def start(name: str = "data", **settings: Any) -> BrokerProcess:
        dotted = {key.replace("_", "."): str(value) for key, value in settings.items()}
        started.append(BrokerProcess(directory / name, dotted))
        return started[-1].start()

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., BrokerProcess]]:
    """See `brokers_in`."""
    with brokers_in(tmp_path) as start:
        yield start


FEW_PARTITIONS = {"offsets_topic_num_partitions": 2, "transaction_state_log_num_partitions": 2}
"""Of internal topics, which makes a broker quick."""


@pytest.fixture
def broker(start_broker: Callable[..., BrokerProcess]) -> BrokerProcess:
    """A broker of the test's own."""
    return start_broker(**FEW_PARTITIONS)


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One for the tests of a file that leave nothing behind in it."""
    with brokers_in(tmp_path_factory.mktemp("shared")) as start:
        yield start(**FEW_PARTITIONS)


@pytest.fixture
def node_directory(tmp_path: Path) -> Iterator[Path]:
    """The data directory of `start_node`: in memory where there is such a thing, because most tests start a node, and
    nodes wait for their disk.
    """
    if not os.access(SHARED_MEMORY, os.W_OK):
        yield tmp_path / "node"
        return
    with tempfile.TemporaryDirectory(prefix="ottla-", dir=SHARED_MEMORY) as directory:
        yield Path(directory) / "node"


@pytest.fixture
def start_node(node_directory: Path) -> Callable[..., Any]:
    """`async with start_node(**settings) as node`: a node in the running event loop."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Node]:
        values = {key.replace("_", "."): str(value) for key, value in settings.items()}
        values = {"offsets.topic.num.partitions": "2", "transaction.state.log.num.partitions": "2"} | values
        values = {"listeners": "127.0.0.1:0", "log.dirs": str(node_directory)} | values
        node = await Node.start(BrokerConfig.of(values))
        try:
            yield node
        finally:
            await node.stop()

    return start
