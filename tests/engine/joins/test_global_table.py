"""Joins with global tables, record by record as Kafka Streams' `KStreamGlobalKTableJoin` and its left form."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import ottla
from ottla import Stream
from ottla.testing import Driver


class Order(msgspec.Struct):
    item: str
    owner: str | None = None


def shop(*, left: bool = False, key: Any = "owner", partitions: int = 3) -> ottla.App:
    """Orders by any key in one partition; customers in several."""
    app = ottla.App("shop")
    orders = app.topic("orders", key=str, value=Order)
    customers = app.GlobalTable("customers", source=app.topic("customers", key=str, value=str, partitions=partitions))
    joined = app.topic("joined", key=str, value=str)
    stream = app.stream(orders)

    def pair(order: Order, customer: str | None) -> str:
        return f"{order.item}+{customer}"

    (stream.left_join(customers, pair, key=key) if left else stream.join(customers, pair, key=key)).to(joined)
    return app


def results(driver: Driver) -> list[tuple[Any, str, int]]:
    return [(event.key, event.value, event.timestamp) for event in driver.read("joined")]


def order(driver: Driver, key: str | None, item: str, owner: str | None, timestamp: int) -> None:
    driver.send("orders", key=key, value=Order(item, owner), timestamp=timestamp)


def test_an_event_meets_the_entry_of_another_key_in_any_partition() -> None:
    with shop().test() as driver:
        for number, name in enumerate(("Ann", "Bob", "Cid")):
            driver.send("customers", key=name[0].lower(), value=name, partition=number, timestamp=number)
        order(driver, "1", "pear", "a", 10)
        order(driver, "2", "nut", "c", 11)
        order(driver, "3", "fig", "nobody", 12)
        assert results(driver) == [("1", "pear+Ann", 10), ("2", "nut+Cid", 11)]


def test_a_left_join_emits_what_meets_nothing() -> None:
    with shop(left=True).test() as driver:
        order(driver, "1", "pear", "a", 10)
        assert results(driver) == [("1", "pear+None", 10)]


@pytest.mark.parametrize(
    ("left", "unmatched"), [(False, []), (True, [("1", "pear+None", 10), (None, "kiwi+None", 14)])]
)
def test_null_keys_and_values_are_as_in_kafka_streams(left: bool, unmatched: list[Any]) -> None:
    with shop(left=left).test() as driver:
        driver.send("customers", key="a", value="Ann")
        order(driver, "1", "pear", None, 10)
        order(driver, None, "fig", "a", 12)
        driver.send("orders", key="1", value=None, timestamp=13)
        order(driver, None, "kiwi", None, 14)
        assert sorted(results(driver), key=lambda each: each[2]) == sorted(
            [(None, "fig+Ann", 12), *unmatched], key=lambda each: each[2]
        )
        assert driver.counts.null_key_dropped == (0 if left else 2)
        assert driver.counts.null_value_dropped == 1


def test_a_change_of_the_table_counts_at_once_whatever_its_time_and_emits_nothing() -> None:
    with shop().test() as driver:
        driver.send("customers", key="a", value="Ann", timestamp=1_000)
        order(driver, "1", "pear", "a", 10)
        assert results(driver) == [("1", "pear+Ann", 10)]
        driver.send("customers", key="a", value="Anna", timestamp=5)
        assert results(driver) == []
        order(driver, "1", "nut", "a", 11)
        driver.run()
        driver.send("customers", key="a", value=None)
        driver.run()
        order(driver, "1", "fig", "a", 12)
        assert results(driver) == [("1", "nut+Anna", 11)]


@pytest.mark.parametrize("lose_state", [False, True])
def test_a_global_table_survives_a_restart(lose_state: bool) -> None:
    with shop().test() as driver:
        driver.send("customers", key="a", value="Ann", partition=2)
        driver.run()
        driver.crash_and_restart(lose_state=lose_state)
        order(driver, "1", "pear", "a", 10)
        assert results(driver) == [("1", "pear+Ann", 10)]
        assert dict(driver.table("customers")) == {"a": "Ann"}


def test_without_a_key_selector_the_events_key_is_looked_up() -> None:
    with shop(key=None).test() as driver:
        driver.send("customers", key="a", value="Ann")
        order(driver, "a", "pear", "b", 10)
        assert results(driver) == [("a", "pear+Ann", 10)]


def test_an_agent_reads_a_global_table_as_a_mapping_and_cannot_write_it(app: ottla.App) -> None:
    orders = app.topic("orders", key=str, value=str)
    customers = app.GlobalTable("customers", source=app.topic("customers", key=str, value=str), default=str)
    found: list[Any] = []

    @app.agent(orders)
    async def look(stream: Stream[str]) -> None:
        async for command in stream:
            if command == "write":
                customers["a"] = "x"
            found.append([customers["a"], customers["none"], dict(customers), list(customers.prefix("b"))])

    with app.test() as driver:
        for key in ("a", "b", "ba"):
            driver.send("customers", key=key, value=key.upper())
        driver.send(orders, key="k", value="look")
        driver.send(orders, key="k", value="write")
        [letter] = driver.dead_letters()
    assert found == [["A", "", {"a": "A", "b": "B", "ba": "BA"}, [("b", "B"), ("ba", "BA")]]]
    assert b"is read from topic 'customers': send to the topic instead" in (
        dict(letter.headers)["ottla.error.reason"] or b""
    )


def test_a_record_that_is_not_as_declared_fails_the_events_that_need_it() -> None:
    app = ottla.App("shop")
    orders = app.topic("orders", key=str, value=str)
    prices = app.GlobalTable("prices", source=app.topic("prices", key=str, value=int))
    app.stream(orders).join(prices, lambda _, price: price).to(app.topic("joined", value=int))
    with app.test() as driver:
        driver.send_raw("prices", b"pear", b"cheap")
        driver.send_raw("prices", None, b"1")
        driver.send(orders, key="pear", value="x")
        [letter] = driver.dead_letters()
        reason = (dict(letter.headers)["ottla.error.reason"] or b"").decode()
        assert "global table 'prices' cannot decode what topic 'prices' has for key 'pear'" in reason
        driver.send("prices", key="pear", value=3)
        driver.run()
        driver.send(orders, key="pear", value="x")
        assert [event.value for event in driver.read("joined")] == [3]


@pytest.mark.parametrize(
    ("key", "value", "where"), [(b"x", b"1", "as a key"), (b"7", b"cheap", "for key 7")], ids=["key", "value"]
)
def test_going_through_a_table_with_a_record_that_is_not_as_declared_names_table_and_topic(
    key: bytes, value: bytes, where: str
) -> None:
    app = ottla.App("shop")
    prices = app.GlobalTable("prices", source=app.topic("prices", key=int, value=int))

    @app.agent(app.topic("orders", key=str, value=str))
    def look(_: str) -> None:
        dict(prices.items())

    with app.test() as driver:
        driver.send_raw("prices", key, value)
        driver.send("orders", key="k", value="look")
        [letter] = driver.dead_letters()
    reason = (dict(letter.headers)["ottla.error.reason"] or b"").decode()
    assert f"global table 'prices' cannot decode what topic 'prices' has {where}" in reason


def test_declarations_that_cannot_work_are_refused(make_app: Callable[..., ottla.App]) -> None:
    app = make_app()
    people = app.topic("people", key=str, value=str)
    app.GlobalTable("people", source=people)
    with pytest.raises(ottla.DuplicateName, match="topic 'people' is global table 'people' already"):
        app.GlobalTable("others", source=people)
    with pytest.raises(ottla.DuplicateName, match="table 'people' needs a name of its own"):
        app.Table("people", default=int)
    local = app.Table("local", default=int)
    with pytest.raises(ottla.TopologyError, match="only a global table can be joined by another key"):
        app.stream(people).join(local, lambda a, _: a, key="owner")
    numbered = app.GlobalTable("numbered", source=app.topic("numbered", key=int, value=str))
    with pytest.raises(ottla.TopologyError, match="declare one type for both"):
        app.stream(people).join(numbered, lambda a, _: a)


def test_a_topology_says_which_topics_are_read_whole() -> None:
    assert "Source: topic.customers (topics: [customers])\n      --> customers\n" in shop().topology.describe()
