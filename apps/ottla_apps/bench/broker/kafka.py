"""Apache Kafka as a contender: installed by name on first use, run as one KRaft node.

What its `bin/kafka-server-start.sh` sets is set here too: a heap of 1 GB and the goals of the G1 collector. The
broker's settings are its defaults, but for what one node needs, and for deleted files, which go at once.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from ottla_apps.bench.processes import ServerProcess, free_port

VERSION = "4.3.0"
_CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"
_INSTALL_TIMEOUT_S = 900.0
_FORMAT_TIMEOUT_S = 120.0

_JVM = (
    "-Xms1G",
    "-Xmx1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
)

_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>ottla</groupId>
  <artifactId>bench-peer</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-streams</artifactId>
      <version>{VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


class KafkaProcess(ServerProcess):
    """Apache Kafka on a free port with its data in `data_dir`, which is formatted if it is new."""

    def __init__(self, libraries: Path, data_dir: Path) -> None:
        """Raises RuntimeError if the data directory cannot be formatted."""
        port = free_port()
        java = ["java", *_JVM, "-cp", f"{libraries}/*"]
        properties = _write_properties(data_dir, port)
        if not (data_dir / "meta.properties").exists():
            command = [*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False)
            if done.returncode:
                raise RuntimeError(f"Apache Kafka's data directory was not formatted: {done.stderr or done.stdout}")
        super().__init__([*java, "kafka.Kafka", str(properties)], port)
        self.data_dir = data_dir


def _write_properties(data_dir: Path, port: int) -> Path:
    controller = free_port()
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": str(data_dir),
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        # A deleted topic's files go by the broker's setting, whatever the topic's; see `load.delete_topic`.
        "log.segment.delete.delay.ms": "100",
    }
    properties = data_dir.with_suffix(".properties")
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return properties


def install(directory: Path, say: Callable[[str], None]) -> Path:
    """The directory of Apache Kafka's jars and Kafka Streams', from Maven Central by name unless they are there.

    Raises:
        RuntimeError: there is no Java or Maven, or Maven failed.
    """
    for program, package in (("java", "openjdk-17-jre-headless"), ("mvn", "maven")):
        if shutil.which(program) is None:
            raise RuntimeError(f"Apache Kafka needs {program!r}, which is not installed (Debian: {package})")
    libraries, complete = directory / "libs", directory / "complete"
    if complete.exists() and complete.read_text() == _POM:
        return libraries
    say(f"fetching Apache Kafka {VERSION} into {libraries}")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    pom = directory / "pom.xml"
    pom.write_text(_POM)
    command = ["mvn", "--batch-mode", "--file", str(pom), "dependency:copy-dependencies"]
    with subprocess.Popen(
        [*command, f"-DoutputDirectory={libraries}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as maven:
        assert maven.stdout is not None
        last = ""
        for line in maven.stdout:
            last = line.strip() or last
            if line.startswith(("Downloaded", "[INFO] Copying")):
                say(line.removeprefix("[INFO] ").split(" to ")[0].strip())
    if maven.returncode:
        raise RuntimeError(f"Maven could not fetch Apache Kafka {VERSION}: {last}")
    complete.write_text(_POM)
    return libraries
