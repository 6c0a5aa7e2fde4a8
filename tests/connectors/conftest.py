"""What several files of this folder need: rows in files, batches collected from a source, a broker and its topics."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, IsolationLevel, Message
from confluent_kafka import TopicPartition as ClientTopicPartition
from confluent_kafka.admin import AdminClient

from ottla_connectors.contract import Batch, Position, Source, TopicPartition
from ottla_connectors.runtime.broker import client_config, end_offsets, partition_counts


@pytest.fixture
def collect() -> Callable[..., list[Batch]]:
    """Reads a source to its end, or to the end of `limit` batches."""

    def collected(source: Source, position: Position | None = None, limit: int | None = None) -> list[Batch]:
        async def read() -> list[Batch]:
            batches = []
            async with aclosing(source.read(position)) as stream:
                async for batch in stream:
                    batches.append(batch)
                    if len(batches) == limit:
                        break
            return batches

        return asyncio.run(read())

    return collected


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[str, bytes], str]:
    """Writes a file, gzipped where its name ends in .gz, and returns its path."""

    def written(name: str, data: bytes) -> str:
        path = tmp_path / name
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return str(path)

    return written


@pytest.fixture(scope="session")
def bootstrap_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real broker for the tests of this folder; each test uses topics and connectors of its own name."""
    command = [sys.executable, "-m", "ottla_broker", "--listen", "127.0.0.1:0", "--exit-with-parent"]
    command += ["--data-dir", str(tmp_path_factory.mktemp("broker"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("ottla broker: listening on "), line
        yield line.removeprefix("ottla broker: listening on ").split(",")[0]
        process.terminate()


@pytest.fixture
def read_topic(bootstrap_servers: str) -> Callable[[str], list[Message]]:
    """The committed records of a topic, in order within each partition."""

    def read(topic: str) -> list[Message]:
        admin = AdminClient(client_config(bootstrap_servers))
        partitions = [TopicPartition(topic, index) for index in range(partition_counts(admin, [topic])[topic])]
        ends = end_offsets(admin, partitions, IsolationLevel.READ_COMMITTED)
        consumer = Consumer(
            client_config(
                bootstrap_servers, group_id="test", isolation_level="read_committed", enable_partition_eof=True
            )
        )
        messages: list[Message] = []
        try:
            consumer.assign([ClientTopicPartition(*partition, 0) for partition, end in ends.items() if end])
            open_partitions = sum(1 for end in ends.values() if end)
            while open_partitions:
                message = consumer.poll(100)
                assert message is not None, f"{topic} cannot be read to its end"
                if message.error() is None:
                    messages.append(message)
                else:
                    open_partitions -= 1
        finally:
            consumer.close()
        return messages

    return read
