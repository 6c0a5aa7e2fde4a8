"""Stream-stream joins, record by record as Kafka Streams' `KStreamKStreamJoin`, and against their definition."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import ConfigError, DuplicateName, TopologyError
from ottla.joins.stream_stream import Kind, When
from ottla.testing import Driver

MS = timedelta(milliseconds=1)


def pair(left: str | None, right: str | None) -> str:
    return f"{left}+{right}"


def joining_app(
    kind: Kind, *, before: int = 10, after: int = 10, grace: int = 0, unmatched: When = "close"
) -> ottla.App:
    app = ottla.App("shop")
    left = app.stream(app.topic("left", key=str, value=str))
    right = app.stream(app.topic("right", key=str, value=str))
    window: dict[str, Any] = {"before": before * MS, "after": after * MS, "grace": grace * MS}
    if kind == "inner":
        joined = left.join(right, pair, **window)
    elif kind == "left":
        joined = left.left_join(right, pair, unmatched=unmatched, **window)
    else:
        joined = left.outer_join(right, pair, unmatched=unmatched, **window)
    joined.to(app.topic("out", key=str, value=str))
    return app


Sent = tuple[str, str | None, str | None, int]


def send(driver: Driver, *events: Sent) -> None:
    for topic, key, value, timestamp in events:
        driver.send(topic, key=key, value=value, timestamp=timestamp, headers=[("of", (value or "").encode())])


def results(driver: Driver) -> list[tuple[Any, str, int]]:
    return [(event.key, event.value, event.timestamp) for event in driver.read("out")]


def after_each(driver: Driver, *events: Sent) -> list[tuple[Any, str, int]]:
    """The results of the last of the events."""
    for event in events:
        results(driver)
        send(driver, event)
    return results(driver)


class TestInner:
    def test_events_meet_that_are_within_the_window_bounds_included(self) -> None:
        with joining_app("inner", before=5, after=10).test() as driver:
            send(driver, *(("right", "a", f"r{time}", time) for time in (94, 95, 100, 101, 110, 111)))
            send(driver, ("left", "a", "l", 100))
            assert results(driver) == [
                ("a", "l+r95", 100),
                ("a", "l+r100", 100),
                ("a", "l+r101", 101),
                ("a", "l+r110", 110),
            ]

    def test_a_result_has_the_later_time_and_the_headers_of_the_event_that_came_last(self) -> None:
        with joining_app("inner").test() as driver:
            send(driver, ("left", "a", "l", 20))
            driver.run()
            send(driver, ("right", "a", "r", 15))
            [event] = driver.read("out")
            assert (event.value, event.timestamp, event.headers) == ("l+r", 20, [("of", b"r")])

    def test_several_matches_come_in_the_order_of_their_times(self) -> None:
        with joining_app("inner").test() as driver:
            for value, time in (("x", 9), ("y", 3), ("z", 9), ("w", 5)):
                after_each(driver, ("left", "a", value, time))
            assert after_each(driver, ("right", "a", "r", 9)) == [
                ("a", "y+r", 9),
                ("a", "w+r", 9),
                ("a", "x+r", 9),
                ("a", "z+r", 9),
            ]

    def test_an_event_without_key_or_value_is_dropped(self) -> None:
        with joining_app("inner").test() as driver:
            send(driver, ("left", None, "l", 1), ("right", "a", None, 1), ("left", "a", "l", 1))
            assert results(driver) == []
            assert (driver.counts.null_key_dropped, driver.counts.null_value_dropped) == (1, 1)

    def test_an_event_is_found_for_as_long_as_window_and_grace(self) -> None:
        with joining_app("inner", before=10, after=10, grace=5).test() as driver:
            # Given left events, the oldest of which is older than window and grace
            send(driver, ("left", "a", "x", 0), ("left", "a", "y", 1), ("left", "a", "z", 26))
            driver.run()
            # Then a late right event meets the others
            assert after_each(driver, ("right", "a", "r", 5)) == [("a", "y+r", 5)]

    def test_the_right_event_can_be_asked_to_come_after_the_left_one(self) -> None:
        with joining_app("inner", before=-5, after=10).test() as driver:
            send(driver, *(("right", "a", f"r{time}", time) for time in (100, 104, 105, 110, 111)))
            send(driver, ("left", "a", "l", 100))
            assert [value for _, value, _ in results(driver)] == ["l+r105", "l+r110"]

    def test_a_joiner_that_raises_rejects_the_event_which_leaves_no_trace(self, app: ottla.App) -> None:
        left = app.stream(app.topic("left", key=str, value=int))
        right = app.stream(app.topic("right", key=str, value=int))
        left.join(right, lambda x, y: x // y, within=10).to(app.topic("out", key=str, value=int))
        with app.test() as driver:
            for topic, value in (("left", 6), ("right", 0), ("left", 8), ("right", 2)):
                driver.send(topic, key="a", value=value, timestamp=5)
                driver.run()
            assert [event.value for event in driver.read("out")] == [3, 4]
            assert [letter.value for letter in driver.dead_letters()] == [b"0"]


class TestUnmatchedOnClose:
    def test_an_event_that_met_none_is_emitted_when_its_window_is_over(self) -> None:
        with joining_app("left", grace=5).test() as driver:
            assert after_each(driver, ("left", "a", "x", 0), ("left", "a", "y", 0), ("right", "z", "z", 15)) == []
            assert after_each(driver, ("right", "z", "z", 16)) == [("a", "x+None", 0), ("a", "y+None", 0)]

    def test_one_that_met_another_is_not(self) -> None:
        with joining_app("left").test() as driver:
            send(driver, ("left", "a", "x", 0), ("left", "b", "y", 1), ("right", "a", "r", 5), ("right", "z", "z", 50))
            assert results(driver) == [("a", "x+r", 5), ("b", "y+None", 1)]

    def test_the_right_side_is_emitted_only_by_an_outer_join(self) -> None:
        events: list[Sent] = [("right", "a", "r", 0), ("left", "b", "l", 0), ("right", "z", "z", 50)]
        with joining_app("left").test() as driver:
            assert after_each(driver, *events) == [("b", "l+None", 0)]
        with joining_app("outer").test() as driver:
            assert after_each(driver, *events) == [("a", "None+r", 0), ("b", "l+None", 0)]

    def test_what_is_over_at_once_comes_by_time_then_right_before_left_then_by_key(self) -> None:
        with joining_app("outer").test() as driver:
            send(driver, ("left", "b", "1", 5), ("left", "a", "2", 5), ("right", "c", "3", 5), ("left", "d", "4", 3))
            driver.run()
            assert [value for _, value, _ in after_each(driver, ("left", "z", "z", 50))] == [
                "4+None",
                "None+3",
                "2+None",
                "1+None",
            ]

    def test_a_window_without_a_part_after_the_left_event_is_over_with_the_next_event(self) -> None:
        with joining_app("outer", before=10, after=0).test() as driver:
            assert after_each(driver, ("left", "a", "l", 0), ("right", "b", "r", 1)) == [("a", "l+None", 0)]
            assert after_each(driver, ("right", "z", "z", 11)) == []
            assert after_each(driver, ("right", "z", "z", 12)) == [("b", "None+r", 1)]

    def test_an_event_whose_window_is_over_already_does_not_wait(self) -> None:
        with joining_app("left", grace=100).test() as driver:
            assert after_each(driver, ("right", "z", "z", 50), ("left", "a", "late", 39)) == [("a", "late+None", 39)]
            assert after_each(driver, ("left", "a", "in time", 40)) == []

    def test_an_event_without_a_key_is_emitted_and_moves_time(self) -> None:
        with joining_app("left").test() as driver:
            assert after_each(driver, ("left", "a", "l", 0), ("left", None, "n", 50)) == [(None, "n+None", 50)]
            assert after_each(driver, ("left", "b", "b", 49)) == []
            assert after_each(driver, ("right", "c", "c", 50)) == [("a", "l+None", 0)]
            assert after_each(driver, ("right", None, "n", 50)) == []
            assert driver.counts.null_key_dropped == 1

    def test_the_end_of_the_input_emits_what_waits(self) -> None:
        with joining_app("outer").test() as driver:
            send(driver, ("right", "b", "r", 7), ("left", "a", "l", 3))
            driver.end_of_input()
            assert results(driver) == [("a", "l+None", 3), ("b", "None+r", 7)]

    def test_results_of_windows_that_are_over_have_no_headers(self) -> None:
        with joining_app("left").test() as driver:
            send(driver, ("left", "a", "l", 0), ("right", "z", "z", 50))
            assert [event.headers for event in driver.read("out")] == [[]]

    def test_a_joiner_that_raises_on_it_dead_letters_what_is_known_of_it(self, app: ottla.App) -> None:
        left = app.stream(app.topic("left", key=str, value=int))
        right = app.stream(app.topic("right", key=str, value=int))
        left.left_join(right, lambda x, y: x + y, within=1).to(app.topic("out", key=str, value=int))  # type: ignore[operator]
        with app.test() as driver:
            driver.send("left", key="a", value=7, timestamp=5)
            driver.end_of_input()
            [letter] = driver.dead_letters()
        assert (letter.value, letter.timestamp) == (b"7", 5)


class TestIdle:
    """What met no other is emitted by the clock, once no event came for a while."""

    @pytest.fixture
    def driver(self, app: ottla.App) -> Iterator[Driver]:
        left, right = (app.stream(app.topic(name, key=str, value=str)) for name in ("left", "right"))
        left.outer_join(right, pair, within=10, idle=60).to(app.topic("out", key=str, value=str))
        with app.test() as driver:
            yield driver

    def test_time_goes_on_when_nothing_came_for_that_long(self, driver: Driver) -> None:
        send(driver, ("left", "a", "l", 5_000))
        driver.advance(59)
        assert results(driver) == []
        driver.advance(1)
        assert results(driver) == [("a", "l+None", 5_000)]

    def test_any_event_begins_the_wait_anew(self, driver: Driver) -> None:
        send(driver, ("left", "a", "l", 5_000))
        driver.advance(50)
        send(driver, ("right", "b", "r", 6_000))
        driver.advance(50)
        assert results(driver) == []
        driver.advance(10)
        assert results(driver) == [("a", "l+None", 5_000), ("b", "None+r", 6_000)]

    def test_what_comes_after_that_is_late(self, driver: Driver) -> None:
        send(driver, ("left", "a", "l", 5_000))
        driver.advance(60)
        assert after_each(driver, ("left", "b", "late", 6_000)) == [("b", "late+None", 6_000)]

    def test_a_restart_begins_the_wait_anew(self, driver: Driver) -> None:
        send(driver, ("left", "a", "l", 5_000))
        driver.run()
        driver.advance(50)
        driver.crash_and_restart(lose_state=True)
        driver.advance(59)
        assert results(driver) == []
        driver.advance(60)
        assert results(driver) == [("a", "l+None", 5_000)]

    def test_a_join_with_a_table_has_none(self, app: ottla.App) -> None:
        table = app.Table("table", source=app.topic("right", key=str, value=str))
        stream = app.stream(app.topic("left", key=str, value=str))
        for option in ({"within": 1}, {"idle": 1}, {"unmatched": "at_once"}):
            with pytest.raises(TopologyError, match="left_join with a table has no window"):
                stream.left_join(table, pair, **option)  # type: ignore[call-overload]


class TestUnmatchedAtOnce:
    def test_an_event_that_meets_none_is_emitted_with_its_headers_and_may_match_later(self) -> None:
        with joining_app("outer", unmatched="at_once").test() as driver:
            send(driver, ("left", "a", "l", 0), ("right", "a", "r", 5), ("right", "b", "s", 6))
            events = driver.read("out")
        assert [(event.value, event.timestamp) for event in events] == [("l+None", 0), ("l+r", 5), ("None+s", 6)]
        assert events[0].headers == [("of", b"l")]

    def test_an_unknown_choice_is_refused(self) -> None:
        with pytest.raises(TopologyError, match='it is "close" or "at_once"'):
            joining_app("left", unmatched="never")  # type: ignore[arg-type]


class TestDeclaration:
    def test_a_window_is_asked_for(self, app: ottla.App) -> None:
        stream = app.stream(app.topic("in", value=str))
        for window in ({}, {"before": 1}):
            with pytest.raises(ConfigError, match="needs a window: within=, or before= and after="):
                stream.join(stream, pair, **window)  # type: ignore[call-overload]
        with pytest.raises(ConfigError, match="begins after its end"):
            stream.join(stream, pair, before=-5, after=4)

    def test_values_whose_type_is_unknown_are_refused(self, app: ottla.App) -> None:
        stream = app.stream(app.topic("in", value=str))
        with pytest.raises(TopologyError, match="inner join must write the values"):
            stream.join(stream.map(lambda value: value), pair, within=1)

    def test_topics_need_equal_partition_counts(self) -> None:
        topology = joining_app("inner").topology
        assert len(topology.subtopologies) == 1
        with pytest.raises(ottla.CopartitionError, match="give topic 'right' 6 partitions"):
            topology.plan({"left": 6, "right": 3, "out": 1})

    def test_its_steps_and_stores_have_its_name(self, app: ottla.App) -> None:
        left, right = (app.stream(app.topic(name, value=str)) for name in ("left", "right"))
        left.left_join(right, pair, within=1, name="paired").to(app.topic("out", value=str))
        names = {spec.changelog for spec in app.topology.subtopologies[0].stores}
        assert names == {f"shop-paired-{part}-changelog" for part in ("left", "right", "unmatched")}
        assert "within 0:00:01 before and 0:00:01 after, grace 0:00:00\n" in app.topology.describe()
        with pytest.raises(DuplicateName):
            left.left_join(right, pair, within=1, name="paired")

    def test_results_can_be_joined_again(self, app: ottla.App) -> None:
        one, two, three = (app.stream(app.topic(name, key=str, value=str)) for name in ("one", "two", "three"))
        one.join(two, pair, within=1).left_join(three, pair, within=1).to(app.topic("out", key=str, value=str))
        with app.test() as driver:
            send(driver, ("one", "a", "1", 0), ("two", "a", "2", 500), ("one", "b", "4", 0), ("three", "a", "3", 1_000))
            send(driver, ("two", "b", "5", 0))
            driver.end_of_input()
            assert results(driver) == [("a", "1+2+3", 1_000), ("b", "4+5+None", 0)]


def test_a_stream_joined_with_itself_pairs_each_event_with_itself_once(app: ottla.App) -> None:
    stream = app.stream(app.topic("left", key=str, value=str))
    stream.join(stream, pair, within=10 * MS).to(app.topic("out", key=str, value=str))
    with app.test() as driver:
        send(driver, ("left", "a", "x", 0), ("left", "a", "y", 5))
        assert [value for _, value, _ in results(driver)] == ["x+x", "y+x", "x+y", "y+y"]


def test_a_busy_key_keeps_all_its_events(app: ottla.App) -> None:
    left, right = (app.stream(app.topic(name, key=str, value=str)) for name in ("left", "right"))
    left.join(right, pair, within=10).to(app.topic("out", key=str, value=str))
    with app.test() as driver:
        for number in range(200):
            send(driver, ("left", "a", str(number), number))
            if number % 70 == 69:
                driver.run()
                driver.crash_and_restart(lose_state=True)
        driver.run()
        assert after_each(driver, ("right", "a", "r", 200)) == [("a", f"{number}+r", 200) for number in range(200)]


@pytest.mark.parametrize("kind", ["inner", "outer"])
def test_events_that_cannot_be_found_any_more_are_forgotten(kind: Kind) -> None:
    with joining_app(kind, grace=20).test() as driver:
        for time in range(0, 5_000, 5):
            send(driver, ("left", "a", "x", time), ("right", "b", "y", time))
        driver.run()
        [caches] = driver._caches.values()
        assert all(sum(1 for _ in cache.range()) < 50 for cache in caches.values())


EVENT = st.tuples(st.sampled_from(["left", "right"]), st.sampled_from("ab"), st.integers(0, 60))
POLLS = st.lists(st.tuples(st.lists(EVENT, max_size=6), st.sampled_from(["commit", "crash", "lose"])), max_size=6)
KINDS = st.sampled_from(["inner", "left", "outer"])
Polls = list[tuple[list[tuple[str, str, int]], str]]


def numbered(polls: Polls) -> list[list[Sent]]:
    """The events of the polls, each with a value of its own.

    They are not at the epoch, where a window that would end before it ends at it, as in Kafka Streams.
    """
    number = iter(range(1_000))
    return [
        [(topic, key, f"{topic[0]}{next(number)}", 100 + time) for topic, key, time in events] for events, _ in polls
    ]


def defined(kind: Kind, before: int, after: int, events: list[Sent]) -> list[tuple[Any, str, int]]:
    """All pairs within the window, and the events that are in none, when every event is in time."""
    sides = {
        side: [(key, value, time) for topic, key, value, time in events if topic == side] for side in ("left", "right")
    }
    found = [
        (key, left, right, max(time, other))
        for key, left, time in sides["left"]
        for of, right, other in sides["right"]
        if key == of and time - before <= other <= time + after
    ]
    results = [(key, f"{left}+{right}", time) for key, left, right, time in found]
    if kind != "inner":
        matched = {left for _, left, _, _ in found}
        results += [(key, f"{value}+None", time) for key, value, time in sides["left"] if value not in matched]
    if kind == "outer":
        matched = {right for _, _, right, _ in found}
        results += [(key, f"None+{value}", time) for key, value, time in sides["right"] if value not in matched]
    return sorted(results, key=str)


@settings(max_examples=100)
@given(
    polls=POLLS, kind=st.sampled_from(["inner", "left", "outer"]), before=st.integers(-5, 20), after=st.integers(5, 20)
)
def test_in_any_order_all_pairs_within_the_window_meet_once_whatever_crashes(
    polls: Polls, kind: Kind, before: int, after: int
) -> None:
    sent = numbered(polls)
    # An event that comes late is emitted unmatched at once, grace or not, so matches alone are compared.
    with joining_app(kind, before=before, after=after, grace=1_000).test() as driver:
        for events, (_, then) in zip(sent, polls, strict=True):
            send(driver, *events)
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            driver.run()
        driver.end_of_input()
        emitted = results(driver)
    expected = defined(kind, before, after, [event for events in sent for event in events])
    assert [each for each in sorted(emitted, key=str) if "None" not in each[1]] == [
        each for each in expected if "None" not in each[1]
    ]


@settings(max_examples=80)
@given(polls=POLLS, kind=st.sampled_from(["left", "outer"]), window=st.integers(0, 15))
def test_in_order_an_event_is_emitted_unmatched_if_nothing_was_within_its_window(
    polls: Polls, kind: Kind, window: int
) -> None:
    events = sorted((event for batch in numbered(polls) for event in batch), key=lambda event: event[3])
    with joining_app(kind, before=window, after=window).test() as driver:
        for event in events:
            send(driver, event)
            driver.run()
        driver.end_of_input()
        assert sorted(results(driver), key=str) == defined(kind, window, window, events)


@settings(max_examples=80)
@given(
    polls=POLLS,
    kind=KINDS,
    grace=st.integers(0, 20),
    unmatched=st.sampled_from(["close", "at_once"]),
)
def test_crashes_change_no_result(polls: Polls, kind: Kind, grace: int, unmatched: When) -> None:
    sent = numbered(polls)

    def run(*, crashing: bool) -> list[list[tuple[Any, str, int]]]:
        found = []
        with joining_app(kind, grace=grace, unmatched=unmatched).test() as driver:
            for events, (_, then) in zip(sent, polls, strict=True):
                send(driver, *events)
                if crashing and then != "commit":
                    driver.crash_and_restart(lose_state=then == "lose")
                found.append(results(driver))
            driver.end_of_input()
            return [*found, results(driver)]

    assert run(crashing=True) == run(crashing=False)
