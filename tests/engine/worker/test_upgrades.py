"""A new version of an app on the state of an older one: it goes on, or it says what has changed and does not start."""

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import ottla
from ottla import IncompatibleState


class Total(msgspec.Struct):
    amount: int


class NotedTotal(msgspec.Struct):
    amount: int
    note: str = ""


def shop(*, table: str = "totals", value: Any = Total, key: Any = str, hours: float = 1, grace: float = 0) -> ottla.App:
    app = ottla.App("shop")
    orders = app.topic("orders", key=key, value=int, partitions=1)
    totals = app.Table(table, key=key, value=value)

    @app.agent(orders)
    async def add(stream: ottla.Stream[int]) -> None:
        async for order, amount in stream.items():
            known = totals.get(order)
            totals[order] = value(amount + (known.amount if known else 0))

    app.stream(orders).window(ottla.tumbling(hours=hours, grace=grace)).aggregate("hourly", n=ottla.count())
    return app


@pytest.fixture
def upgrade(play_anywhere: Callable[..., None]) -> Callable[[ottla.App, ottla.App], None]:
    """Runs an older version of an app over an order, then a newer one over another."""

    def run(older: ottla.App, newer: ottla.App) -> None:
        async def scenario(cluster: Any) -> None:
            cluster.broker.create_topic(older.topology.topics[0])
            for app in (older, newer):
                cluster.send("orders", ("1", "5"))
                await cluster.run_to_end(app)

        play_anywhere(scenario)

    return run


@pytest.mark.parametrize("changed", [{}, {"value": NotedTotal}, {"grace": 60}])
def test_a_compatible_version_goes_on(upgrade: Callable[..., None], changed: dict[str, Any]) -> None:
    upgrade(shop(), shop(**changed))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"value": int}, "'totals': the value was object and is integer"),
        (
            {"hours": 2},
            "'hourly': its definition was 'tumbling 1:00:00, n=count()' and is 'tumbling 2:00:00, ",
        ),
        ({"key": int}, "'totals': the key was 'text' and is 'msgpack[int]'"),
    ],
)
def test_an_incompatible_version_does_not_start(
    upgrade: Callable[..., None], changed: dict[str, Any], problem: str
) -> None:
    with pytest.raises(IncompatibleState) as refused:
        upgrade(shop(), shop(**changed))
    assert problem in str(refused.value)
    assert "give the step or table another name" in str(refused.value)


def pairs(left: Any, right: Any) -> ottla.App:
    """Orders of one type and payments of another, those that wait for each other in a join."""
    app = ottla.App("shop")
    orders = app.topic("orders", key=str, value=left, partitions=1)
    payments = app.topic("payments", key=str, value=right, partitions=1)
    app.stream(orders).left_join(
        app.stream(payments), lambda order, payment: str((order, payment)), within=3600, name="pairs"
    )
    return app


def test_what_waits_for_its_match_in_a_join_may_become_what_it_can_be_read_as(upgrade: Callable[..., None]) -> None:
    upgrade(pairs(int, int), pairs(float, int))


@pytest.mark.parametrize(("left", "right", "place"), [(list[str], int, 0), (int, list[str], 1)])
def test_what_waits_for_its_match_in_a_join_must_be_read_again(
    upgrade: Callable[..., None], left: Any, right: Any, place: int
) -> None:
    with pytest.raises(IncompatibleState) as refused:
        upgrade(pairs(int, int), pairs(left, right))
    assert f"pairs-unmatched': the value[{place}] was integer and is array" in str(refused.value)


def test_the_windows_of_a_table_must_not_change() -> None:
    def views(size: float) -> ottla.App:
        app = ottla.App("shop")
        table = app.Table("views", key=str, default=int).tumbling(size)

        @app.agent(app.topic("pages", key=str, value=str))
        async def view(stream: ottla.Stream[str]) -> None:
            async for page in stream:
                table[page] += 1

        return app

    with views(60).test() as older:
        older.send("pages", key="a", value="a")
        older.run()
    with views(60).test(after=older) as same:
        same.run()
    with pytest.raises(IncompatibleState, match="'views': its definition was 'tumbling 0:01:00' and is 'tumbling 0:02"):
        views(120).test(after=same)


def test_a_new_name_begins_with_empty_state_and_says_so(
    upgrade: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        upgrade(shop(), shop(table="sums", value=NotedTotal))
    assert "no store 'totals' any more, and 'sums' is new and empty" in caplog.text


def test_the_state_that_is_there_is_left_as_it_was(play_anywhere: Callable[..., None]) -> None:
    async def scenario(cluster: Any) -> None:
        older, newer = shop(), shop(hours=2)
        cluster.broker.create_topic(older.topology.topics[0])
        cluster.send("orders", ("1", "5"))
        await cluster.run_to_end(older)
        before = {topic: len(cluster.broker.messages(topic)) for topic in cluster.broker.topics}
        cluster.send("orders", ("1", "5"))
        with pytest.raises(IncompatibleState):
            await cluster.run_to_end(newer)
        await cluster.run_to_end(older)
        assert cluster.state("shop-totals-changelog") == {"1": {"amount": 10}}
        assert before["shop-stores"] == len(cluster.broker.messages("shop-stores")) == 2

    play_anywhere(scenario)
