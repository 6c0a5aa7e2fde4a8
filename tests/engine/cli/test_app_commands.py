"""`ottla app reset`, `agent list`, `send`, `table list` and `show`, on a broker: a Kafka cluster, where
`OTTLA_KAFKA_BOOTSTRAP` names one.
"""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import confluent_kafka
import pytest
import typer
from typer.testing import CliRunner

from ottla.agents import client
from ottla.cli import agent, app, send, table
from ottla.commands import worker
from ottla.worker.embedded import serving
from ottla.worker.identity import worker_place

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")

APP = """
import ottla

app = ottla.App("NAME", broker="BROKER")
words = app.topic("words-NAME", key=str, value=str, partitions=2)
said = app.topic("said-NAME", key=str, value=int, partitions=1)
counts = app.Table("counts", key=str, value=int, default=int)

@app.agent(words, sink=[said])
async def count(words):
    async for word in words:
        counts[word] += 1
        yield counts[word]
"""

Run = Callable[..., str]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if KAFKA is not None:
        yield f"kafka://{KAFKA}"
        return
    with serving(f"embedded://{tmp_path_factory.mktemp('broker')}") as address:
        yield f"kafka://{address}"


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str) -> str:
    """The app's id, and its module's name, in the working directory."""
    found = f"shop_{uuid.uuid4().hex[:8]}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / f"{found}.py").write_text(APP.replace("NAME", found).replace("BROKER", broker))
    return found


def commands() -> typer.Typer:
    command = typer.Typer()
    for module, title in ((agent, "agent"), (app, "app"), (table, "table")):
        command.add_typer(module.app, name=title)
    command.command("send")(send.send)
    command.command("worker")(worker)
    return command


def run(*arguments: str, status: int = 0) -> str:
    """What a command prints, both its results and what it says about them."""
    result = CliRunner().invoke(commands(), arguments)
    assert result.exit_code == status, result.output
    return result.output


def process(name: str) -> str:
    return run("worker", f"{name}:app", "--until-end", "--log-level", "error")


def test_events_are_sent_and_tables_shown(name: str) -> None:
    process(name)
    run("send", f"{name}:app", f"words-{name}", "bee", "--key", "bee")
    run("send", f"{name}:app", "@count", "bee", "--key", "bee")
    run("send", f"{name}:app", "@count", "cat", "-k", "cat", "--partition", "0")
    assert "3 events" in process(name)
    shown = run("table", "show", f"{name}:app", "counts").splitlines()
    assert sorted(shown) == ['{"key":"bee","value":2}', '{"key":"cat","value":1}']
    assert run("table", "show", f"{name}:app", "counts", "bee") == '{"key":"bee","value":2}\n'
    assert len(run("table", "show", f"{name}:app", "counts", "--limit", "1").splitlines()) == 1
    assert "table 'counts' has no key 'dog'" in run("table", "show", f"{name}:app", "counts", "dog", status=1)


def test_what_cannot_be_sent_or_shown_is_said_in_a_sentence(name: str) -> None:
    assert "there is no agent 'nobody'; there is count" in run("send", f"{name}:app", "@nobody", "1", status=2)
    assert "is not a value of topic" in run("send", f"{name}:app", f"said-{name}", "many", status=2)
    assert "no table 'sums'" in run("table", "show", f"{name}:app", "sums", status=2)
    assert "no worker answers at 127.0.0.1:1" in run(
        "table", "show", f"{name}:app", "counts", "--web", "127.0.0.1:1", status=1
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "APP", "@count", "bee"),
        ("app", "reset", "APP", "--yes"),
    ],
)
def test_a_broker_that_is_away_is_one_sentence(name: str, arguments: tuple[str, ...]) -> None:
    given = [f"{name}:app" if each == "APP" else each for each in arguments]
    told = run(*given, "--broker", "kafka://127.0.0.1:1", status=1)
    assert "no Kafka broker answers at 127.0.0.1:1 (Connection refused)" in told
    assert len(told.splitlines()) == 1


def test_a_topic_that_no_worker_has_made_yet_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MADE_WITHIN_S", 0.3)
    for arguments in (["send", f"{name}:app", "@count", "bee"], ["app", "pause", f"{name}:app"]):
        told = run(*arguments, status=1)
        assert f"does not exist: create it, or start a worker of '{name}', which makes" in told
        assert len(told.splitlines()) == 1


