"""The app's worker as a child process, and how far it has come, seen from outside."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, KafkaException
from confluent_kafka import TopicPartition as ClientTopicPartition
from confluent_kafka.admin import AdminClient

from ottla_connectors.contract import TopicPartition
from ottla_connectors.runtime.broker import (
    REQUEST_TIMEOUT_S,
    client_config,
    connector_error,
    end_offsets,
    partition_counts,
)

APP = "ottla_apps.flights.app:app"
_LOG_TAIL_BYTES = 4_000


class WorkerFailed(Exception):  # noqa: N818
    """The worker ended by itself before it was done."""


class Worker:
    """One life of the worker, as a context manager: whatever happens, the process does not outlive it."""

    def __init__(self, broker: str, state_dir: Path, *, until_end: bool) -> None:
        self._arguments = [APP, "--broker", broker, "--state-dir", str(state_dir), *["--until-end"] * until_end]
        self._log = state_dir / "worker.log"

    def __enter__(self) -> Worker:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ottla", "worker", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed, no transaction is ended."""
        self._process.kill()
        self._process.wait()

    def has_finished(self) -> bool:
        """Whether it has come to the end of its input. Raises WorkerFailed when it ended in another way."""
        status = self._process.poll()
        if status is None:
            return False
        if status != 0:
            raise WorkerFailed(f"the worker ended with status {status}: {self._last_words()}")
        return True

    def _last_words(self) -> str:
        tail = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return tail.splitlines()[-1] if tail else f"nothing is in {self._log}"


class GroupProgress:
    """How much of a topic a consumer group has committed."""

    def __init__(self, bootstrap_servers: str, group: str, topic: str) -> None:
        self._admin = AdminClient(client_config(bootstrap_servers))
        self._group = group
        self._topic = topic

    async def fraction(self) -> float:
        """From 0 to 1, by offsets; 0 while the topic is empty. Raises BrokerError."""
        try:
            return await asyncio.to_thread(self._fraction)
        except KafkaException as error:
            raise connector_error(error) from error

    def _fraction(self) -> float:
        count = partition_counts(self._admin, [self._topic]).get(self._topic, 0)
        partitions = [TopicPartition(self._topic, index) for index in range(count)]
        ends = sum(end_offsets(self._admin, partitions, IsolationLevel.READ_COMMITTED).values())
        if not ends:
            return 0.0
        request = ConsumerGroupTopicPartitions(self._group, [ClientTopicPartition(*each) for each in partitions])
        (answer,) = self._admin.list_consumer_group_offsets([request], request_timeout=REQUEST_TIMEOUT_S).values()
        committed = sum(max(each.offset, 0) for each in answer.result().topic_partitions)
        return float(committed / ends)
