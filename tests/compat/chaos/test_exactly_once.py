"""Workers and broker are killed again and again; what a read-committed consumer sees is what was computed, once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

HERE = Path(__file__).parent
PARTITIONS = 6
WORKERS = 3
SENSORS = [f"sensor-{index}" for index in range(40)]
READINGS_PER_KILL = 2_000
STEP_MS, WINDOW_MS = 10, 10_000
FAR_MS = 1_000_000_000
KILLS = int(os.environ.get("OTTLA_KILLS", "15"))
BOUND_S = 60 + 6 * KILLS


class Process:
    """A process that is killed and started again. Its output goes to a file, which a failing test shows."""

    def __init__(self, command: list[str], log: Path, started: Callable[[], object] = lambda: None) -> None:
        self._command, self._log, self._started = command, log, started
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, cwd=HERE, stdout=log, stderr=log)
        self._started()

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.poll() is None, f"it ended by itself:\n{self._log.read_text()[-4000:]}"
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """Stops it as an operator would. One that does not stop within 30 s is killed, and fails the test."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                pytest.fail(f"it did not stop within 30 s:\n{self._log.read_text()[-4000:]}")


@contextmanager
def broker(directory: Path) -> Iterator[tuple[Process, str]]:
    """An Ottla broker on a port that it keeps through its restarts, and its address."""
    directory.mkdir()
    address_file = directory / "broker.address"
    command = [sys.executable, "-m", "ottla_broker", "--data-dir", str(directory), "--listen", "127.0.0.1:0"]
    process = Process(command, directory.with_suffix(".log"), lambda: wait_until(address_file.exists, 20))
    process.start()
    try:
        address = address_file.read_text().strip()
        command[-1] = address
        yield process, address
    finally:
        process.end()


def worker(address: str, directory: Path) -> Process:
    command = [sys.executable, "-m", "ottla", "worker", "readings:app", "--broker", f"kafka://{address}"]
    command += ["--state-dir", str(directory)]
    return Process(command, directory.with_suffix(".log"))


def wait_until(condition: Callable[[], object], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.05)


@pytest.mark.timeout(BOUND_S + 120)
def test_no_loss_and_no_duplicate_under_kills(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")  # shown when the test fails
    draw = random.Random(seed)
    with ExitStack() as stack:
        broker_process, address = stack.enter_context(broker(tmp_path / "broker"))
        create_topics(address)
        workers = [worker(address, tmp_path / f"worker-{index}") for index in range(WORKERS)]
        for each in workers:
            each.start()
            stack.callback(each.end)
        sent = 0
        for _ in range(KILLS):
            sent = send_readings(address, sent, READINGS_PER_KILL)
            time.sleep(draw.uniform(0.1, 1.5))  # where in its work the victim is, is left to chance
            victim = broker_process if draw.random() < 0.2 else draw.choice(workers)
            victim.kill()
            victim.start()
        end_windows(address, sent)
        wait_until(lambda: lag(address) == 0, BOUND_S)
        for each in workers:
            each.end()
        check_counted(read(address, "counted"), sent)
        check_summed(read(address, "summed"), sent)


def create_topics(address: str) -> None:
    topics = ["places", "readings", "counted", "summed"]
    config = {"retention.ms": "-1"}
    admin = AdminClient({"bootstrap.servers": address})
    created = admin.create_topics([NewTopic(topic, PARTITIONS, 1, config=config) for topic in topics])
    for each in created.values():
        each.result(30)
    producer = Producer({"bootstrap.servers": address, "partitioner": "murmur2_random"})
    for sensor in SENSORS:
        producer.produce("places", f"place of {sensor}", sensor, timestamp=1)
    assert producer.flush(30) == 0


def sensor_of(number: int) -> str:
    return SENSORS[number * 7 % len(SENSORS)]


def send_readings(address: str, first: int, count: int) -> int:
    producer = Producer(
        {"bootstrap.servers": address, "partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 5}
    )
    for number in range(first, first + count):
        value = msgspec.json.encode({"sensor": sensor_of(number), "number": number})
        producer.produce("readings", value, sensor_of(number), timestamp=1000 + number * STEP_MS)
    assert producer.flush(60) == 0
    return first + count


def end_windows(address: str, sent: int) -> None:
    """One reading far in the future for each partition: every window before it closes."""
    producer = Producer({"bootstrap.servers": address})
    for partition in range(PARTITIONS):
        value = msgspec.json.encode({"sensor": "end", "number": 0})
        producer.produce("readings", value, "end", partition, timestamp=FAR_MS + sent * STEP_MS)
    assert producer.flush(60) == 0


def lag(address: str) -> int:
    """How many readings are not committed yet by the app's group."""
    admin = AdminClient({"bootstrap.servers": address})
    partitions = [TopicPartition("readings", partition) for partition in range(PARTITIONS)]
    group = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("chaos", partitions)])["chaos"].result(30)
    consumer = Consumer({"bootstrap.servers": address, "group.id": "chaos-lag"})
    try:
        ends = [consumer.get_watermark_offsets(partition, timeout=30)[1] for partition in partitions]
    finally:
        consumer.close()
    return sum(end - max(each.offset, 0) for end, each in zip(ends, group.topic_partitions, strict=True))


def read(address: str, topic: str) -> list[dict[str, object]]:
    """What a read-committed consumer finds in a topic, partition by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "chaos-check",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    ended: set[int] = set()
    values = []
    deadline = time.monotonic() + 60
    try:
        while len(ended) < PARTITIONS:
            assert time.monotonic() < deadline, f"{topic} was not read to its end within 60 s"
            if (message := consumer.poll(1)) is None:
                continue
            if message.error() is not None:
                ended.add(message.partition())
            else:
                values.append(msgspec.json.decode(message.value()))
    finally:
        consumer.close()
    return values


def check_counted(records: list[dict[str, object]], sent: int) -> None:
    expected: dict[object, list[tuple[object, object]]] = defaultdict(list)
    for number in range(sent):
        of_sensor = expected[sensor_of(number)]
        of_sensor.append((number, len(of_sensor) + 1))
    found: dict[object, list[tuple[object, object]]] = defaultdict(list)
    for record in records:
        if record["sensor"] != "end":
            found[record["sensor"]].append((record["number"], record["seen"]))
    assert found == expected


def check_summed(records: list[dict[str, object]], sent: int) -> None:
    expected: Counter[tuple[str, int]] = Counter()
    totals: Counter[tuple[str, int]] = Counter()
    for number in range(sent):
        window = sensor_of(number), (1000 + number * STEP_MS) // WINDOW_MS * WINDOW_MS
        expected[window] += 1
        totals[window] += number
    assert sorted(map(msgspec.json.encode, records)) == sorted(
        msgspec.json.encode(
            {
                "sensor": sensor,
                "start": start,
                "readings": readings,
                "total": totals[sensor, start],
                "place": f"place of {sensor}",
            }
        )
        for (sensor, start), readings in expected.items()
    )
