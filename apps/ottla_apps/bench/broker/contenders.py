"""Who takes part: Ottla, and Apache Kafka if it is asked for."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Self

from ottla_apps.bench.broker import kafka
from ottla_apps.bench.processes import BrokerProcess, ServerProcess

KAFKA_DIRECTORY = Path(".bench/kafka")


class Peer(StrEnum):
    """Whom Ottla can be measured against."""

    KAFKA = "kafka"


class Contender:
    """One kind of broker.

    Rows that load a broker share one process of it, which is started on first use, so that all of them find it warm.
    Others launch their own. A context manager: leaving it stops the shared process.
    """

    def __init__(self, name: str, make: Callable[[Path], ServerProcess]) -> None:
        self.name = name
        self._make = make
        self._shared: ServerProcess | None = None
        self._stack = ExitStack()

    @property
    def shared(self) -> ServerProcess:
        if self._shared is None:
            directory = self._stack.enter_context(data_directory())
            self._shared = self._stack.enter_context(self.launch(directory))
        return self._shared

    def launch(self, data_dir: Path) -> ServerProcess:
        """A process of its own on `data_dir`, to be entered."""
        return self._make(data_dir)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._stack.close()


def contenders(peers: list[Peer], say: Callable[[str], None]) -> list[Contender]:
    """Ottla and its peers. Raises RuntimeError if one cannot be installed."""
    chosen = [Contender("ottla", BrokerProcess)]
    if Peer.KAFKA in peers:
        libraries = kafka.install(KAFKA_DIRECTORY.absolute(), say)
        chosen.append(Contender("kafka", lambda data_dir: kafka.KafkaProcess(libraries, data_dir)))
    return chosen


@contextmanager
def data_directory() -> Iterator[Path]:
    """The path of a data directory that does not exist yet, and is gone afterwards with what lies beside it."""
    with tempfile.TemporaryDirectory(prefix="ottla-bench-") as directory:
        yield Path(directory) / "data"
