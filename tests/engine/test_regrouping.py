"""Streams that take another key, meet and part: group_by, merge, branch, echo, and the topics they go through."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Stream, TopologyError
from ottla.testing import Driver
from ottla.transport.contract import PASSED_ON, TopicSpec


class Flight(msgspec.Struct):
    carrier: str
    origin: str
    delay: float = 0.0


def events(driver: Driver, topic: str) -> list[tuple[Any, Any, int]]:
    return [(event.key, event.value, event.timestamp) for event in driver.read(topic)]


class TestGroupBy:
    def test_a_field_becomes_the_key_in_the_partition_of_that_key(self, app: ottla.App) -> None:
        flights = app.topic("flights", key=str, value=Flight, partitions=3)
        app.stream(flights).group_by("origin").to(app.topic("out", key=str, value=Flight, partitions=3))
        with app.test() as driver:
            for carrier, origin in (("UA", "EWR"), ("AA", "JFK"), ("B6", "EWR")):
                headers: list[tuple[str, bytes | None]] = [("seen", b"1")]
                driver.send(flights, key=carrier, value=Flight(carrier, origin), timestamp=7, headers=headers)
            results = driver.read("out")
            through = driver.read("shop-flights-by-origin-repartition")
        assert sorted((event.key, event.value.carrier) for event in results) == [
            ("EWR", "B6"),
            ("EWR", "UA"),
            ("JFK", "AA"),
        ]
        assert {event.timestamp for event in results} == {7}
        assert all(event.headers == [("seen", b"1")] for event in results)
        assert len({event.partition for event in through if event.key == "EWR"}) == 1

    def test_its_topic_is_of_the_plan_with_as_many_partitions_as_the_source(self, app: ottla.App) -> None:
        flights = app.topic("flights", key=str, value=Flight)
        app.stream(flights).group_by("origin").to(app.topic("out", value=Any))
        topology = app.topology
        assert [spec.name for spec in topology.topics] == ["flights", "out"]
        plan = topology.plan({"flights": 4, "out": 1})
        assert TopicSpec("shop-flights-by-origin-repartition", 4, PASSED_ON) in plan.internal_topics
        assert len(plan.tasks) == 8

    def test_a_given_partition_count_is_taken(self, app: ottla.App) -> None:
        flights = app.topic("flights", key=str, value=Flight)
        app.stream(flights).group_by("origin", name="origins", partitions=9).to(app.topic("out", value=Any))
        plan = app.topology.plan({"flights": 4, "out": 1})
        assert TopicSpec("shop-origins-repartition", 9, PASSED_ON) in plan.internal_topics
        assert len(plan.tasks) == 13

    def test_where_it_meets_a_topic_it_has_its_partition_count(self, app: ottla.App) -> None:
        flights = app.topic("flights", key=str, value=Flight)
        airports = app.Table("airports", source=app.topic("airports", key=str, value=str))
        app.stream(flights).group_by("origin").join(airports, lambda flight, _: flight).to(app.topic("out", value=Any))
        plan = app.topology.plan({"flights": 4, "airports": 6, "out": 1})
        assert TopicSpec("shop-flights-by-origin-repartition", 6, PASSED_ON) in plan.internal_topics

    def test_what_is_grouped_twice_has_the_count_of_the_first(self, app: ottla.App) -> None:
        flights = app.topic("flights", key=str, value=Flight)
        app.stream(flights).group_by("origin").group_by("carrier").to(app.topic("out", value=Any))
        plan = app.topology.plan({"flights": 5, "out": 1})
        assert {spec.partitions for spec in plan.internal_topics if spec.name.endswith("-repartition")} == {5}

    def test_a_function_gives_any_key_and_its_annotation_the_key_type(self, app: ottla.App) -> None:
        def by_hour(flight: Flight) -> int:
            return int(flight.delay) // 60

        flights = app.topic("flights", key=str, value=Flight)
        app.stream(flights).group_by(by_hour).to(app.topic("out", key=int, value=Flight))
        with app.test() as driver:
            driver.send(flights, key="UA", value=Flight("UA", "EWR", 125.0), timestamp=1)
            assert [key for key, *_ in events(driver, "out")] == [2]
            assert [key for key, *_ in events(driver, "shop-flights-by-by_hour-repartition")] == [2]

    def test_a_key_that_is_null_stays_in_the_stream(self, app: ottla.App) -> None:
        rows = app.topic("rows", key=str, value=dict)
        grouped = app.stream(rows).group_by("city")
        grouped.to(app.topic("out", value=dict, key=Any))
        grouped.window(ottla.tumbling(10)).aggregate("cities", n=ottla.count())
        with app.test() as driver:
            driver.send(rows, key="a", value={"city": None}, timestamp=1)
            driver.send(rows, key="a", value={"city": "Oslo"}, timestamp=1)
            driver.send(rows, key="a", value=None, timestamp=1)
            assert [key for key, *_ in events(driver, "out")] == [None, "Oslo", None]
            assert driver.counts.null_key_dropped == 2

    def test_an_event_whose_key_cannot_be_found_is_rejected(self, app: ottla.App) -> None:
        rows = app.topic("rows", key=str, value=dict)
        app.stream(rows).group_by("city").to(app.topic("out", key=Any, value=dict))
        with app.test() as driver:
            driver.send(rows, key="a", value={"town": "Bath"})
            driver.send(rows, key="a", value={"city": "York"})
            assert [key for key, *_ in events(driver, "out")] == ["York"]
            assert [letter.value for letter in driver.dead_letters()] == [b'{"town":"Bath"}']

    def test_values_whose_type_is_unknown_are_refused(self, app: ottla.App) -> None:
        flights = app.topic("flights", key=str, value=Flight)
        with pytest.raises(TopologyError, match=r"cannot see their type: annotate .* or name it, as in \.map"):
            app.stream(flights).map(lambda flight: flight).group_by("origin")
        app.stream(flights).map(lambda flight: flight, type=Flight).group_by("origin")

    def test_an_agent_s_annotation_is_the_type_of_what_it_yields(self, app: ottla.App) -> None:
        flights = app.topic("flights", key=str, value=Flight)

        @app.agent(flights)
        async def late(stream: Stream[Flight]) -> AsyncIterator[Flight]:
            async for flight in stream:
                if flight.delay > 15:
                    yield flight

        app.stream(late).group_by("origin").map(lambda flight: flight.carrier).to(app.topic("out", key=str, value=str))
        with app.test() as driver:
            driver.send(flights, key="UA", value=Flight("UA", "EWR", 20.0))
            assert [value for _, value, _ in events(driver, "out")] == ["UA"]

    def test_a_function_without_a_name_needs_one(self, app: ottla.App) -> None:
        flights = app.topic("flights", key=str, value=Flight)
        with pytest.raises(TopologyError, match="needs a name for its topic"):
            app.stream(flights).group_by(lambda flight: flight.origin)

    def test_keys_of_another_type_than_the_table_s_are_refused(self, app: ottla.App) -> None:
        rows = app.topic("rows", key=str, value=dict)
        cities = app.Table("cities", source=app.topic("cities", key=str, value=str))
        with pytest.raises(TopologyError, match="has keys of json and <table cities> of text"):
            app.stream(rows).group_by("city").join(cities, lambda row, city: (row, city))
        app.stream(rows).group_by("city", type=str, name="typed").join(cities, lambda row, city: (row, city))


@settings(max_examples=60)
@given(
    polls=st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=6),
            st.sampled_from(["commit", "crash", "lose"]),
        ),
        max_size=6,
    ),
    partitions=st.integers(1, 3),
)
def test_what_is_counted_by_another_key_is_exact_whatever_crashes(
    polls: list[tuple[list[tuple[str, str]], str]], partitions: int
) -> None:
    app = ottla.App("shop")
    source = app.topic("in", key=str, value=dict, partitions=2)
    counted = app.Table("counted", key=str, default=int)

    @app.agent(app.stream(source).group_by("to", type=str, partitions=partitions))
    async def count(stream: Stream[dict[str, str]]) -> None:
        async for event in stream.events():
            counted[event.key] += 1

    with app.test() as driver:
        for batch, then in polls:
            for key, to in batch:
                driver.send(source, key=key, value={"to": to})
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            driver.run()
        assert dict(driver.table(counted)) == Counter(to for batch, _ in polls for _, to in batch)


class TestMerge:
    def test_events_of_several_topics_become_one_stream_in_the_order_of_their_times(self, app: ottla.App) -> None:
        web, shop, mail = (app.topic(name, key=str, value=str) for name in ("web", "shops", "mail"))
        app.stream(web).merge(app.stream(shop), app.stream(mail)).to(app.topic("out", key=str, value=str))
        with app.test() as driver:
            for topic, value, timestamp in ((web, "a", 1), (web, "d", 4), (shop, "c", 3), (mail, "b", 2)):
                driver.send(topic, key="k", value=value, timestamp=timestamp)
            assert [value for _, value, _ in events(driver, "out")] == ["a", "b", "c", "d"]

    def test_branches_that_meet_again_stay_in_order_event_by_event(self, app: ottla.App) -> None:
        source = app.stream(app.topic("in", key=str, value=int))
        halves = source.branch(even=lambda n: n % 2 == 0)
        halves["even"].map(lambda n: n * 10).merge(halves["rest"]).to(app.topic("out", key=str, value=int))
        with app.test() as driver:
            for number in range(6):
                driver.send("in", key="k", value=number, timestamp=0)
            assert [value for _, value, _ in events(driver, "out")] == [0, 1, 20, 3, 40, 5]
        assert "event by event" in app.topology.describe()

    def test_keys_of_two_types_are_refused(self, app: ottla.App) -> None:
        texts = app.stream(app.topic("texts", key=str, value=int))
        numbers = app.stream(app.topic("numbers", key=int, value=int))
        with pytest.raises(TopologyError, match="declare one type for both"):
            texts.merge(numbers)

    def test_streams_of_two_apps_are_refused(self, app: ottla.App) -> None:
        here = app.stream(app.topic("in", value=int))
        there = ottla.App("other").stream(app.topic("in", value=int))
        with pytest.raises(TopologyError, match="belong to two apps"):
            here.merge(there)

    def test_values_of_one_type_keep_it(self, app: ottla.App) -> None:
        ints = [app.stream(app.topic(name, value=int)) for name in ("a", "b")]
        texts = app.stream(app.topic("c", value=str))
        ints[0].merge(ints[1]).group_by(str, name="typed")
        with pytest.raises(TopologyError, match="cannot see their type"):
            ints[0].merge(texts).group_by(str, name="untyped")


class TestBranch:
    def test_an_event_goes_to_the_first_branch_that_takes_it(self, app: ottla.App) -> None:
        parts = app.stream(app.topic("in", value=int)).branch(small=lambda n: n < 10, odd=lambda n: n % 2)
        assert list(parts) == ["small", "odd", "rest"]
        for name, part in parts.items():
            part.to(app.topic(name, value=int))
        with app.test() as driver:
            for number in (3, 12, 15, 8, 20):
                driver.send("in", value=number)
            taken = {name: [value for _, value, _ in events(driver, name)] for name in parts}
        assert taken == {"small": [3, 8], "odd": [15], "rest": [12, 20]}

    def test_an_event_whose_predicate_raises_is_rejected(self, app: ottla.App) -> None:
        parts = app.stream(app.topic("in", value=int)).branch(tenths=lambda n: 10 // n)
        parts["tenths"].to(app.topic("out", value=int))
        with app.test() as driver:
            for number in (0, 5):
                driver.send("in", value=number)
            assert [value for _, value, _ in events(driver, "out")] == [5]
            assert [letter.value for letter in driver.dead_letters()] == [b"0"]

    def test_names_are_asked_for(self, app: ottla.App) -> None:
        stream = app.stream(app.topic("in", value=int))
        for predicates in ({}, {"rest": bool}):
            with pytest.raises(TopologyError, match="takes predicates by name"):
                stream.branch(**predicates)


def test_echo_writes_to_other_topics_and_goes_on(app: ottla.App) -> None:
    copies = [app.topic(name, value=int) for name in ("one", "two")]
    app.stream(app.topic("in", value=int)).echo(*copies).map(lambda n: n + 1).to(app.topic("out", value=int))
    with app.test() as driver:
        driver.send("in", value=1)
        assert [[value for _, value, _ in events(driver, name)] for name in ("one", "two", "out")] == [[1], [1], [2]]
