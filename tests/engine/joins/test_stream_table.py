"""Stream-table joins, record by record as Kafka Streams' `KStreamKTableJoinProcessor`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ottla
from ottla.testing import Driver


def joining_app(*, left: bool) -> ottla.App:
    app = ottla.App("shop")
    orders = app.topic("orders", key=str, value=str)
    customers = app.Table("customers", source=app.topic("customers", key=str, value=str))
    joined = app.topic("joined", key=str, value=str)
    stream = app.stream(orders)

    def pair(order: str, customer: str | None) -> str:
        return f"{order}+{customer}"

    (stream.left_join(customers, pair) if left else stream.join(customers, pair)).to(joined)
    return app


def results(driver: Driver) -> list[tuple[Any, str, int]]:
    return [(event.key, event.value, event.timestamp) for event in driver.read("joined")]


def test_an_inner_join_emits_only_what_the_table_has() -> None:
    with joining_app(left=False).test() as driver:
        driver.send("customers", key="a", value="Ann", timestamp=1)
        driver.send("orders", key="a", value="x", timestamp=2)
        driver.send("orders", key="b", value="y", timestamp=3)
        assert results(driver) == [("a", "x+Ann", 2)]


def test_a_left_join_emits_every_event() -> None:
    with joining_app(left=True).test() as driver:
        driver.send("customers", key="a", value="Ann", timestamp=1)
        driver.send("orders", key="a", value="x", timestamp=2)
        driver.send("orders", key="b", value="y", timestamp=3)
        assert results(driver) == [("a", "x+Ann", 2), ("b", "y+None", 3)]


def test_a_change_of_the_table_emits_nothing_and_counts_from_then_on() -> None:
    with joining_app(left=False).test() as driver:
        driver.send("customers", key="a", value="Ann", timestamp=1)
        driver.send("orders", key="a", value="x", timestamp=2)
        driver.send("customers", key="a", value="Anna", timestamp=3)
        driver.send("orders", key="a", value="y", timestamp=4)
        driver.send("customers", key="a", value=None, timestamp=5)
        driver.send("orders", key="a", value="z", timestamp=6)
        assert results(driver) == [("a", "x+Ann", 2), ("a", "y+Anna", 4)]


def test_an_event_without_a_value_is_dropped() -> None:
    for left in (False, True):
        with joining_app(left=left).test() as driver:
            driver.send("customers", key="a", value="Ann", timestamp=1)
            driver.send("orders", key="a", value=None, timestamp=2)
            assert results(driver) == []
            assert driver.counts.null_value_dropped == 1


def test_an_event_without_a_key_is_dropped_by_an_inner_join_and_unmatched_in_a_left_join() -> None:
    with joining_app(left=False).test() as driver:
        driver.send("orders", value="x", timestamp=2)
        assert results(driver) == []
        assert driver.counts.null_key_dropped == 1
    with joining_app(left=True).test() as driver:
        driver.send("orders", value="x", timestamp=2)
        assert results(driver) == [(None, "x+None", 2)]


def test_a_table_ignores_records_without_a_key() -> None:
    with joining_app(left=False).test() as driver:
        driver.send("customers", value="Nobody", timestamp=1)
        assert dict(driver.table("customers")) == {}
        assert driver.counts.null_key_dropped == 1


def test_falsy_values_are_values(app: ottla.App) -> None:
    numbers = app.topic("numbers", key=str, value=int)
    factors = app.Table("factors", source=app.topic("factors", key=str, value=int))
    products = app.topic("products", key=str, value=int)
    app.stream(numbers).join(factors, lambda number, factor: number * factor).to(products)
    with app.test() as driver:
        driver.send("factors", key="a", value=0, timestamp=0)
        driver.send(numbers, key="a", value=0, timestamp=1)
        assert [event.value for event in driver.read(products)] == [0]


def test_a_joiner_that_raises_rejects_its_event_alone(app: ottla.App) -> None:
    numbers = app.topic("numbers", key=str, value=int)
    divisors = app.Table("divisors", source=app.topic("divisors", key=str, value=int))
    quotients = app.topic("quotients", key=str, value=float)
    app.stream(numbers).join(divisors, lambda number, divisor: number / divisor).to(quotients)
    with app.test() as driver:
        for key, divisor in (("a", 2), ("b", 0)):
            driver.send("divisors", key=key, value=divisor, timestamp=0)
        for key in "abab":
            driver.send(numbers, key=key, value=6, timestamp=1)
        assert [event.value for event in driver.read(quotients)] == [3.0, 3.0]
        assert [letter.key for letter in driver.dead_letters()] == [b"b", b"b"]


@pytest.mark.parametrize("lose_state", [False, True])
def test_the_table_survives_a_crash(lose_state: bool) -> None:
    with joining_app(left=False).test() as driver:
        driver.send("customers", key="a", value="Ann", timestamp=1)
        driver.run()
        driver.send("customers", key="b", value="Bob", timestamp=1)
        driver.crash_and_restart(lose_state=lose_state)
        for key in "ab":
            driver.send("orders", key=key, value="x", timestamp=2)
        assert results(driver) == [("a", "x+Ann", 2), ("b", "x+Bob", 2)]


RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["orders", "customers"]),
        st.sampled_from(["a", "b", None]),
        st.none() | st.text("xyz", max_size=2),
    ),
    max_size=30,
)


@given(records=RECORDS, left=st.booleans(), looks=st.sets(st.integers(0, 30)))
def test_a_join_follows_the_rules_whatever_the_batches(
    records: list[tuple[str, str | None, str | None]], left: bool, looks: set[int]
) -> None:
    table: dict[str, str] = {}
    expected: list[tuple[str | None, str, int]] = []
    with joining_app(left=left).test() as driver:
        for timestamp, (topic, key, value) in enumerate(records):
            driver.send(topic, key=key, value=value, timestamp=timestamp)
            if timestamp in looks:
                driver.run()
            if topic == "customers":
                if key is not None and value is None:
                    table.pop(key, None)
                elif key is not None and value is not None:
                    table[key] = value
            elif value is not None and (key in table or left):
                expected.append((key, f"{value}+{table.get(key) if key is not None else None}", timestamp))
        assert results(driver) == expected
        assert dict(driver.table("customers")) == table


def test_keys_that_cannot_be_looked_up_are_rejected_one_by_one(app: ottla.App) -> None:
    orders = app.topic("orders", key=Any, value=str)
    customers = app.Table("customers", source=app.topic("customers", key=Any, value=str))
    app.stream(orders).join(customers, lambda order, customer: order + customer).to(app.topic("joined", value=str))
    counted = app.stream(orders).window(ottla.tumbling(10)).aggregate("orders", n=ottla.count())
    counted.to(app.topic("counted", value=Any))
    with app.test() as driver:
        driver.send_raw("customers", b'"a"', b"Ann", timestamp=0)
        driver.send_raw("customers", b'["a"]', b"list", timestamp=0)
        driver.send_raw(orders, b'{"id":1}', b"x", timestamp=1)
        driver.send_raw(orders, b'"a"', b"y", timestamp=1)
        driver.end_of_input()
        assert [event.value for event in driver.read("joined")] == ["yAnn"]
        assert [event.value["value"] for event in driver.read("counted")] == [{"n": 1}]
        steps = [dict(letter.headers)["ottla.error.step"] for letter in driver.dead_letters()]
    assert steps == [b"table.customers", b"topic.orders.join.customers", b"orders"]
