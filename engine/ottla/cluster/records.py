"""What workers tell each other, as records of the app's compacted control topic `APP-assignment`.

    worker/ID     a `Report`: what the worker of that id has, and which assignment it has acted on; null when it is gone
    assignment    the `Assignment` in force, by the leader
    topics        the ids of the topics that the app reads and has its state in, as the leader last saw them
    pause/STEP    that the tasks of this step are at rest, pause/ those of all; null when they are not (`pausing.py`)

JSON, so that `ottla consume` shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from ottla.errors import OttlaError
from ottla.topology.topology import TaskId
from ottla.transport.contract import ANY_TIME, OutputRecord, TopicPartition, TopicSpec

T = TypeVar("T")

ASSIGNMENT_KEY = b"assignment"
TOPICS_KEY = b"topics"
_WORKER_PREFIX = b"worker/"


class Report(Struct, frozen=True, kw_only=True):
    """What a worker says of itself.

    `seen` is the number of the last assignment it acted on: what that took from it, it has let go of. `address` is
    where it answers queries over HTTP. `offsets` has, for each task whose state it holds, the sum of the changelog
    offsets that the state is at; `warm` are those whose state it keeps up with the changelogs. `tags` say where
    it is.
    """

    seen: int = 0
    address: str | None = None
    offsets: dict[str, int] = {}
    warm: list[str] = []
    tags: dict[str, str] = {}


class Grant(Struct, frozen=True, array_like=True):
    """A task is a worker's, since the assignment of that number."""

    worker: str
    since: int


class Assignment(Struct, frozen=True, kw_only=True):
    """Who runs which task and who keeps copies of its state, among these workers.

    A task in `releasing` is nobody's until the worker there has let go of it, which is asked of it since the assignment
    of the number there. Numbers only grow.
    """

    number: int = 0
    workers: list[str] = []
    active: dict[str, Grant] = {}
    standby: dict[str, list[str]] = {}
    releasing: dict[str, Grant] = {}


def control_topic(app_id: str) -> TopicSpec:
    """The topic of these records: one partition, whose order is the order in which things happened.

    Who joins reads all of it, so it is compacted early.
    """
    early = {"segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.1"}
    config = {"cleanup.policy": "compact", **early, **ANY_TIME}
    return TopicSpec(f"{app_id}-assignment", 1, config)


def report_record(control: TopicPartition, worker: str, report: Report | None, now_ms: int) -> OutputRecord:
    value = None if report is None else _encode(report)
    return OutputRecord(control.topic, _WORKER_PREFIX + worker.encode(), value, now_ms, None, control.partition)


def assignment_record(control: TopicPartition, assignment: Assignment, now_ms: int) -> OutputRecord:
    return OutputRecord(control.topic, ASSIGNMENT_KEY, _encode(assignment), now_ms, None, control.partition)


def topics_record(control: TopicPartition, ids: Mapping[str, str], now_ms: int) -> OutputRecord:
    return OutputRecord(control.topic, TOPICS_KEY, _encode(ids), now_ms, None, control.partition)


def reporting_worker(key: bytes) -> str | None:
    """The worker whose report has this key, if it is one of a report."""
    return key.removeprefix(_WORKER_PREFIX).decode() if key.startswith(_WORKER_PREFIX) else None


def decode_report(value: bytes) -> Report:
    return _decode(_REPORT, value)


def decode_assignment(value: bytes) -> Assignment:
    return _decode(_ASSIGNMENT, value)


def decode_topics(value: bytes) -> dict[str, str]:
    return _decode(_TOPICS, value)


def task_id(text: str) -> TaskId:
    subtopology, _, partition = text.partition("_")
    return TaskId(int(subtopology), int(partition))


_encode = msgspec.json.Encoder(order="deterministic").encode
_REPORT = msgspec.json.Decoder(Report)
_ASSIGNMENT = msgspec.json.Decoder(Assignment)
_TOPICS = msgspec.json.Decoder(dict[str, str])


def _decode(decoder: msgspec.json.Decoder[T], value: bytes) -> T:
    try:
        return decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise OttlaError(
            f"the control topic of the app holds a record that no worker of this version wrote ({error}); "
            "stop all workers and delete the topic, which loses no data"
        ) from error
