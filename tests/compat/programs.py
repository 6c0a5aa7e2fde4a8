"""The client families, each a program in its own language that the suite drives (README.md has their protocol)."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import pytest

HERE = Path(__file__).parent
BUILT = HERE.parent.parent / ".compat"
KAFKA_CLASSPATH = os.environ.get("OTTLA_KAFKA_CLASSPATH", f"{BUILT}/kafka/*")
# Short runs: quick to start rather than fast.
JAVA = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]

# Bounds of what hangs, here as everywhere in these tests: on a busy machine all may take many times as long as usual.
REPLY_TIMEOUT_S = 240
READ_TIMEOUT_S = 120


class ClientError(Exception):
    """What a client library raised: the name of its exception, and the message."""


class Family(NamedTuple):
    """A client library: the command of its program, and what the library, not the broker, cannot do."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = {}
    lacks: frozenset[str] = frozenset()


FAMILIES = [
    Family("confluent-kafka", [sys.executable, f"{HERE}/python/with_confluent_kafka.py"]),
    Family(
        "aiokafka",
        [sys.executable, f"{HERE}/python/with_aiokafka.py"],
        lacks=frozenset({"consumer protocol", "deleting groups"}),
    ),
    Family(
        "kafka-python",
        [sys.executable, f"{HERE}/python/with_kafka_python.py"],
        lacks=frozenset({"consumer protocol", "headers without value", "snappy"}),
    ),
    Family(
        "kcat",
        [sys.executable, f"{HERE}/python/with_kcat.py"],
        lacks=frozenset(
            {"consumer protocol", "timestamps", "open transactions", "transactional offsets", "administration"}
        ),
    ),
    Family(
        "kafkajs",
        ["node", f"{HERE}/kafkajs/client.js"],
        environment={"NODE_PATH": f"{BUILT}/kafkajs/node_modules", "KAFKAJS_NO_PARTITIONER_WARNING": "1"},
        lacks=frozenset({"consumer protocol", "headers without value", "snappy", "lz4", "zstd"}),
    ),
    Family("java", [*JAVA, f"{BUILT}/java:{KAFKA_CLASSPATH}", "Program"]),
    Family("franz-go", [f"{BUILT}/franz"]),
]


def families_with(*abilities: str) -> pytest.MarkDecorator:
    """Runs a test once for each family that lacks none of `abilities`."""
    able = [family for family in FAMILIES if not family.lacks.intersection(abilities)]
    return pytest.mark.parametrize("family", able, ids=[family.name for family in able])


@dataclass(frozen=True)
class Record:
    """A record to send or a record that was read."""

    topic: str
    value: str | None
    key: str | None = None
    partition: int | None = None
    timestamp: int | None = None
    headers: list[list[str | None]] = field(default_factory=list)
    offset: int | None = None


class Program:
    """A running program; one request at a time."""

    def __init__(self, family: Family, log: Path) -> None:
        self.family = family
        self.log = log
        self.handles = count()
        self.replies: queue.SimpleQueue[str] = queue.SimpleQueue()
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                family.command,
                env={**os.environ, **family.environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.replies.put(line)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def call(self, verb: str, **arguments: Any) -> Any:
        """What the program replies. Raises ClientError if it replies with an error."""
        assert self.process.stdin is not None
        print(json.dumps({"verb": verb, **arguments}), file=self.process.stdin, flush=True)
        try:
            reply = json.loads(self.replies.get(timeout=REPLY_TIMEOUT_S))
        except queue.Empty:
            self.process.kill()  # whatever it still says would be taken for the answer to the next request
            said = self.log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self.family.name} did not answer {verb} {arguments}; it said:\n{said}") from None
        if "error" in reply:
            raise ClientError(f"{reply['error']}: {reply['message']}")
        return reply["result"]

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join()
        self.process.stdout.close()

    def new_handle(self) -> str:
        return str(next(self.handles))


class Client:
    """A family at work on one broker."""

    def __init__(self, program: Program, broker: str) -> None:
        self.program = program
        self.broker = broker

    @property
    def family(self) -> Family:
        return self.program.family

    def at(self, broker: str) -> "Client":
        """The same program at another address."""
        return Client(self.program, broker)

    def call(self, verb: str, **arguments: Any) -> Any:
        return self.program.call(verb, broker=self.broker, **arguments)

    def producer(
        self,
        *,
        acks: str = "all",
        compression: str = "none",
        idempotent: bool = False,
        transactional_id: str | None = None,
    ) -> "Producer":
        handle = self.program.new_handle()
        self.call(
            "open_producer",
            handle=handle,
            acks=acks,
            compression=compression,
            idempotent=idempotent or transactional_id is not None,
            transactional_id=transactional_id,
        )
        return Producer(self.program, handle)

    def consumer(
        self,
        group: str,
        topic: str,
        *,
        read_committed: bool = False,
        protocol: str = "classic",
        limit: int = 500,
        transactional_id: str | None = None,
    ) -> "Consumer":
        """A member of the group.

        `limit` is the most that it will read, for clients that commit what they have read ahead. `transactional_id`
        is that of the producer which will send its offsets, for clients that make one thing of both.
        """
        handle = self.program.new_handle()
        self.call(
            "open_consumer",
            handle=handle,
            group=group,
            topics=[topic],
            read_committed=read_committed,
            protocol=protocol,
            limit=limit,
            transactional_id=transactional_id,
        )
        return Consumer(self.program, handle)

    def read(self, topic: str, group: str, number: int, **options: Any) -> list[Record]:
        """`number` records, read by a group of one that does not commit."""
        with self.consumer(group, topic, limit=number, **options) as consumer:
            return consumer.read(number)


class Handle:
    """Something open in a program, closed at the end of a `with` block."""

    kind: str

    def __init__(self, program: Program, handle: str) -> None:
        self.program = program
        self.handle = handle

    def call(self, verb: str, **arguments: Any) -> Any:
        return self.program.call(verb, handle=self.handle, **arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.program.running:
            self.call(f"close_{self.kind}")


class Producer(Handle):
    kind = "producer"

    def send(self, *records: Record) -> list[tuple[int, int]]:
        """Send and wait until stored: partition and offset of each record, or nothing where the client does not say."""
        return [tuple(place) for place in self.call("send", records=[vars(record) for record in records]) or ()]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.call("begin")
        yield
        self.call("commit")


class Consumer(Handle):
    kind = "consumer"

    def poll(self, number: int = 500, timeout_ms: int = 200) -> list[Record]:
        return [Record(**record) for record in self.call("poll", count=number, timeout_ms=timeout_ms)]

    def read(self, number: int) -> list[Record]:
        """The next `number` records. Fails if they do not come in time."""
        records: list[Record] = []
        deadline = time.monotonic() + READ_TIMEOUT_S
        while len(records) < number:
            assert time.monotonic() < deadline, f"{self.program.family.name} read {len(records)} of {number} records"
            records += self.poll(number - len(records))
        return records

    def assignment(self) -> set[tuple[str, int]]:
        return {(topic, partition) for topic, partition in self.call("assignment")}

    def commit(self) -> None:
        self.call("commit_offsets")
