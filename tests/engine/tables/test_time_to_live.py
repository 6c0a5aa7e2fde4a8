"""Time to live: entries end by event time, are gone at once for whoever reads, and are deleted bit by bit."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ottla
from ottla import Stream
from ottla.state import timed

Answers = Callable[..., list[Any]]


def seen(app: ottla.App) -> ottla.Table[str, int]:
    return app.Table("seen", key=str, value=int, ttl=10)


def raw(name: str) -> ottla.Topic[bytes, bytes]:
    return ottla.App("outside").topic(name, key=bytes, value=bytes)


def test_an_entry_ends_when_stream_time_is_its_time_to_live_past_its_last_write(answers: Answers) -> None:
    def body(table: Any, command: str) -> Any:
        if command == "write":
            table["a"] = 1
        return [table.get("a"), "a" in table, dict(table), len(table)]

    alive, gone = [1, True, {"a": 1}, 1], [None, False, {}, 0]
    assert answers(seen, body, ("write", 1_000), ("look", 10_999), ("look", 11_000)) == [alive, alive, gone]
    assert answers(seen, body, ("write", 1_000), ("write", 9_000), ("look", 18_999), ("look", 19_000)) == [
        alive,
        alive,
        alive,
        gone,
    ]


def test_a_late_event_neither_shortens_a_life_nor_revives_what_is_over(answers: Answers) -> None:
    def body(table: Any, command: str) -> Any:
        if command == "write":
            table["a"] = table.get("a", 0) + 1
        return table.get("a")

    assert answers(seen, body, ("write", 5_000), ("write", 1_000), ("look", 14_999), ("look", 15_000)) == [
        1,
        2,
        2,
        None,
    ]
    assert answers(seen, body, ("look", 20_000), ("write", 10_000), ("write", 10_001)) == [None, None, 1]


def test_a_default_takes_the_place_of_what_is_over(answers: Answers) -> None:
    def body(table: Any, _: str) -> Any:
        table["a"] += 1
        return table["a"]

    counts = answers(lambda app: app.Table("n", default=int, ttl=10), body, ("x", 0), ("x", 9_999), ("x", 30_000))
    assert counts == [1, 2, 1]


def test_elements_of_sets_have_lives_of_their_own(answers: Answers) -> None:
    def body(table: Any, name: str) -> Any:
        table["k"].add(name)
        return set(table["k"])

    found = answers(
        lambda app: app.SetTable("s", key=str, value=str, ttl=10), body, ("a", 0), ("b", 8_000), ("c", 10_000)
    )
    assert found == [{"a"}, {"a", "b"}, {"b", "c"}]


@pytest.mark.parametrize("lose_state", [False, True])
def test_a_restart_does_not_change_what_is_over(lose_state: bool) -> None:
    app = ottla.App("shop")
    topic = app.topic("commands", key=str, value=str)
    table = seen(app)

    @app.agent(topic)
    async def work(stream: Stream[str]) -> None:
        async for key in stream:
            if key != "pass":
                table[key] = 1

    with app.test() as driver:
        driver.send(topic, key="k", value="a", timestamp=0)
        driver.send(topic, key="k", value="b", timestamp=5_000)
        driver.run()
        # Stream time goes on with events that only read, too; here nothing reads before the restart.
        driver.send(topic, key="k", value="c", timestamp=10_000)
        driver.run()
        driver.crash_and_restart(lose_state=lose_state)
        assert dict(driver.table(table)) == {"b": 1, "c": 1}


def test_what_is_over_is_deleted_from_store_and_changelog_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timed, "_LOOKED_AT", 3)
    app = ottla.App("shop")
    topic = app.topic("commands", key=str, value=str)
    table = seen(app)

    @app.agent(topic)
    async def work(stream: Stream[str]) -> None:
        async for key in stream:
            table[key] = 1

    changelog = raw("shop-seen-changelog")
    with app.test() as driver:
        for number in range(7):
            driver.send(topic, key="k", value=f"a{number}", timestamp=number)
        driver.read(changelog)
        deleted = []
        for number in range(10):
            driver.send(topic, key="k", value="b", timestamp=20_000 + 2_000 * number)
            deleted.append([event.key for event in driver.read(changelog) if event.value is None])
        assert sorted(key for each in deleted for key in each) == [b"ka%d" % number for number in range(7)]
        # Each look at the driver commits twice: after what was sent, and when nothing was left to do.
        assert max(map(len, deleted)) == 2 * 3
        assert dict(driver.table(table)) == {"b": 1}


def test_a_table_read_from_a_topic_lives_by_the_topics_time_in_a_join() -> None:
    app = ottla.App("shop")
    clicks = app.topic("clicks", key=str, value=str)
    sessions = app.Table("sessions", source=app.topic("sessions", key=str, value=str), ttl=10)
    out = app.topic("out", key=str, value=str)
    app.stream(clicks).left_join(sessions, lambda click, session: f"{click}+{session}").to(out)
    with app.test() as driver:
        driver.send("sessions", key="a", value="s", timestamp=1_000)
        for timestamp in (2_000, 10_999, 11_000):
            driver.send(clicks, key="a", value=str(timestamp), timestamp=timestamp)
        assert [event.value for event in driver.read(out)] == ["2000+s", "10999+s", "11000+None"]


def test_an_operators_function_sees_the_table_at_the_time_of_its_event() -> None:
    app = ottla.App("shop")
    words = app.topic("words", key=str, value=str)
    table = seen(app)

    def first(word: str) -> bool:
        if word in table:
            return False
        table[word] = 1
        return True

    fresh = app.topic("fresh", key=str, value=str)
    app.stream(words).filter(first).to(fresh)
    with app.test() as driver:
        for word, timestamp in [("a", 0), ("a", 9_999), ("b", 9_999), ("a", 10_000)]:
            driver.send(words, key="k", value=word, timestamp=timestamp)
        assert [(event.value, event.timestamp) for event in driver.read(fresh)] == [
            ("a", 0),
            ("b", 9_999),
            ("a", 10_000),
        ]


def test_a_time_to_live_must_be_positive(app: ottla.App) -> None:
    with pytest.raises(ottla.ConfigError, match="table 't': ttl must be positive"):
        app.Table("t", default=int, ttl=0)


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "pop", "fail", "commit", "crash", "lose"]), st.sampled_from("abc"), st.integers(0, 40)
    ),
    max_size=30,
)


@settings(max_examples=80)
@given(steps)
def test_a_table_with_a_time_to_live_is_a_dict_of_what_is_young_enough(plan: list[tuple[str, str, int]]) -> None:
    app = ottla.App("shop")
    topic = app.topic("commands", key=str, value=str)
    table = seen(app)
    found: list[dict[str, int]] = []

    @app.agent(topic)
    async def work(stream: Stream[str]) -> None:
        async for event in stream.events():
            if event.value == "pop":
                table.pop(event.key, None)
            else:
                table[event.key] = event.timestamp
            if event.value == "fail":
                raise ValueError
            found.append(dict(table))

    stream_time = -1
    model: dict[str, tuple[int, int]] = {}
    expected = []
    with app.test() as driver:
        for what, key, seconds in plan:
            if what == "commit":
                driver.run()
            elif what in ("crash", "lose"):
                driver.run()
                driver.crash_and_restart(lose_state=what == "lose")
            else:
                driver.send(topic, key=key, value=what, timestamp=seconds * 1_000)
                stream_time = max(stream_time, seconds * 1_000)
                model = {k: (t, v) for k, (t, v) in model.items() if t > stream_time - 10_000}
                if what == "pop":
                    model.pop(key, None)
                elif what == "put":
                    written = max(seconds * 1_000, model.get(key, (0, 0))[0])
                    if written > stream_time - 10_000:
                        model[key] = (written, seconds * 1_000)
                    else:
                        model.pop(key, None)
                if what != "fail":
                    expected.append({k: v for k, (_, v) in sorted(model.items())})
        driver.run()
    assert found == expected