def test_agents_are_listed_with_what_they_use(name: str) -> None:
    assert [line.split() for line in run("agent", "list", f"{name}:app").splitlines()] == [
        ["AGENT", "READS", "TABLES", "WRITES"],
        ["count", f"words-{name}", "counts", f"said-{name}"],
    ]


def test_tables_are_listed_with_what_they_hold_and_where(name: str) -> None:
    assert [line.split() for line in run("table", "list", f"{name}:app").splitlines()] == [
        ["TABLE", "KEY", "VALUE", "CHANGELOG"],
        ["counts", "text", "msgpack[int]", f"{name}-counts-changelog"],
    ]


def test_an_app_that_is_reset_starts_over(name: str) -> None:
    process(name)
    for _ in range(3):
        run("send", f"{name}:app", "@count", "bee", "--key", "bee")
    assert "3 events" in process(name)
    # What would be done is shown, and nothing done
    shown = run("app", "reset", f"{name}:app", "--dry-run")
    for what in (f"words-{name}[0]", f"{name}-counts-changelog", f"{name}-assignment", f".ottla/{name}/0"):
        assert what in shown
    assert "dead-letter" not in shown
    assert "0 events" in process(name)
    # Done, all is as at the beginning, except for the app's results
    run("app", "reset", f"{name}:app", "--yes")
    nothing = run("table", "show", f"{name}:app", "counts", status=1)
    assert f"there is nothing to show: no worker of '{name}' has made '{name}-counts-changelog' yet" in nothing
    assert "3 events" in process(name)
    assert run("table", "show", f"{name}:app", "counts") == '{"key":"bee","value":3}\n'
    run("app", "reset", f"{name}:app", "--to", "latest", "--yes")
    assert "0 events" in process(name)


def test_an_app_whose_state_is_in_use_is_not_reset(name: str) -> None:
    process(name)
    with worker_place(Path(".ottla"), name):
        refused = run("app", "reset", f"{name}:app", "--yes", status=1)
    assert "a worker uses the state in" in refused
    assert "--to 'noon' is none of" in run("app", "reset", f"{name}:app", "--to", "noon", status=2)


def test_an_app_whose_workers_run_is_not_reset(name: str, broker: str) -> None:
    member = confluent_kafka.Consumer(
        {"bootstrap.servers": broker.removeprefix("kafka://"), "group.id": name, "group.instance.id": "w0"}
    )
    process(name)
    joined: list[object] = []
    member.subscribe([f"words-{name}"], on_assign=lambda *_: joined.append(1))
    try:
        while not joined:
            member.poll(0.1)
        assert "has workers that run (w0)" in run("app", "reset", f"{name}:app", "--yes", status=1)
    finally:
        member.close()


def test_an_app_is_paused_and_resumed(name: str) -> None:
    process(name)
    run("app", "pause", f"{name}:app")
    assert "there is no step 'counting' to pause" in run("app", "pause", f"{name}:app", "--step", "counting", status=2)
    run("send", f"{name}:app", "@count", "bee", "--key", "bee")
    with subprocess.Popen(
        [sys.executable, "-m", "ottla", "worker", f"{name}:app"], stderr=subprocess.PIPE, text=True
    ) as at:
        assert at.stderr is not None
        _read_until(at.stderr, "task 0_1 is paused")
        run("app", "resume", f"{name}:app")
        _read_until(at.stderr, "task 0_1 goes on")
        at.send_signal(signal.SIGINT)
        at.communicate(timeout=100)
    process(name)
    assert run("table", "show", f"{name}:app", "counts", "bee") == '{"key":"bee","value":1}\n'


def test_a_worker_is_started_anew_when_its_code_changes(name: str) -> None:
    command = [sys.executable, "-m", "ottla", "worker", f"{name}:app", "--reload"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        _read_until(running.stderr, "assigned 2 tasks")
        code = Path(f"{name}.py")
        code.write_text(code.read_text().replace("partitions=1", "partitions=1, config={}"))
        _read_until(running.stderr, f"starting anew, {name}.py changed")
        _read_until(running.stderr, "assigned 2 tasks")
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=100)


def _read_until(lines: Iterable[str], text: str) -> None:
    """The test's bound is the bound."""
    for line in lines:
        if text in line:
            return
    pytest.fail(f"it ended without {text!r}")
