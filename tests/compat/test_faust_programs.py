"""Programs without a broker under faust-streaming and under the facade: both print the same."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ottla_apps.bench.engine.peers import peers_python

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "faust" / "programs"


@pytest.fixture(scope="session")
def peers() -> Path:
    return peers_python(ROOT / ".compat/peers", print)


def output(python: Path, flavour: str, *arguments: str) -> tuple[int, str]:
    """The status of a program and what it prints."""
    environment = {**os.environ, "FLAVOUR": flavour}
    if flavour == "faust":
        environment.pop("PYTHONPATH", None)
    command = [str(python), "-W", "ignore", *arguments]
    run = subprocess.run(
        command, cwd=PROGRAMS, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    return run.returncode, run.stdout


@pytest.mark.parametrize("program", ["records", "serializers"])
def test_a_program_prints_the_same_under_both(peers: Path, program: str) -> None:
    theirs = output(peers, "faust", f"{program}.py")
    assert theirs[0] == 0
    assert output(Path(sys.executable), "ottla.faust", f"{program}.py") == theirs


@pytest.mark.parametrize(
    "arguments", ["agents", "agents --local", "tables", "models", "model shop.Order", "model Order"]
)
def test_a_command_lists_the_same_under_both(peers: Path, arguments: str) -> None:
    command = ("shop.py", "--json", *arguments.split())
    theirs = output(peers, "faust", *command)
    status, ours = output(Path(sys.executable), "ottla.faust", *command)
    assert (status, listed(ours)) == (theirs[0], listed(theirs[1]))


def listed(printed: str) -> list[dict[str, Any]]:
    """The rows of a list, but for models of Faust's own."""
    rows: list[dict[str, Any]] = json.loads(printed or "[]")
    return [row for row in rows if not row.get("name", "").startswith("faust.")]


def test_a_command_of_the_app_needs_no_broker(peers: Path) -> None:
    command = ("shop.py", "greet", "--times", "3")
    assert (
        output(Path(sys.executable), "ottla.faust", *command)
        == output(peers, "faust", *command)
        == (0, "hello " * 3 + "\n")
    )
