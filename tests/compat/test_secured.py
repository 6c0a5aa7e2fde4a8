"""An app on a cluster that asks who it is: what `broker_options` are for."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .brokers import SETTINGS, START_TIMEOUT_S
from .programs import JAVA, KAFKA_CLASSPATH

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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return int(opened.getsockname()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Apache Kafka with a listener for those who log in."""
    directory = tmp_path_factory.mktemp("secured")
    inside, secured, controller = free_port(), free_port(), free_port()
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=ann-secret;"
    settings = {
        **SETTINGS,
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "INSIDE",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,SECURED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listeners": f"INSIDE://127.0.0.1:{inside},SECURED://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secured.plain.sasl.jaas.config": login,
        "log.dirs": str(directory / "data"),
    }
    properties = directory / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    java = [*JAVA, KAFKA_CLASSPATH]
    formatting = [*java, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(properties)]
    subprocess.run(formatting, check=True, capture_output=True, timeout=START_TIMEOUT_S)
    with (
        (directory / "kafka.log").open("wb") as log,
        subprocess.Popen([*java, "kafka.Kafka", str(properties)], stdout=log, stderr=log) as process,
    ):
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not accepts(secured):
                assert process.poll() is None, (directory / "kafka.log").read_text()[-2000:]
                assert time.monotonic() < deadline, "Apache Kafka does not listen"
                time.sleep(0.2)
            yield f"127.0.0.1:{secured}"
        finally:
            process.terminate()
            process.wait(30)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def ottla(directory: Path, address: str, options: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "secured.py").write_text(APP.replace("ADDRESS", address).replace("OPTIONS", repr(options)))
    command = [sys.executable, "-m", "ottla", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


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
