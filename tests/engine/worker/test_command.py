"""`ottla worker` as a user runs it: on a broker of its own, killed, stopped, and refused in one sentence.

What concerns the broker runs on a Kafka cluster too, where `OTTLA_KAFKA_BOOTSTRAP` names one.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import confluent_kafka
import psutil
import pytest

from ottla.worker.embedded import serving

APP = """
from datetime import timedelta
import ottla

# A session that is longer than a run may take: who waited for its end would not be in time.
options = {"session.timeout.ms": 120_000}
app = ottla.App("shop-RUN", commit_interval=timedelta(milliseconds=20), broker_options=options)
orders = app.topic("orders-RUN", key=str, value=int, partitions=2)
totals = app.topic("totals-RUN", key=str, value=int, partitions=2)
sums = app.Table("sums", key=str, default=int)

@app.agent(orders)
async def add(orders):
    async for event in orders.events():
        sums[event.key] += event.value
        await totals.send(key=event.key, value=sums[event.key])
"""

KAFKA = os.environ.get("OTTLA_KAFKA_BOOTSTRAP")


class Shop:
    """An app in a directory, run by `ottla worker`."""

    def __init__(self, directory: Path, broker: str) -> None:
        self.directory = directory
        self.broker = broker
        self.run_id = uuid.uuid4().hex[:8]
        (directory / "shop.py").write_text(APP.replace("RUN", self.run_id))

    def command(self, *arguments: str) -> list[str]:
        broker = () if "--broker" in arguments else ("--broker", self.broker)
        return [sys.executable, "-m", "ottla", "worker", *(arguments or ("shop:app",)), *broker]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.directory, capture_output=True, text=True, timeout=200, check=False
        )

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command(), cwd=self.directory, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(f"embedded://{tmp_path_factory.mktemp('broker')}") as address:
        yield address


@pytest.fixture(params=["ottla", *(["kafka"] if KAFKA else [])])
def shop(request: pytest.FixtureRequest, tmp_path: Path, broker: str) -> Shop:
    return Shop(tmp_path, f"kafka://{KAFKA if request.param == 'kafka' else broker}")


def _succeeds(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr


def order(shop: Shop, *orders: tuple[str, int]) -> None:
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": shop.broker.removeprefix("kafka://"), "partitioner": "murmur2_random"}
    )
    for key, value in orders:
        producer.produce(f"orders-{shop.run_id}", str(value), key)
    assert producer.flush(100) == 0


def totals(shop: Shop) -> list[tuple[str, int]]:
    """All committed totals, by partition."""
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": shop.broker.removeprefix("kafka://"),
            "group.id": "reader",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
    )
    try:
        consumer.assign([confluent_kafka.TopicPartition(f"totals-{shop.run_id}", number, 0) for number in range(2)])
        found, ends = [], 0
        while ends < 2:
            message = consumer.poll(100)
            assert message is not None
            if message.error() is not None:
                ends += 1
            else:
                found.append(((message.key() or b"").decode(), int(message.value() or b"")))
        return found
    finally:
        consumer.close()


def test_a_bounded_run_prints_what_it_did(shop: Shop) -> None:
    _succeeds(shop.run("shop:app", "--until-end"))
    order(shop, ("a", 1), ("b", 2), ("a", 3))
    done = shop.run("shop:app", "--until-end", "--log-level", "error")
    _succeeds(done)
    assert re.fullmatch(r"shop-\w+: 3 events in \d+\.\d s, \d+ events/s\n", done.stdout)
    assert done.stderr == ""
    assert sorted(totals(shop)) == [("a", 1), ("a", 4), ("b", 2)]


def test_a_killed_worker_goes_on_at_once_and_nothing_is_lost_or_doubled(shop: Shop) -> None:
    shop.run("shop:app", "--until-end")
    for round_number in range(3):
        order(shop, *[(f"key-{number % 7}", 1) for number in range(700)])
        worker = shop.start()
        assert worker.stderr is not None
        while "assigned" not in worker.stderr.readline():
            assert worker.poll() is None
        time.sleep(0.03 * round_number)  # not waited for: wherever it is then, it dies
        worker.kill()
        worker.communicate()
    # It waits neither for its dead self's session nor for its transaction: both are longer than a run may take.
    _succeeds(shop.run("shop:app", "--until-end"))
    expected = [(f"key-{number}", count) for number in range(7) for count in range(1, 301)]
    assert sorted(totals(shop)) == sorted(expected)


def test_a_signal_stops_the_worker_after_a_last_commit(shop: Shop) -> None:
    shop.run("shop:app", "--until-end")
    worker = shop.start()
    assert worker.stderr is not None
    while "assigned" not in worker.stderr.readline():
        assert worker.poll() is None
    order(shop, ("a", 5))
    deadline = time.monotonic() + 100
    while totals(shop) != [("a", 5)]:
        assert time.monotonic() < deadline
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=100)
    assert worker.returncode == 0
    assert "Traceback" not in said
    assert ": 0 events in" in shop.run("shop:app", "--until-end").stdout


def test_an_embedded_broker_lives_as_long_as_its_apps(tmp_path: Path) -> None:
    shop = Shop(tmp_path, f"embedded://{tmp_path / 'broker'}")
    _succeeds(shop.run("shop:app", "--until-end"))
    assert not (tmp_path / "broker" / "broker.address").exists(), "the child has stopped cleanly"
    with serving(shop.broker) as address, serving(shop.broker) as joined:
        assert address == joined
        embedded, shop.broker = shop.broker, f"kafka://{address}"
        order(shop, ("a", 1))
        _succeeds(shop.run("shop:app", "--until-end", "--broker", embedded))
        assert totals(shop) == [("a", 1)]


def test_an_embedded_broker_goes_on_at_its_address_when_the_app_that_began_it_ends(tmp_path: Path) -> None:
    url = f"embedded://{tmp_path / 'broker'}"
    with ExitStack() as other:
        with serving(url) as address:
            assert other.enter_context(serving(url)) == address
        host, _, port = address.rpartition(":")
        deadline = time.monotonic() + 100
        while not _accepts(host, int(port)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with serving(url) as joined:
            assert joined == address


def test_an_embedded_broker_that_is_killed_is_started_again_at_its_address(tmp_path: Path) -> None:
    with serving(f"embedded://{tmp_path / 'broker'}") as address:
        host, _, port = address.rpartition(":")
        [broker] = [each for each in psutil.Process().children() if str(tmp_path) in " ".join(each.cmdline())]
        broker.kill()
        deadline = time.monotonic() + 100
        while broker.is_running() or not _accepts(host, int(port)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert not (tmp_path / "broker" / "broker.address").exists(), "the child has stopped cleanly"


def test_an_embedded_broker_does_not_outlive_an_app_that_was_killed(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    starter = subprocess.Popen(
        [sys.executable, "-c", _SERVE_FOREVER, f"embedded://{directory}"], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    address = starter.stdout.readline().strip()
    starter.kill()
    starter.communicate()
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + 100
    while _accepts(host, int(port)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with serving(f"embedded://{directory}") as again:
        assert again


_SERVE_FOREVER = """
import sys, time
from ottla.worker.embedded import serving
with serving(sys.argv[1]) as address:
    print(address, flush=True)
    time.sleep(600)
