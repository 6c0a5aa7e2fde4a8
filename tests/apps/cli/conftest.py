"""The command line as operators type it, and a broker that it talks to.

`ottla("topic", "list")` runs a command in this process. The broker is one of ours, shared by all tests of this folder,
so each takes names of its own from `name`; with OTTLA_TEST_BROKERS=HOST:PORT the same tests run against that cluster.
"""

import importlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from confluent_kafka import Producer
from typer.testing import CliRunner

SINGLE = ("produce", "consume")
GROUPS = ("topic", "group", "config", "cluster", "transaction", "log", "profile")
PATIENT_S = "100"
"""How long commands wait for a broker: on a machine that is busy it may take long, and is none the worse for that."""
SETTINGS = (
    "offsets.topic.num.partitions=2",
    "transaction.state.log.num.partitions=2",
    "group.initial.rebalance.delay.ms=0",
)


@dataclass
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of tab-separated output, without the names of the columns."""
        return [line.split("\t") for line in self.out.splitlines()[1:]]

    def ok(self) -> "Result":
        assert self.status == 0, self
        assert self.err == ""
        return self

    def fails(self, sentence: str, status: int = 1) -> "Result":
        """It ended with one sentence, which matches the pattern."""
        assert self.status == status, self
        assert re.fullmatch(f"ottla: {sentence}\n", self.err), self.err
        return self


@pytest.fixture(scope="session")
def command_line() -> typer.Typer:
    """The `ottla` command with the subcommands of this folder."""
    root = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    root.callback()(lambda: None)
    for name in SINGLE:
        root.command(name)(getattr(importlib.import_module(f"ottla_apps.cli.{name}"), name))
    for name in GROUPS:
        root.add_typer(importlib.import_module(f"ottla_apps.cli.{name}").app, name=name)
    return root


@dataclass
class Broker:
    """A broker of ours as a child process."""

    process: subprocess.Popen[str]
    address: str

    @classmethod
    def start(cls, directory: Path) -> "Broker":
        """Start it, and return when it accepts connections."""
        command = [sys.executable, "-m", "ottla_broker", "--data-dir", str(directory / "data")]
        command += ["--listen", "127.0.0.1:0", "--exit-with-parent"]
        command += [part for setting in SETTINGS for part in ("--set", setting)]
        with (directory / "log").open("w") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        broker = cls(process, line.removeprefix("ottla broker: listening on ").split(",")[0])
        if not line.startswith("ottla broker: listening on "):
            broker.stop()
            pytest.fail(f"the broker did not start: {line}\n{(directory / 'log').read_text()}")
        return broker

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=100)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker."""
    if given := os.environ.get("OTTLA_TEST_BROKERS"):
        yield given
        return
    broker = Broker.start(tmp_path_factory.mktemp("broker"))
    yield broker.address
    broker.stop()


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[[], Broker]]:
    """Starts a broker that the test may stop."""
    started: list[Broker] = []

    def start() -> Broker:
        started.append(Broker.start(tmp_path))
        return started[-1]

    yield start
    for broker in started:
        if broker.process.poll() is None:
            broker.stop()


@pytest.fixture
def run(command_line: typer.Typer, tmp_path: Path) -> Callable[..., Result]:
    """Runs a command that needs no broker, with a home of its own: `run("profile", "list", stdin=b"")`."""

    def run(*arguments: str, stdin: bytes = b"", **environment: str) -> Result:
        variables = {
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "OTTLA_BROKERS": "",
            "OTTLA_TIMEOUT": PATIENT_S,
            **environment,
        }
        result = CliRunner().invoke(command_line, list(arguments), input=stdin, env=variables)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def ottla(run: Callable[..., Result], brokers: str) -> Callable[..., Result]:
    """Runs a command against the broker."""
    return lambda *arguments, **options: run(*arguments, OTTLA_BROKERS=brokers, **options)


_numbers = itertools.count()


@pytest.fixture
def name() -> Callable[[str], str]:
    """Makes a name that no other test has: `name("flights")`."""
    run = os.urandom(3).hex()
    return lambda base: f"{base}-{run}-{next(_numbers)}"


@pytest.fixture
def send(brokers: str) -> Callable[..., None]:
    """Writes records by a plain producer: `send(topic, [(partition, key, value), ...])`, each in a batch of its own.

    `timestamps` are those of the records, in milliseconds; without them the time of sending counts.
    """

    def send(
        topic: str, records: Sequence[tuple[int, bytes | None, bytes | None]], timestamps: Sequence[int] = ()
    ) -> None:
        producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
        for (partition, key, value), timestamp in itertools.zip_longest(records, timestamps, fillvalue=0):
            producer.produce(topic, value, key, partition, timestamp=timestamp)
            assert producer.flush(100) == 0

    return send


@pytest.fixture
def topic(ottla: Callable[..., Result], name: Callable[[str], str], send: Callable[..., None]) -> str:
    """A topic with three partitions, and a record `value N` with the key `N` in each of them."""
    topic = name("topic")
    ottla("topic", "create", topic, "-p", "3").ok()
    send(topic, [(number, b"%d" % number, b"value %d" % number) for number in range(3)])
    return topic
