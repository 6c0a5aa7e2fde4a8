"""Faust apps under faust-streaming and under the facade, on one broker: both write the same.

The apps are in `faust/apps`; each reads the topic `in` and others of its own, and writes `out`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import confluent_kafka
import httpx
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from ottla_apps.bench.engine.peers import peers_python

from ..ports import free_ports
from .brokers import Broker

ROOT = Path(__file__).resolve().parents[2]
APPS = Path(__file__).parent / "faust" / "apps"
TIMEOUT_S = 180
NOON = 1_600_000_000_000


class Sent(NamedTuple):
    """An event for an app. Bytes are sent as they are, other values as JSON."""

    key: str | None
    value: Any
    at_s: float = 0.0


class Case(NamedTuple):
    """What an app is given, its other topics, how many results it has, and what its pages are asked for then.

    `keys` says that the app names the keys of its results.
    """

    events: list[Sent]
    results: int
    topics: tuple[str, ...] = ()
    keys: bool = True
    pages: tuple[str, ...] = ()


def order(customer: str, day: int, *prices: float) -> Sent:
    lines = [{"item": f"item {number}", "price": price} for number, price in enumerate(prices)]
    notes = {"n": str(day)}
    ordered = f"2020-01-0{day}T12:00:00"
    return Sent(customer, {"customer": {"id": customer}, "lines": lines, "ordered": ordered, "notes": notes})


VIEWS = [
    Sent(page, user, at_s)
    for page, user, at_s in [
        ("home", "ann", 0.0),
        ("home", "bob", 3.0),
        ("cart", "ann", 4.0),
        ("home", "ann", 9.9),
        ("home", "cid", 10.0),
        ("cart", "bob", 16.0),
        ("home", "bob", 14.0),
        ("home", "ann", 31.0),
    ]
]
CASES = {
    "models": Case([order("ann", 1, 1.5, 2.0), order("bob", 2), order("ann", 3, 4.25)], 3),
    "word_count": Case([Sent(None, "to be or not to be"), Sent(None, "that is to say")], 10, ("words",)),
    "tumbling": Case(VIEWS, len(VIEWS)),
    "hopping": Case(VIEWS, len(VIEWS)),
    # Of one key, so that all is in one partition: Faust forgets windows that another partition has closed.
    "window_close": Case([Sent("k", page, at_s) for page, _, at_s in VIEWS], 5),
    "group_by": Case(
        [
            Sent("k", {"account": f"a{number}", "country": country, "amount": number + 0.5})
            for number, country in enumerate(["NO", "SE", "NO", "DK", "SE", "NO"])
        ],
        6,
    ),
    "take": Case([Sent("k", number) for number in range(10)], 3, keys=False),
    "sinks": Case([Sent(None, number) for number in (1, 2)], 6, ("doubles",), keys=False),
    "asking": Case([], 6, ("words",), keys=False),
    "asking_within": Case([Sent(f"k{number}", number) for number in range(3)], 3, ("second", "third"), keys=False),
    "channels": Case([Sent("k", number) for number in range(5)], 5, keys=False),
    "timers": Case([], 5, keys=False),
    "sets": Case([Sent("red", change) for change in ("ann", "bob", "ann", "-ann", "cid")], 5),
    "global_table": Case([Sent(item, 2) for item in ("tea", "rum", "tea")], 3, ("asked",)),
    "global_sets": Case([Sent("red", "ann"), Sent("blue", "bob"), Sent("red", "ann")], 3, ("asked",)),
    "events": Case([Sent("a", "x", 1.0), Sent("b", "y", 2.0)], 2, ("passed",)),
    "operators": Case([Sent("k", number) for number in range(6)], 9, ("between", "copies"), keys=False),
    "pages": Case(
        [Sent(word, word) for word in ("cat", "dog", "cat")],
        3,
        pages=("/count/cat/", "/count/dog/", "/about/?what=this", "/nothing/"),
    ),
    "blueprints": Case(
        [Sent("cat", "cat")],
        1,
        keys=False,
        pages=("/words/", "/words/", "/words/one/cat/", "/words/one/none/", "/words/read/cat/"),
    ),
    "monitor": Case([Sent("k", word) for word in ("cat", "horse", "cat")], 3, keys=False),
    "errors": Case([Sent("k", number) for number in (1, 0, 3, 4)], 3),
    "serializers": Case([Sent(None, b"one"), Sent(None, b"four")], 4, ("hidden", "animals"), keys=False),
}

TASK_STREAMS = Case([Sent("k", number) for number in (0, 1, 2, 3)], 6, ("lists",))

ON_KAFKA = ("word_count", "tumbling", "group_by", "channels")
"""Those that are run on Apache Kafka, too: tables, windows, topics of the app's own, what is sent outside of agents."""
TABLES = {"word_count": "counts", "tumbling": "views", "group_by": "totals"}
"""Theirs. A worker of faust-streaming that has just created a changelog may hear from Apache Kafka that it has no
partitions yet, and never ask again.
"""

