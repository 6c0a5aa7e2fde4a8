"""The graph of an app: its text, its names, its tasks, and what it refuses."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

import ottla
from ottla import Stream, Topology
from ottla.agents.answers import replies_topic
from ottla.deadletters.letters import dead_letter_topic
from ottla.topology.topology import TaskId
from ottla.transport.contract import ANY_TIME, TopicSpec


class Order(msgspec.Struct):
    item: str


class Foreign:
    """As a model of another library is."""


def orders(app: ottla.App) -> ottla.Topic[str, Order]:
    return app.topic("orders", key=str, value=Order)


async def each_awaited(order: Order) -> bool:
    return bool(order.item)


def stream_of_values(orders: ottla.Stream[Order]) -> None:
    assert orders


def flights_app() -> ottla.App:
    app = ottla.App("flights")
    flights = app.topic("flights", key=str, value=dict, partitions=6)
    airlines = app.Table("airlines", source=app.topic("airlines", key=str, value=str, partitions=6))
    cancelled = app.Table("cancelled", key=str, default=int, partitions=6)

    @app.agent(flights)
    async def departed(stream: Stream[dict[str, Any]]) -> Any:
        async for flight in stream:
            if flight["delay"] is None:
                cancelled[flight["carrier"]] += 1
            else:
                yield flight

    (
        app.stream(departed)
        .window(ottla.tumbling(hours=1, grace=timedelta(days=1)))
        .aggregate("hourly", flights=ottla.count(), mean_delay=ottla.mean("delay"))
        .join(airlines, lambda windowed, airline: [airline, windowed.start])
        .to(app.topic("delays", key=str, value=list, partitions=6))
    )
    audit = app.stream(app.topic("audit", key=str, value=str))
    audit.filter(len).filter(str.isalpha).to(app.topic("audited", key=str, value=str, partitions=1))
    return app


def test_describe_draws_the_graph_as_kafka_streams_does() -> None:
    assert (
        flights_app().topology.describe()
        == """\
Topologies:
   Sub-topology: 0
    Source: topic.airlines (topics: [airlines])
      --> table.airlines
    Processor: table.airlines (stores: [airlines])  # table
      --> none
      <-- topic.airlines
    Source: topic.flights (topics: [flights])
      --> departed
    Processor: departed (stores: [cancelled])  # agent
      --> hourly
      <-- topic.flights
    Processor: hourly (stores: [hourly])  # aggregate, tumbling 1:00:00 grace 1 day, 0:00:00, emit on close
      --> hourly.join.airlines
      <-- departed
    Processor: hourly.join.airlines (stores: [airlines])  # join
      --> hourly.join.airlines.to.delays
      <-- hourly
    Sink: hourly.join.airlines.to.delays (topic: delays)
      <-- hourly.join.airlines
   Sub-topology: 1
    Source: topic.audit (topics: [audit])
      --> topic.audit.filter
    Processor: topic.audit.filter (stores: [])  # filter
      --> topic.audit.filter.filter
      <-- topic.audit
    Processor: topic.audit.filter.filter (stores: [])  # filter
      --> topic.audit.filter.filter.to.audited
      <-- topic.audit.filter
    Sink: topic.audit.filter.filter.to.audited (topic: audited)
      <-- topic.audit.filter.filter
