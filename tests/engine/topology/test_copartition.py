"""Topics that meet in one task with different partition counts: each kind of meeting says where, and what to change."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

import ottla
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.worker.provisioning import provision_topics


def pair(left: str, right: str) -> str:
    return left + right


def letter(value: str) -> str:
    return value[0]


class Inputs:
    """Two topics of an app, whose partition counts are not declared, as streams and as tables."""

    def __init__(self) -> None:
        self.app = ottla.App("shop")
        self.topics = [self.app.topic(name, key=str, value=str) for name in ("left", "right")]

    @property
    def streams(self) -> Any:
        return [self.app.stream(topic) for topic in self.topics]

    @property
    def tables(self) -> Any:
        return [self.app.Table(f"{topic.name}s", source=topic) for topic in self.topics]


def stream_stream(inputs: Inputs) -> None:
    left, right = inputs.streams
    left.join(right, pair, within=1, name="paired")


def stream_table(inputs: Inputs) -> None:
    inputs.streams[0].join(inputs.tables[1], pair)


def table_table(inputs: Inputs) -> None:
    left, right = inputs.tables
    left.outer_join(right, pair, name="paired").to_stream()


def views(inputs: Inputs) -> None:
    left, right = inputs.tables
    left.filter(letter).join(right.map_values(str.upper), pair, name="paired").to_stream()


def stream_view(inputs: Inputs) -> None:
    left, right = inputs.streams[0], inputs.tables[1]
    left.join(right.filter(letter), pair)


def merged(inputs: Inputs) -> None:
    left, right = inputs.streams
    left.merge(right)


def as_of(inputs: Inputs) -> None:
    left, right = inputs.streams
    left.join_asof(right, pair, name="paired", type=str)


def an_agent(inputs: Inputs) -> None:
    _, right = inputs.tables

    @inputs.app.agent(inputs.topics[0], name="reading", uses=[right])
    async def reading(stream: ottla.Stream[str]) -> None:
        async for _ in stream:
            pass


MEETINGS: Mapping[str, Callable[[Inputs], None]] = {
    "join side 'paired-left'": stream_stream,
    "join 'topic.left.join.rights'": stream_table,
    "table outer_join side 'paired.left'": table_table,
    "table join side 'paired.left'": views,
    "join 'topic.left.join.rights.filter'": stream_view,
    "merge 'topic.left.merge'": merged,
    "join_asof 'paired'": as_of,
    "agent 'reading'": an_agent,
}


def start(app: ottla.App, there: Mapping[str, int]) -> None:
    """What a worker does with its topics before its first event."""
    asyncio.run(provision_topics(app.topology, MemoryTransport(MemoryBroker(there), app.id, "w0")))


@pytest.mark.parametrize("where", MEETINGS)
def test_a_meeting_of_topics_that_differ_in_the_broker_is_refused(where: str) -> None:
    inputs = Inputs()
    MEETINGS[where](inputs)
    with pytest.raises(ottla.CopartitionError) as raised:
        start(inputs.app, {"left": 6, "right": 4})
    # Tables come before streams, so that either topic may be named first.
    message = str(raised.value).replace(
        "topic 'right' has 4, topic 'left' has 6", "topic 'left' has 6, topic 'right' has 4"
    )
    assert message == (
        f"what meets in {where} needs equal partition counts, but topic 'left' has 6, topic 'right' has 4: give topic "
        "'right' 6 partitions, or send the events through a topic that has them, as in "
        ".through(app.topic(..., partitions=6)) or .group_by(..., partitions=6)"
    )


@pytest.mark.parametrize("where", MEETINGS)
def test_equal_counts_are_taken(where: str) -> None:
    inputs = Inputs()
    MEETINGS[where](inputs)
    start(inputs.app, {"left": 6, "right": 6})


def test_a_topic_whose_count_in_the_broker_is_not_the_declared_one_is_refused() -> None:
    app = ottla.App("shop")
    left, right = (app.topic(name, key=str, value=str, partitions=6) for name in ("left", "right"))
    app.stream(left).join(app.stream(right), pair, within=1)
    with pytest.raises(ottla.TopologyError, match="topic 'right' has 4 partitions but the app needs 6"):
        start(app, {"left": 6, "right": 4})


def test_a_topic_that_is_created_gets_no_count_that_does_not_fit() -> None:
    app = ottla.App("shop")
    left = app.stream(app.topic("left", key=str, value=str))
    left.join(app.stream(app.topic("right", key=str, value=str, partitions=4)), pair, within=1)
    with pytest.raises(ottla.CopartitionError, match="give topic 'right' 6 partitions"):
        start(app, {"left": 6})


def test_events_sent_through_a_topic_of_the_other_count_meet() -> None:
    inputs = Inputs()
    left, right = inputs.streams
    left.join(right.through(inputs.app.topic("right-6", key=str, value=str, partitions=6)), pair, within=1)
    start(inputs.app, {"left": 6, "right": 4})


def test_events_under_another_key_meet_whatever_their_own_topic_has() -> None:
    inputs = Inputs()
    left, right = inputs.streams
    left.join(right.group_by(letter), pair, within=1)
    start(inputs.app, {"left": 6, "right": 4})


def test_a_repartition_topic_whose_stated_count_does_not_fit_is_refused() -> None:
    inputs = Inputs()
    left, right = inputs.streams
    left.join(right.group_by(letter, name="letters", partitions=3), pair, within=1)
    with pytest.raises(ottla.CopartitionError, match="give topic 'shop-letters-repartition' 6 partitions"):
        start(inputs.app, {"left": 6, "right": 4})


def test_tables_that_are_joined_by_foreign_key_may_differ() -> None:
    inputs = Inputs()
    left, right = inputs.tables
    left.join(right, pair, on=letter)
    start(inputs.app, {"left": 6, "right": 4})


def test_the_table_that_has_a_stated_count_is_named() -> None:
    app = ottla.App("shop")
    counts = app.Table("counts", default=int, partitions=3)

    @app.agent(app.topic("left", key=str, value=str))
    async def counting(stream: ottla.Stream[str]) -> None:
        async for value in stream:
            counts[value] += 1

    with pytest.raises(ottla.CopartitionError, match="topic 'left' has 6, table 'counts' has 3"):
        start(app, {"left": 6})
