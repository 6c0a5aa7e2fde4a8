"""`ottla connect`, as a person meets it: what it prints, and how it ends."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ottla_connectors.commands import app
from ottla_connectors.spec import read_spec

WriteFile = Callable[[str, bytes], str]


def ottla_connect(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def spec_file(tmp_path: Path, write_file: WriteFile, bootstrap_servers: str) -> Path:
    path, rows = tmp_path / "spec.toml", write_file("a.csv", b"id\n1\n2\n\n3,4\n")
    path.write_text(f"""
        broker = "kafka://{bootstrap_servers}"
        [[source]]
        name = "command-in"
        plugin = "file"
        topic = "command"
        config = {{ path = "{rows}" }}
        [[sink]]
        name = "command-out"
        plugin = "sqlite"
        topics = ["command"]
        config = {{ path = "{tmp_path / "a.db"}", table = "rows", columns = {{ id = "int" }} }}
    """)
    return path


def claims(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT MAX(epoch) FROM ottla_positions").fetchone()[0])


def test_it_runs_to_the_end_and_then_until_it_is_told_to_stop(spec_file: Path) -> None:
    first = ottla_connect("run", str(spec_file), "--until-end")

    assert first.exit_code == 0, first.output
    # The sink expects numbers and the source, which was given no types, wrote text.
    assert first.stdout.splitlines() == ["command-in: 2 rows, 1 malformed", "command-out: 0 rows, 2 malformed"]

    command = [sys.executable, "-c", "from ottla_connectors.commands import app; app()", "run", str(spec_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        while claims(spec_file.with_name("a.db")) == 1:  # the sink is at work when it has claimed its partition again
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        output, _ = running.communicate(timeout=100)
    assert running.returncode == 0
    assert output.splitlines() == ["command-in: 0 rows, 0 malformed", "command-out: 0 rows, 0 malformed"]


def test_a_connector_that_fails_is_named_and_the_others_go_on(spec_file: Path) -> None:
    spec_file.write_text(spec_file.read_text().replace("a.csv", "missing.csv"))

    result = ottla_connect("run", str(spec_file), "--until-end")

    assert result.exit_code == 1
    assert "command-out: " in result.stdout


def test_a_wrong_spec_is_one_sentence_and_exit_status_2(tmp_path: Path) -> None:
    result = ottla_connect("run", str(tmp_path / "missing.toml"))

    assert result.exit_code == 2
    assert result.stderr == f"ottla connect: cannot read {tmp_path}/missing.toml: No such file or directory\n"


@pytest.mark.parametrize(
    ("there", "instead", "sentence"),
    [
        ('plugin = "sqlite"', 'plugin = "sqlit"', "no sink plugin is called 'sqlit'; did you mean 'sqlite'?"),
        ('"int"', '"itn"', "connector 'command-out', config: Invalid enum value 'itn' - at `$.columns[...]`"),
        ('"rows",', '"rows", mode = "upsert",', "sink 'command-out': upserts need a primary_key to find the row by"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_before_anything_starts(
    spec_file: Path, there: str, instead: str, sentence: str
) -> None:
    spec_file.write_text(spec_file.read_text().replace(there, instead))

    result = ottla_connect("run", str(spec_file), "--until-end")

    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"ottla connect: {sentence}\n")


def test_an_embedded_broker_serves_as_long_as_the_connectors_run(spec_file: Path, bootstrap_servers: str) -> None:
    directory = spec_file.with_name("broker")
    spec_file.write_text(spec_file.read_text().replace(f"kafka://{bootstrap_servers}", f"embedded://{directory}"))

    result = ottla_connect("run", str(spec_file), "--until-end")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("command-in: 2 rows, 1 malformed\n")
    assert not (directory / "broker.address").exists()


def test_a_broker_that_is_no_url_is_one_sentence(spec_file: Path, bootstrap_servers: str) -> None:
    spec_file.write_text(spec_file.read_text().replace("kafka://", ""))

    result = ottla_connect("run", str(spec_file))

    assert result.exit_code == 2
    assert result.stderr.startswith(f"ottla connect: broker={bootstrap_servers!r} is not understood; ")


def test_plugins_are_listed_and_one_is_shown_with_its_schema() -> None:
    listed = ottla_connect("plugins").stdout.splitlines()
    assert any(line.startswith("sink.sqlite ") for line in listed)

    shown = ottla_connect("plugins", "source.file").stdout
    assert shown.startswith(
        "source.file: Rows of a CSV or JSON-lines file, plain or gzipped.\nguarantee: exactly once\n{"
    )

    assert ottla_connect("plugins", "file").exit_code == 2
    assert ottla_connect("plugins", "sink.file").stderr.startswith("ottla connect: no sink plugin is called 'file'")


@pytest.mark.parametrize("where", ["spec", "option"])
def test_a_broker_that_does_not_answer_is_waited_for_and_then_one_sentence(
    spec_file: Path, bootstrap_servers: str, where: str
) -> None:
    spec_file.write_text(spec_file.read_text().replace(bootstrap_servers, "127.0.0.1:1"))
    if where == "spec":
        spec_file.write_text(f"broker_wait_s = 0.1\n{spec_file.read_text()}")

    result = ottla_connect("run", str(spec_file), *(["--broker-wait", "0.1"] if where == "option" else []))

    away = "no Kafka broker answers at 127.0.0.1:1 (Connection refused)"
    assert result.exit_code == 1
    assert result.stderr.endswith(f"ottla connect: {away}, nor did one within 0.1 s\n")


def test_how_long_to_wait_is_a_minute_unless_it_is_said(spec_file: Path) -> None:
    assert read_spec(spec_file).broker_wait_s == 60

    spec_file.write_text(f"broker_wait_s = -1\n{spec_file.read_text()}")
    result = ottla_connect("run", str(spec_file))

    assert (result.exit_code, result.stderr) == (
        2,
        f"ottla connect: {spec_file}: Expected `float` >= 0.0 - at `$.broker_wait_s`\n",
    )
