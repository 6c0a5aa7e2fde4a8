"""A broker that is killed with SIGKILL again and again, while producers write to it and consumers read.

Each partition has one idempotent producer that numbers its records and keeps five batches under way. After a kill it
sends again what was not acknowledged, as clients do. So the record at offset N must be number N, whatever happens: one
that was lost, stored twice or followed by a gap would show at once. Everything that is served is checked against its
checksum.
"""

import multiprocessing
import pkgutil
import random
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ottla_broker.handlers
from ottla_broker import process
from ottla_broker.config import BrokerConfig
from ottla_wire.headers import RequestHeader, decode_response_header
from ottla_wire.message import Message
from ottla_wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from ottla_wire.messages.fetch import FetchPartition, FetchRequest, FetchResponse, FetchTopic
from ottla_wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData
from ottla_wire.records import Compression, NewRecord, build_batch, iter_batches

from ..ports import free_ports

VERSIONS = {0: 9, 1: 12, 19: 7}
TIMEOUT_S = 100.0
UNDER_WAY = 5
# Small segments, so that some kills come while one is rolled. One topic's acknowledgements wait for the device.
TOPICS = {
    "plain": {"segment.bytes": "1048576"},
    "flushed": {"segment.bytes": "1048576", "flush.messages": "1"},
}


