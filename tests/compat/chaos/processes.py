"""What the chaos tests kill and start again: workers, and a broker of either kind on a port that it keeps."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ...ports import free_ports
from ..brokers import accepts, kafka_node

HERE = Path(__file__).parent
START_WITHIN_S = 240
STOPPED_WITHIN_S = 120


class Process:
    """A process that is killed and started again. Its output goes to a file, which a failing test shows.

    It may end by itself with one of `excuses` as its last words, or a status of `excused`, only; then it is started
    again, as a supervisor would.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        started: Callable[[], object] = lambda: None,
        excuses: tuple[str, ...] = (),
        excused: tuple[int, ...] = (),
        killed_by: signal.Signals = signal.SIGKILL,
    ) -> None:
        self._command, self._log, self._started = command, log, started
        self._excuses, self._excused, self._killed_by = excuses, excused, killed_by
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # Whatever ends the tests ends it, too.
        command = ["setpriv", "--pdeathsig", "KILL", *self._command]
        environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=log, stderr=log)
        self._started()

    def supervise(self) -> None:
        assert self._process is not None
        if (status := self._process.poll()) is not None:
            output = self._log.read_text()
            last = output[output.rstrip().rfind("\n") + 1 :]
            excused = status in self._excused or any(excuse in last for excuse in self._excuses)
            assert excused, f"it ended by itself with status {status}:\n{output[-4000:]}"
            self.start()

    def freeze(self) -> None:
        """Stops it where it is, as a machine that sleeps does, until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.supervise()
        assert self._process is not None
        self._process.send_signal(self._killed_by)
        self._process.wait(START_WITHIN_S)

    def run(self, seconds: float) -> None:
        """Runs it to its own end, which must be a good one."""
        self.start()
        assert self._process is not None
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            status = -1
        assert status == 0, f"it did not end well within {seconds:g} s:\n{self._log.read_text()[-4000:]}"

    def end(self) -> None:
        """Stops it as an operator would. One that does not stop in time says where it is, and fails the test."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGABRT)
                self._process.wait()
                pytest.fail(f"it did not stop within {STOPPED_WITHIN_S} s:\n{self._log.read_text()[-12_000:]}")


@contextmanager
def ottla(directory: Path, advertised: str | None = None) -> Iterator[tuple[Process, str]]:
    """An Ottla broker and its address. Clients are told the `advertised` one, if there is one."""
    directory.mkdir()
    address = f"127.0.0.1:{(port := free_ports(1)[0])}"
    command = [sys.executable, "-m", "ottla_broker", "--data-dir", str(directory), "--listen", address]
    if advertised is not None:
        command += ["--set", f"advertised.listeners=PLAINTEXT://{advertised}"]
    process = Process(command, directory.with_suffix(".log"), lambda: _await_listener(port))
    process.start()
    try:
        yield process, address
    finally:
        process.end()


@contextmanager
def kafka(directory: Path, killed_by: signal.Signals) -> Iterator[tuple[Process, str]]:
    """A single node of Apache Kafka and its address."""
    directory.mkdir()
    port, controller = free_ports(2)
    address = f"127.0.0.1:{port}"
    settings = {
        "listeners": f"PLAINTEXT://{address}",
        # One that was killed starts again only when the controller has given its predecessor up.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "300",
    }
    command = kafka_node(directory, controller, settings)
    process = Process(command, directory.with_suffix(".log"), lambda: _await_listener(port), killed_by=killed_by)
    process.start()
    try:
        yield process, address
    finally:
        process.end()


def worker(kind: str, address: str, directory: Path, guarantee: str, *arguments: str) -> Process:
    """A worker on a broker of that kind."""
    command = [sys.executable, "-m", "ottla", "worker", f"readings:{guarantee}", "--broker", f"kafka://{address}"]
    command += ["--state-dir", str(directory), *arguments]
    # One to which the broker is away for a minute says so and ends.
    excuses: tuple[str, ...] = ("no Kafka broker answers",)
    crashed: tuple[int, ...] = ()
    if kind == "kafka":
        # Nor can it restore its state behind a transaction that this broker has left open for good (`hanging.py`).
        excuses += ("stalled: nothing came for",)
        # librdkafka may crash when this broker, starting again, knows no leader yet (its issue 5280).
        crashed = (-signal.SIGSEGV,)
    return Process(command, directory.with_suffix(".log"), excuses=excuses, excused=crashed)


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.05)


def _await_listener(port: int) -> None:
    wait_until(lambda: accepts(port), START_WITHIN_S)
