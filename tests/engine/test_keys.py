"""Keys that are changed, events that are only looked at, and what functions of operators know of their event."""

from collections.abc import Callable
from typing import Any

import pytest

import ottla
from ottla import current_event


def first(word: str) -> str:
    return word[0]


def words(app: ottla.App, **options: Any) -> ottla.Stream[str]:
    return app.stream(app.topic("words", key=str, value=str, **options))


def test_a_key_is_changed_where_the_event_is(app: ottla.App) -> None:
    words(app, partitions=3).select_key(first).to(app.topic("out", key=str, value=str, partitions=1))
    with app.test() as driver:
        driver.send("words", key="k", value="bee", timestamp=7, headers=[("h", b"1")])
        [event] = driver.read("out")
        assert (event.key, event.value, event.timestamp, event.headers) == ("b", "bee", 7, [("h", b"1")])
    assert len(app.topology.subtopologies) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda stream, _: stream.aggregate("counts", n=ottla.count()),
        lambda stream, _: stream.window(ottla.tumbling(1)),
        lambda stream, _: stream.to_table("newest"),
        lambda stream, _: stream.cogroup(max),
        lambda stream, app: stream.join(app.Table("t", source=app.topic("t", value=int)), max),
        lambda stream, app: stream.join(app.Table("t", key=str, value=int), max),
        lambda stream, app: stream.join(app.stream(app.topic("t", value=int)), max, within=1),
        lambda stream, app: app.stream(app.topic("t", value=int)).join(stream, max, within=1),
        lambda stream, app: stream.merge(app.stream(app.topic("t", key=str, value=str))).window(ottla.tumbling(1)),
        lambda stream, _: stream.map(str.upper).filter(len).to_table("newest"),
    ],
)
def test_what_needs_equal_keys_in_one_partition_refuses_it(app: ottla.App, use: Callable[..., Any]) -> None:
    stream = words(app).select_key(first, type=str)
    with pytest.raises(ottla.TopologyError, match=r"equal ones are not in one partition: use .group_by"):
        use(stream, app)


def test_a_global_table_is_met_by_a_changed_key(app: ottla.App) -> None:
    names = app.GlobalTable("names", source=app.topic("names", key=str, value=str))
    words(app).select_key(first).join(names, lambda word, name: f"{word} {name}", type=str).to(
        app.topic("out", key=str, value=str)
    )
    with app.test() as driver:
        driver.send("names", key="b", value="Bob")
        driver.send("words", key="k", value="bee")
        assert [event.value for event in driver.read("out")] == ["bee Bob"]


def test_repartitioned_equal_keys_meet(app: ottla.App) -> None:
    counts = words(app, partitions=2).select_key(first).repartition().aggregate("counts", words=ottla.count())
    with app.test() as driver:
        for number, word in enumerate(("bee", "cat", "bear")):
            driver.send("words", key="k", value=word, partition=number % 2)
        assert {key: value.words for key, value in driver.table(counts).items()} == {"b": 2, "c": 1}
    topic = {spec.name: spec for spec in app.topology.plan({"words": 2}).internal_topics}[
        "shop-words.select_key-repartition"
    ]
    assert topic.partitions == 2


def test_the_partitions_of_a_repartition_are_said_by_count_and_function(app: ottla.App) -> None:
    again = words(app).repartition(name="again", partitions=4, partition=lambda _, word, count: len(word) % count)
    again.call(lambda event: seen.append((event.partition, event.value)), events=True)
    seen: list[tuple[int, str]] = []
    with app.test() as driver:
        for word in ("bee", "horse"):
            driver.send("words", key="k", value=word)
        driver.run()
    assert sorted(seen) == [(1, "horse"), (3, "bee")]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_events_that_are_looked_at_go_on_but_for_those_it_fails_on(app: ottla.App, asynchronous: bool) -> None:
    seen: list[str] = []

    def look(word: str) -> None:
        if word == "bad":
            raise ValueError(word)
        seen.append(word)

    async def look_later(word: str) -> None:
        look(word)

    words(app).peek(look_later if asynchronous else look).map(str.upper, type=str).to(app.topic("out", value=str))
    with app.test() as driver:
        for word in ("bee", "bad", "cat"):
            driver.send("words", key="k", value=word)
        assert [event.value for event in driver.read("out")] == ["BEE", "CAT"]
        assert len(driver.dead_letters()) == 1
    assert seen == ["bee", "cat"]


def test_what_is_looked_at_may_be_sent_elsewhere(app: ottla.App) -> None:
    copies = app.topic("copies", key=str, value=str)

    async def copy(event: ottla.Event[str]) -> None:
        await event.forward(copies)

    words(app).peek(copy, events=True).to(app.topic("out", value=str))
    with app.test() as driver:
        driver.send("words", key="k", value="bee")
        assert [each.value for topic in ("out", "copies") for each in driver.read(topic)] == ["bee", "bee"]


def key_and_more(word: str) -> str:
    event = current_event()
    assert event is not None
    return f"{event.key} {event.topic}@{event.offset} {event.timestamp} {dict(event.headers)['h']!r} {word}"


def is_mine(_: Any) -> bool:
    event = current_event()
    return event is not None and event.key == "mine"


def test_functions_of_operators_know_the_event_that_they_are_called_for(app: ottla.App) -> None:
    stream = words(app).filter(is_mine)
    stream.map(key_and_more, type=str).to(app.topic("out", value=str))
    with app.test() as driver:
        for number, key in enumerate(("mine", "yours", "mine")):
            driver.send("words", key=key, value="bee", timestamp=number, headers=[("h", b"x")])
        assert [event.value for event in driver.read("out")] == [
            "mine words@0 0 b'x' bee",
            "mine words@2 2 b'x' bee",
        ]
    assert current_event() is None


def test_functions_of_views_know_the_key(app: ottla.App) -> None:
    table = app.Table("t", source=app.topic("t", key=str, value=str))
    table.filter(is_mine).to_stream().to(app.topic("out", key=str, value=str))
    with app.test() as driver:
        for key in ("mine", "yours"):
            driver.send("t", key=key, value="bee")
        assert [event.key for event in driver.read("out")] == ["mine"]
