"""The engine on Apache Kafka: its own transport and worker tests, with a cluster of one node beside the other brokers.

OTTLA_KAFKA_CLASSPATH is the class path of an Apache Kafka 4.x installation, such as `/opt/kafka/libs/*`.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CLASSPATH = os.environ.get("OTTLA_KAFKA_CLASSPATH")
ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(CLASSPATH is None, reason="OTTLA_KAFKA_CLASSPATH is not set")

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
log.dirs={directory}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


@pytest.fixture(scope="module")
def kafka_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("kafka")
    port, controller = _free_ports(2)
    properties = directory / "server.properties"
    properties.write_text(PROPERTIES.format(port=port, controller=controller, directory=directory))
    java = ["java", "-Xmx512m", "-cp", str(CLASSPATH)]
    formatting = ["kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", str(properties)]
    subprocess.run([*java, *formatting], check=True, capture_output=True, timeout=100)
    with (directory / "kafka.log").open("wb") as log:
        broker = subprocess.Popen([*java, "kafka.Kafka", str(properties)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not _accepts(port):
            assert broker.poll() is None, (directory / "kafka.log").read_text()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        broker.kill()
        broker.wait()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("room", ["transport", "worker"])
def test_the_engine_keeps_its_promises_on_apache_kafka(room: str, kafka_address: str) -> None:
    tests = [sys.executable, "-m", "pytest", "-q", "-k", "kafka", f"tests/engine/{room}"]
    environment = {**os.environ, "OTTLA_KAFKA_BOOTSTRAP": kafka_address}
    done = subprocess.run(tests, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-6000:]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
