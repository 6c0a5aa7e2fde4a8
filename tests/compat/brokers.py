"""The brokers that the suite runs against: Ottla, and Apache Kafka as one KRaft node."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from ..ports import free_ports
from .programs import JAVA, KAFKA_CLASSPATH
from .proxy import LossyProxy

START_TIMEOUT_S = 240
STOP_TIMEOUT_S = 120
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"

# Settings that keep tests short; the same for both, so that only the brokers differ.
SETTINGS = {
    # Events of the past would be deleted as soon as a broker looks after its retention.
    "log.retention.check.interval.ms": "86400000",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.min.heartbeat.interval.ms": "300",
    "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.assignment.interval.ms": "0",
    "offsets.topic.num.partitions": "5",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "5",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
}
# What Apache Kafka has beside its documented settings. Its first look after retention is half a minute after its start.
INTERNAL_OF_KAFKA = {"log.initial.task.delay.ms": SETTINGS["log.retention.check.interval.ms"]}


class Broker(NamedTuple):
    """A running broker. `lossy` leads to the same kind of broker through a proxy that can lose answers."""

    name: str
    address: str
    lossy: LossyProxy
    data_directory: Path


@contextmanager
def ottla(directory: Path) -> Iterator[Broker]:
    """Two Ottla brokers: one to be reached directly, one that names the proxy as its address."""
    with (
        LossyProxy() as proxy,
        single_ottla(directory / "direct") as direct,
        single_ottla(directory / "behind-proxy", f"advertised.listeners=PLAINTEXT://{proxy.address}") as behind,
    ):
        proxy.target = behind
        yield Broker("ottla", direct, proxy, directory / "direct")


@contextmanager
def single_ottla(data_directory: Path, *settings: str) -> Iterator[str]:
    """One Ottla broker on a data directory; its address."""
    command = [sys.executable, "-m", "ottla_broker", "--data-dir", str(data_directory), "--listen", "127.0.0.1:0"]
    for setting in (*(f"{name}={value}" for name, value in SETTINGS.items()), *settings):
        command += ["--set", setting]
    with subprocess.Popen([*command, "--exit-with-parent"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert "listening on" in line, f"the broker did not start: {line!r}"
            yield line.split("listening on ")[1].split(",")[0]
        finally:
            process.terminate()
            status = process.wait(STOP_TIMEOUT_S)
    assert status == 0, f"the broker stopped with status {status}"


@contextmanager
def kafka(directory: Path) -> Iterator[Broker]:
    """Apache Kafka with two listeners, one of which names the proxy as its address; its data are in `data`."""
    with LossyProxy() as proxy:
        direct, behind, controller = free_ports(3)
        proxy.target = f"127.0.0.1:{behind}"
        command = kafka_node(
            directory,
            controller,
            {
                "inter.broker.listener.name": "DIRECT",
                "listener.security.protocol.map": "DIRECT:PLAINTEXT,LOSSY:PLAINTEXT,CONTROLLER:PLAINTEXT",
                "listeners": f"DIRECT://127.0.0.1:{direct},LOSSY://127.0.0.1:{behind}",
                "advertised.listeners": f"DIRECT://127.0.0.1:{direct},LOSSY://{proxy.address}",
            },
        )
        with running_kafka(command, directory, direct):
            yield Broker("kafka", f"127.0.0.1:{direct}", proxy, directory / "data")


def kafka_node(directory: Path, controller: int, settings: Mapping[str, str]) -> list[str]:
    """The command that runs one KRaft node on the data in `directory/data`, which are there from now on.

    `controller` is a port for its controller; `settings` have the other listeners.
    """
    properties, data = directory / "server.properties", directory / "data"
    settings = {
        **SETTINGS,
        **settings,
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{settings['listeners']},CONTROLLER://127.0.0.1:{controller}",
        "log.dirs": str(data),
        **INTERNAL_OF_KAFKA,
    }
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    java = [*JAVA, KAFKA_CLASSPATH]
    if not (data / "meta.properties").exists():
        format_storage = [
            *java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "4L6g3nShT-eMCtK--X86sw",
            "-c",
            str(properties),
        ]
        subprocess.run(format_storage, check=True, capture_output=True, timeout=START_TIMEOUT_S)
    return [*java, "kafka.Kafka", str(properties)]


@contextmanager
def running_kafka(command: list[str], directory: Path, port: int) -> Iterator[None]:
    """A node that was made by `kafka_node`, once it listens on the port. What it says goes to `directory/kafka.log`."""
    written = directory / "kafka.log"
    with written.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not accepts(port):
                assert process.poll() is None, f"Apache Kafka did not start:\n{written.read_text()[-2000:]}"
                assert time.monotonic() < deadline, f"Apache Kafka does not listen:\n{written.read_text()[-2000:]}"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def accepts(port: int) -> bool:
    """Whether someone listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


BROKERS: dict[str, Callable[[Path], AbstractContextManager[Broker]]] = {"ottla": ottla, "kafka": kafka}
