"""Tables with windows as Faust's users know them: which windows are written, which one is read, when they are over."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Stream

Answers = Callable[..., list[Any]]


def tumbling(app: ottla.App) -> Any:
    return app.Table("views", key=str, default=int).tumbling(10, expires=30)


def hopping(app: ottla.App) -> Any:
    return app.Table("views", key=str, default=int).hopping(10, 5)


def view(table: Any, _: str) -> Any:
    table["a"] += 1
    return [table["a"].current(), table["a"].value(), table["a"].delta(10), table["b"].current()]


def test_a_tumbling_window_holds_what_is_of_its_time(answers: Answers) -> None:
    assert answers(tumbling, view, ("x", 0), ("x", 9_999), ("x", 10_000), ("x", 5_000), ("x", 20_000)) == [
        [1, 1, 1, 0],
        [2, 2, 2, 0],
        [1, 1, 2, 0],
        [3, 3, 3, 0],
        [1, 1, 1, 0],
    ]


def test_a_hopping_table_writes_all_windows_and_reads_the_newest(answers: Answers) -> None:
    def body(table: Any, _: str) -> Any:
        table["a"] += 1
        return table["a"].current(), table["a"].delta(5)

    assert answers(hopping, body, ("x", 12_000), ("x", 16_000), ("x", 21_000)) == [(1, 1), (1, 2), (1, 2)]


def test_a_value_is_set_deleted_and_looked_for_in_the_windows_of_the_event(answers: Answers) -> None:
    def body(table: Any, command: str) -> Any:
        if command == "set":
            table["a"] = 7
        elif command == "delete":
            del table["a"]
            with pytest.raises(KeyError):
                del table["a"]
        elif command == "pop":
            return table.pop("a", "none")
        elif command == "default":
            return table.setdefault("a", 3).value(), table.get("z", 9)
        return "a" in table, table.get("a"), dict(table.items()), len(table), bool(table)

    assert answers(
        tumbling, body, ("set", 1_000), ("look", 11_000), ("delete", 2_000), ("set", 3), ("pop", 4), ("default", 5)
    ) == [
        (True, 7, {"a": 7}, 1, True),
        (False, None, {}, 0, False),
        (False, None, {}, 0, False),
        (True, 7, {"a": 7}, 1, True),
        7,
        (3, 9),
    ]


def test_every_operator_works_on_all_windows_at_once(answers: Answers) -> None:
    def body(table: Any, _: str) -> Any:
        table["a"] += 20
        table["a"] -= 3
        table["a"] *= 2
        table["a"] //= 3
        table["a"] %= 7
        table["a"] **= 3
        table["a"] <<= 2
        table["a"] >>= 1
        table["a"] |= 1
        table["a"] &= 0xFF
        table["a"] ^= 2
        return table["a"].value()

    def halve(table: Any, _: str) -> Any:
        table["a"] += 5
        table["a"] /= 2
        return table["a"].value()

    value = ((((((34 // 3) % 7) ** 3) << 2) >> 1 | 1) & 0xFF) ^ 2
    assert answers(hopping, body, ("x", 12_000)) == [value]
    fractions = answers(lambda app: app.Table("t", key=str, default=float).hopping(10, 5), halve, ("x", 12_000))
    assert fractions == [2.5]


def test_without_a_default_a_missing_value_raises(answers: Answers) -> None:
    def body(table: Any, _: str) -> None:
        for read in (table["a"].value, table["a"].now, table["a"].current, lambda: table["a"].delta(1)):
            with pytest.raises(KeyError):
                read()

    assert answers(lambda app: app.Table("t", key=str, value=int).tumbling(10), body, ("x", 0)) == [None]


def test_items_keys_and_values_are_those_of_one_window_in_order(answers: Answers) -> None:
    def body(table: Any, key: str) -> Any:
        table[key] += 1
        return [
            list(table.items()),
            list(table.keys().current()),
            list(table.values().delta(10)),
            list(table.items().delta(10)),
            list(table),
            ("a", 1) in table.items(),
            "a" in table.keys(),  # noqa: SIM118 - the view is what is tested
            1 in table.values(),
        ]

    *_, last = answers(tumbling, body, ("b", 1_000), ("a", 2_000), ("b", 3_000), ("c", 12_000), ("a", 11_000))
    assert last == [
        [("a", 1), ("c", 1)],
        ["a", "c"],
        [1, 2],
        [("a", 1), ("b", 2)],
        ["a", "c"],
        True,
        True,
        True,
    ]


def test_a_table_is_relative_to_the_clock_a_field_or_a_fixed_time_if_told_so() -> None:
    app = ottla.App("shop")
    topic = app.topic("visits", key=str, value=dict[str, Any])
    table = app.Table("views", key=str, default=int).tumbling(10)
    by_field = table.relative_to_field("at")
    by_date = table.relative_to_field(lambda value: datetime.fromtimestamp(value["at"] / 1000, UTC))
    by_clock = table.relative_to_now()
    fixed = table.relative_to(50_000)
    found: list[Any] = []

    @app.agent(topic)
    async def count(stream: Stream[dict[str, Any]]) -> None:
        async for key, value in stream.items():
            by_field[key] += 1
            by_clock[key] += 10
            fixed[key] = 100
            by_stream = table.relative_to_stream()
            found.append(
                [
                    by_field[key].value(),
                    by_date[key].value(),
                    by_clock[key].value(),
                    table[key].now(),
                    fixed[key].value(),
                ]
            )
            found.append([by_stream[key].value(), list(by_clock.items()), list(table.items().now())])
            assert value

    with app.test() as driver:
        driver.advance(30)
        driver.send(topic, key="a", value={"at": 15_000}, timestamp=2_000)
        driver.run()
        assert dict(driver.table("views")) == {("a", 10_000): 1, ("a", 30_000): 10, ("a", 50_000): 100}
    assert found == [[1, 1, 10, 10, 100], [0, [("a", 10)], [("a", 10)]]]


def test_now_is_the_oldest_window_of_the_time_on_the_clock() -> None:
    app = ottla.App("shop")
    topic = app.topic("visits", key=str, value=str)
    table = hopping(app)
    found: list[Any] = []

    @app.agent(topic)
    async def count(stream: Stream[str]) -> None:
        async for key in stream:
            table[key] += 1
            found.append((table[key].now(), table[key].current()))

    with app.test() as driver:
        driver.advance(17)
        for timestamp in (12_000, 17_000):
            driver.send(topic, key="k", value="a", timestamp=timestamp)
        driver.run()
    assert found == [(1, 1), (2, 1)]


@pytest.mark.parametrize("lose_state", [False, True])
def test_a_window_is_over_when_stream_time_is_so_much_past_its_end(lose_state: bool) -> None:
    app = ottla.App("shop")
    topic = app.topic("visits", key=str, value=str)
    table = tumbling(app)
    found: list[Any] = []

    @app.agent(topic)
    async def count(stream: Stream[str]) -> None:
        async for key in stream:
            table[key] += 1
            found.append(table[key].delta(30))

    with app.test() as driver:
        driver.send(topic, key="k", value="a", timestamp=0)
        driver.send(topic, key="k", value="a", timestamp=39_999)
        driver.run()
        assert found == [1, 1]
        driver.crash_and_restart(lose_state=lose_state)
        assert set(driver.table("views")) == {("a", 0), ("a", 30_000)}
        driver.send(topic, key="k", value="b", timestamp=40_000)
        driver.run()
        assert set(driver.table("views")) == {("a", 30_000), ("b", 40_000)}
        driver.send(topic, key="k", value="b", timestamp=50_000)
        changelog = ottla.App("outside").topic("shop-views-changelog", key=bytes, value=bytes)
        assert [event.key[9:] for event in driver.read(changelog) if event.value is None] == [b"a"]


def test_a_failed_event_leaves_no_window_behind() -> None:
    app = ottla.App("shop")
    topic = app.topic("visits", key=str, value=str)
    table = hopping(app)

    @app.agent(topic)
    async def count(stream: Stream[str]) -> None:
        async for command in stream:
            table["a"] += 1
            if command == "fail":
                raise ValueError

    with app.test() as driver:
        driver.send(topic, key="k", value="ok", timestamp=12_000)
        driver.send(topic, key="k", value="fail", timestamp=17_000)
        assert dict(driver.table("views")) == {("a", 5_000): 1, ("a", 10_000): 1}


def test_what_cannot_be_meant_is_refused(app: ottla.App, answers: Answers) -> None:
    source = app.topic("source", key=str, value=int)
    for table in (app.Table("a", source=source), app.Table("b", default=int, ttl=1), app.SetTable("c")):
        with pytest.raises(ottla.TopologyError, match="cannot have windows: only a table that agents write can"):
            table.tumbling(10)
    with pytest.raises(ottla.ConfigError, match="size must be positive"):
        app.Table("d", default=int).tumbling(0)

    def body(table: Any, _: str) -> None:
        with pytest.raises(ottla.TopologyError, match="has windows: go through one with items"):
            table.range("a")
        with pytest.raises(ottla.EncodeError, match="has windows: use what tumbling\\(\\) or hopping\\(\\) returned"):
            table.declared["a"]

    assert answers(tumbling, body, ("x", 0)) == [None]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 60)), max_size=20),
    st.sampled_from([(10, 10), (10, 5), (9, 4)]),
    st.integers(0, 20),
)
def test_windows_count_what_is_in_them(events: list[tuple[str, int]], shape: tuple[int, int], crash: int) -> None:
    app = ottla.App("shop")
    topic = app.topic("visits", key=str, value=str)
    table = app.Table("views", key=str, default=int).hopping(*shape)

    @app.agent(topic)
    async def count(stream: Stream[str]) -> None:
        async for key in stream:
            table[key] += 1

    size, step = shape
    expected: dict[tuple[str, int], int] = {}
    with app.test() as driver:
        for number, (key, second) in enumerate(events):
            driver.send(topic, key="k", value=key, timestamp=second * 1_000)
            if number == crash:
                driver.run()
                driver.crash_and_restart(lose_state=True)
            for start in range(0, second + 1, step):
                if start <= second < start + size:
                    expected[key, start * 1_000] = expected.get((key, start * 1_000), 0) + 1
        assert dict(driver.table("views")) == expected
