"""Joins with the past: versioned tables with and without grace (KIP-914, KIP-923), and as-of joins."""

from bisect import bisect_right
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla.testing import Driver


def pair(order: str, price: str | None) -> str:
    return f"{order}+{price}"


def shop(*, left: bool = False, grace: float = 0, retention: float = 3_600) -> ottla.App:
    app = ottla.App("shop")
    orders = app.stream(app.topic("orders", key=str, value=str))
    prices = app.Table("prices", source=app.topic("prices", key=str, value=str), versioned=retention)
    joined = orders.left_join(prices, pair, grace=grace) if left else orders.join(prices, pair, grace=grace)
    joined.to(app.topic("joined", key=str, value=str))
    return app


def results(driver: Driver) -> list[tuple[Any, str, int]]:
    return [(event.key, event.value, event.timestamp) for event in driver.read("joined")]


def test_an_event_meets_what_was_valid_at_its_time() -> None:
    with shop().test() as driver:
        for value, timestamp in (("1", 10), ("2", 20), (None, 30)):
            driver.send("prices", key="a", value=value, timestamp=timestamp)
        driver.run()
        for timestamp in (9, 10, 19, 20, 29, 30):
            driver.send("orders", key="a", value=str(timestamp), timestamp=timestamp)
        assert results(driver) == [
            ("a", "10+1", 10),
            ("a", "19+1", 19),
            ("a", "20+2", 20),
            ("a", "29+2", 29),
        ]


def test_with_grace_an_event_waits_for_changes_that_come_late() -> None:
    with shop(left=True, grace=0.010).test() as driver:
        driver.send("orders", key="a", value="x", timestamp=100)
        driver.send("orders", key="b", value="y", timestamp=95)
        assert results(driver) == []
        driver.send("prices", key="a", value="1", timestamp=99)
        driver.run()
        driver.send("orders", key="c", value="z", timestamp=109)
        assert results(driver) == [("b", "y+None", 95)]
        driver.send("orders", key="c", value="w", timestamp=110)
        assert results(driver) == [("a", "x+1", 100)]


def test_with_grace_events_go_on_in_the_order_of_time_and_those_too_late_at_once() -> None:
    with shop(left=True, grace=0.010).test() as driver:
        for value, timestamp in (("p", 100), ("q", 98), ("r", 98), ("late", 80), ("s", 120)):
            driver.send("orders", key="a", value=value, timestamp=timestamp)
        assert [value for _, value, _ in results(driver)] == ["late+None", "q+None", "r+None", "p+None"]


def test_what_waits_keeps_its_headers_and_survives_a_restart() -> None:
    for lose_state in (False, True):
        with shop(left=True, grace=0.010).test() as driver:
            driver.send("orders", key="a", value="x", timestamp=100, headers=[("h", b"1")])
            driver.send("orders", key="a", value="y", timestamp=100, headers=[("h", b"2")])
            driver.run()
            driver.crash_and_restart(lose_state=lose_state)
            driver.send("orders", key="a", value="z", timestamp=100, headers=[("h", b"3")])
            driver.send("orders", key="a", value="on", timestamp=110)
            assert [(event.value, event.headers) for event in driver.read("joined")] == [
                ("x+None", [("h", b"1")]),
                ("y+None", [("h", b"2")]),
                ("z+None", [("h", b"3")]),
            ]


def test_null_keys_and_values_do_not_wait() -> None:
    for left, expected in ((False, []), (True, [(None, "x+None", 5)])):
        with shop(left=left, grace=1).test() as driver:
            driver.send("orders", key=None, value="x", timestamp=5)
            driver.send("orders", key="a", value=None, timestamp=5)
            assert results(driver) == expected
            assert (driver.counts.null_key_dropped, driver.counts.null_value_dropped) == (0 if left else 1, 1)


def test_what_waits_at_the_end_of_the_input_goes_on_then() -> None:
    with shop(grace=10).test() as driver:
        driver.send("prices", key="a", value="1", timestamp=1)
        driver.send("orders", key="a", value="y", timestamp=6)
        driver.send("orders", key="a", value="x", timestamp=5)
        driver.end_of_input()
        assert results(driver) == [("a", "x+1", 5), ("a", "y+1", 6)]


def test_a_joiner_that_raises_on_what_waited_rejects_that_event() -> None:
    app = ottla.App("shop")
    prices = app.Table("prices", source=app.topic("prices", key=str, value=str), versioned=60)

    def fail(order: str, _: str | None) -> str:
        raise ValueError(order)

    app.stream(app.topic("orders", key=str, value=str)).left_join(prices, fail, grace=1)
    with app.test() as driver:
        driver.send("orders", key="a", value="x", timestamp=5)
        driver.run()
        driver.crash_and_restart()
        driver.end_of_input()
        [letter] = driver.dead_letters()
        headers = dict(letter.headers)
        assert (letter.key, letter.value, headers["ottla.origin.offset"]) == (b"a", b"x", b"0")


def test_declarations_that_cannot_work_are_refused() -> None:
    with pytest.raises(ottla.TopologyError, match="its past of 0:00:05 must be at least the grace of 0:00:06"):
        shop(grace=6, retention=5)
    app = ottla.App("shop")
    orders = app.stream(app.topic("orders", key=str, value=str))
    plain = app.Table("plain", source=app.topic("plain", key=str, value=str))
    with pytest.raises(
        ottla.TopologyError, match="grace= needs a table that knows its past; declare it with versioned="
    ):
        orders.join(plain, pair, grace=1)
    with pytest.raises(ottla.TopologyError, match="join_asof with <table plain> needs a table that knows its past"):
        orders.join_asof(plain, pair)
    with pytest.raises(ottla.TopologyError, match='how=\'outer\' is unknown; it is "inner" or "left"'):
        orders.join_asof(app.stream(app.topic("quotes", key=str, value=str)), pair, how="outer")  # type: ignore[arg-type]


