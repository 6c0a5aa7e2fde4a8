"""The fixtures that users' tests get, as pytest loads them."""

import subprocess
import sys
from pathlib import Path

APP = """
import ottla

app = ottla.App("shop")
numbers = app.topic("numbers", key=str, value=int, partitions=2)
doubled = app.topic("doubled", key=str, value=int, partitions=2)
app.stream(numbers).map(lambda number: number * 2).to(doubled)
"""

TESTS = """
import confluent_kafka
from ottla.testing import run_to_end
from shop import app, doubled, numbers

drivers = []

def test_on_memory(ottla_driver):
    driver = ottla_driver(app, now=7)
    drivers.append(driver)
    driver.send(numbers, key="a", value=1)
    assert [(event.value, event.timestamp) for event in driver.read(doubled)] == [(2, 7)]

def test_the_driver_of_the_test_before_is_closed():
    assert not drivers[0]._tasks

def test_on_a_broker(ottla_broker):
    run_to_end(app, ottla_broker)
    settings = {"bootstrap.servers": ottla_broker.removeprefix("kafka://")}
    producer = confluent_kafka.Producer(settings)
    producer.produce("numbers", b"21", b"a")
    assert producer.flush(100) == 0
    run_to_end(app, ottla_broker)
    consumer = confluent_kafka.Consumer({**settings, "group.id": "test", "auto.offset.reset": "earliest"})
    consumer.subscribe(["doubled"])
    message = consumer.poll(100)
    assert message.value() == b"42"
    consumer.close()
"""


def test_users_tests_run_on_memory_and_on_a_broker(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(APP)
    (tmp_path / "test_shop.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "ottla.pytest_plugin",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)
    assert done.stdout.splitlines()[-1].startswith("3 passed"), done.stdout + done.stderr
