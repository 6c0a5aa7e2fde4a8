"""The rows of the broker's benchmark, each run once against a broker, with next to nothing to do."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from ottla_apps.bench.broker import kafka
from ottla_apps.bench.broker.contenders import Contender, contenders
from ottla_apps.bench.broker.rows import Scale, choose, rows
from ottla_apps.bench.commands import app
from ottla_apps.bench.processes import BrokerProcess, ServerProcess

TINY = Scale(megabytes=2, seconds=0.05, latency_s=0.1, topics=4, idle_connections=10)


@pytest.fixture(scope="module")
def ottla() -> Iterator[Contender]:
    with contenders([], print)[0] as contender:
        yield contender


@pytest.mark.parametrize(
    ("row", "figures"),
    [
        (
            "100 B, 6 partitions, lz4, acks all",
            ["produce_mb_per_s", "produce_cpu_s_per_gb", "fetch_mb_per_s", "fetch_cpu_s_per_gb"],
        ),
        (
            "1 KB, 1 partition, none, acks 1",
            ["produce_mb_per_s", "produce_cpu_s_per_gb", "fetch_mb_per_s", "fetch_cpu_s_per_gb"],
        ),
        ("requests, 10 connections", ["produces_per_s", "produce_cpu_us", "fetches_per_s", "fetch_cpu_us"]),
        ("latency at 1,000/s", ["p50_ms", "p99_ms", "p999_ms", "records"]),
        ("start", ["start_s", "idle_resident_mb"]),
        ("4 topics", ["create_s", "list_ms", "produce_s", "resident_mb", "restart_s"]),
        ("10 idle connections", ["kb_per_connection", "alone_p50_ms", "p50_ms", "p99_ms"]),
    ],
)
def test_a_row_gives_its_figures(ottla: Contender, row: str, figures: list[str]) -> None:
    (chosen,) = choose(rows(TINY), [row])

    measured = chosen.measure(ottla)

    assert list(measured) == figures
    assert all(figure >= 0 for figure in measured.values())


def test_rows_are_chosen_by_any_part_of_their_names() -> None:
    listed = rows(Scale())

    assert choose(listed, None) == listed
    assert [row.name for row in choose(listed, ["LATENCY", "start"])] == ["latency at 1,000/s", "start"]
    assert len(choose(listed, ["1 KB, 6 partitions"])) == 4
    assert choose(listed, ["no such row"]) == []
    assert len({row.name for row in listed}) == len(listed) == 23


def test_a_broker_that_ends_at_its_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a directory")

    with pytest.raises(RuntimeError, match="ended at its start"), BrokerProcess(tmp_path / "data"):
        pass


def test_rows_that_share_a_process_start_one() -> None:
    started: list[Path] = []

    class Process(ServerProcess):
        def __init__(self, data_dir: Path) -> None:
            started.append(data_dir)
            super().__init__([], 0)

        def __enter__(self) -> "Process":
            return self

        def __exit__(self, *_raised: object) -> None:
            started.clear()

    with Contender("fake", Process) as contender:
        assert contender.shared is contender.shared
        assert len(started) == 1
    assert started == []


def test_without_java_apache_kafka_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(RuntimeError, match=r"needs 'java', which is not installed \(Debian: openjdk-17-jre-headless\)"):
        kafka.install(tmp_path / "kafka", print)


def test_a_broker_that_cannot_be_measured_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    result = CliRunner().invoke(app, ["broker", "--against", "kafka", "--only", "start"])

    assert result.exit_code == 1
    assert result.stderr == (
        "ottla bench: Apache Kafka needs 'java', which is not installed (Debian: openjdk-17-jre-headless)\n"
    )


def test_a_row_that_cannot_be_measured_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ottla_apps.bench.broker.startup.SETTLE_S", 0.0)
    monkeypatch.setattr(BrokerProcess, "resident_mb", _no_such_process)

    result = CliRunner().invoke(app, ["broker", "--only", "start"])

    assert result.exit_code == 1
    assert result.stderr == "ottla bench: [1/1] start: ottla: warm-up: the process is gone\n"


def _no_such_process(_: BrokerProcess) -> float:
    raise RuntimeError("the process is gone")


def test_rows_can_be_listed_and_a_wrong_name_is_refused() -> None:
    listed = CliRunner().invoke(app, ["broker", "--list", "--only", "1 kb, 6"])
    wrong = CliRunner().invoke(app, ["broker", "--only", "start", "--only", "speed"])

    assert listed.stdout.splitlines()[0] == "1 KB, 6 partitions, none, acks 1"
    assert len(listed.stdout.splitlines()) == 4
    assert wrong.exit_code == 2
    assert "no row's name contains 'speed': --list prints the names" in wrong.stderr


def listening_child(process: psutil.Process) -> psutil.Process | None:
    """Others, as one that is asked what machine this is, come and go."""
    for child in process.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.net_connections():
                return child
    return None


def test_a_measurement_that_is_told_to_end_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ottla", "bench", "broker", "--only", "latency", "--rounds", "100"]
    bench = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.DEVNULL)
    process = psutil.Process(bench.pid)
    while (broker := listening_child(process)) is None:
        assert bench.poll() is None

    bench.terminate()

    assert bench.wait(timeout=100) == 128 + signal.SIGTERM
    assert not broker.is_running()
    assert list(tmp_path.iterdir()) == []
