"""Which versions of the clients, and of Apache Kafka, the suite found installed."""

import json
import re
import subprocess
from importlib import metadata
from pathlib import Path

import confluent_kafka

from .programs import BUILT, HERE, KAFKA_CLASSPATH

Client = tuple[str, str]
"""Its version, and what it is of or on."""


def clients() -> dict[str, Client]:
    """The client libraries by name, with versions to their second number."""
    python = {name: metadata.version(name) for name in ("confluent-kafka", "aiokafka", "kafka-python")}
    kcat, librdkafka_of_kcat = _kcat()
    librdkafka = confluent_kafka.libversion()[0]
    kafkajs = json.loads((BUILT / "kafkajs/node_modules/kafkajs/package.json").read_text())["version"]
    franz = _found(r"franz-go v(\S+)", (HERE / "franz/go.mod").read_text())  # which is built as it says, or not at all
    of = {
        "confluent-kafka": (
            python["confluent-kafka"],
            f"Python, on librdkafka {short(librdkafka)}",
        ),
        "aiokafka": (python["aiokafka"], "Python"),
        "kafka-python": (python["kafka-python"], "Python"),
        "kcat": (kcat, f"the command line, on librdkafka {short(librdkafka_of_kcat)}"),
        "kafkajs": (kafkajs, "Node.js"),
        "java": (apache_kafka(), "Apache Kafka itself"),
        "franz-go": (franz, "Go"),
    }
    return {name: (short(version), what) for name, (version, what) in of.items()}


def apache_kafka() -> str:
    """The version of Apache Kafka's own clients, tools and broker."""
    [jar] = Path(KAFKA_CLASSPATH.removesuffix("/*")).glob("kafka-clients-*.jar")
    return jar.stem.removeprefix("kafka-clients-")


def short(version: str) -> str:
    """The first two numbers."""
    return _found(r"(\d+\.\d+)", version)


def _kcat() -> tuple[str, str]:
    told = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=True, timeout=100).stdout
    return _found(r"Version (\S+)", told), _found(r"librdkafka (\d[\d.]*)", told)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, f"there is no {pattern} in {text!r}"
    return found[1]
