"""An app on a cluster that asks who it is: what `broker_options` are for."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..ports import free_ports
from .brokers import kafka_node, running_kafka

APP = """
import ottla

app = ottla.App("secured", broker="kafka://ADDRESS", broker_options=OPTIONS)
words = app.topic("words", key=str, value=str, partitions=2)
counts = app.Table("counts", key=str, value=int, default=int)

@app.agent(words)
async def count(words):
    async for word in words:
        counts[word] += 1
"""
LOGIN = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "ann",
    "sasl.password": "ann-secret",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Apache Kafka with a listener for those who log in."""
    directory = tmp_path_factory.mktemp("secured")
    inside, secured, controller = free_ports(3)
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=ann-secret;"
    command = kafka_node(
        directory,
        controller,
        {
            "inter.broker.listener.name": "INSIDE",
            "listener.security.protocol.map": "INSIDE:PLAINTEXT,SECURED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"INSIDE://127.0.0.1:{inside},SECURED://127.0.0.1:{secured}",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secured.plain.sasl.jaas.config": login,
        },
    )
    with running_kafka(command, directory, secured):
        yield f"127.0.0.1:{secured}"


def ottla(directory: Path, address: str, options: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "secured.py").write_text(APP.replace("ADDRESS", address).replace("OPTIONS", repr(options)))
    command = [sys.executable, "-m", "ottla", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=300, check=False)


def test_an_app_that_logs_in_works(address: str, tmp_path: Path) -> None:
    run = ("worker", "secured:app", "--until-end", "--log-level", "warning")
    assert (first := ottla(tmp_path, address, LOGIN, *run)).returncode == 0, first.stderr
    assert (sent := ottla(tmp_path, address, LOGIN, "send", "secured:app", "@count", "a", "-k", "a")).returncode == 0, (
        sent
    )
    done = ottla(tmp_path, address, LOGIN, *run)
    assert "1 events" in done.stdout, done.stderr
    shown = ottla(tmp_path, address, LOGIN, "table", "show", "secured:app", "counts")
    assert shown.stdout == '{"key":"a","value":1}\n', shown.stderr


def test_an_app_with_a_wrong_password_is_told_so(address: str, tmp_path: Path) -> None:
    wrong = {**LOGIN, "sasl.password": "guessed"}
    done = ottla(tmp_path, address, wrong, "worker", "secured:app", "--log-level", "error")
    assert done.returncode == 1
    assert done.stderr.startswith(f"ottla worker: no Kafka broker answers at {address} (")
    assert "Invalid username or password" in done.stderr or "Authentication failed" in done.stderr
