"""`broker="embedded://DIR"`: a broker of one's own, as a child process on a data directory.

The first app that uses a directory starts `ottla broker` on it, on a free port, and ends it when it ends itself; others
join the one that runs. Where that ends before they do, or is killed, one of them starts it again, at its address. The
engine knows the broker by its command line and the address file it keeps, not as code.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ottla.transport.errors import TransportError
from ottla.transport.kafka_settings import bootstrap_servers

_SCHEME = "embedded://"
_ADDRESS_FILE = "broker.address"
_LOG_FILE = "broker.log"
_LISTENING = b"listening on "
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_PROBE_TIMEOUT_S = 1.0
_WATCH_S = 1.0
_LONGEST_WATCH_S = 30.0

log = logging.getLogger("ottla.worker")


@contextmanager
def serving(url: str) -> Iterator[str]:
    """The `bootstrap.servers` of a broker URL. For `embedded://DIR` a broker serves the directory while this lasts.

    Call it from a thread that stays: the broker ends with the thread that started it. Raises `ConfigError` for a URL of
    another kind, and `TransportError` when the embedded broker does not start.
    """
    if not url.startswith(_SCHEME):
        yield bootstrap_servers(url)
        return
    directory = Path(url.removeprefix(_SCHEME)).absolute()
    log_path = directory / _LOG_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as output:
            log_begin = output.tell()
            child = _start(directory, output, "127.0.0.1:0")
    except OSError as error:
        raise TransportError(f"the embedded broker cannot use {directory}: {error.strerror or error}") from error
    try:
        address = _own_or_running(child, directory)
    except BaseException:  # such as a signal's
        _stop(child)
        raise
    if address is None:
        _stop(child)
        raise TransportError(f"the embedded broker did not start: {_last_line(log_path, log_begin)}")
    keeper = _Keeper(directory, address, child)
    keeper.start()
    try:
        yield address
    finally:
        keeper.stop()


class _Keeper(threading.Thread):
    """Sees to it that a broker serves the directory at an address, whether `child` does or somebody else's.

    The directory's lock decides which of several that start one again is taken.
    """

    def __init__(self, directory: Path, address: str, child: subprocess.Popen[bytes]) -> None:
        super().__init__(name="embedded broker", daemon=True)
        self._directory = directory
        self._address = address
        self._child = child
        self._over = threading.Event()

    def run(self) -> None:
        pause_s = _WATCH_S
        while not self._over.wait(pause_s):
            if self._child.poll() is None or _answers(self._address):
                pause_s = _WATCH_S
                continue
            self._start_again()
            pause_s = min(2 * pause_s, _LONGEST_WATCH_S)
        _stop(self._child)  # Here, since it would be told to stop when the thread that has started it ends.

    def _start_again(self) -> None:
        _stop(self._child)
        try:
            with (self._directory / _LOG_FILE).open("ab") as output:
                self._child = _start(self._directory, output, self._address)
        except OSError as error:
            log.warning("the embedded broker in %s was gone and cannot be started again: %s", self._directory, error)
            return
        if _printed_address(self._child, time.monotonic() + _START_TIMEOUT_S) is not None:
            log.warning("the embedded broker in %s was gone and is started again", self._directory)

    def stop(self) -> None:
        """Ends the broker, if it is ours."""
        self._over.set()
        self.join()


def _start(directory: Path, output: IO[bytes], listen: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ottla_broker", "--data-dir", str(directory), "--listen", listen]
    # In a session of its own: Ctrl-C is for the worker, whose last commit still needs the broker.
    return subprocess.Popen(
        [*command, "--exit-with-parent"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=output,
        start_new_session=True,
    )


def _own_or_running(child: subprocess.Popen[bytes], directory: Path) -> str | None:
    """The address of our broker, or of the one that holds the directory already; None when there is neither.

    The directory's lock decides, not its address file: a file left by a killed broker may name a port that something
    else has taken since. So we start first, and join only when that was refused.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    address = _printed_address(child, deadline)
    if address is not None or child.poll() == 0:
        return address
    while time.monotonic() < deadline:
        try:
            address = (directory / _ADDRESS_FILE).read_text().strip()
        except FileNotFoundError:
            return None
        except OSError:
            address = ""
        if _answers(address):
            return address
        # It is starting or stopping: soon there is another address, or none.
        time.sleep(0.05)
    return None


def _answers(address: str) -> bool:
    """Whether something listens there."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PROBE_TIMEOUT_S):
            return True
    except (OSError, ValueError):
        return False


def _printed_address(child: subprocess.Popen[bytes], deadline: float) -> str | None:
    """What the child prints when it accepts connections; None when it ends or the time is over."""
    assert child.stdout is not None
    printed = b""
    while (remaining := deadline - time.monotonic()) > 0:
        if not select.select([child.stdout], [], [], remaining)[0]:
            break
        piece = os.read(child.stdout.fileno(), 4096)
        if not piece:
            child.wait()
            break
        printed += piece
        line, end, _ = printed.partition(b"\n")
        if end and _LISTENING in line:
            return line.split(_LISTENING)[1].split(b",")[0].decode()
    return None


def _stop(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    assert child.stdout is not None
    child.stdout.close()


def _last_line(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("ottla broker: ") if lines else f"it printed nothing within {_START_TIMEOUT_S:g} s"
