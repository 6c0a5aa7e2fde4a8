"""Sinks that choose the topic or the partition of each event, and what becomes of what they choose wrongly."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import ottla
from ottla.testing import Driver


class Order(msgspec.Struct):
    country: str
    amount: int


def by_country(event: ottla.Event[Order]) -> str:
    return f"orders-{event.value.country}"


def shop(*countries: str, **options: Any) -> ottla.App:
    app = ottla.App("shop", **options)
    for country in countries:
        app.topic(f"orders-{country}", value=Order, partitions=3)
    app.stream(app.topic("orders", value=Order)).to(by_country)
    return app


def test_each_event_goes_to_the_topic_that_was_chosen_with_key_time_and_headers() -> None:
    with shop("de", "fr").test() as driver:
        for number, country in enumerate(("de", "fr", "de")):
            headers: Any = [("n", b"%d" % number)]
            driver.send("orders", key="k", value=Order(country, number), timestamp=number, headers=headers)
        german = driver.read("orders-de")
        assert [(each.value.amount, each.timestamp, each.headers) for each in german] == [
            (0, 0, [("n", b"0")]),
            (2, 2, [("n", b"2")]),
        ]
        assert [each.value.amount for each in driver.read("orders-fr")] == [1]


def test_an_event_for_a_topic_that_is_not_there_is_a_dead_letter_and_the_others_go_on() -> None:
    with shop("de").test() as driver:
        for country in ("de", "nowhere", "de"):
            driver.send("orders", key="k", value=Order(country, 1))
        assert len(driver.read("orders-de")) == 2
        [letter] = driver.dead_letters()
        headers = dict(letter.headers)
        assert headers["ottla.error.kind"] == b"production"
        assert headers["ottla.error.type"] == b"NoDestination"
        assert b"there is no topic 'orders-nowhere' to write to" in (headers["ottla.error.reason"] or b"")


def test_the_handler_of_production_errors_decides_about_it() -> None:
    with shop("de", on_production_error="fail").test() as driver:
        driver.send("orders", key="k", value=Order("nowhere", 1))
        with pytest.raises(ottla.ProcessingFailed, match="no topic 'orders-nowhere'"):
            driver.run()


@pytest.mark.parametrize("chosen", [None, 7, "no topic name"])
def test_what_cannot_be_a_topic_is_said(app: ottla.App, chosen: Any) -> None:
    app.stream(app.topic("in", value=int)).to(lambda _: chosen)
    with app.test() as driver:
        driver.send("in", key="k", value=1)
        [letter] = driver.dead_letters()
        assert b"the topic that was chosen is none: " in (dict(letter.headers)["ottla.error.reason"] or b"")


def test_a_topic_that_is_chosen_is_written_as_it_is_declared(app: ottla.App) -> None:
    packed = app.topic("packed", key=str, value="msgpack")
    app.stream(app.topic("in", value=list)).to(lambda _: packed)
    with app.test() as driver:
        driver.send("in", key="k", value=[1, 2])
        assert [event.value for event in driver.read(packed)] == [[1, 2]]


def written(driver: Driver) -> list[tuple[int, int]]:
    return sorted((event.partition, event.value) for event in driver.read("out"))


@pytest.mark.parametrize(
    ("choose", "expected"),
    [
        (lambda _, value, partitions: value % partitions, [(0, 0), (0, 3), (1, 1), (2, 2)]),
        (lambda _, value, partitions: range(partitions) if value == 3 else (), [(0, 3), (1, 3), (2, 3)]),
    ],
    ids=["one", "several or none"],
)
def test_a_partition_is_chosen(app: ottla.App, choose: Callable[..., Any], expected: list[tuple[int, int]]) -> None:
    out = app.topic("out", value=int, partitions=3)
    app.stream(app.topic("in", value=int)).to(out, partition=choose)
    with app.test() as driver:
        for value in range(4):
            driver.send("in", key="k", value=value)
        assert written(driver) == expected


def test_none_leaves_the_partition_to_the_key(app: ottla.App) -> None:
    source = app.topic("in", value=int)
    app.stream(source).to(app.topic("out", value=int, partitions=3), partition=lambda *_: None)
    with app.test() as driver:
        driver.send("in", key="k", value=1)
        [event] = driver.read("out")
        driver.send("out", key="k", value=1)
        [as_by_key] = driver.read("out")
        assert event.partition == as_by_key.partition


@pytest.mark.parametrize("chosen", [3, -1, [0, 3], "0"])
def test_a_partition_that_is_not_there_is_a_production_error(app: ottla.App, chosen: Any) -> None:
    app.stream(app.topic("in", value=int)).to(app.topic("out", value=int, partitions=3), partition=lambda *_: chosen)
    with app.test() as driver:
        driver.send("in", key="k", value=1)
        [letter] = driver.dead_letters()
        headers = dict(letter.headers)
        assert headers["ottla.error.kind"] == b"production"
        assert b"was chosen for topic 'out', which has 3" in (headers["ottla.error.reason"] or b"")
        assert driver.read("out") == []


def test_through_a_topic_by_another_partitioning(app: ottla.App) -> None:
    middle = app.topic("middle", value=int, partitions=2)
    out = app.topic("out", value=int, partitions=1)
    stream = app.stream(app.topic("in", value=int)).through(middle, partition=lambda _, value, n: value % n)
    stream.to(out)
    with app.test() as driver:
        for value in range(4):
            driver.send("in", key="k", value=value)
        assert sorted(event.value for event in driver.read(out)) == [0, 1, 2, 3]
        assert {(event.partition, event.value % 2) for event in driver.read(middle)} == {(0, 0), (1, 1)}


def test_the_topology_shows_who_chooses() -> None:
    topology = shop("de").topology
    assert "Sink: topic.orders.to.by_country (extractor class: by_country)\n      <-- topic.orders\n" in (
        topology.describe()
    )
    assert "chosen by by_country" in topology.mermaid()
    assert "chosen by by_country" in topology.svg()


def test_tables_that_the_choice_reads_are_at_hand(app: ottla.App) -> None:
    source = app.topic("in", value=int)
    routes = app.Table("routes", source=app.topic("routes", key=str, value=str))
    app.topic("there", value=int)
    app.stream(source).to(lambda event: routes[event.key])
    with app.test() as driver:
        driver.send("routes", key="k", value="there")
        driver.run()
        driver.send("in", key="k", value=1)
        assert [event.value for event in driver.read("there")] == [1]
