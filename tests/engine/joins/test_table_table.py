"""Tables as what changes: views of them and joins by equal keys, change by change as Kafka Streams' tables.

`tests/compat/test_streams.py` holds the same to Kafka Streams itself.
"""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Change, TopologyError
from ottla.testing import Driver


def pair(left: str | None, right: str | None) -> str:
    return f"{left}+{right}"


def letter(value: str) -> str:
    return value[0]


def shout(value: str) -> str:
    return value.upper()


def text(app: ottla.App, name: str, partitions: int | None = None) -> ottla.Topic[str, str]:
    return app.topic(name, key=str, value=str, partitions=partitions)


def tables(app: ottla.App) -> tuple[ottla.Table[str, str], ottla.Table[str, str]]:
    return app.Table("lefts", source=text(app, "left")), app.Table("rights", source=text(app, "right"))


def joined(app: ottla.App, kind: str) -> ottla.View[str, str]:
    left, right = tables(app)
    name = "join" if kind == "inner" else f"{kind}_join"
    view: ottla.View[str, str] = getattr(left, name)(right, pair)
    return view


def told(app: ottla.App, table: ottla.View[str, str] | ottla.Table[str, str]) -> None:
    table.to_stream().to(text(app, "out"))


Sent = tuple[str, str | None, str | None, int]


def after_each(driver: Driver, *events: Sent) -> list[list[tuple[Any, Any, int]]]:
    """What each event led to."""
    found = []
    for topic, key, value, timestamp in events:
        driver.send(topic, key=key, value=value, timestamp=timestamp, headers=[("of", (value or "").encode())])
        found.append([(event.key, event.value, event.timestamp) for event in driver.read("out")])
    return found


