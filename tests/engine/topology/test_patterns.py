"""Topics by pattern: which are read, what appears later, and which partition counts may meet."""

from typing import Any

import pytest

import ottla
from ottla.topology.patterns import matching, resolved


def logging_app(app: ottla.App, pattern: str = r"logs-.+", **options: Any) -> ottla.App:
    logs = app.topic(pattern=pattern, key=str, value=str)
    app.stream(logs, **options).map(str.upper).to(app.topic("out", key=str, value=str))
    return app


def test_topics_that_appear_are_read_from_their_beginning(app: ottla.App) -> None:
    with logging_app(app).test() as driver:
        assert driver.read("out") == []
        driver.create_topic("logs-web")
        driver.create_topic("other")
        driver.send("logs-web", key="a", value="one")
        driver.send_raw("other", b"a", b"none")
        assert [event.value for event in driver.read("out")] == ["ONE"]
        driver.create_topic("logs-db")
        driver.send("logs-db", key="a", value="two")
        driver.send("logs-web", key="a", value="three")
        assert sorted(event.value for event in driver.read("out")) == ["THREE", "TWO"]


def test_declared_topics_that_match_are_read_too(app: ottla.App) -> None:
    app.topic("logs-web", key=str, value=str)
    with logging_app(app).test() as driver:
        driver.send("logs-web", key="a", value="one")
        assert [event.value for event in driver.read("out")] == ["ONE"]


def test_an_agent_reads_a_pattern_and_its_events_say_from_which_topic_they_are(app: ottla.App) -> None:
    seen = []

    @app.agent(app.topic(pattern="logs-.+", value=str))
    async def read(stream: ottla.Stream[str]) -> None:
        async for event in stream.events():
            seen.append((event.topic, event.value))  # noqa: PERF401

    with app.test() as driver:
        for name in ("logs-a", "logs-b"):
            driver.create_topic(name)
            driver.send(name, key="k", value=name)
        driver.run()
    assert seen == [("logs-a", "logs-a"), ("logs-b", "logs-b")]


def test_without_state_topics_may_have_any_partition_counts(app: ottla.App) -> None:
    with logging_app(app).test() as driver:
        driver.create_topic("logs-wide", 3)
        driver.create_topic("logs-thin", 1)
        for partition in range(3):
            driver.send("logs-wide", key="a", value=str(partition), partition=partition)
        driver.send("logs-thin", key="a", value="thin")
        assert sorted(event.value for event in driver.read("out")) == ["0", "1", "2", "THIN"]


def test_with_state_they_must_be_equal(app: ottla.App) -> None:
    app.stream(app.topic(pattern="logs-.+", value=str)).aggregate("lines", count=ottla.count())
    with app.test() as driver:
        driver.create_topic("logs-a", 2)
        driver.create_topic("logs-b", 2)
        with pytest.raises(ottla.CopartitionError, match="'logs-c' has 3"):
            driver.create_topic("logs-c", 3)


def test_state_of_a_pattern_is_that_of_all_its_topics_and_stays_when_one_appears(app: ottla.App) -> None:
    lines = app.stream(app.topic(pattern="logs-.+", value=str)).aggregate("lines", count=ottla.count())
    with app.test() as driver:
        driver.create_topic("logs-a")
        driver.send("logs-a", key="k", value="1")
        driver.create_topic("logs-b")
        driver.send("logs-b", key="k", value="2")
        assert driver.table(lines)["k"].count == 2


def test_the_apps_own_topics_and_those_of_kafka_match_no_pattern(app: ottla.App) -> None:
    app.stream(app.topic(pattern=".+", value=str)).aggregate("lines", count=ottla.count())
    own = ["shop-lines-changelog", "shop-dead-letter", "shop-assignment", "shop-stores", "__consumer_offsets"]
    assert matching(app.topology, [*own, "orders"]) == {"orders"}


def test_a_topic_that_would_be_read_twice_is_refused(app: ottla.App) -> None:
    logging_app(app)
    app.stream(app.topic("logs-web", key=str, value=str)).to(app.topic("web", value=str))
    with pytest.raises(ottla.TopologyError, match=r"'logs-web' matches 'pattern.logs-.+' and is read by its name"):
        resolved(app.topology, {"logs-web": 1})


def test_the_whole_name_must_match(app: ottla.App) -> None:
    assert matching(logging_app(app).topology, ["logs-web", "old-logs-web", "logs-"]) == {"logs-web"}


def test_a_new_key_needs_a_partition_count_as_long_as_no_topic_matches(app: ottla.App) -> None:
    logs = app.stream(app.topic(pattern="logs-.+", value=str))
    logs.group_by(str.upper, name="by-text", type=str).aggregate("lines", count=ottla.count())
    with pytest.raises(ottla.TopologyError, match=r"no topic matches 'pattern.logs-.\+' yet"):
        app.test()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "logs-("}, "is no regular expression"),
        ({"pattern": "logs", "name": "logs"}, "topics that others create"),
        ({"pattern": "logs", "partitions": 2}, "topics that others create"),
        ({}, "needs a name, or pattern="),
    ],
)
def test_what_makes_no_sense_is_refused(app: ottla.App, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ottla.ConfigError, match=message):
        app.topic(**options)


def test_one_pattern_has_one_declaration(app: ottla.App) -> None:
    logging_app(app)
    with pytest.raises(ottla.DuplicateName, match="declared twice"):
        app.stream(app.topic(pattern="logs-.+", value=int))


def test_the_topology_shows_the_pattern_and_then_its_topics(app: ottla.App) -> None:
    topology = logging_app(app).topology
    assert "    Source: pattern.logs-.+ (topics: logs-.+)\n      --> pattern.logs-.+.map\n" in topology.describe()
    assert "logs-.+" in topology.svg()
    assert "logs-.+" in topology.mermaid()
    found = resolved(topology, {"logs-web": 2, "out": 1})
    assert "Source: topic.logs-web (topics: [logs-web])\n      --> pattern.logs-.+\n" in found.describe()
    assert "logs-web" in found.mermaid()
