"""Aggregates without windows, as Kafka Streams emits them: of the events of a key, of the rows of a table by group."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Stream
from ottla.testing import Driver


class Order(msgspec.Struct):
    amount: int
    shop: str | None = None


def totals(make: Callable[[ottla.App], Any]) -> ottla.App:
    app = ottla.App("shop")
    make(app).to_stream().to(app.topic("totals", key=str, value=Any))
    return app


def of_events(app: ottla.App) -> Any:
    return app.stream(app.topic("orders", key=str, value=Order)).aggregate(
        "by_key", orders=ottla.count(), total=ottla.sum("amount")
    )


def of_rows(app: ottla.App) -> Any:
    orders = app.Table("orders", source=app.topic("orders", key=str, value=Order, partitions=2))
    return orders.group_by("shop", partitions=3).aggregate("by_shop", orders=ottla.count(), total=ottla.sum("amount"))


def emitted(driver: Driver) -> list[tuple[Any, Any, int]]:
    return [
        (event.key, None if event.value is None else tuple(event.value.values()), event.timestamp)
        for event in driver.read("totals")
    ]


def test_every_event_changes_the_aggregate_of_its_key_and_emits_it() -> None:
    with totals(of_events).test() as driver:
        for key, amount, timestamp in (("a", 3, 10), ("b", 4, 20), ("a", 5, 5), ("a", 1, 30)):
            driver.send("orders", key=key, value=Order(amount), timestamp=timestamp)
        driver.send("orders", key=None, value=Order(9), timestamp=40)
        driver.send("orders", key="a", value=None, timestamp=50)
        assert emitted(driver) == [("a", (1, 3), 10), ("b", (1, 4), 20), ("a", (2, 8), 10), ("a", (3, 9), 30)]
        assert (driver.counts.null_key_dropped, driver.counts.null_value_dropped) == (1, 1)
        assert driver.table("by_key")["a"].total == 9
        assert {key: value.orders for key, value in driver.table("by_key").items()} == {"a": 3, "b": 1}


def test_a_row_that_changes_leaves_its_old_group_and_joins_its_new_one() -> None:
    """`KTableAggregateTest.testAggRepartition`, with sums in the place of texts."""
    with totals(of_rows).test() as driver:
        for key, value, timestamp in (
            ("A", Order(1, "a"), 10),
            ("A", None, 15),
            ("A", Order(1, "b"), 12),
            ("B", Order(2, "b"), 14),
            ("B", Order(3, "b"), 11),
            ("B", Order(3, None), 18),
            ("A", Order(4, "c"), 9),
        ):
            driver.send("orders", key=key, value=value, timestamp=timestamp, partition=0)
            driver.run()
        # Groups are in partitions of their own, whose order among each other says nothing.
        assert sorted(emitted(driver), key=lambda each: each[0]) == [
            ("a", (1, 1), 10),
            ("a", (0, 0), 15),
            ("b", (1, 1), 12),
            ("b", (2, 3), 14),
            ("b", (2, 4), 14),
            ("b", (1, 1), 18),
            ("b", (0, 0), 18),
            ("c", (1, 4), 9),
        ]


def test_a_table_of_aggregates_is_read_joined_and_filtered_and_cannot_be_written() -> None:
    app = ottla.App("shop")
    table = of_events(app)
    asked = app.topic("asked", key=str, value=str)
    joined = app.topic("joined", key=str, value=str)
    large = app.topic("large", key=str, value=Any)
    app.stream(asked).join(table, lambda word, total: f"{word}:{total.total}").to(joined)
    table.filter(lambda total: total.total > 5).to_stream().to(large)
    found: list[Any] = []

    @app.agent(asked)
    async def look(stream: Stream[str]) -> None:
        async for key, word in stream.items():
            found.append((table[key].orders, "none" in table, sorted(table), word))
            table[key] = 1

    with app.test() as driver:
        for amount in (3, 4, -5):
            driver.send("orders", key="a", value=Order(amount), timestamp=amount + 5)
        driver.run()
        driver.send(asked, key="a", value="how much", timestamp=20)
        assert [event.value for event in driver.read(joined)] == ["how much:2"]
        assert [event.value for event in driver.read(large)] == [{"orders": 2, "total": 7}, None]
        [letter] = driver.dead_letters()
        assert b"is made of other events: only they can change it" in (
            dict(letter.headers)["ottla.error.reason"] or b""
        )
    assert found == [(3, False, ["a"], "how much")]


def test_a_selector_that_raises_rejects_its_event_and_changes_nothing() -> None:
    app = ottla.App("shop")

    def amount(order: Order) -> int:
        if order.amount < 0:
            raise ValueError("negative")
        return order.amount

    app.stream(app.topic("orders", key=str, value=Order)).aggregate("by_key", total=ottla.sum(amount))
    with app.test() as driver:
        for each in (1, -1, 2):
            driver.send("orders", key="a", value=Order(each))
        assert driver.table("by_key")["a"].total == 3
        assert len(driver.dead_letters()) == 1


def test_what_cannot_be_taken_back_is_refused_for_rows(app: ottla.App) -> None:
    orders = app.Table("orders", source=app.topic("orders", key=str, value=Order))
    with pytest.raises(ottla.TopologyError, match=r"largest=maximum\(\) cannot take back the old value of a row"):
        orders.group_by("shop").aggregate("x", n=ottla.count(), largest=ottla.maximum("amount"))
    with pytest.raises(ottla.TopologyError, match="needs a name for its topic"):
        orders.group_by(lambda order: order.shop)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ABC"),
            st.one_of(st.none(), st.tuples(st.integers(0, 9), st.sampled_from(["a", "b", None]))),
            st.sampled_from(["", "", "run", "crash", "lose"]),
        ),
        max_size=20,
    )
)
def test_groups_have_the_figures_of_their_rows_whatever_crashes(steps: list[tuple[str, Any, str]]) -> None:
    rows: dict[str, Order] = {}
    with totals(of_rows).test() as driver:
        for number, (key, row, then) in enumerate(steps):
            value = None if row is None else Order(*row)
            driver.send("orders", key=key, value=value, timestamp=number)
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value
            if then == "run":
                driver.run()
            elif then:
                driver.crash_and_restart(lose_state=then == "lose")
        found = {shop: (total.orders, total.total) for shop, total in driver.table("by_shop").items() if total.orders}
    expected = {}
    for shop in ("a", "b"):
        amounts = [order.amount for order in rows.values() if order.shop == shop]
        if amounts:
            expected[shop] = (len(amounts), sum(amounts))
    assert found == expected
