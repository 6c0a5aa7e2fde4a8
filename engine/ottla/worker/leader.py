"""The leader of an app's workers: the one that holds the only partition of the topic `APP-leader`.

The topic stays empty; the consumer group gives its partition to one worker at a time, as any other. Its task has a
store, in which the leader's cron jobs note what they have dealt with.
"""

from __future__ import annotations

from ottla.serdes import RAW, TEXT
from ottla.state.format import StoreFormat
from ottla.state.store import StoreSpec
from ottla.task.operators import Source
from ottla.topic import Topic
from ottla.topology.topology import Step
from ottla.transport.contract import TopicSpec

LEADER_STORE = "_leader"


def leader_step(app_id: str) -> tuple[Step, TopicSpec]:
    """The source whose task makes its holder the leader, and its topic."""
    topic = Topic(f"{app_id}-leader", RAW, RAW, partitions=1, internal=True)
    store = StoreSpec(
        LEADER_STORE,
        f"{app_id}-{LEADER_STORE}-changelog",
        TEXT.encode,
        TEXT.decode,
        _encode,
        _decode,
        format=StoreFormat("cron jobs", TEXT.name),
    )
    name = f"topic.{topic.name}"
    step = Step(name, "leader", lambda context: Source(context, name, topic), stores=(store,), source=topic.name)
    return step, topic.spec


def _encode(time_ms: int) -> bytes:
    return b"%d" % time_ms


def _decode(data: bytes) -> int:
    return int(data)
