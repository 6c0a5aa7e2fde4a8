"""`ottla broker` as a process: what it prints, how it stops, what it says when it cannot start."""

import asyncio
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ottla_broker import process
from ottla_broker.config import BrokerConfig

TIMEOUT_S = 100


def run(*arguments: str, where: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ottla_broker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=where)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One sentence on stderr, no traceback, an exit status that says so."""
    assert done.returncode != 0
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def test_a_start_imports_nothing_that_takes_time_and_is_not_needed() -> None:
    modules = "ottla_broker.__main__, ottla_broker.process, ottla_broker.config_file"
    needless = "{'importlib.metadata', 'email', 'tomllib', 'rich', 'starlette', 'uvicorn', 'prometheus_client'}"
    script = (
        f"import sys; import {modules}; from ottla_broker.dispatch import load_handlers; load_handlers(); "
        f"print(sorted({needless} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.fixture
def heard(number: signal.Signals) -> Iterator[None]:
    """Processes that are started hear the signal, also where the tests themselves run under nohup."""
    before = signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_broker_says_where_it_listens_and_stops_cleanly(start_broker: Any, number: signal.Signals) -> None:
    broker = start_broker()
    assert (broker.data_dir / "broker.address").read_text() == f"{broker.address}\n"
    host, port = broker.address.split(":")
    socket.create_connection((host, int(port)), timeout=TIMEOUT_S).close()
    assert broker.end(number) == 0
    assert not (broker.data_dir / "broker.address").exists()
    assert (broker.data_dir / ".kafka_cleanshutdown").exists()


def test_a_thread_that_computes_hands_the_interpreter_over_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request beside a compaction waits for that several times."""
    intervals: list[float] = []

    async def serve(_config: BrokerConfig) -> None:
        intervals.append(sys.getswitchinterval())

    before = sys.getswitchinterval()
    monkeypatch.setattr(process, "_serve", serve)
    try:
        process.run(BrokerConfig.of({}))
    finally:
        sys.setswitchinterval(before)
    assert intervals == [pytest.approx(process.SWITCH_INTERVAL_S)]
    assert process.SWITCH_INTERVAL_S < 0.001


def test_a_read_needs_not_wait_for_the_flushes_of_many_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = 24

    async def serve(_config: BrokerConfig) -> None:
        flushed = threading.Event()
        flushing = [asyncio.ensure_future(asyncio.to_thread(flushed.wait)) for _ in range(flushes)]
        try:
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "read"), TIMEOUT_S) == "read"
        finally:
            flushed.set()
        await asyncio.gather(*flushing)

    interval = sys.getswitchinterval()
    monkeypatch.setattr(process, "_serve", serve)
    try:
        process.run(BrokerConfig.of({}))
    finally:
        sys.setswitchinterval(interval)


def test_a_data_directory_in_use_is_refused(start_broker: Any) -> None:
    broker = start_broker()
    assert_refused(run("--data-dir", str(broker.data_dir), "--listen", "127.0.0.1:0"), str(broker.data_dir), "in use")


def test_a_port_in_use_is_refused(start_broker: Any, tmp_path: Path) -> None:
    broker = start_broker()
    done = run("--data-dir", str(tmp_path / "other"), "--listen", broker.address)
    assert_refused(done, broker.address, "in use")


def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert_refused(run("--data-dir", str(file / "data"), "--listen", "127.0.0.1:0"), str(file / "data"))


def test_a_host_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    assert_refused(run("--data-dir", str(tmp_path), "--listen", "192.0.2.1:9092"), "192.0.2.1:9092")


def test_an_unknown_setting_is_refused_with_the_one_meant(tmp_path: Path) -> None:
    assert_refused(run("--data-dir", str(tmp_path), "--set", "num.partition=3"), "num.partitions")


def test_a_config_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert_refused(run("--config", str(tmp_path / "missing.toml")), "missing.toml", "No such file")


def test_the_working_directorys_file_is_read_unless_another_is_named(tmp_path: Path) -> None:
    (tmp_path / "ottla.toml").write_text("num.partitons = 3\n")
    refused = run("--data-dir", "data", where=tmp_path)
    assert_refused(refused, "Unknown setting num.partitons", "num.partitions", "ottla.toml was read")
    (tmp_path / "other.toml").write_text("num.partitions = 0\n")
    assert_refused(run("--config", "other.toml", where=tmp_path), "num.partitions", "must be at least 1")


def test_a_directory_of_another_node_is_refused(start_broker: Any) -> None:
    broker = start_broker()
    broker.stop()
    assert_refused(run("--data-dir", str(broker.data_dir), "--set", "node.id=7"), "node 1", "node.id")


def test_a_broker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'ottla_broker', '--exit-with-parent', '--listen', '127.0.0.1:0']\n"
        f"command += ['--data-dir', {str(tmp_path / 'data')!r}]\n"
        "broker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)\n"
        "print(broker.stdout.readline(), end='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter], capture_output=True, text=True, timeout=TIMEOUT_S, check=True
    )
    assert "listening on" in done.stdout
    marker = tmp_path / "data" / ".kafka_cleanshutdown"
    deadline = time.monotonic() + TIMEOUT_S
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert marker.exists()


def test_an_idle_broker_takes_little_memory(start_broker: Any) -> None:
    broker = start_broker()
    assert broker.resident_bytes < 80 * 1024 * 1024
