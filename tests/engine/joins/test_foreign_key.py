"""Foreign-key joins (KIP-213), in one task and across partitions.

`tests/compat/test_streams.py` holds the same to Kafka Streams itself.
"""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import TopologyError
from ottla.testing import Driver


class Order(msgspec.Struct, frozen=True):
    customer: str | None
    item: str
    marks: frozenset[str] = frozenset()


def named(order: Order, customer: str | None) -> str:
    return f"{order.item} for {customer}"


def shop(*, left: bool = False, orders: int | None = None, customers: int | None = None) -> ottla.App:
    app = ottla.App("shop")
    order_table = app.Table("orders", source=app.topic("orders", key=str, value=Order, partitions=orders))
    customer_table = app.Table("customers", source=app.topic("customers", key=str, value=str, partitions=customers))
    join = order_table.left_join if left else order_table.join
    join(customer_table, named, on="customer", name="named").to_stream().to(app.topic("out", key=str, value=str))
    return app


Sent = tuple[str, str | None, Any, int]


def after_each(driver: Driver, *events: Sent) -> list[list[tuple[Any, Any, int]]]:
    """What each event led to."""
    found = []
    for topic, key, value, timestamp in events:
        driver.send(topic, key=key, value=value, timestamp=timestamp)
        found.append([(event.key, event.value, event.timestamp) for event in driver.read("out")])
    return found


class TestInner:
    def test_a_result_has_the_later_time_whichever_came_last(self) -> None:
        with shop().test() as driver:
            assert after_each(
                driver,
                ("orders", "1", Order("ann", "tea"), 7),
                ("customers", "ann", "Ann", 5),
                ("orders", "1", Order("ann", "milk"), 3),
            ) == [[], [("1", "tea for Ann", 5)], [("1", "milk for Ann", 5)]]

    def test_a_right_value_is_told_to_all_that_name_it(self) -> None:
        with shop().test() as driver:
            *_, last = after_each(
                driver,
                *(("orders", str(number), Order("ann", "tea"), 0) for number in range(3)),
                ("orders", "9", Order("bob", "tea"), 0),
                ("customers", "ann", "Ann", 1),
            )
            assert last == [(str(number), "tea for Ann", 1) for number in range(3)]

    def test_a_left_value_that_names_another_key_meets_its_value_instead(self) -> None:
        with shop().test() as driver:
            found = after_each(
                driver,
                ("customers", "ann", "Ann", 0),
                ("customers", "bob", "Bob", 0),
                ("orders", "1", Order("ann", "tea"), 1),
                ("orders", "1", Order("bob", "tea"), 2),
                ("customers", "ann", "Anna", 3),
                ("orders", "1", Order("eve", "tea"), 4),
                ("orders", "1", Order(None, "tea"), 5),
            )
            assert found[2:] == [
                [("1", "tea for Ann", 1)],
                [("1", "tea for Bob", 2)],
                [],
                [("1", None, 4)],
                [("1", None, 5)],
            ]
            assert driver.counts.null_key_dropped == 1

    def test_a_deletion_on_either_side_deletes_the_results(self) -> None:
        with shop().test() as driver:
            found = after_each(
                driver,
                ("customers", "ann", "Ann", 0),
                ("orders", "1", Order("ann", "tea"), 1),
                ("orders", "2", Order("ann", "tea"), 1),
                ("orders", "1", None, 2),
                ("customers", "ann", None, 3),
            )
            assert found[3:] == [[("1", None, 2)], [("2", None, 3)]]
            assert dict(driver.table("named")) == {}

    def test_an_answer_to_an_older_value_is_dropped(self) -> None:
        with shop().test() as driver:
            driver.send("customers", key="ann", value="Ann", timestamp=0)
            driver.run()
            # Given values that change before the first is answered
            for item in ("tea", "milk", "bread"):
                driver.send("orders", key="1", value=Order("ann", item), timestamp=1)
            assert [event.value for event in driver.read("out")] == ["bread for Ann"]

    def test_sets_are_one_value_in_whichever_order_they_are_written(self) -> None:
        order = Order("ann", "tea", frozenset(f"mark {number}" for number in range(40)))
        with shop().test() as driver:
            found = after_each(driver, ("orders", "1", order, 0))
            driver.crash_and_restart(lose_state=True)
            found += after_each(driver, ("customers", "ann", "Ann", 1))
        assert found == [[], [("1", "tea for Ann", 1)]]


class TestLeft:
    def test_a_left_value_has_a_result_whatever_it_names(self) -> None:
        with shop(left=True).test() as driver:
            found = after_each(
                driver,
                ("orders", "1", Order("ann", "tea"), 1),
                ("customers", "ann", "Ann", 2),
                ("customers", "ann", None, 3),
                ("orders", "1", Order(None, "tea"), 4),
                ("orders", "1", None, 5),
            )
        assert found == [
            [("1", "tea for None", 1)],
            [("1", "tea for Ann", 2)],
            [("1", "tea for None", 3)],
            [("1", "tea for None", 4)],
            [("1", None, 5)],
        ]


