"""Workers of the app on a broker, what is sent to them while they are killed, and what they have written in the end."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from ..proxy import LossyProxy
from . import processes
from .expected import (
    ALARM_EVERY,
    SENSORS,
    Record,
    Sent,
    crew_names,
    hall_names,
    limit_of,
    place_of,
    reading,
    sensor_of,
    time_of,
)
from .hanging import HangingTransactions
from .processes import wait_until
from .readings import INPUTS, OUTPUTS, PARTITIONS, SESSION_TIMEOUT_MS, Crew

WORKERS = 3
READINGS_AT_ONCE, PAUSE_S = 20, 0.05
SETTLED_WITHIN_S = 300
READ_WITHIN_S = 180
_LOOK_S = 5.0
QUIET: dict[str, str | int] = {"log_level": 0}  # of brokers that are away there would be much to say
AWAY_S = SESSION_TIMEOUT_MS / 1000 + 2


class Ordeal:
    """A broker and workers of the app on it."""

    def __init__(
        self,
        broker: processes.Process,
        address: str,
        new_worker: Callable[..., processes.Process],
        workers: int,
        draw: random.Random,
    ) -> None:
        self.broker, self.address = broker, address
        self.kills: Counter[str] = Counter()
        self.hanging = 0
        """How many partitions a transaction hung in, which only Apache Kafka may do."""
        self._new_worker = new_worker
        self.workers = [new_worker(index) for index in range(workers)]
        self._away: dict[int, float] = {}
        self._draw = draw
        self._readings = 0
        self._crews = dict.fromkeys(crew_names(), 0)
        # Not librdkafka's, which may crash when Apache Kafka starts again (its issue 5280).
        self._producer = KafkaProducer(
            bootstrap_servers=address,
            enable_idempotence=True,
            linger_ms=5,
            max_block_ms=SETTLED_WITHIN_S * 1000,
            delivery_timeout_ms=SETTLED_WITHIN_S * 1000,
            retry_backoff_ms=100,
            reconnect_backoff_ms=50,
            reconnect_backoff_max_ms=500,
        )

        # Of the app's group without being its member: it asks what is committed.
        self._group = Consumer({"bootstrap.servers": address, "group.id": "chaos", **QUIET})

    def sent(self) -> Sent:
        """What has come to the topics: a producer cannot say it of what was never acknowledged."""
        readings, alarms, crews = self._read(("readings", "alarms", "crews")).values()
        return Sent(
            readings=[value[1] for _, value in readings],
            alarms=[value for _, value in alarms],
            crews={name: version for _, (name, version) in crews},
        )

    def begin(self) -> None:
        """Makes the topics, fills the tables, and starts the workers, which have taken the tables in then."""
        admin = AdminClient({"bootstrap.servers": self.address})
        config = {"retention.ms": "-1"}
        topics = [
            NewTopic(topic, 1 if topic == "limits" else PARTITIONS, 1, config=config) for topic in INPUTS + OUTPUTS
        ]
        for created in admin.create_topics(topics).values():
            created.result(30)
        for sensor in SENSORS:
            self._send("places", sensor, place_of(sensor), 1)
        for hall in hall_names():
            self._send("limits", hall, limit_of(hall), 1)
        for crew in crew_names():
            self._send("crews", crew, Crew(crew, 0), 1)
        self._producer.flush(SETTLED_WITHIN_S)
        for worker in self.workers:
            worker.start()
        wait_until(lambda: self._lag(["places", "crews"]) == 0, SETTLED_WITHIN_S)

    def end(self) -> None:
        with suppress(KafkaTimeoutError):  # of a test that has failed before all was sent
            self._producer.close(1)
        self._group.close()
        for worker in self.workers:
            worker.end()

    # --- what happens meanwhile

    def work(self, seconds: float) -> None:
        """Sends readings for so long. Workers that were away for long enough come back."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for index in [index for index, back_at in self._away.items() if time.monotonic() >= back_at]:
                del self._away[index]
                self.workers[index].start()
            self._send_readings()
            time.sleep(PAUSE_S)

    def strike(self) -> None:
        """Kills the broker, a worker, or both at once, and starts them again: at once, as a rule."""
        fate = self._draw.random()
        if fate < 0.10 or not self.kills:
            self._kill_broker()
        elif fate < 0.15:
            index = self._draw.randrange(len(self.workers))
            self._kill_worker(index)
            self._kill_broker()
            self._start_worker(index)
        elif fate < 0.22 and not self._away:
            index = self._draw.randrange(len(self.workers))
            self._kill_worker(index)
            self._away[index] = time.monotonic() + AWAY_S
        else:
            index = self._draw.randrange(len(self.workers))
            self._kill_worker(index)
            self._start_worker(index)
        self._rename_a_crew()

    def kill_with_writes_held(self, proxy: LossyProxy, having: bytes) -> None:
        """Kills a worker of whose writes those that have some bytes in them were on their way for a while. Nothing that
        it has read since may be taken for processed."""
        index = self._draw.randrange(len(self.workers))
        proxy.hold_produces(having)
        self.work(self._draw.uniform(0.3, 0.6))
        self._kill_worker(index)
        proxy.lose_what_is_held()
        self._start_worker(index)

    def _kill_broker(self) -> None:
        self.broker.kill()
        self.kills["broker"] += 1
        self.broker.start()

    def _kill_worker(self, index: int) -> None:
        if index not in self._away:
            self.workers[index].kill()
            self.kills["workers"] += 1

    def _start_worker(self, index: int) -> None:
        if index not in self._away:
            self.workers[index].start()

    def _send_readings(self) -> None:
        for number in range(self._readings, self._readings + READINGS_AT_ONCE):
            sensor, timestamp = sensor_of(number), time_of(number)
            self._send("readings", sensor, reading(number), timestamp)
            if number % ALARM_EVERY == 0:
                self._send("alarms", sensor, number, timestamp)
        self._readings += READINGS_AT_ONCE

    def _rename_a_crew(self) -> None:
        crew = self._draw.choice(crew_names())
        self._crews[crew] += 1
        self._send("crews", crew, Crew(crew, self._crews[crew]), time_of(self._readings))

    def _send(self, topic: str, key: str, value: Any, timestamp: int) -> None:
        written = value.encode() if isinstance(value, str) else msgspec.json.encode(value)
        self._producer.send(topic, written, key.encode(), timestamp_ms=timestamp)

    # --- and in the end

    def settle(self) -> None:
        """Returns when all is processed. The last who goes over it is a worker that has nothing: it has the state from
        the changelogs, and ends with the input, so that the windows that are open then close."""
        self._producer.flush(SETTLED_WITHIN_S)
        for index in self._away:
            self.workers[index].start()
        self._away.clear()
        transactions, look_at = HangingTransactions(self.address), 0.0

        def settled() -> bool:
            nonlocal look_at
            if time.monotonic() > look_at:
                if hanging := transactions.abort():
                    print(f"aborted, since its coordinator had left it open: {', '.join(map(str, hanging))}")
                    self.hanging += len(hanging)
                look_at = time.monotonic() + _LOOK_S
            for worker in self.workers:
                worker.supervise()
            return self._lag(["readings", "alarms", "crews"]) == 0

        wait_until(settled, SETTLED_WITHIN_S)
        for worker in self.workers:
            worker.end()
        self._new_worker(len(self.workers), "--until-end").run(SETTLED_WITHIN_S)

    def _lag(self, topics: list[str]) -> int | None:
        """How many records of these topics are not committed yet by the app's group, if that can be known just now."""
        partitions = [TopicPartition(topic, partition) for topic in topics for partition in range(PARTITIONS)]
        try:
            committed = self._group.committed(partitions, timeout=30)
            ends = [self._group.get_watermark_offsets(partition, timeout=30)[1] for partition in partitions]
        except KafkaException:  # of a broker that is not quite there yet: who waits for an answer asks again
            return None
        return sum(end - max(each.offset, 0) for end, each in zip(ends, committed, strict=True))

    def found(self, isolation: str = "read_committed") -> dict[str, list[Record]]:
        """What a consumer finds in each of the topics that the app writes, partition by partition."""
        return self._read(OUTPUTS, isolation)

    def _read(self, topics: tuple[str, ...], isolation: str = "read_committed") -> dict[str, list[Record]]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "chaos-check",
                "isolation.level": isolation,
                "enable.partition.eof": True,
                **QUIET,
            }
        )
        partitions = [TopicPartition(topic, partition, 0) for topic in topics for partition in range(PARTITIONS)]
        consumer.assign(partitions)
        found: dict[str, list[Record]] = {topic: [] for topic in topics}
        ended = 0
        deadline = time.monotonic() + READ_WITHIN_S
        try:
            while ended < len(partitions):
                assert time.monotonic() < deadline, f"the results were not read within {READ_WITHIN_S} s"
                for message in consumer.consume(10_000, 1):
                    if message.error() is None:
                        found[str(message.topic())].append(_record(message))
                    else:
                        ended += 1
        finally:
            consumer.close()
        return found


