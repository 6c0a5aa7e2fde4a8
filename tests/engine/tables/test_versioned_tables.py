"""Versioned tables as agents use them: the past by time, late values in their places, restarts."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla
from ottla import Stream, Version

Answers = Callable[..., list[Any]]


def prices(app: ottla.App) -> ottla.VersionedTable[str, int]:
    return app.Table("prices", key=str, value=int, versioned=timedelta(seconds=60))


def test_an_agent_reads_what_was_valid_at_a_time(answers: Answers) -> None:
    def body(table: Any, command: str) -> Any:
        if command.isdigit():
            table["pear"] = int(command)
            return None
        if command == "delete":
            del table["pear"]
            return None
        return [
            table.get("pear"),
            table.get("pear", as_of=1_999),
            table.get("pear", as_of=2_000),
            table.get("pear", -1, as_of=3_000),
            table.get("pear", -1, as_of=999),
            table.version("pear", as_of=1_500),
            table.version("pear"),
            table.history("pear"),
            table.history("pear", 2_000, 2_999),
            [each.value for each in table.history("pear", to_time=2_500, newest_first=True)],
            dict(table),
        ]

    *_, looked = answers(prices, body, ("1", 1_000), ("2", 2_000), ("delete", 3_000), ("4", 4_000), ("look", 5_000))
    first, second, newest = Version(1, 1_000, 2_000), Version(2, 2_000, 3_000), Version(4, 4_000, None)
    assert looked == [
        4,
        1,
        2,
        -1,
        -1,
        first,
        newest,
        [first, second, newest],
        [second],
        [2, 1],
        {"pear": 4},
    ]


def test_values_may_be_put_at_times_of_their_own(answers: Answers) -> None:
    def body(table: Any, _: str) -> Any:
        return [
            table.put("pear", 3, timestamp=70_000),
            table.put("pear", 1, timestamp=10_000),
            table.delete("pear", timestamp=20_000),
            table.put("pear", 9, timestamp=9_999),
            [(version.value, version.timestamp, version.valid_to) for version in table.history("pear")],
        ]

    assert answers(prices, body, ("x", 0)) == [[True, True, True, False, [(1, 10_000, 20_000), (3, 70_000, None)]]]


@pytest.mark.parametrize("lose_state", [False, True])
def test_the_past_survives_a_restart_and_a_failed_event_leaves_no_trace(lose_state: bool) -> None:
    app = ottla.App("shop")
    topic = app.topic("commands", key=str, value=str)
    table = prices(app)
    found: list[Any] = []

    @app.agent(topic)
    async def work(stream: Stream[str]) -> None:
        async for command in stream:
            if command == "look":
                found.append([(each.value, each.timestamp) for each in table.history("pear")])
            else:
                table["pear"] = int(command)
                table.put("pear", 7, timestamp=500)
                if command == "0":
                    raise ValueError
                table.delete("pear", timestamp=500)

    with app.test() as driver:
        for command, timestamp in (("1", 1_000), ("0", 1_500), ("2", 2_000)):
            driver.send(topic, key="k", value=command, timestamp=timestamp)
        driver.run()
        driver.crash_and_restart(lose_state=lose_state)
        driver.send(topic, key="k", value="look", timestamp=3_000)
        driver.run()
        assert dict(driver.table(table)) == {"pear": 2}
    assert found == [[(1, 1_000), (2, 2_000)]]


def test_a_table_read_from_a_topic_sorts_late_records_in_and_counts_what_is_too_late() -> None:
    app = ottla.App("shop")
    topic = app.topic("commands", key=str, value=str)
    table = app.Table("prices", source=app.topic("prices", key=str, value=int), versioned=60)
    found: list[Any] = []

    @app.agent(topic)
    async def look(stream: Stream[str]) -> None:
        async for _ in stream:
            history = table.history("pear")
            found.append([(each.value, each.timestamp) for each in history])

    with app.test() as driver:
        for value, timestamp in ((3, 70_000), (1, 10_000), (None, 20_000), (9, 9_999)):
            driver.send("prices", key="pear", value=value, timestamp=timestamp)
        driver.send(topic, key="k", value="look", timestamp=80_000)
        assert driver.counts.late_dropped == 1
    assert found == [[(1, 10_000), (3, 70_000)]]


def test_options_that_contradict_each_other_are_refused(app: ottla.App) -> None:
    with pytest.raises(ottla.ConfigError, match="'t' has ttl= and versioned="):
        app.Table("t", value=int, ttl=1, versioned=1)
    with pytest.raises(ottla.ConfigError, match="table 't': versioned must be positive"):
        app.Table("t", key=str, value=int, versioned=0)
