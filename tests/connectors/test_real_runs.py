"""Sources and sinks against a real broker: what stands in topics and tables, also after SIGKILL."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, Message, Producer
from confluent_kafka import TopicPartition as ClientTopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic, murmur2

from ottla_connectors.contract import Batch, Guarantee, Row
from ottla_connectors.errors import BrokerError, BrokerUnavailable, ConfigError, Fenced
from ottla_connectors.files.config import FileConfig
from ottla_connectors.files.source import FileSource
from ottla_connectors.runtime.broker import client_config
from ottla_connectors.runtime.kafka_input import KafkaInput
from ottla_connectors.runtime.kafka_output import KafkaOutput
from ottla_connectors.runtime.positions import POSITIONS_TOPIC, position_key
from ottla_connectors.runtime.sink_runner import SinkRunner
from ottla_connectors.runtime.source_runner import OnWritten, SourceRunner
from ottla_connectors.sql.sqlite import SqliteConfig, SqliteSink
from ottla_connectors.testing import MemorySink, MemorySinkConfig, MemoryTable

ReadTopic = Callable[[str], list[Message]]
WriteFile = Callable[[str, bytes], str]


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, for its topic and its connector."""
    return str(request.node.name).replace("[", "-").replace("]", "")[:80]


@pytest.fixture
def run_source(bootstrap_servers: str, topic: str) -> Callable[..., None]:
    """One life of a file source into the topic."""

    def run(path: str, on_written: OnWritten | None = None, partitions: int = 2, **config: object) -> None:
        source = FileSource(topic, msgspec.convert({"path": path, "key": "id"} | config, FileConfig))
        output = KafkaOutput(bootstrap_servers, topic, source.partition, topic, partitions=partitions)
        asyncio.run(SourceRunner(source, output, on_written).run())

    return run


@pytest.fixture
def run_sink(bootstrap_servers: str, topic: str, tmp_path: Path) -> Callable[[], list[int]]:
    """One life of a SQLite sink that reads the topic to its end; returns the ids in the table."""

    def run() -> list[int]:
        path = str(tmp_path / "rows.db")
        sink = SqliteSink(topic, SqliteConfig(path=path, table="rows", columns={"id": "int"}))
        records = KafkaInput(bootstrap_servers, topic, [topic], f"connect-{topic}")
        asyncio.run(SinkRunner(sink, records, clock=time.monotonic).run(until_end=True))
        with closing(sqlite3.connect(path)) as connection:
            return [id_ for (id_,) in connection.execute("SELECT id FROM rows ORDER BY id")]

    return run


@pytest.fixture
def produce(bootstrap_servers: str, topic: str) -> Callable[..., None]:
    """Writes values into the topic, in one transaction that is committed or aborted."""

    def send(*values: bytes | None, commit: bool = True) -> None:
        producer = Producer(client_config(bootstrap_servers, transactional_id=f"test-{topic}"))
        producer.init_transactions(30)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value)
        producer.flush()
        (producer.commit_transaction if commit else producer.abort_transaction)(30)
        producer.close()

    admin = AdminClient(client_config(bootstrap_servers))
    admin.create_topics([NewTopic(topic, 1)])[topic].result(100)
    return send


def values(messages: list[Message]) -> list[Any]:
    return [msgspec.json.decode(message.value() or b"")["id"] for message in messages]


def csv_of(ids: range) -> bytes:
    return b"id,at\n" + b"".join(b"%d,1970-01-01T00:00:00.%03dZ\n" % (id_, id_ + 1) for id_ in ids)


def test_rows_arrive_with_key_event_time_and_partition(
    run_source: Callable[..., None], read_topic: ReadTopic, write_file: WriteFile, topic: str
) -> None:
    run_source(write_file("a.csv", csv_of(range(20))), timestamp="at", partitions=3)

    messages = read_topic(topic)
    assert sorted(int(id_) for id_ in values(messages)) == list(range(20))
    for message in messages:
        key = message.key() or b""
        assert message.timestamp()[1] == int(key) + 1
        assert message.partition() == murmur2(key, 3), "the partition a Java client would choose"


def test_the_position_is_kept_as_kafka_connect_keeps_it(
    run_source: Callable[..., None], read_topic: ReadTopic, write_file: WriteFile, topic: str
) -> None:
    content = csv_of(range(3))
    path = write_file("a.csv", content)

    run_source(path)

    key = f'["{topic}",{{"path":"{path}"}}]'.encode()
    assert position_key(topic, {"path": path}) == key
    assert [message.value() for message in read_topic(POSITIONS_TOPIC) if message.key() == key] == [
        b'{"offset":87,"line":4,"beginning":%d}' % zlib.crc32(content)
    ]