class TestDeclaration:
    def test_the_result_is_a_table_that_can_be_joined(self, app: ottla.App) -> None:
        orders = app.Table("orders", source=app.topic("orders", key=str, value=Order))
        customers = app.Table("customers", source=app.topic("customers", key=str, value=str))
        joined = orders.join(customers, named, on=lambda order: order.customer)
        app.stream(app.topic("events", key=str, value=str)).join(
            joined, lambda event, of: f"{event} {of}", type=str
        ).to(app.topic("out", key=str, value=str))
        with app.test() as driver:
            *_, last = after_each(
                driver,
                ("orders", "1", Order("ann", "tea"), 0),
                ("customers", "ann", "Ann", 0),
                ("events", "1", "sold", 1),
            )
            assert last == [("1", "sold tea for Ann", 1)]
            assert dict(driver.table("orders-join-customers")) == {"1": "tea for Ann"}

    def test_its_topics_and_state_have_its_name(self) -> None:
        topology = shop().topology
        assert {spec.name for spec in topology.repartitions} == {
            "shop-named-subscription-registration-topic",
            "shop-named-subscription-response-topic",
        }
        stores = {spec.name for part in topology.subtopologies for spec in part.stores}
        assert stores >= {"named", "named-subscription-store"}

    def test_the_tables_may_have_different_partition_counts(self) -> None:
        plan = shop().topology.plan({"orders": 3, "customers": 2, "out": 1})
        counts = {spec.name: spec.partitions for spec in plan.internal_topics}
        assert counts["shop-named-subscription-registration-topic"] == 2
        assert counts["shop-named-subscription-response-topic"] == 3

    def test_answers_go_to_the_partition_that_asked(self) -> None:
        with shop(orders=3, customers=2).test() as driver:
            # Given orders that are not in the partition of their key
            for number in range(6):
                order = msgspec.json.encode(Order("ann" if number % 2 else "bob", "tea"))
                driver.send_raw("orders", str(number).encode(), order, partition=number // 2)
            driver.send("customers", key="ann", value="Ann")
            driver.send("customers", key="bob", value="Bob")
            driver.run()
            assert dict(driver.table("named")) == {
                str(number): f"tea for {'Ann' if number % 2 else 'Bob'}" for number in range(6)
            }

    def test_a_joiner_whose_results_have_no_known_type_is_refused(self, app: ottla.App) -> None:
        orders = app.Table("orders", source=app.topic("orders", key=str, value=Order))
        with pytest.raises(TopologyError, match="must keep its results and cannot see their type"):
            orders.join(orders, lambda left, _: left, on="customer", name="odd")

    def test_a_table_can_be_joined_with_itself(self, app: ottla.App) -> None:
        orders = app.Table("orders", source=app.topic("orders", key=str, value=Order))

        def both(order: Order, other: Order) -> str:
            return f"{order.item} after {other.item}"

        orders.join(orders, both, on="customer", name="after").to_stream().to(app.topic("out", key=str, value=str))
        with app.test() as driver:
            found = after_each(driver, ("orders", "1", Order(None, "tea"), 0), ("orders", "2", Order("1", "milk"), 1))
        assert found == [[], [("2", "milk after tea", 1)]]


ORDER = st.builds(Order, st.sampled_from(["ann", "bob", None]), st.sampled_from(["tea", "milk"]))
EVENT = st.one_of(
    st.tuples(st.just("orders"), st.sampled_from("123"), st.one_of(st.none(), ORDER), st.integers(0, 20)),
    st.tuples(
        st.just("customers"), st.sampled_from(["ann", "bob"]), st.sampled_from(["A", "B", None]), st.integers(0, 20)
    ),
)
POLLS = st.lists(st.tuples(st.lists(EVENT, max_size=5), st.sampled_from(["commit", "crash", "lose"])), max_size=5)


@settings(max_examples=60)
@given(polls=POLLS, left=st.booleans())
def test_the_result_is_the_join_of_both_tables_whatever_crashes(polls: Any, left: bool) -> None:
    with shop(left=left, orders=2, customers=3).test() as driver:
        for events, then in polls:
            for topic, key, value, timestamp in events:
                driver.send(topic, key=key, value=value, timestamp=timestamp)
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            driver.run()
        found, orders = dict(driver.table("named")), dict(driver.table("orders"))
        customers = dict(driver.table("customers"))
    assert found == {
        key: named(order, customers.get(order.customer or ""))
        for key, order in orders.items()
        if left or order.customer in customers
    }