def _record(message: Message) -> Record:
    return Record((message.key() or b"").decode(), msgspec.json.decode(message.value() or b"null"))


@contextmanager
def ordeal(
    kind: str,
    guarantee: str,
    directory: Path,
    draw: random.Random,
    *,
    workers: int = WORKERS,
    through: LossyProxy | None = None,
) -> Iterator[Ordeal]:
    """The app under one of the guarantees on a broker of one kind, with all at work. An Ottla broker may be reached
    through a proxy."""
    with ExitStack() as stack:
        if kind == "kafka":
            # One that is killed, and has no replica, leaves out markers when it starts again (KAFKA-20734): its
            # coordinator loads what it led before, and writes while the controller takes the leadership from it. What
            # was aborted is then committed with the next transaction of its producer, or what was committed is lost.
            killed_by = signal.SIGTERM if guarantee == "exactly_once" else signal.SIGKILL
            broker, address = stack.enter_context(processes.kafka(directory / "broker", killed_by))
        elif through is None:
            broker, address = stack.enter_context(processes.ottla(directory / "broker"))
        else:
            broker, through.target = stack.enter_context(processes.ottla(directory / "broker", through.address))
            address = through.address

        def new_worker(index: int, *arguments: str) -> processes.Process:
            return processes.worker(kind, address, directory / f"worker-{index}", guarantee, *arguments)

        begun = Ordeal(broker, address, new_worker, workers, draw)
        stack.callback(begun.end)
        begun.begin()
        yield begun