both_brokers = pytest.mark.parametrize("broker", ["ottla", "kafka"], indirect=True)


@pytest.fixture(scope="session")
def peers() -> Path:
    return peers_python(ROOT / ".compat/peers", print)


class Run:
    """One app under one flavour, with topics of its own."""

    def __init__(
        self, broker: Broker, name: str, flavour: str, python: str, directory: Path, run: str | None = None
    ) -> None:
        self._address = broker.address
        self._case = TASK_STREAMS if name == "task_streams" else CASES[name]
        self._run = run or f"{name}-{uuid4().hex[:8]}"
        self._created = [f"{self._run}-{topic}" for topic in ("in", "out", *self._case.topics)]
        if flavour == "faust" and name in TABLES:
            self._created.append(f"{self._run}-app-{TABLES[name]}-changelog")
        self._directory = directory / flavour
        self._directory.mkdir()
        self._log = self._directory / "log"
        (self._port,) = free_ports(1)
        self._command = [python, str(APPS / f"{name}.py"), "worker", "-l", "info"]
        if not self._case.pages:
            self._command.append("--without-web")
        self._environment = {
            **os.environ,
            "FLAVOUR": flavour,
            "RUN": self._run,
            "BROKER": broker.address,
            "PORT": str(self._port),
            "DATADIR": str(self._directory / "data"),
        }
        if flavour == "faust":
            self._environment.pop("PYTHONPATH", None)

    def prepare(self) -> None:
        """Creates the topics and sends the events."""
        admin = AdminClient({"bootstrap.servers": self._address})
        for created in admin.create_topics([NewTopic(topic, 2, 1) for topic in self._created]).values():
            created.result(TIMEOUT_S)
        self.send(self._case.events)

    def send(self, events: list[Sent]) -> None:
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": self._address, "partitioner": "murmur2_random", "linger.ms": 0}
        )
        for sent in events:
            value = sent.value if isinstance(sent.value, bytes) else json.dumps(sent.value).encode()
            at_ms = NOON + int(sent.at_s * 1000)
            key = None if sent.key is None else sent.key.encode()
            producer.produce(f"{self._run}-in", value, key, timestamp=at_ms, headers=[("sent", b"yes")])
        assert producer.flush(TIMEOUT_S) == 0

    def start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("wb") as log:
            return subprocess.Popen(
                self._command, cwd=self._directory, env=self._environment, stdout=log, stderr=subprocess.STDOUT
            )

    def await_commit(self) -> None:
        """Returns when the app has committed all that is in its topics. Faust does so at times, and not at its end."""
        topics = (f"{self._run}-{topic}" for topic in ("in", *self._case.topics))
        partitions = [confluent_kafka.TopicPartition(topic, number) for topic in topics for number in range(2)]
        group = confluent_kafka.Consumer({"bootstrap.servers": self._address, "group.id": f"{self._run}-app"})
        deadline = time.monotonic() + TIMEOUT_S
        try:
            ends = [group.get_watermark_offsets(partition, TIMEOUT_S)[1] for partition in partitions]
            while [max(each.offset, 0) for each in group.committed(partitions, TIMEOUT_S)] != ends:
                assert time.monotonic() < deadline, f"not all is committed\n{self._log.read_text()[-3000:]}"
                time.sleep(0.1)
        finally:
            group.close()

    def answers(self) -> list[tuple[int, Any]]:
        """What the app's pages answer: status, and JSON or text."""
        found = []
        for path in self._case.pages:
            answer = httpx.get(f"http://127.0.0.1:{self._port}{path}", timeout=TIMEOUT_S)
            is_json = answer.headers["content-type"].startswith("application/json")
            found.append((answer.status_code, answer.json() if is_json else answer.text))
        return found

    def results(self, expected: int | None = None) -> list[tuple[str | None, Any]]:
        """What is in `out`, as soon as there are as many as expected, in an order of its own."""
        expected = self._case.results if expected is None else expected
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self._address, "group.id": self._run, "isolation.level": "read_committed"}
        )
        consumer.assign([confluent_kafka.TopicPartition(f"{self._run}-out", number, 0) for number in range(2)])
        found: list[tuple[str | None, Any]] = []
        deadline = time.monotonic() + TIMEOUT_S
        try:
            while len(found) < expected:
                message = consumer.poll(0.5)
                assert time.monotonic() < deadline, self._standstill(consumer, found)
                if message is not None and message.error() is None:
                    key = message.key()
                    name = key.decode() if self._case.keys and key is not None else None
                    found.append((name, json.loads(message.value() or b"null")))
        finally:
            consumer.close()
        return sorted(found, key=lambda result: json.dumps(result, sort_keys=True))

    def _standstill(self, consumer: confluent_kafka.Consumer, found: list[tuple[str | None, Any]]) -> str:
        """What tells a broker that lost records from an app that does not read them."""
        watermarks = {}
        for topic in ("in", "out", *self._case.topics):
            partitions = [confluent_kafka.TopicPartition(f"{self._run}-{topic}", number) for number in range(2)]
            watermarks[topic] = [consumer.get_watermark_offsets(each, TIMEOUT_S, cached=False) for each in partitions]
        return f"read {found}, low and high watermarks are {watermarks}\n{self._log.read_text()[-3000:]}"