def quotes(**options: Any) -> ottla.App:
    """Trades with the latest quote at their time."""
    app = ottla.App("shop")
    trades = app.stream(app.topic("trades", key=str, value=str))
    quoted = app.stream(app.topic("quotes", key=str, value=str))
    trades.join_asof(quoted, pair, **options).to(app.topic("joined", key=str, value=str))
    return app


def test_an_as_of_join_is_pandas_merge_asof() -> None:
    """The example of pandas' documentation: trades with the quotes of at most 2 ms before, and of at most 10 ms before
    but not of the same time."""
    given_quotes = [
        ("GOOG", "720.50", 23), ("MSFT", "51.95", 23), ("MSFT", "51.97", 30), ("MSFT", "51.99", 41),
        ("GOOG", "720.50", 48), ("AAPL", "97.99", 49), ("GOOG", "720.50", 72), ("MSFT", "52.01", 75),
    ]  # fmt: skip
    given_trades = [
        ("MSFT", "75", 23),
        ("MSFT", "155", 38),
        ("GOOG", "100", 48),
        ("GOOG", "100", 48),
        ("AAPL", "100", 48),
    ]
    for options, expected in (
        ({"tolerance": 0.002}, ["75+51.95", "155+None", "100+720.50", "100+720.50", "100+None"]),
        (
            {"tolerance": 0.010, "allow_exact_matches": False},
            ["75+None", "155+51.97", "100+None", "100+None", "100+None"],
        ),
    ):
        with quotes(how="left", **options).test() as driver:
            for key, value, timestamp in given_quotes:
                driver.send("quotes", key=key, value=value, timestamp=timestamp)
            for key, value, timestamp in given_trades:
                driver.send("trades", key=key, value=value, timestamp=timestamp)
            assert [event.value for event in driver.read("joined")] == expected


def test_an_as_of_join_with_a_versioned_table_looks_back_as_far_as_it_is_told() -> None:
    app = ottla.App("shop")
    trades = app.stream(app.topic("trades", key=str, value=str))
    table = app.Table("quotes", source=app.topic("quotes", key=str, value=str), versioned=60)
    trades.join_asof(table, pair, tolerance=0.005).to(app.topic("joined", key=str, value=str))
    with app.test() as driver:
        driver.send("quotes", key="a", value="1", timestamp=10)
        for timestamp in (15, 16):
            driver.send("trades", key="a", value=str(timestamp), timestamp=timestamp)
        assert [event.value for event in driver.read("joined")] == ["15+1"]


def test_a_stream_can_be_joined_with_its_own_past() -> None:
    app = ottla.App("shop")
    prices = app.stream(app.topic("prices", key=str, value=str))
    prices.join_asof(prices, pair, how="left", allow_exact_matches=False).to(app.topic("joined", key=str, value=str))
    with app.test() as driver:
        for value, timestamp in (("1", 10), ("2", 20), ("3", 30)):
            driver.send("prices", key="a", value=value, timestamp=timestamp)
        assert [event.value for event in driver.read("joined")] == ["1+None", "2+1", "3+2"]


events = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50)), max_size=15)


@settings(max_examples=80)
@given(events, events, st.one_of(st.none(), st.integers(0, 20)), st.booleans(), st.booleans(), st.integers(0, 40))
def test_as_of_joins_match_a_search_whatever_the_order_within_the_grace(
    left: list[tuple[str, int]],
    right: list[tuple[str, int]],
    tolerance: int | None,
    exact: bool,
    inner: bool,
    grace: int,
) -> None:
    """Left and right come in any order; with a grace of all the time there is nothing comes too late."""
    how: Any = "inner" if inner else "left"
    options = {"tolerance": None if tolerance is None else tolerance / 1000, "allow_exact_matches": exact, "how": how}
    in_order = grace == 0
    if in_order:
        left, right = sorted(left, key=lambda event: event[1]), sorted(right, key=lambda event: event[1])
    with quotes(**options, grace=0 if in_order else 0.060).test() as driver:
        for number, (key, timestamp) in enumerate(left):
            driver.send("trades", key=key, value=str(number), timestamp=timestamp)
            if number == grace and not in_order:
                driver.run()
        for number, (key, timestamp) in enumerate(right):
            driver.send("quotes", key=key, value=f"q{number}", timestamp=timestamp)
            if number == grace and not in_order:
                driver.crash_and_restart(lose_state=True)
        driver.end_of_input()
        found = sorted(event.value for event in driver.read("joined"))
    expected = []
    for number, (key, timestamp) in enumerate(left):
        latest = {time: f"q{index}" for index, (of, time) in enumerate(right) if of == key}
        times = sorted(latest)
        place = bisect_right(times, timestamp if exact else timestamp - 1)
        time = times[place - 1] if place else None
        if time is not None and (tolerance is None or timestamp - time <= tolerance):
            expected.append(f"{number}+{latest[time]}")
        elif not inner:
            expected.append(f"{number}+None")
    assert found == sorted(expected)
