"""In which order a task takes the events of its inputs, and when it waits, as Kafka Streams' `PartitionGroup`."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ottla
from ottla import Stream
from ottla.deadletters import ErrorPolicy
from ottla.task.task import Task
from ottla.transport.contract import OutputRecord, TopicPartition
from ottla.transport.memory import MemoryMessage

INPUTS = ("one", "three", "two")


async def no_topics(topics: Collection[str]) -> dict[str, int]:
    raise AssertionError(f"no step chooses topics, so nothing asks for {topics}")


def merging_task() -> tuple[Task, list[tuple[str, int]]]:
    """A task with three inputs, and where it puts (topic, offset) of each event in the order it takes them."""
    app = ottla.App("order")
    taken: list[tuple[str, int]] = []
    shared = app.Table("shared", default=int)
    for name in ("one", "two", "three"):

        @app.agent(app.topic(name, value=int), name=f"take-{name}", uses=[shared])
        async def take(stream: Stream[int]) -> None:
            async for event in stream.events():
                taken.append((event.topic, event.offset))  # noqa: PERF401

    [part] = app.topology.subtopologies
    task = Task(
        part,
        app.topology.plan({"one": 1, "two": 1, "three": 1}).tasks[0],
        {},
        policy=ErrorPolicy(),
        dead_letter_topic="dead",
        sleep=asyncio.sleep,
        global_tables={},
        partition_counts=no_topics,
    )
    return task, taken


def messages(topic: str, timestamps: Iterable[int], first_offset: int = 0) -> list[MemoryMessage]:
    return [
        MemoryMessage(OutputRecord(topic, None, b"1", timestamp), 0, offset)
        for offset, timestamp in enumerate(timestamps, first_offset)
    ]


def process(task: Task, caught_up: Iterable[str] = ()) -> int:
    """Runs the task with no event loop at all: it awaits nothing but what agents await."""
    coroutine = task.process(set(caught_up))
    with pytest.raises(StopIteration) as returned:
        coroutine.send(None)
    return int(returned.value.value)


def test_the_smallest_timestamp_goes_first() -> None:
    task, taken = merging_task()
    task.add("one", messages("one", [1, 5, 9]))
    task.add("two", messages("two", [2, 6]))
    task.add("three", messages("three", [4, 7]))
    process(task, INPUTS)
    assert taken == [
        ("one", 0),
        ("two", 0),
        ("three", 0),
        ("one", 1),
        ("two", 1),
        ("three", 1),
        ("one", 2),
    ]


def test_within_an_input_offsets_decide_whatever_the_timestamps() -> None:
    task, taken = merging_task()
    task.add("one", messages("one", [5, 1, 3]))
    task.add("two", messages("two", [4]))
    process(task, INPUTS)
    assert taken == [("two", 0), ("one", 0), ("one", 1), ("one", 2)]


def test_an_empty_input_that_may_have_more_holds_the_others_back() -> None:
    task, taken = merging_task()
    task.add("one", messages("one", [1, 2]))
    task.add("two", messages("two", [2]))
    assert process(task, ["one", "two"]) == 0
    assert task.positions == {}
    task.add("three", messages("three", [1]))
    assert process(task) == 2
    assert taken == [("one", 0), ("three", 0)]


def test_a_task_stops_where_an_input_runs_dry() -> None:
    task, taken = merging_task()
    task.add("one", messages("one", [1, 10]))
    task.add("two", messages("two", [2, 11]))
    task.add("three", messages("three", [3]))
    process(task)
    assert taken == [("one", 0), ("two", 0), ("three", 0)]
    assert [task.buffered(topic) for topic in ("one", "two", "three")] == [1, 1, 0]
    assert not task.is_drained
    assert task.positions == {TopicPartition(topic, 0): 1 for topic in INPUTS}
    process(task, ["three"])
    assert taken[3:] == [("one", 1)]
    process(task, INPUTS)
    assert taken[4:] == [("two", 1)]


def test_positions_pass_events_that_cannot_be_decoded() -> None:
    task, taken = merging_task()
    bad = MemoryMessage(OutputRecord("one", None, b"one", 1), 0, 7)
    task.add("one", [bad])
    assert process(task, INPUTS) == 1
    assert taken == []
    assert task.positions == {TopicPartition("one", 0): 8}
    assert [record.topic for record in task.drain()] == ["dead"]


@given(
    st.lists(st.integers(0, 9), max_size=12),
    st.lists(st.integers(0, 9), max_size=12),
    st.lists(st.integers(0, 9), max_size=12),
    st.integers(1, 5),
)
def test_runs_take_events_in_the_order_that_one_by_one_would(
    one: list[int], two: list[int], three: list[int], chunk: int
) -> None:
    task, taken = merging_task()
    inputs = {"one": one, "two": two, "three": three}
    for topic, timestamps in inputs.items():
        for start in range(0, len(timestamps), chunk):
            task.add(topic, messages(topic, timestamps[start : start + chunk], start))
    process(task, INPUTS)

    expected: list[tuple[str, int]] = []
    positions = dict.fromkeys(inputs, 0)
    while any(positions[topic] < len(inputs[topic]) for topic in inputs):
        heads = [
            (inputs[topic][positions[topic]], rank, topic)
            for rank, topic in enumerate(inputs)
            if positions[topic] < len(inputs[topic])
        ]
        topic = min(heads)[2]
        expected.append((topic, positions[topic]))
        positions[topic] += 1
    assert taken == expected


@pytest.fixture
def branching_app(app: ottla.App) -> ottla.App:
    """Two agents over one topic that share a table, and write to one topic."""
    numbers = app.topic("numbers", key=str, value=int)
    out = app.topic("out", key=str, value=str)
    seen = app.Table("seen", key=str, default=int)

    @app.agent(numbers, sink=[out])
    async def count(stream: Stream[int]) -> AsyncIterator[str]:
        async for number in stream:
            seen["all"] += 1
            yield f"count {number}"

    @app.agent(numbers, sink=[out])
    async def look(stream: Stream[int]) -> AsyncIterator[str]:
        async for number in stream:
            yield f"look {number} sees {seen['all']}"

    return app


def test_branches_that_meet_again_take_events_one_by_one(branching_app: ottla.App) -> None:
    with branching_app.test() as driver:
        for number in range(3):
            driver.send("numbers", value=number)
        assert [event.value for event in driver.read("out")] == [
            "count 0",
            "look 0 sees 1",
            "count 1",
            "look 1 sees 2",
            "count 2",
            "look 2 sees 3",
        ]


def test_a_table_and_a_stream_of_one_topic_go_on_one_by_one(app: ottla.App) -> None:
    prices = app.topic("prices", key=str, value=int)
    latest = app.Table("latest", source=prices)
    out = app.topic("out", key=str, value=str)
    app.stream(prices).join(latest, lambda price, now: f"{price} {now}").to(out)
    with app.test() as driver:
        for price in (1, 2, 3):
            driver.send(prices, key="a", value=price)
        assert [event.value for event in driver.read(out)] == ["1 1", "2 2", "3 3"]


def test_among_equal_timestamps_tables_come_before_streams(app: ottla.App) -> None:
    orders = app.topic("a-orders", key=str, value=str)
    out = app.topic("out", key=str, value=str)
    stream = app.stream(orders)
    customers = app.Table("customers", source=app.topic("z-customers", key=str, value=str))
    stream.left_join(customers, lambda order, customer: f"{order} {customer}").to(out)
    with app.test() as driver:
        driver.send(orders, key="a", value="x", timestamp=5)
        driver.send("z-customers", key="a", value="Ann", timestamp=5)
        assert [event.value for event in driver.read(out)] == ["x Ann"]
