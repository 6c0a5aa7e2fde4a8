"""Starting an app over: its offsets, its own topics and its state on this machine.

What `kafka-streams-application-reset` and `KafkaStreams.cleanUp` do. Topics of the user and dead letters stay.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ottla.cluster.records import control_topic
from ottla.config import AppConfig
from ottla.errors import ConfigError, OttlaError
from ottla.topology.topology import Topology, stores_topic
from ottla.transport import kafka_admin
from ottla.transport.contract import TopicPartition

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

Start = Literal["earliest", "latest"] | int
"""Where to begin anew: an end of the inputs, or a time in milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Reset:
    """What is to be done, found out and not done yet."""

    offsets: dict[TopicPartition, int]
    topics: list[str]
    directories: list[Path]
    """The workers' places on this machine."""

    @property
    def state(self) -> list[Path]:
        """Those of the places that hold state. Who the workers are is there, too, and stays."""
        return _with_state(self.directories)


def _with_state(directories: list[Path]) -> list[Path]:
    return [directory for directory in directories if (directory / "rocksdb").exists()]


def own_topics(topology: Topology) -> set[str]:
    """The topics that belong to the app alone and are made again when it starts."""
    app_id = topology.app_id
    declared = {spec.name for spec in topology.topics}
    own = {spec.name for spec in topology.repartitions}
    own |= {spec.changelog for part in topology.subtopologies for spec in part.logged_stores}
    own |= {control_topic(app_id).name, stores_topic(app_id).name, f"{app_id}-replies"}
    return {name for name in own - declared if name.startswith(f"{app_id}-")}


def plan_reset(admin: AdminClient, topology: Topology, config: AppConfig, start: Start) -> Reset:
    """What a reset would do. Raises `OttlaError` while workers of the app run, `TransportError` for the cluster."""
    members = kafka_admin.group_members(admin, config.app_id)
    if members:
        raise OttlaError(
            f"app {config.app_id!r} has workers that run ({', '.join(sorted(members))}); stop them, or wait for the "
            "session timeout of those that were killed"
        )
    own = own_topics(topology)
    inputs = [topic for topic in topology.input_topics if topic not in own]
    counts = kafka_admin.partition_counts(admin, [*inputs, *own])
    partitions = [TopicPartition(topic, number) for topic in inputs for number in range(counts.get(topic, 0))]
    return Reset(
        kafka_admin.offsets_at(admin, partitions, start),
        sorted(own & counts.keys()),
        _places(config.state_dir / config.app_id),
    )


def carry_out(admin: AdminClient, config: AppConfig, reset: Reset, told: Callable[[str], None]) -> None:
    """Does what was planned; `told` hears of each step. Raises `OttlaError` when a worker uses its state here."""
    with _locked(reset.directories):
        kafka_admin.delete_group(admin, config.app_id)
        kafka_admin.set_group_offsets(admin, config.app_id, reset.offsets)
        told(f"offsets set: {len(reset.offsets)}")
        kafka_admin.delete_topics(admin, reset.topics)
        told(f"topics deleted: {len(reset.topics)}")
        _delete_state(reset.state, told)


def delete_state(state_dir: Path, app_id: str, told: Callable[[str], None]) -> None:
    """Deletes the state on this machine alone, which is restored from the changelogs. Raises `OttlaError` when a worker
    uses it."""
    directories = _places(state_dir / app_id)
    with _locked(directories):
        _delete_state(_with_state(directories), told)


def _delete_state(directories: list[Path], told: Callable[[str], None]) -> None:
    for directory in directories:
        shutil.rmtree(directory / "rocksdb")
        told(f"state deleted: {directory}")


def _places(parent: Path) -> list[Path]:
    """The workers' places on this machine (`worker/identity.py`)."""
    return sorted(path.parent for path in parent.glob("*/worker-id"))


@contextmanager
def _locked(directories: list[Path]) -> Iterator[None]:
    """Holds the workers' places, so that none starts meanwhile."""
    with ExitStack() as held:
        for directory in directories:
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            held.callback(os.close, lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OttlaError(f"a worker uses the state in {directory}; stop it first") from None
        yield


def parse_start(text: str) -> Start:
    """`earliest`, `latest`, or an ISO 8601 time, in UTC unless it says otherwise. Raises `ConfigError`."""
    if text == "earliest":
        return "earliest"
    if text == "latest":
        return "latest"
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--to {text!r} is none of earliest, latest, or a time such as 2026-01-31T10:30") from None
    return int((time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp() * 1000)