"""
    )


def test_names_that_depend_on_the_order_of_the_code_are_warned_about(app: ottla.App) -> None:
    stream = app.stream(app.topic("numbers", key=str, value=int))
    assert [stream.map(abs).step, stream.map(abs).step] == ["topic.numbers.map", "topic.numbers.map-2"]
    stream.take(2, within=1)
    assert app.topology.warnings == ()
    stream.take(5, within=1)
    stream.take(9, within=1, name="nines")
    [warning] = app.topology.warnings
    assert warning.startswith("take 'numbers-take-2' is told from 'numbers-take' by nothing but the order")


def test_a_plan_has_a_task_for_each_partition_and_the_internal_topics() -> None:
    plan = flights_app().topology.plan({"flights": 6, "airlines": 6, "audit": 2})
    assert plan.tasks == (*(TaskId(0, partition) for partition in range(6)), TaskId(1, 0), TaskId(1, 1))
    assert [str(task) for task in plan.tasks[5:7]] == ["0_5", "1_0"]
    compacted = {"cleanup.policy": "compact", **ANY_TIME}
    assert plan.internal_topics == (
        replies_topic("flights"),
        TopicSpec("flights-airlines-changelog", 6, compacted),
        TopicSpec("flights-cancelled-changelog", 6, compacted),
        TopicSpec("flights-hourly-changelog", 6, compacted),
        TopicSpec("flights-stores", 1, compacted),
        dead_letter_topic("flights-dead-letter"),
    )


def test_names_do_not_depend_on_what_else_the_app_has() -> None:
    def names(extra: bool) -> set[str]:
        app = ottla.App("shop")
        if extra:
            app.stream(app.topic("before", value=int)).map(str).map(len)
        stream = app.stream(app.topic("numbers", value=int))
        stream.map(str).window(ottla.tumbling(1)).aggregate("count", n=ottla.count())
        return {step.name for part in app.topology.subtopologies for step in part.steps if "before" not in step.name}

    assert names(extra=True) == names(extra=False)


def test_repeated_steps_are_numbered(app: ottla.App) -> None:
    stream = app.stream(app.topic("numbers", value=int))
    assert [repr(stream.map(str)) for _ in range(3)] == [
        "<stream topic.numbers.map>",
        "<stream topic.numbers.map-2>",
        "<stream topic.numbers.map-3>",
    ]


def test_topics_that_meet_need_equal_partition_counts() -> None:
    topology = flights_app().topology
    with pytest.raises(ottla.CopartitionError) as raised:
        topology.plan({"flights": 6, "airlines": 1, "audit": 1})
    assert "topic 'airlines' has 1, topic 'flights' has 6: give topic 'airlines' 6 partitions" in str(raised.value)


def test_a_topic_that_does_not_exist_is_named() -> None:
    with pytest.raises(ottla.TopologyError, match="topic 'audit' does not exist; create it, or declare"):
        flights_app().topology.plan({"flights": 6, "airlines": 6})


def test_what_shares_a_stream_or_a_table_is_one_subtopology(app: ottla.App) -> None:
    table = app.Table("shared", default=int)
    for name in ("one", "two", "three"):

        async def agent(stream: Stream[int]) -> None:
            async for number in stream:
                table[number] += 1

        async def alone(stream: Stream[int]) -> None:
            async for _ in stream:
                pass

        app.agent(app.topic(name, value=int), name=name)(alone if name == "two" else agent)
    assert [part.inputs for part in app.topology.subtopologies] == [("one", "three"), ("two",)]


class TestRecordByRecord:
    """Which sources must be taken event by event."""

    def sources(self, topology: Topology) -> list[str]:
        return [step.name for part in topology.subtopologies for step in part.steps if step.record_by_record]

    def test_a_chain_is_taken_in_batches(self) -> None:
        assert self.sources(flights_app().topology) == []

    def test_branches_that_do_not_meet_are_taken_in_batches(self, app: ottla.App) -> None:
        stream = app.stream(app.topic("numbers", value=int))
        stream.to(app.topic("a", value=int))
        stream.map(str).to(app.topic("b", value=str))
        assert self.sources(app.topology) == []

    def test_branches_into_one_topic_are_not(self, app: ottla.App) -> None:
        stream = app.stream(app.topic("numbers", value=int))
        out = app.topic("out", value=int)
        stream.filter(bool).to(out)
        stream.map(lambda n: n + 1).to(out)
        assert self.sources(app.topology) == ["topic.numbers"]
        assert "event by event, since its branches meet again" in app.topology.describe()

    def test_two_steps_of_a_chain_with_one_table_are_not(self, app: ottla.App) -> None:
        table = app.Table("seen", default=int)
        app.stream(app.topic("numbers", value=int)).filter(lambda n: table[n]).map(lambda n: table[n])
        assert self.sources(app.topology) == ["topic.numbers"]


@pytest.mark.parametrize(
    ("declare", "error", "message"),
    [
        (lambda app: app.topology, ottla.TopologyError, "app 'shop' has nothing to run"),
        (lambda app: app.topic("a b"), ottla.ConfigError, "'a b' cannot be a topic's name"),
        (lambda app: app.topic("a", partitions=0), ottla.ConfigError, "at least one partition"),
        (lambda app: [app.topic("a", value=int), app.topic("a", value=str)], ottla.DuplicateName, "declared twice"),
        (lambda app: [app.Table("a", default=int), app.Table("a", default=int)], ottla.DuplicateName, "table 'a'"),
        (lambda app: app.Table("a", default=0), ottla.TopologyError, "must be callable"),
        (
            lambda app: app.Table("a", key=int, source=app.topic("t", key=str, value=str)),
            ottla.TopologyError,
            "table 'a' has key=json\\[int\\] but its topic 't' has text",
        ),
        (lambda app: app.stream("numbers"), ottla.TopologyError, "a pattern of topics or an agent, not 'numbers'"),
        (lambda app: app.agent("numbers"), ottla.TopologyError, "a pattern of topics or an agent, not 'numbers'"),
        (
            lambda app: app.agent(app.topic("t"))(lambda: None),
            ottla.TopologyError,
            "its function takes one argument, the stream if it is async, else a value",
        ),
        (
            lambda app: app.agent(app.channel())(lambda: None),
            ottla.TopologyError,
            "its function takes one argument, the stream if it is async, else a value",
        ),
        (
            lambda app: app.agent(orders(app))(each_awaited),
            ottla.TopologyError,
            "given the stream, and not each Order: read it with `async for`, or make it a plain function",
        ),
        (
            lambda app: app.agent(orders(app))(stream_of_values),
            ottla.TopologyError,
            "a plain function is given each value, and not the stream: make it async",
        ),
        (
            lambda app: app.stream(orders(app)).filter(each_awaited),
            ottla.TopologyError,
            "filter 'topic.orders.filter': each_awaited is async, and what it returns is taken as it is",
        ),
        (
            lambda app: app.stream(orders(app)).join(app.Table("a", source=orders(app)), each_awaited),
            ottla.TopologyError,
            "each_awaited is async",
        ),
        (
            lambda app: app.stream(orders(app)).window(ottla.tumbling(1)).aggregate("a", n=ottla.sum(each_awaited)),
            ottla.TopologyError,
            "each_awaited is async",
        ),
        (
            lambda app: app.Table("a", source=app.topic("t", key=Order, value=int)),
            ottla.TopologyError,
            "table 'a': keys of Order can be changed, and cannot be looked up; use frozen=True",
        ),
        (
            lambda app: (
                app.stream(app.topic("t", key=list[int])).window(ottla.tumbling(1)).aggregate("a", n=ottla.count())
            ),
            ottla.TopologyError,
            r"aggregate\('a'\): keys of list can be changed, and cannot be looked up; use a tuple",
        ),
        (
            lambda app: app.stream(app.topic("t", key=dict)).join(app.stream(app.topic("u", key=dict)), max, within=1),
            ottla.TopologyError,
            "keys of dict can be changed, and cannot be looked up; use a Struct with frozen=True",
        ),
        (lambda app: app.stream(app.topic("t")).to("out"), ottla.TopologyError, "to\\(\\) takes a topic .*, not 'out'"),
        (
            lambda app: app.stream(orders(app)).group_by("nam"),
            ottla.TopologyError,
            "Order has no field 'nam'; it has item",
        ),
        (lambda app: app.stream(orders(app)).group_by(Order.item), ottla.TopologyError, "neither the name of a field"),
        (
            lambda app: app.stream(orders(app)).window(ottla.tumbling(1)).aggregate("a", n=ottla.sum("pieces")),
            ottla.TopologyError,
            "Order has no field 'pieces'; it has item",
        ),
        (
            lambda app: app.stream(orders(app)).aggregate("a", n=ottla.top(1, "pieces")),
            ottla.TopologyError,
            "Order has no field 'pieces'; it has item",
        ),
        (
            lambda app: app.Table("a", source=orders(app)).group_by("item").aggregate("b", n=ottla.sum("pieces")),
            ottla.TopologyError,
            "Order has no field 'pieces'; it has item",
        ),
        (
            lambda app: app.agent(orders(app), sink=app.topic("out"))(lambda order: order),
            ottla.TopologyError,
            "sink=<topic out> must be a list",
        ),
        (lambda app: app.topic("t", value=Foreign), ottla.ConfigError, "value of topic 't': Foreign is no type"),
        (
            lambda app: app.Table("t", key=str, value=dict[str, list[Foreign]]),
            ottla.ConfigError,
            "value of table 't': Foreign is no type that msgspec knows",
        ),
        (lambda app: app.declared_topic("nowhere"), ottla.TopologyError, "no topic 'nowhere' is declared"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused_with_the_reason(
    app: ottla.App, declare: Callable[[ottla.App], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        declare(app)


def test_agents_and_aggregations_need_names_of_their_own(app: ottla.App) -> None:
    numbers = app.topic("numbers", value=int)

    async def count(stream: Stream[int]) -> None: ...

    app.agent(numbers)(count)
    with pytest.raises(ottla.DuplicateName, match="two steps named 'count'"):
        app.agent(numbers)(count)
    app.Table("totals", default=int)
    with pytest.raises(ottla.DuplicateName, match="aggregate 'totals' needs a name of its own: table 'totals' has it"):
        app.stream(numbers).window(ottla.tumbling(1)).aggregate("totals", n=ottla.count())


def test_a_table_of_another_app_is_refused(app: ottla.App) -> None:
    other = ottla.App("other").Table("elsewhere", default=int)
    app.stream(app.topic("numbers", value=int)).map(lambda n: other[n])
    with pytest.raises(ottla.TopologyError, match="uses table 'elsewhere' of another app"):
        app.topology  # noqa: B018
