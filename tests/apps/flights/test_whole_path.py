"""`ottla flights` as a person runs it: every row of the result, also when the worker is killed on the way."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

DATA = Path(__file__).parents[3] / "apps/ottla_apps/flights/data"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ottla_flights(tmp_path: Path) -> Run:
    """Runs the command in a directory of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ottla", "flights", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)

    return run


def rows_of(path: Path) -> tuple[dict[tuple[str, str], Any], dict[str, int]]:
    """The tables as the expectation has them; a row that is there twice fails."""
    with closing(sqlite3.connect(path)) as connection:
        delays = connection.execute(
            "SELECT carrier, hour, airline, flights, mean_delay, max_delay FROM delays"
        ).fetchall()
        cancelled = connection.execute("SELECT carrier, flights FROM cancelled").fetchall()
    assert len({row[:2] for row in delays}) == len(delays)
    assert len({row[0] for row in cancelled}) == len(cancelled)
    return {row[:2]: row[2:] for row in delays}, dict(cancelled)


@pytest.mark.parametrize("kill", [False, True], ids=["undisturbed", "killed three times"])
def test_every_row_is_what_a_plain_computation_gives(
    ottla_flights: Run, tmp_path: Path, expected: Any, kill: bool
) -> None:
    done = ottla_flights("--out", "result.db", *["--kill"] * kill)

    assert done.returncode == 0, done.stderr
    delays, cancelled = rows_of(tmp_path / "result.db")
    assert delays == expected.delays
    assert cancelled == expected.cancelled
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(
        r"flights: 27004 events read, 27004 processed, 5413 windows, 5425 rows in result\.db, \d+ events/s", last
    )
    assert ("The worker was killed 3 times." in done.stdout) == kill
    assert "\x1b" not in done.stdout, "no terminal, no colours and no bars"


def test_malformed_rows_are_counted_in_the_last_line_and_stop_nothing(ottla_flights: Run, tmp_path: Path) -> None:
    lines = gzip.decompress((DATA / "flights-2013-01.csv.gz").read_bytes()).splitlines(keepends=True)[:201]
    lines.insert(50, b"this is no flight\n")
    lines.insert(100, lines[99].replace(b",2013-01-01T", b",yesterday "))
    (tmp_path / "some.csv").write_bytes(b"".join(lines))

    done = ottla_flights("--rows", "some.csv")

    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("flights: 200 events read, 200 processed, ")
    assert last.endswith(" events/s, 2 malformed")


def test_a_data_directory_goes_on_where_it_was(ottla_flights: Run, tmp_path: Path) -> None:
    lines = gzip.decompress((DATA / "flights-2013-01.csv.gz").read_bytes()).splitlines(keepends=True)
    rows = tmp_path / "some.csv"
    rows.write_bytes(b"".join(lines[:101]))
    arguments = ("--data-dir", "kept", "--rows", str(rows), "--format", "json")
    first = json.loads(ottla_flights(*arguments).stdout)
    rows.write_bytes(b"".join(lines[:151]))

    second = json.loads(ottla_flights(*arguments).stdout)

    assert (first["read"], first["processed"]) == (100, 100)
    assert (second["read"], second["out"]) == (50, "kept/flights.db")
    assert second["worst_hours"][0]["mean_delay"] >= second["worst_hours"][-1]["mean_delay"]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("--rows", "missing.csv"), 1, "cannot read missing.csv: No such file or directory"),
        (("--out", "no/result.db"), 2, "no/result.db cannot be created: there is no directory "),
        (("--broker", "127.0.0.1:9092"), 2, "broker='127.0.0.1:9092' is not understood; "),
        (
            ("--broker", "kafka://127.0.0.1:1"),
            1,
            "at 127.0.0.1:1 (Connection refused), nor did one within 3 s",
        ),
        (("--format", "xml"), 2, "'xml' is not one of 'text', 'json'"),
    ],
)
def test_what_cannot_work_is_said_in_one_sentence(
    ottla_flights: Run, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    done = ottla_flights(*arguments)

    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_of_someone_else_is_left_alone(ottla_flights: Run, tmp_path: Path) -> None:
    theirs = tmp_path / "flights.db"
    with closing(sqlite3.connect(theirs)) as connection:
        connection.execute("CREATE TABLE delays (precious TEXT)")

    done = ottla_flights()

    assert done.returncode == 2
    assert "flights.db is not from an earlier run of this demo; give another file with --out" in done.stderr
    assert theirs.exists()


def is_worker(process: psutil.Process) -> bool:
    try:
        return "worker" in process.cmdline()
    except psutil.NoSuchProcess:  # killed a moment ago, which is what the run does to its workers
        return False


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_leaves_no_process_and_no_file_behind(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    command = [sys.executable, "-m", "ottla", "flights", "--kill"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as running:
        this = psutil.Process(running.pid)
        while not (workers := [child for child in this.children() if is_worker(child)]):
            assert running.poll() is None
            time.sleep(0.02)
        children = this.children(recursive=True)
        while running.poll() is None:  # again and again, by an impatient person
            running.send_signal(number)
            time.sleep(0.02)
    assert running.returncode == status

    assert workers[0] in children
    assert not any(child.is_running() for child in children)
    assert list(tmp_path.glob("ottla-flights-*")) == []