"""


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["missing:app"], 2, r"there is no module 'missing' in .* or on the Python path"),
        (["shop:app", "--broker", "http://h:1"], 2, r"broker='http://h:1' must be kafka://HOST:PORT or embedded://DIR"),
        (["shop:app", "--broker", "kafka://h"], 2, r"broker='kafka://h': 'h' is not HOST:PORT"),
        (["shop:app", "--broker", "embedded:///dev/null"], 1, r"the embedded broker cannot use /dev/null: File exists"),
        (["shop:app", "--state-dir", "/dev/null"], 1, r"the state directory /dev/null cannot be used: Not a directory"),
    ],
)
def test_a_mistake_gets_one_sentence(
    tmp_path: Path, broker: str, arguments: list[str], status: int, sentence: str
) -> None:
    done = Shop(tmp_path, f"kafka://{broker}").run(*arguments)
    assert done.returncode == status
    assert re.fullmatch(rf"ottla worker: {sentence}\n", done.stderr)
    assert done.stdout == ""


def test_an_agent_that_exits_ends_the_worker_with_an_error(shop: Shop) -> None:
    _succeeds(shop.run("shop:app", "--until-end"))
    with (shop.directory / "shop.py").open("a") as module:
        module.write("        exit(0)\n")
    order(shop, ("a", 1))
    done = shop.run()
    assert done.returncode == 1
    assert re.search(
        r"^ottla worker: task \d_\d: SystemExit\(0\) was raised in add \(.*shop.py:\d+\)", done.stderr, re.M
    )
    assert "Traceback" not in done.stderr


def test_other_commands_do_not_load_the_engines_clients() -> None:
    code = (
        "import sys; sys.argv = ['ottla', 'broker', '--help']\n"
        "from ottla.commands import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'confluent_kafka', 'rocksdict', 'rich', 'prometheus_client'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert "--data-dir" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def ottla_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ottla", *arguments], capture_output=True, text=True, timeout=200, check=False
        )

    return run


def test_the_command_lists_the_subcommands_of_every_room(
    ottla_command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    shown = ottla_command("--help").stdout
    assert re.search(r"^ +worker +Run a worker of an app\.$", shown, re.MULTILINE)
    assert re.search(r"^ +broker +Run a broker", shown, re.MULTILINE)
    assert re.fullmatch(r"ottla \d+\.\d+\.\d+\n", ottla_command("--version").stdout)
    unknown = ottla_command("wroker")
    assert unknown.returncode == 2
    assert "No such command 'wroker'" in unknown.stderr