class TestJoins:
    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("inner", [[], [("a", "x+r", 5)], [("a", "y+r", 7)], [("a", None, 8)], []]),
            (
                "left",
                [[("a", "x+None", 1)], [("a", "x+r", 5)], [("a", "y+r", 7)], [("a", "y+None", 8)], [("a", None, 9)]],
            ),
            (
                "outer",
                [[("a", "x+None", 1)], [("a", "x+r", 5)], [("a", "y+r", 7)], [("a", "y+None", 8)], [("a", None, 9)]],
            ),
        ],
    )
    def test_a_change_of_either_table_changes_the_result(
        self, app: ottla.App, kind: str, expected: list[list[tuple[Any, Any, int]]]
    ) -> None:
        told(app, joined(app, kind))
        with app.test() as driver:
            assert (
                after_each(
                    driver,
                    ("left", "a", "x", 1),
                    ("right", "a", "r", 5),
                    ("left", "a", "y", 7),
                    ("right", "a", None, 8),
                    ("left", "a", None, 9),
                )
                == expected
            )

    def test_only_an_outer_join_has_results_without_a_left_value(self, app: ottla.App) -> None:
        for kind, expected in (("left", [[], []]), ("outer", [[("a", "None+r", 3)], [("a", None, 4)]])):
            app = ottla.App("shop")
            told(app, joined(app, kind))
            with app.test() as driver:
                assert after_each(driver, ("right", "a", "r", 3), ("right", "a", None, 4)) == expected

    def test_a_result_has_the_later_time_of_both_values(self, app: ottla.App) -> None:
        told(app, joined(app, "inner"))
        with app.test() as driver:
            events = after_each(driver, ("left", "a", "x", 20), ("right", "a", "r", 10), ("left", "a", "y", 5))
        assert events[1:] == [[("a", "x+r", 20)], [("a", "y+r", 10)]]

    def test_a_result_has_the_headers_of_the_change(self, app: ottla.App) -> None:
        told(app, joined(app, "inner"))
        with app.test() as driver:
            for topic, value in (("left", "x"), ("right", "r")):
                driver.send(topic, key="a", value=value, headers=[("of", value.encode())])
                driver.run()
            assert [event.headers for event in driver.read("out")] == [[("of", b"r")]]

    def test_an_event_without_a_key_is_dropped(self, app: ottla.App) -> None:
        told(app, joined(app, "outer"))
        with app.test() as driver:
            assert after_each(driver, ("left", None, "x", 1)) == [[]]
            assert driver.counts.null_key_dropped == 1

    def test_a_joiner_that_raises_rejects_the_change(self, app: ottla.App) -> None:
        left = app.Table("lefts", source=app.topic("left", key=str, value=int))
        right = app.Table("rights", source=app.topic("right", key=str, value=int))
        left.join(right, lambda x, y: x // y, type=int).to_stream().to(app.topic("out", key=str, value=int))
        with app.test() as driver:
            for topic, value in (("left", 6), ("right", 0), ("right", 2)):
                driver.send(topic, key="a", value=value)
                driver.run()
            assert [event.value for event in driver.read("out")] == [3]
            assert [letter.value for letter in driver.dead_letters()] == [b"0"]

    def test_topics_need_equal_partition_counts(self, app: ottla.App) -> None:
        told(app, joined(app, "inner"))
        with pytest.raises(ottla.CopartitionError, match="give topic 'right' 6 partitions"):
            app.topology.plan({"left": 6, "right": 3, "out": 1})

    def test_keys_need_one_type(self, app: ottla.App) -> None:
        left = app.Table("lefts", source=app.topic("left", key=str, value=str))
        right = app.Table("rights", source=app.topic("right", key=int, value=str))
        with pytest.raises(TopologyError, match="join: <table lefts> has keys of text and <table rights> of json"):
            left.join(right, pair)  # type: ignore[misc]

    def test_tables_of_two_apps_do_not_meet(self, app: ottla.App) -> None:
        other = ottla.App("other")
        with pytest.raises(TopologyError, match="belong to two apps"):
            tables(app)[0].join(tables(other)[0], pair)

    def test_tables_of_sets_are_no_changes(self, app: ottla.App) -> None:
        members = app.SetTable("members", key=str, value=str)
        with pytest.raises(TopologyError, match="or made of a stream"):
            members.to_stream()

    def test_global_tables_are_looked_up_and_tell_no_changes(self, app: ottla.App) -> None:
        everywhere = app.GlobalTable("rights", source=text(app, "right"))
        left = app.Table("lefts", source=text(app, "left"))
        for join in (lambda: left.join(everywhere, pair), lambda: left.join(everywhere, pair, on=letter)):
            with pytest.raises(TopologyError, match="is a global table: it is looked up"):
                join()

    def test_tables_whose_entries_end_are_no_changes(self, app: ottla.App) -> None:
        table = app.Table("lefts", source=text(app, "left"), ttl=5)
        with pytest.raises(TopologyError, match="its entries end without an event"):
            table.changes()

    def test_a_version_that_is_not_the_newest_changes_nothing(self, app: ottla.App) -> None:
        left = app.Table("lefts", source=text(app, "left"), versioned=1)
        told(app, left.join(tables_right(app), pair))
        with app.test() as driver:
            found = after_each(
                driver,
                ("right", "a", "r", 0),
                ("left", "a", "x", 9),
                ("left", "a", "older", 8),
                ("left", "a", None, 10),
                ("left", "a", "older", 9),
                ("left", "a", None, 9),
            )
        assert found[1:] == [[("a", "x+r", 9)], [], [("a", None, 10)], [], []]


class TestViews:
    def test_a_filtered_table_has_the_keys_whose_value_passes(self, app: ottla.App) -> None:
        told(app, tables(app)[0].filter(lambda value: value > "m"))
        with app.test() as driver:
            changes = after_each(
                driver, ("left", "a", "a", 1), ("left", "a", "x", 2), ("left", "a", "b", 3), ("left", "a", None, 4)
            )
        assert changes == [[], [("a", "x", 2)], [("a", None, 3)], []]

    def test_a_mapped_table_has_the_functions_values_and_none_is_no_value(self, app: ottla.App) -> None:
        told(app, tables(app)[0].map_values(lambda value: None if value == "-" else value * 2, type=str))
        with app.test() as driver:
            changes = after_each(driver, ("left", "a", "x", 1), ("left", "a", "-", 2), ("left", "a", None, 3))
        assert changes == [[("a", "xx", 1)], [("a", None, 2)], [("a", None, 3)]]

    def test_a_function_is_not_called_for_old_values_that_nobody_takes(self, app: ottla.App) -> None:
        seen = []

        def noted(value: str) -> str:
            seen.append(value)
            return value

        told(app, tables(app)[0].map_values(noted))
        with app.test() as driver:
            after_each(driver, ("left", "a", "x", 1), ("left", "a", "y", 2))
        assert seen == ["x", "y"]

    def test_changes_have_the_value_before(self, app: ottla.App) -> None:
        changes = joined(app, "left").changes()
        changes.map(lambda change: f"{change.old} -> {change.new}", type=str).to(text(app, "out"))
        with app.test() as driver:
            found = after_each(
                driver, ("left", "a", "x", 1), ("right", "a", "r", 2), ("left", "a", "y", 3), ("left", "a", None, 4)
            )
        assert [value for [(_, value, _)] in found] == [
            "None -> x+None",
            "x+None -> x+r",
            "x+r -> y+r",
            "y+r -> None",
        ]

    def test_changes_can_go_to_another_key(self, app: ottla.App) -> None:
        def new_letter(change: Change[str]) -> str:
            return (change.new or "-")[0]

        regrouped = tables(app)[0].changes().group_by(new_letter)
        regrouped.map(lambda change: f"{change.old}, {change.new}", type=str).to(text(app, "out"))
        with app.test() as driver:
            assert after_each(driver, ("left", "a", "x1", 1), ("left", "a", "y2", 2)) == [
                [("x", "None, x1", 1)],
                [("y", "x1, y2", 2)],
            ]

    def test_a_stream_can_look_a_join_of_tables_up(self, app: ottla.App) -> None:
        view = joined(app, "outer").map_values(shout)
        app.stream(text(app, "events")).join(view, pair, type=str).to(text(app, "out"))
        with app.test() as driver:
            found = after_each(
                driver,
                ("events", "a", "e", 1),
                ("left", "a", "x", 2),
                ("events", "a", "e", 3),
                ("right", "a", "r", 4),
                ("events", "a", "e", 5),
                ("events", "b", "e", 6),
            )
        assert found == [[], [], [("a", "e+X+NONE", 3)], [], [("a", "e+X+R", 5)], []]


class TestKeptTables:
    def test_a_view_can_be_kept_and_queried(self, app: ottla.App) -> None:
        told(app, joined(app, "inner").filter(lambda value: value > "m").to_table("pairs"))
        with app.test() as driver:
            after_each(
                driver, ("left", "a", "x", 1), ("right", "a", "r", 2), ("left", "b", "a", 3), ("right", "b", "r", 4)
            )
            assert dict(driver.table("pairs")) == {"a": "x+r"}
            driver.crash_and_restart(lose_state=True)
            assert dict(driver.table("pairs")) == {"a": "x+r"}
            assert after_each(driver, ("left", "a", "b", 5)) == [[("a", None, 5)]]
            assert dict(driver.table("pairs")) == {}

    def test_a_stream_becomes_a_table_of_its_newest_values(self, app: ottla.App) -> None:
        table = app.stream(text(app, "left")).filter(lambda value: value != "-").to_table("kept")
        told(app, table.join(tables_right(app), pair))
        with app.test() as driver:
            found = after_each(driver, ("left", "a", "x", 9), ("left", "a", "-", 10), ("right", "a", "r", 5))
            assert found == [[], [], [("a", "x+r", 9)]]
            assert dict(driver.table("kept")) == {"a": "x"}

    def test_results_of_windows_become_a_table(self, app: ottla.App) -> None:
        counts = app.stream(text(app, "left")).window(ottla.tumbling(seconds=1)).aggregate("counts", n=ottla.count())
        latest = counts.map(lambda window: f"{window.value.n}", type=str).to_table("latest")
        told(app, latest.left_join(tables_right(app), pair))
        with app.test() as driver:
            found = after_each(driver, ("left", "a", "x", 1), ("left", "a", "y", 2), ("left", "b", "z", 1_000))
        assert found[2] == [("a", "2+None", 2)]

    def test_agents_can_read_it_and_not_write_it(self, app: ottla.App) -> None:
        kept = app.stream(text(app, "left")).to_table("kept")
        writes = app.topic("writes", key=str, value=str)

        @app.agent(writes, sink=[text(app, "out")])
        async def reading(stream: ottla.Stream[str]) -> Any:
            async for value in stream:
                yield kept.get(value, "nothing")
                kept[value] = "mine"

        with app.test() as driver:
            found = after_each(driver, ("left", "a", "x", 1), ("writes", "a", "a", 2))
            assert found == [[], []]
            [letter] = driver.dead_letters()
            assert "is made of other events: only they can change it" in str(letter.headers)

    def test_its_changelogs_have_its_name(self, app: ottla.App) -> None:
        told(app, joined(app, "inner").to_table("pairs"))
        names = {spec.changelog for spec in app.topology.subtopologies[0].stores}
        assert names == {
            *(f"shop-{table}-changelog" for table in ("lefts", "lefts-times", "rights", "rights-times", "pairs")),
            "shop-pairs-times-changelog",
        }

    def test_times_are_kept_only_of_tables_that_are_joined(self, app: ottla.App) -> None:
        left, _ = tables(app)
        app.stream(text(app, "events")).join(left, pair, type=str).to(text(app, "out"))
        names = {spec.name for part in app.topology.subtopologies for spec in part.stores}
        assert names == {"lefts", "rights"}

    def test_values_whose_type_is_unknown_are_refused(self, app: ottla.App) -> None:
        with pytest.raises(TopologyError, match="must write the values of <view lefts"):
            tables(app)[0].map_values(lambda value: value).to_table("kept")


def tables_right(app: ottla.App) -> ottla.Table[str, str]:
    return app.Table("rights", source=text(app, "right"))


class Order(msgspec.Struct, frozen=True):
    amount: int


def test_changes_of_structs_are_written_and_read(app: ottla.App) -> None:
    orders = app.Table("orders", source=app.topic("orders", key=str, value=Order))

    def size(change: Change[Order]) -> str:
        return "small" if change.new is None or change.new.amount < 10 else "large"

    amounts = orders.changes().group_by(size).map(lambda each: each.new.amount - (each.old.amount if each.old else 0))
    amounts.to(app.topic("out", key=str, value=int))
    with app.test() as driver:
        for amount in (5, 7):
            driver.send("orders", key="a", value=Order(amount))
            driver.run()
        assert [event.value for event in driver.read("out")] == [5, 2]


EVENT = st.tuples(
    st.sampled_from(["left", "right"]), st.sampled_from("ab"), st.sampled_from(["x", "y", None]), st.integers(0, 20)
)
POLLS = st.lists(st.tuples(st.lists(EVENT, max_size=5), st.sampled_from(["commit", "crash", "lose"])), max_size=5)


@settings(max_examples=60)
@given(polls=POLLS, kind=st.sampled_from(["inner", "left", "outer"]))
def test_the_result_is_the_join_of_both_tables_whatever_crashes(polls: Any, kind: str) -> None:
    app = ottla.App("shop")
    view = joined(app, kind)
    told(app, view.to_table("pairs"))
    with app.test() as driver:
        for events, then in polls:
            for topic, key, value, timestamp in events:
                driver.send(topic, key=key, value=value, timestamp=timestamp)
            if then != "commit":
                driver.crash_and_restart(lose_state=then == "lose")
            driver.run()
        newest: dict[Any, Any] = {}
        for event in driver.read("out"):
            newest[event.key] = event.value
        pairs = dict(driver.table("pairs"))
        left, right = dict(driver.table("lefts")), dict(driver.table("rights"))
    keys = {"inner": left.keys() & right.keys(), "left": left.keys(), "outer": left.keys() | right.keys()}[kind]
    expected = {key: pair(left.get(key), right.get(key)) for key in keys}
    assert pairs == expected
    assert {key: value for key, value in newest.items() if value is not None} == expected
