"""The changes of tables that agents write: told once what an agent did stays, one by one, joined like any others."""

from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla.testing import Driver


def bank(app: ottla.App, **options: Any) -> ottla.Table[str, int]:
    """Balances that an agent keeps; it refuses what would make one negative, after having written it."""
    balances = app.Table("balances", key=str, value=int, default=int)

    @app.agent(app.topic("moves", key=str, value=int), **options)
    async def move(moves: ottla.Stream[int]) -> None:
        async for key, amount in moves.items():
            balances[key] += amount
            if balances[key] < 0:
                raise ValueError("overdrawn")
            if amount == 0:
                del balances[key]

    return balances


def told(driver: Driver) -> list[tuple[Any, Any, int]]:
    return [(event.key, event.value, event.timestamp) for event in driver.read("out")]


def send(driver: Driver, *moves: tuple[str, int]) -> None:
    for number, (key, amount) in enumerate(moves, len(driver._broker.topics["moves"][0].entries)):
        driver.send("moves", key=key, value=amount, timestamp=number)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_every_write_that_stays_is_a_change(app: ottla.App, concurrency: int) -> None:
    changes = bank(app, concurrency=concurrency).changes()
    changes.map(lambda change: [change.old, change.new], type=list[Any]).to(app.topic("out", value=Any))
    with app.test() as driver:
        send(driver, ("ann", 5), ("ann", 2), ("ann", -9), ("ann", 1), ("ann", 0), ("ann", 4))
        assert told(driver) == [
            ("ann", [None, 5], 0),
            ("ann", [5, 7], 1),
            ("ann", [7, 8], 3),
            ("ann", [8, 8], 4),
            ("ann", [8, None], 4),
            ("ann", [None, 4], 5),
        ]
        assert len(driver.dead_letters()) == 1


def test_they_have_the_headers_of_the_event(app: ottla.App) -> None:
    bank(app).to_stream().to(app.topic("out", value=int))
    with app.test() as driver:
        driver.send("moves", key="ann", value=1, headers=[("by", b"bob")])
        [event] = driver.read("out")
        assert event.headers == [("by", b"bob")]


def test_they_are_joined_with_another_table(app: ottla.App) -> None:
    names = app.Table("names", source=app.topic("names", key=str, value=str))
    bank(app).join(names, lambda balance, name: f"{name}: {balance}", type=str).to_stream().to(
        app.topic("out", value=str)
    )
    with app.test() as driver:
        send(driver, ("ann", 5))
        driver.send("names", key="ann", value="Ann", timestamp=10)
        assert told(driver) == [("ann", "Ann: 5", 10)]
        driver.crash_and_restart(lose_state=True)
        driver.send("moves", key="ann", value=2, timestamp=20)
        driver.send("moves", key="ann", value=0, timestamp=30)
        assert told(driver) == [("ann", "Ann: 7", 20), ("ann", "Ann: 7", 30), ("ann", None, 30)]


def test_rows_are_aggregated_by_group(app: ottla.App) -> None:
    groups = bank(app).group_by(lambda balance: "rich" if balance >= 10 else "poor", name="by-wealth", type=str)
    wealth = groups.aggregate("wealth", people=ottla.count())
    with app.test() as driver:
        send(driver, ("ann", 5), ("bob", 20), ("ann", 6), ("bob", -30))
        assert {key: value.people for key, value in driver.table(wealth).items()} == {"poor": 0, "rich": 2}


def test_views_and_kept_tables_are_made_of_them(app: ottla.App) -> None:
    rich = bank(app).filter(lambda balance: balance >= 10).map_values(str, type=str).to_table("rich")
    with app.test() as driver:
        send(driver, ("ann", 15), ("bob", 1), ("ann", -10))
        assert dict(driver.table(rich)) == {}
        send(driver, ("bob", 9))
        assert dict(driver.table(rich)) == {"bob": "10"}


def test_writes_of_functions_and_punctuators_are_told_too(app: ottla.App) -> None:
    seen = app.Table("seen", key=str, value=int, default=int)
    visits = app.topic("visits", key=str, value=str)

    @app.agent(visits)
    def look(page: str) -> None:
        seen[page] += 1

    @app.punctuate(visits, every=timedelta(seconds=1))
    def forget() -> None:
        for page in list(seen):
            del seen[page]

    async def called(page: str) -> None:
        seen[f"{page}!"] += 1

    app.stream(visits).call(called)
    seen.to_stream().to(app.topic("out", key=str, value=int))
    with app.test() as driver:
        driver.send(visits, key="k", value="home", timestamp=100)
        driver.send(visits, key="k", value="home", timestamp=1_200)
        assert told(driver) == [
            ("home", 1, 100),
            ("home!", 1, 100),
            ("home", None, 100),
            ("home!", None, 100),
            ("home", 1, 1_200),
            ("home!", 1, 1_200),
            ("home", None, 1_200),
            ("home!", None, 1_200),
        ]


def test_a_step_of_the_same_source_sees_them_event_by_event(app: ottla.App) -> None:
    moves = app.topic("moves", key=str, value=int)
    copy = bank(app).to_table("copy")
    app.stream(moves).join(copy, lambda amount, balance: [amount, balance], type=list[int]).to(
        app.topic("out", value=list[int])
    )
    with app.test() as driver:
        send(driver, ("ann", 5), ("ann", 2))
        assert [event.value for event in driver.read("out")] == [[5, 5], [2, 7]]


@pytest.mark.parametrize(
    "declare",
    [
        lambda app: app.SetTable("t", key=str, value=str),
        lambda app: app.Table("t", key=str, value=int, versioned=10),
        lambda app: app.Table("t", key=str, value=int).tumbling(10),
    ],
    ids=["sets", "versions", "windows"],
)
def test_other_tables_are_refused(app: ottla.App, declare: Any) -> None:
    with pytest.raises(ottla.TopologyError, match="is no stream of changes"):
        declare(app).to_stream()


def test_a_table_with_time_to_live_is_refused(app: ottla.App) -> None:
    with pytest.raises(ottla.TopologyError, match="its entries end without an event"):
        app.Table("t", key=str, value=int, ttl=10).to_stream()


def test_a_table_that_nobody_writes_is_refused(app: ottla.App) -> None:
    app.Table("t", key=str, value=int).to_stream().to(app.topic("out", value=int))
    with pytest.raises(ottla.TopologyError, match="reads no topic"):
        app.test()


def test_the_topology_shows_the_step(app: ottla.App) -> None:
    bank(app).to_stream().to(app.topic("out", value=int))
    described = app.topology.describe()
    assert "Processor: table.balances (stores: [balances-times, balances])  # written table" in described
    assert len(app.topology.subtopologies) == 1
