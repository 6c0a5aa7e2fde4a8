"""Workers and broker are killed again and again, or sleep; what a read-committed consumer sees is what was computed.

Exactly once: each result once. At least once: nothing is missing. On Ottla's broker and on Apache Kafka, which takes
long to start again and so is given fewer kills, unless `OTTLA_KILLS` says how many.
"""

import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from . import processes
from .processes import wait_until

PARTITIONS = 6
WORKERS = 3
SENSORS = [f"sensor-{index}" for index in range(40)]
READINGS_AT_ONCE = 2_000
STEP_MS, WINDOW_MS = 10, 10_000
FAR_MS = 1_000_000_000
DEFAULT_KILLS = {("ottla", "exactly_once"): 15, ("kafka", "exactly_once"): 8}
FEW_KILLS = 5
BROKER_SHARE = 0.2
ASLEEP_S = 13  # longer than the session timeout
SETTLED_WITHIN_S = 150

Records = list[dict[str, object]]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("guarantee", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize("kind", ["ottla", "kafka"])
def test_nothing_is_lost_under_kills_and_exactly_once_nothing_doubled(
    kind: str, guarantee: str, tmp_path: Path
) -> None:
    kills = int(os.environ.get("OTTLA_KILLS", DEFAULT_KILLS.get((kind, guarantee), FEW_KILLS)))
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")  # shown when the test fails
    draw = random.Random(seed)
    # The first to be killed is the broker, so that it is among even a few.
    victims = [None] + [None if draw.random() < BROKER_SHARE else draw.randrange(WORKERS) for _ in range(kills - 1)]
    with at_work(kind, guarantee, tmp_path) as chaos:
        for victim in victims:
            chaos.send()
            time.sleep(draw.uniform(0.1, 1.5))  # where in its work the victim is, is left to chance
            killed = chaos.broker if victim is None else chaos.workers[victim]
            killed.kill()
            killed.start()
        counted, summed = chaos.results()
    if guarantee == "exactly_once":
        check_counted(counted, chaos.sent)
        check_summed(summed, chaos.sent)
    else:
        check_none_missing(counted, summed, chaos.sent)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["ottla", "kafka"])
def test_a_worker_that_wakes_up_after_others_took_over_doubles_nothing(kind: str, tmp_path: Path) -> None:
    with at_work(kind, "exactly_once", tmp_path) as chaos:
        chaos.send()
        time.sleep(3)
        for asleep in chaos.workers[:2]:
            chaos.send()
            asleep.freeze()
            try:
                deadline = time.monotonic() + ASLEEP_S
                while time.monotonic() < deadline:
                    chaos.send()
                    time.sleep(1)
            finally:
                asleep.thaw()
        counted, summed = chaos.results()
    check_counted(counted, chaos.sent)
    check_summed(summed, chaos.sent)


class Chaos:
    """A broker, workers of the app on it, and what was sent to them."""

    def __init__(self, broker: processes.Process, address: str, workers: list[processes.Process]) -> None:
        self.broker, self.address, self.workers = broker, address, workers
        self.sent = 0

    def send(self) -> None:
        self.sent = send_readings(self.address, self.sent, READINGS_AT_ONCE)

    def results(self) -> tuple[Records, Records]:
        """What is in the topics of counts and sums when everything is processed, and the workers have stopped."""
        end_windows(self.address, self.sent)

        def settled() -> bool:
            for each in self.workers:
                each.supervise()
            return lag(self.address) == 0

        wait_until(settled, SETTLED_WITHIN_S)
        for each in self.workers:
            each.end()
        return read(self.address, "counted"), read(self.address, "summed")


@contextmanager
def at_work(kind: str, guarantee: str, directory: Path) -> Iterator[Chaos]:
    with ExitStack() as stack:
        broker, address = stack.enter_context(getattr(processes, kind)(directory / "broker"))
        create_topics(address)
        workers = [processes.worker(address, directory / f"worker-{index}", guarantee) for index in range(WORKERS)]
        for each in workers:
            each.start()
            stack.callback(each.end)
        yield Chaos(broker, address, workers)


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


def read(address: str, topic: str) -> Records:
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


def check_counted(records: Records, sent: int) -> None:
    expected: dict[object, list[tuple[object, object]]] = defaultdict(list)
    for number in range(sent):
        of_sensor = expected[sensor_of(number)]
        of_sensor.append((number, len(of_sensor) + 1))
    found: dict[object, list[tuple[object, object]]] = defaultdict(list)
    for record in records:
        if record["sensor"] != "end":
            found[record["sensor"]].append((record["number"], record["seen"]))
    assert found == expected


def windows(sent: int) -> tuple[Counter[tuple[str, int]], Counter[tuple[str, int]]]:
    """The number of readings of each sensor in each window, and the sum of their numbers."""
    readings: Counter[tuple[str, int]] = Counter()
    totals: Counter[tuple[str, int]] = Counter()
    for number in range(sent):
        window = sensor_of(number), (1000 + number * STEP_MS) // WINDOW_MS * WINDOW_MS
        readings[window] += 1
        totals[window] += number
    return readings, totals


def check_summed(records: Records, sent: int) -> None:
    readings, totals = windows(sent)
    assert sorted(map(msgspec.json.encode, records)) == sorted(
        msgspec.json.encode(
            {
                "sensor": sensor,
                "start": start,
                "readings": count,
                "total": totals[sensor, start],
                "place": f"place of {sensor}",
            }
        )
        for (sensor, start), count in readings.items()
    )


def check_none_missing(counted: Records, summed: Records, sent: int) -> None:
    assert {record["number"] for record in counted if record["sensor"] != "end"} == set(range(sent))
    most: Counter[tuple[object, object]] = Counter()
    for record in summed:
        window, count = (record["sensor"], record["start"]), record["readings"]
        assert isinstance(count, int)
        most[window] = max(most[window], count)
    readings, _ = windows(sent)
    assert {window: most[window] for window in readings if most[window] < readings[window]} == {}
