"""The broker as a process of its own, so that its processor time and memory are its own too."""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import psutil

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0


class BrokerProcess:
    """`ottla broker` on a free port with its data in `data_dir`.

    A context manager that stops exactly the process it started.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.address = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed where the process ends

    def __enter__(self) -> Self:
        """Starts the broker and returns once it accepts connections.

        Raises:
            RuntimeError: the broker ended, or said nothing for 30 seconds.
        """
        port = free_port()
        command = [
            sys.executable,
            "-m",
            "ottla_broker",
            "--data-dir",
            str(self.data_dir),
            "--listen",
            f"127.0.0.1:{port}",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self._log)
        self.address = f"127.0.0.1:{port}"
        deadline = time.monotonic() + START_TIMEOUT_S
        while not accepts(port):
            if self._process.poll() is not None:
                self._log.seek(0)
                raise RuntimeError(f"the broker ended at its start: {self._log.read().decode().strip()}")
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"the broker did not accept a connection on port {port} within {START_TIMEOUT_S:.0f} s"
                )
            time.sleep(0.001)
        return self

    def __exit__(self, *_raised: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def cpu_seconds(self) -> float:
        """Processor time that the broker has used so far, user and system, all threads."""
        times = self._ps().cpu_times()
        return float(times.user + times.system)

    def resident_mb(self) -> float:
        """Resident memory in MB (10^6 bytes)."""
        return float(self._ps().memory_info().rss) / 1e6

    def _ps(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether something accepts connections on this port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
