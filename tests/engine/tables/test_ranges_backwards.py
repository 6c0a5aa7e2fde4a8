"""Ranges and prefixes with the largest key first, over what is committed and what is not, of tables of every kind."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import ottla

KEYS = ["b", "a1", "a2", "c", "a"]
HOUR = timedelta(hours=1)


def written(table: Any, key: str) -> None:
    table[key] = {key} if isinstance(table, ottla.SetTable) else key.upper()


@pytest.mark.parametrize(
    "make",
    [
        lambda app: app.Table("t", key=str, value=str),
        lambda app: app.Table("t", key=str, value=str, ttl=HOUR),
        lambda app: app.Table("t", key=str, value=str, versioned=HOUR),
        lambda app: app.SetTable("t", key=str, value=str),
        lambda app: app.GlobalTable("t", key=str, value=str),
    ],
    ids=["plain", "ttl", "versioned", "sets", "global"],
)
@pytest.mark.parametrize("committed", [True, False])
def test_they_are_what_goes_forwards_backwards(make: Callable[[ottla.App], Any], committed: bool) -> None:
    app = ottla.App("shop")
    table = make(app)
    found: list[Any] = []

    @app.agent(app.topic("in", key=str, value=str), uses=[table])
    async def work(stream: ottla.Stream[str]) -> None:
        async for event in stream.events():
            if event.value == "write":
                written(table, event.key)
            elif event.value == "delete":
                del table[event.key]
            else:
                for arguments in ((), ("a1",), (None, "b"), ("a", "b")):
                    pair = [list(table.range(*arguments, reverse=reverse)) for reverse in (False, True)]
                    found.append(pair)
                found.append([list(table.prefix("a", reverse=reverse)) for reverse in (False, True)])
                found.append([[(key, None) for key in each] for each in (list(table), list(reversed(table)))])

    with app.test() as driver:
        for key in (*KEYS, "d"):
            driver.send("in", key=key, value="write")
        driver.run()
        for key in ("b", "a1"):
            driver.send("in", key=key, value="write", timestamp=5)
        driver.send("in", key="d", value="delete", timestamp=6)
        if committed:
            driver.run()
        driver.send("in", key="any", value="look", timestamp=7)
        assert driver.dead_letters() == []
    assert len(found) == 6
    for forwards, backwards in found:
        assert backwards == forwards[::-1]
    assert [key for key, _ in found[0][1]] == ["c", "b", "a2", "a1", "a"]
    assert [key for key, _ in found[4][1]] == ["a2", "a1", "a"]


def test_of_a_global_table_that_has_a_topic(app: ottla.App) -> None:
    table = app.GlobalTable("t", source=app.topic("rows", key=str, value=int, partitions=2))
    found: list[Any] = []
    app.stream(app.topic("in", key=str, value=str)).call(lambda _: found.append(list(table.range("a", reverse=True))))
    with app.test() as driver:
        for number, key in enumerate("cab"):
            driver.send("rows", key=key, value=number)
        driver.run()
        driver.send("in", key="k", value="look")
        driver.run()
    assert found == [[("c", 0), ("b", 2), ("a", 1)]]


def test_of_a_table_of_windows_keys_go_backwards_and_windows_do_not(app: ottla.App) -> None:
    stream = app.stream(app.topic("in", key=str, value=int))
    results = stream.window(ottla.tumbling(1)).aggregate("counts", emit="update", n=ottla.count())
    table = results.to_window_table("kept", retention=HOUR)
    found: list[Any] = []

    @app.agent(app.topic("asked", key=str, value=str))
    async def look(asked: ottla.Stream[str]) -> None:
        async for _ in asked:
            found.extend((key, list(windows)) for key, windows in table.range(reverse=True))

    with app.test() as driver:
        for key, time in (("b", 0), ("a", 1), ("b", 1_500), ("c", 1_600)):
            driver.send("in", key=key, value=1, timestamp=time)
        driver.run()
        driver.send("asked", key="b", value="look")
        driver.run()
    assert found == [("c", [1_000]), ("b", [0, 1_000]), ("a", [0])]
