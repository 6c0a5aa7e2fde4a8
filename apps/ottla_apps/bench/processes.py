"""Brokers as processes of their own, so that their processor time and memory are their own too."""

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

import psutil

from ottla_apps.cli.errors import CommandError, Unreachable
from ottla_apps.cli.wire_client import WireClient

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 120.0
_SCHEDULER_CLOCK = 2  # CPUCLOCK_SCHED: the time for which a process's threads have run


class ServerProcess:
    """A broker that `command` runs, listening on `port` of the loopback address.

    A context manager that stops exactly the process it started. Who derives from it says where the data is.
    """

    data_dir: Path

    def __init__(self, command: Sequence[str], port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.start_s = 0.0
        """From the start of the process until it answered that it is part of a cluster."""
        self._command = command
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Starts the broker and returns once it is ready.

        Raises:
            RuntimeError: the broker ended, or was not ready within two minutes.
        """
        self._log = tempfile.TemporaryFile()
        begun = time.perf_counter()
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        try:
            self._await_readiness(self._process, begun)
        except BaseException:  # also when told to end meanwhile
            self.stop()
            raise
        self.start_s = time.perf_counter() - begun
        return self

    def __exit__(self, *_raised: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Asks the broker to stop and waits until it has; fine if it has ended."""
        assert self._process is not None
        assert self._log is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def cpu_seconds(self) -> float:
        """Processor time that the broker has used so far, user and system, all threads (Linux)."""
        assert self._process is not None
        # The clock of clock_getcpuclockid(3), to the nanosecond; /proc, and so psutil, counts in steps of 10 ms.
        return time.clock_gettime((~self._process.pid << 3) | _SCHEDULER_CLOCK)

    def resident_mb(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        return float(self._ps().memory_info().rss) / 1e6

    def client(self) -> WireClient:
        """A client for administration."""
        return WireClient([("127.0.0.1", self._port)], START_TIMEOUT_S)

    def _await_readiness(self, process: subprocess.Popen[bytes], begun: float) -> None:
        while not self._is_ready():
            ended = process.poll() is not None
            if ended or time.perf_counter() - begun > START_TIMEOUT_S:
                problem = "ended at its start" if ended else f"was not ready within {START_TIMEOUT_S:.0f} s"
                raise RuntimeError(f"the broker {problem}: {self._said()}")
            time.sleep(0.002)

    def _is_ready(self) -> bool:
        """Whether the broker names itself as a member of its cluster; a port that accepts says less."""
        with contextlib.suppress(Unreachable, CommandError), WireClient([("127.0.0.1", self._port)], 1.0) as client:
            return bool(client.nodes())
        return False

    def _said(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-2000:]

    def _ps(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)


class BrokerProcess(ServerProcess):
    """`ottla broker` on a free port with its data in `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        port = free_port()
        command = [sys.executable, "-m", "ottla_broker", "--data-dir", str(data_dir), "--listen", f"127.0.0.1:{port}"]
        super().__init__(command, port)
        self.data_dir = data_dir


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