def test_a_second_run_reads_only_what_was_added(
    run_source: Callable[..., None], read_topic: ReadTopic, write_file: WriteFile, topic: str
) -> None:
    path = write_file("a.csv", csv_of(range(5)))
    run_source(path)
    with open(path, "ab") as file:
        file.write(b"5,\n6,\n")

    run_source(path)
    run_source(path)

    assert Counter(values(read_topic(topic))) == Counter(str(id_) for id_ in range(7))


def test_malformed_rows_go_to_the_dead_letter_topic_with_reason_and_position(
    run_source: Callable[..., None], read_topic: ReadTopic, write_file: WriteFile, topic: str
) -> None:
    path = write_file("a.csv", b"id,at\n1,2\nbroken\n3,4\n")

    run_source(path, columns={"id": "int"})

    (letter,) = read_topic(f"{topic}-dead-letter")
    assert letter.value() == b"broken\n"
    assert letter.headers() == [
        ("ottla.error.reason", b"1 fields where the header names 2"),
        ("ottla.error.type", b"MalformedRow"),
        ("ottla.origin.position", f"{path}:3".encode()),
    ]
    assert sorted(values(read_topic(topic))) == [1, 3]


def test_a_row_that_no_topic_takes_becomes_a_dead_letter(
    run_source: Callable[..., None], read_topic: ReadTopic, write_file: WriteFile, topic: str
) -> None:
    path = write_file("a.jsonl", b'{"id": 1, "text": "%s"}\n{"id": 2}\n' % (b"x" * 1_000_000))

    run_source(path, max_row_bytes=2_000_000)

    (letter,) = read_topic(f"{topic}-dead-letter")
    assert dict(letter.headers() or ())["ottla.error.reason"] == b"1000018 bytes as JSON; a record holds 1000000"
    assert values(read_topic(topic)) == [2]


def test_an_older_task_of_the_same_source_is_fenced(bootstrap_servers: str, topic: str, read_topic: ReadTopic) -> None:
    def output() -> KafkaOutput:
        return KafkaOutput(bootstrap_servers, topic, {}, topic, partitions=1)

    def batch(id_: int) -> Batch:
        return Batch([Row(None, {"id": id_})], [], {"id": id_})

    async def two_tasks() -> None:
        zombie, successor = output(), output()
        assert await zombie.open() is None
        await zombie.write(batch(1))
        assert await successor.open() == {"id": 1}
        with pytest.raises(Fenced):
            await zombie.write(batch(2))
        await successor.write(batch(3))
        await zombie.close()
        await successor.close()

    asyncio.run(two_tasks())

    assert values(read_topic(topic)) == [1, 3]


def test_a_topic_with_other_partitions_is_refused(
    run_source: Callable[..., None], write_file: WriteFile, topic: str
) -> None:
    path = write_file("a.csv", csv_of(range(1)))
    run_source(path, partitions=2)

    with pytest.raises(ConfigError, match=f"^topic '{topic}' has 2 partitions and connector '{topic}' asks for 3; "):
        run_source(path, partitions=3)


def test_a_sink_writes_what_is_committed_and_the_group_shows_no_lag(
    run_sink: Callable[[], list[int]], produce: Callable[..., None], bootstrap_servers: str, topic: str
) -> None:
    produce(b'{"id": 1}', b'{"id": 2}')
    produce(b'{"id": 3}', commit=False)
    produce(b'{"id": 4}')

    assert run_sink() == [1, 2, 4]

    end = 7  # 4 records and a marker for each of the 3 transactions
    request = ConsumerGroupTopicPartitions(f"connect-{topic}")
    admin = AdminClient(client_config(bootstrap_servers))
    (answer,) = admin.list_consumer_group_offsets([request]).values()
    assert [each.offset for each in answer.result().topic_partitions] == [end]


def test_a_sink_goes_on_where_its_target_stands(
    run_sink: Callable[[], list[int]], produce: Callable[..., None]
) -> None:
    produce(b'{"id": 1}')
    assert run_sink() == [1]
    produce(b'{"id": 2}')

    assert run_sink() == [1, 2]
    assert run_sink() == [1, 2]


