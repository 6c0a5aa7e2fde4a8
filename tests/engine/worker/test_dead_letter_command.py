"""`ottla deadletter` on a broker: what it prints, and what it sends."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import confluent_kafka
import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner, Result

from ottla.cli.deadletter import app as command
from ottla.loading import load_app
from ottla.worker.embedded import serving
from ottla.worker.launch import run_worker

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")

APP = """
import ottla

app = ottla.App("RUN", broker="kafka://BROKER", store="memory")
numbers = app.topic("numbers-RUN", value=int, partitions=2)

@app.agent(numbers)
async def inverse(numbers):
    async for number in numbers:
        yield 1 / number
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if KAFKA is not None:
        yield KAFKA
        return
    with serving(f"embedded://{tmp_path_factory.mktemp('broker')}") as address:
        yield address


@pytest.fixture
def run(broker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `ottla deadletter` over an app that failed on a zero and a text."""
    name = f"app_{uuid.uuid4().hex[:8]}"
    (tmp_path / f"{name}.py").write_text(APP.replace("RUN", name).replace("BROKER", broker))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    app = load_app(f"{name}:app")
    run_worker(app.topology, app.config, until_end=True)
    producer = confluent_kafka.Producer({"bootstrap.servers": broker})
    for value in (b"0", b"oops", b"2"):
        producer.produce(f"numbers-{name}", value, b"k", partition=1)
    assert producer.flush(100) == 0
    run_worker(app.topology, app.config, until_end=True)

    def deadletter(verb: str, *arguments: str) -> Result:
        return CliRunner().invoke(command, [verb, f"{name}:app", *arguments])

    return deadletter


def test_letters_are_listed_shown_and_replayed_once(run: Callable[..., Result]) -> None:
    listed = run("list")
    assert listed.exit_code == 0
    head, *rows = listed.stdout.splitlines()
    assert head.split() == ["NUMBER", "FAILED", "KIND", "STEP", "ORIGIN", "STATE", "REASON"]
    assert [row.split()[2] for row in rows] == ["deserialization", "processing"]
    assert "2 dead letters in " in listed.stderr
    assert "0 replayed" in listed.stderr

    zero = rows[1].split()[0]
    shown = run("show", zero)
    assert "value    0\n" in shown.stdout
    assert "return" not in shown.stdout
    assert "ZeroDivisionError: division by zero" in shown.stdout
    assert "yield 1 / number" in shown.stdout

    assert "1 would be sent" in run("replay", "--number", zero, "--dry-run").stdout
    assert run("replay", "--number", zero).stdout.endswith(": 1 sent\n")
    assert run("replay", "--kind", "processing").stderr == "no dead letter is to be replayed\n"
    assert [row.split()[5] for row in run("list").stdout.splitlines()[1:]] == ["open", "replayed"]


def test_what_makes_no_sense_ends_with_a_sentence(run: Callable[..., Result]) -> None:
    for arguments, sentence in [
        (("show", "99"), "has no dead letter 99; `ottla deadletter list` shows those it has"),
        (("show", "last"), "'last' is no letter's number"),
        (("list", "--since", "yesterday"), "'yesterday' is no time"),
        (("list", "--topic", "elsewhere"), "there is no topic 'elsewhere'"),
        (("list", "--broker", "nonsense"), "broker='nonsense' is not understood"),
    ]:
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("ottla deadletter: ")
        assert sentence in result.stderr


def test_letters_of_a_connector_are_found_by_their_topic(broker: str) -> None:
    topic = f"books-{uuid.uuid4().hex[:8]}-dead-letter"
    producer = confluent_kafka.Producer({"bootstrap.servers": broker})
    headers = [("ottla.error.reason", b"no number"), ("ottla.origin.position", b"books.csv:3")]
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(100)
    producer.produce(topic, b"a,b", headers=headers)
    assert producer.flush(100) == 0

    def deadletter(verb: str, *arguments: str) -> Result:
        return CliRunner().invoke(command, [verb, f"kafka://{broker}", *arguments])

    assert "-\t-\tbooks.csv:3\topen\tno number\n" in deadletter("list", "--topic", topic).stdout
    [listed] = msgspec.json.decode(deadletter("list", "--topic", topic, "--format", "json").stdout)
    assert (listed["origin"], listed["reason"]) == ("books.csv:3", "no number")
    assert "value    a,b\n" in deadletter("show", "0", "--topic", topic).stdout
    assert "letter 0 is left out, since it came from books.csv:3" in deadletter("replay", "--topic", topic).stderr
    assert "Name their topic with --topic" in deadletter("list").stderr