@pytest.mark.parametrize(
    ("broker", "name"),
    [*(("ottla", name) for name in CASES), *(("kafka", name) for name in ON_KAFKA)],
    indirect=["broker"],
)
def test_an_app_writes_the_same_under_both(broker: Broker, peers: Path, name: str, tmp_path: Path) -> None:
    runs = {
        flavour: Run(broker, name, flavour, python, tmp_path)
        for flavour, python in {"faust": str(peers), "ottla.faust": sys.executable}.items()
    }
    for run in runs.values():
        run.prepare()
    started = [run.start() for run in runs.values()]
    try:
        results = {flavour: (run.results(), run.answers()) for flavour, run in runs.items()}
    finally:
        for process in started:
            _end(process)
    assert results["ottla.faust"] == results["faust"]


@both_brokers
def test_tasks_that_iterate_streams_go_on_where_they_stopped(broker: Broker, tmp_path: Path) -> None:
    """Faust 0.15.3 is not beside it: there, such a task often reads nothing, as the topics are new to the worker."""
    run = Run(broker, "task_streams", "ottla.faust", sys.executable, tmp_path)
    run.prepare()
    first = [("task", 0), ("task", 4), ("task", 6), ("event", [0, True]), ("event", [4, True]), ("event", [6, True])]
    then = [("task", 16), ("event", [16, True])]
    for expected in (first, [*first, *then]):
        process = run.start()
        try:
            found = run.results(len(expected))
        finally:
            _end(process)
        assert sorted(map(str, found)) == sorted(map(str, expected))
        run.send([Sent("k", 8)])


@both_brokers
def test_the_facade_goes_on_where_faust_stopped(broker: Broker, peers: Path, tmp_path: Path) -> None:
    """An app of the same id has the offsets that the Faust workers committed, and the tables of their changelogs."""
    name = f"takeover-{uuid4().hex[:8]}"
    before = Run(broker, "word_count", "faust", str(peers), tmp_path, name)
    before.prepare()
    process = before.start()
    try:
        before.results()
        before.await_commit()
    finally:
        _end(process)
    after = Run(broker, "word_count", "ottla.faust", sys.executable, tmp_path, name)
    after.send([Sent(None, "to be told")])
    process = after.start()
    try:
        found = after.results(CASES["word_count"].results + 3)
    finally:
        _end(process)
    assert {("to", 4), ("be", 3), ("told", 1)} <= set(found)


@both_brokers
def test_an_app_that_is_killed_again_and_again_counts_every_word_once(broker: Broker, tmp_path: Path) -> None:
    run = Run(broker, "word_count", "ottla.faust", sys.executable, tmp_path)
    run.prepare()
    words = ["to", "be", "or", "not", "to", "be"]
    lines = 40
    process = run.start()
    try:
        for killed in range(4):
            for _ in range(lines):
                run.send([Sent(None, " ".join(words))])
            run.results(CASES["word_count"].results + killed * lines * len(words) + 1)
            process.kill()
            process.wait()
            process = run.start()
        expected = CASES["word_count"].results + 4 * lines * len(words)
        found = run.results(expected)
    finally:
        _end(process)
    # "to be or not to be" and "that is to say" were there from the beginning.
    totals = {"to": 323, "be": 322, "or": 161, "not": 161, "that": 1, "is": 1, "say": 1}
    assert sorted(found) == sorted((word, number) for word, total in totals.items() for number in range(1, total + 1))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a worker. One of faust-streaming that has asked something may not stop by itself."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