def test_records_that_are_no_rows_go_to_the_dead_letter_topic_with_their_origin(
    run_sink: Callable[[], list[int]], produce: Callable[..., None], read_topic: ReadTopic, topic: str
) -> None:
    produce(b'{"id": 1}', b"{", None, b'{"id": "x"}', b'{"id": %d}' % 2**70, b'{"id": 2}')

    assert run_sink() == [1, 2]

    letters = [(letter.value(), dict(letter.headers() or ())) for letter in read_topic(f"{topic}-dead-letter")]
    assert [(value, headers["ottla.origin.offset"]) for value, headers in letters] == [
        (b"{", b"1"),
        (None, b"2"),
        (b'{"id": "x"}', b"3"),
        (b'{"id": %d}' % 2**70, b"4"),
    ]
    assert letters[2][1]["ottla.error.reason"] == b"Expected `int`, got `str` - at `$.id`"


def test_a_sink_of_a_topic_that_was_made_anew_begins_at_its_start(
    run_sink: Callable[[], list[int]], produce: Callable[..., None], bootstrap_servers: str, topic: str
) -> None:
    produce(b'{"id": 1}', b'{"id": 2}', b'{"id": 3}')
    assert run_sink() == [1, 2, 3]
    admin = AdminClient(client_config(bootstrap_servers))
    admin.delete_topics([topic])[topic].result(100)
    admin.create_topics([NewTopic(topic, 1)])[topic].result(100)
    produce(b'{"id": 4}', b'{"id": 5}', b'{"id": 6}')

    assert run_sink() == [1, 2, 3, 4, 5, 6]


def test_records_that_were_deleted_before_a_sink_read_them_stop_it(
    run_sink: Callable[[], list[int]], produce: Callable[..., None], bootstrap_servers: str, topic: str
) -> None:
    produce(b'{"id": 1}')
    run_sink()
    produce(b'{"id": 2}', b'{"id": 3}')
    before = ClientTopicPartition(topic, 0, 4)
    admin = AdminClient(client_config(bootstrap_servers))
    admin.delete_records([before])[before].result(100)

    with pytest.raises(BrokerError, match=f"stands at an offset of {topic}-0 that the broker has deleted"):
        run_sink()


def test_a_sink_without_positions_goes_on_at_the_groups_offsets(
    produce: Callable[..., None], bootstrap_servers: str, topic: str
) -> None:
    class Forgetful(MemorySink):
        guarantee: ClassVar[Guarantee] = Guarantee.AT_LEAST_ONCE

    def run() -> list[Any]:
        table = MemoryTable()
        records = KafkaInput(bootstrap_servers, topic, [topic], f"connect-{topic}")
        sink = Forgetful(topic, MemorySinkConfig(table))
        asyncio.run(SinkRunner(sink, records, clock=time.monotonic).run(until_end=True))
        return [row.value for row in table.rows]

    produce(b"1", b"2")
    assert run() == [1, 2]
    produce(b"3")

    assert run() == [3]


def test_a_sink_of_a_missing_topic_says_so(run_sink: Callable[[], list[int]], topic: str) -> None:
    with pytest.raises(BrokerUnavailable, match=f"^topic '{topic}' does not exist, so sink '{topic}' cannot read it$"):
        run_sink()


def test_killed_at_any_moment_a_source_and_a_sink_deliver_every_row_once(
    bootstrap_servers: str, tmp_path: Path, write_file: WriteFile, topic: str, read_topic: ReadTopic
) -> None:
    count = 20_000
    spec = tmp_path / "spec.toml"
    spec.write_text(f"""
        broker = "kafka://{bootstrap_servers}"
        [[source]]
        name = "{topic}-in"
        plugin = "file"
        topic = "{topic}"
        partitions = 3
        config = {{ path = "{write_file("a.csv.gz", csv_of(range(count)))}", key = "id", batch_rows = 100 }}
        [[sink]]
        name = "{topic}-out"
        plugin = "sqlite"
        topics = ["{topic}"]
        config = {{ path = "{tmp_path / "a.db"}", table = "rows", columns = {{ id = "str" }} }}
    """)
    command = [sys.executable, "-c", "from ottla_connectors.commands import app; app()"]
    patience_s, kills = 0.6, 0  # a life shorter than that has hardly begun
    while True:
        with subprocess.Popen([*command, "run", str(spec), "--until-end"], stdout=subprocess.PIPE) as life:
            try:
                assert life.wait(patience_s) == 0
                break
            except subprocess.TimeoutExpired:
                life.kill()
        patience_s *= 1.25
        kills += 1

    assert kills > 0
    expected = sorted(str(id_) for id_ in range(count))
    assert sorted(values(read_topic(topic))) == expected
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        assert [id_ for (id_,) in connection.execute("SELECT id FROM rows ORDER BY id")] == expected
