"""What the compatibility tests run against and with: two brokers, and a program for each family of clients."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from .brokers import BROKERS, Broker
from .programs import FAMILIES, Client, Family, Program

TIMEOUT_S = 100


HANGING_S = 900
"""A test of these starts JVMs, brokers and workers, each of which may take a minute on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(HANGING_S))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-compatibility", action="store_true", help="write what is seen into docs/compatibility.md")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Broker]]:
    """`running(name)` is the broker of that name, which is started when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def start(name: str) -> Broker:
            return stack.enter_context(BROKERS[name](tmp_path_factory.mktemp(name)))

        yield start


@pytest.fixture(scope="session", params=BROKERS)
def broker(request: pytest.FixtureRequest, running: Callable[[str], Broker]) -> Broker:
    """The broker that the tests of a session share; each makes topics and groups of its own."""
    return running(request.param)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Family], Program]]:
    """`programs(family)` is the family's running program, which is started when it is first asked for."""
    running: dict[str, Program] = {}
    logs = tmp_path_factory.mktemp("programs")

    def program(family: Family) -> Program:
        if family.name not in running or not running[family.name].running:
            running[family.name] = Program(family, logs / f"{family.name}.log")
        return running[family.name]

    yield program
    for started in running.values():
        started.close()


@pytest.fixture
def client(family: Family, broker: Broker, programs: Callable[[Family], Program]) -> Client:
    """The family that the test is parametrized with, at work on the broker."""
    return Client(programs(family), broker.address)


@pytest.fixture
def new_topic(broker: Broker) -> Callable[..., str]:
    """`new_topic(partitions, at=ADDRESS)` creates a topic and returns its name."""

    def create(partitions: int = 1, *, at: str = broker.address) -> str:
        name = f"topic-{uuid4()}"
        admin = AdminClient({"bootstrap.servers": at})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(TIMEOUT_S)
        return name

    return create


@pytest.fixture
def new_name() -> Callable[[str], str]:
    """`new_name("group")` is a name that no other test uses."""
    return lambda kind: f"{kind}-{uuid4()}"


@pytest.fixture(scope="session")
def streams(programs: Callable[[Family], Program]) -> Program:
    """The program in which Kafka Streams runs."""
    return programs(next(family for family in FAMILIES if family.name == "java"))