class Wire:
    """One connection. Raises ConnectionError when the broker is gone."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: Message) -> None:
        version = VERSIONS[request.api_key]
        body = RequestHeader(request.api_key, version, 1, "test").encode() + request.encode(version)
        self._socket.sendall(len(body).to_bytes(4, "big") + body)

    def receive(self, response: type[Message]) -> Any:
        answer = self._exactly(int.from_bytes(self._exactly(4), "big"))
        version = VERSIONS[response.api_key]
        _, position = decode_response_header(answer, response.api_key, version)
        return response.decode(answer, version, position)[0]

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise ConnectionError("the broker is gone")
            data += more
        return bytes(data)

    def ask(self, request: Message, response: type[Message]) -> Any:
        self.send(request)
        return self.receive(response)

    def close(self) -> None:
        self._socket.close()


@dataclass
class Producer:
    """The only producer of a partition; record number N is to have offset N."""

    topic: str
    producer_id: int
    rng: random.Random
    sent: int = 0
    acknowledged: int = 0
    unacknowledged: deque[tuple[int, int, bytes]] = field(default_factory=deque)

    def write(self, wire: Wire) -> None:
        """Write until the broker is gone."""
        for _, _, batch in self.unacknowledged:
            self._send(wire, batch)
        while True:
            while len(self.unacknowledged) < UNDER_WAY:
                count, batch = self._new_batch()
                self.unacknowledged.append((self.sent, count, batch))
                self.sent += count
                self._send(wire, batch)
            answer = wire.receive(ProduceResponse).responses[0].partition_responses[0]
            first, count, _ = self.unacknowledged[0]
            assert answer.error_code == 0, answer
            assert answer.base_offset == first, f"{self.topic}: record {first} got offset {answer.base_offset}"
            self.unacknowledged.popleft()
            self.acknowledged = first + count

    def _new_batch(self) -> tuple[int, bytes]:
        count = self.rng.choice([1, 1, 3, 30])
        padding = self.rng.randbytes(self.rng.choice([10, 100, 4_000]))
        now_ms = time.time_ns() // 1_000_000
        records = [
            NewRecord(b"key", number.to_bytes(8, "big") + padding, now_ms)
            for number in range(self.sent, self.sent + count)
        ]
        batch = build_batch(
            records,
            compression=self.rng.choice([Compression.NONE, Compression.LZ4]),
            producer_id=self.producer_id,
            producer_epoch=0,
            base_sequence=self.sent,
        )
        return count, bytes(batch)

    def _send(self, wire: Wire, batch: bytes) -> None:
        data = [PartitionProduceData(index=0, records=batch)]
        topics = [TopicProduceData(name=self.topic, partition_data=data)]
        wire.send(ProduceRequest(acks=-1, timeout_ms=30_000, topic_data=topics))


def read(wire: Wire, topic: str, offset: int, max_bytes: int) -> int:
    """Fetch once from `offset` and check what comes: the offset that follows it."""
    partition = FetchPartition(partition=0, fetch_offset=offset, partition_max_bytes=max_bytes)
    topics = [FetchTopic(topic=topic, partitions=[partition])]
    answer = wire.ask(FetchRequest(max_wait_ms=0, min_bytes=0, topics=topics), FetchResponse)
    found = answer.responses[0].partitions[0]
    assert found.error_code == 0, f"{topic} at {offset}: {found}"
    next_offset = None
    for batch in iter_batches(found.records or b""):
        batch.validate()
        assert next_offset in (None, batch.base_offset), f"{topic}: {batch.base_offset} follows {next_offset}"
        assert next_offset is not None or batch.base_offset <= offset <= batch.last_offset
        for record in batch.records():
            assert record.value is not None
            assert int.from_bytes(record.value[:8], "big") == record.offset
        next_offset = batch.next_offset
    return offset if next_offset is None else next_offset


class KilledBroker:
    """A broker in a process that is forked from one that has imported everything, which makes a start quick."""

    def __init__(self, data_dir: Path, seed: int) -> None:
        (self.port,) = free_ports(1)
        self._config = BrokerConfig.of(
            {
                "log.dirs": str(data_dir),
                "listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
                "offsets.topic.num.partitions": "1",
                "transaction.state.log.num.partitions": "1",
            }
        )
        self._fork = multiprocessing.get_context("forkserver")
        handlers = pkgutil.iter_modules(ottla_broker.handlers.__path__, "ottla_broker.handlers.")
        self._fork.set_forkserver_preload(["ottla_broker.process", *(module.name for module in handlers)])
        self._process: Any = None
        self._rng = random.Random(seed)
        self.producers = [Producer(topic, 7 + number, self._rng) for number, topic in enumerate(TOPICS)]
        self._checked = dict.fromkeys(TOPICS, 0)
        self._failures: list[BaseException] = []
        self.kills = 0

    def start(self) -> None:
        self._process = self._fork.Process(target=process.run, args=(self._config,), daemon=True)
        self._process.start()

    def wire(self) -> Wire:
        """A connection, as soon as the broker takes one."""
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return Wire(self.port)
            except ConnectionRefusedError:
                assert self._process.is_alive(), f"the broker did not start: status {self._process.exitcode}"
                assert time.monotonic() < deadline, "the broker took too long to start"
                time.sleep(0.002)

    def end(self, number: int) -> None:
        """Send a signal and wait for the end."""
        if self._process is None:
            return
        if number == signal.SIGKILL:
            self._process.kill()
        else:
            self._process.terminate()
        self._process.join(TIMEOUT_S)
        assert self._process.exitcode is not None, "the broker did not end"
        assert self._process.exitcode == (-signal.SIGKILL if number == signal.SIGKILL else 0)
        self._process = None

    def kill(self) -> None:
        """End it as a crash would; fine if it does not run."""
        self.end(signal.SIGKILL)

    def create_topics(self) -> None:
        topics = [
            CreatableTopic(
                name=name,
                num_partitions=1,
                replication_factor=1,
                assignments=[],
                configs=[CreatableTopicConfig(name=key, value=value) for key, value in configs.items()],
            )
            for name, configs in TOPICS.items()
        ]
        wire = self.wire()
        answer = wire.ask(CreateTopicsRequest(topics=topics), CreateTopicsResponse)
        assert [topic.error_code for topic in answer.topics] == [0] * len(topics), answer
        wire.close()

    def round(self) -> None:
        """Start, check what is there, let everybody work for a moment, kill."""
        self.start()
        if self._rng.random() < 0.2:  # while it starts
            time.sleep(self._rng.uniform(0.0, 0.15))
            self.kill()
            self.start()
        self.check()
        threads = [threading.Thread(target=self._run, args=work) for work in self._works()]
        for thread in threads:
            thread.start()
        time.sleep(self._rng.uniform(0.01, 0.15))
        if self.kills % 10 == 0:  # now and then not before much is written, however slow the machine is
            self._await_acknowledgements(200)
        self.kill()
        for thread in threads:
            thread.join(TIMEOUT_S)
            assert not thread.is_alive(), "a client still waits for a broker that was killed"
        if self._failures:
            raise self._failures[0]
        self.kills += 1

    def _await_acknowledgements(self, records: int) -> None:
        """Wait until so many more records of each producer are acknowledged."""
        expected = [producer.acknowledged + records for producer in self.producers]
        deadline = time.monotonic() + TIMEOUT_S
        while any(
            producer.acknowledged < least and not self._failures
            for producer, least in zip(self.producers, expected, strict=True)
        ):
            assert time.monotonic() < deadline, f"no {records} records were acknowledged within {TIMEOUT_S} s"
            time.sleep(0.005)

    def _works(self) -> Iterator[tuple[Any, Producer]]:
        for producer in self.producers:
            yield producer.write, producer
            yield self._read_anywhere, producer

    def _run(self, work: Any, producer: Producer) -> None:
        try:
            wire = self.wire()
            try:
                work(*((wire,) if work == producer.write else (wire, producer)))
            finally:
                wire.close()
        except ConnectionError:
            pass  # killed, as it should be
        except BaseException as failure:
            self._failures.append(failure)

    def _read_anywhere(self, wire: Wire, producer: Producer) -> None:
        """Read at random offsets until the broker is gone."""
        rng = random.Random(producer.sent)
        while True:
            read(wire, producer.topic, rng.randint(0, producer.acknowledged), rng.choice([1, 1_000, 1_000_000]))

    def check(self, *, from_the_start: bool = False) -> None:
        """All that was acknowledged is there, and nothing that was never sent."""
        wire = self.wire()
        for producer in self.producers:
            offset = 0 if from_the_start else self._checked[producer.topic]
            while (following := read(wire, producer.topic, offset, 1_000_000)) > offset:
                offset = following
            assert producer.acknowledged <= offset <= producer.sent, f"{producer.topic} ends at {offset}"
            self._checked[producer.topic] = offset
        wire.close()


def kill_often(data_dir: Path, kills: int, seed: int) -> KilledBroker:
    """Run the whole story; returns the broker, stopped, for what else there is to ask of it."""
    broker = KilledBroker(data_dir, seed)
    try:
        broker.start()
        broker.create_topics()
        broker.end(signal.SIGTERM)
        while broker.kills < kills:
            broker.round()
        for _ in ("after a kill", "after a clean stop"):
            broker.start()
            broker.check(from_the_start=True)
            broker.end(signal.SIGTERM)
    finally:
        broker.kill()
    return broker
