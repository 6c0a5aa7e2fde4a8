"""The options of an app, and what it refuses."""

import functools
import re
from typing import Any

import pytest

import ottla


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"broker": "localhost:9092"}, "must be kafka://HOST:PORT or embedded://DIR"),
        ({"processing_guarantee": "twice"}, "it is one of 'exactly_once', 'at_least_once'"),
        ({"store": "disk"}, "it is one of 'rocksdb', 'memory'"),
        ({"commit_interval": 0}, "commit_interval must be at least a millisecond"),
        ({"commit_interval": -1}, "commit_interval must not be negative"),
        ({"on_error": "ignore"}, '"dead_letter", "skip" or "fail"'),
        ({"retries": -1}, "retries must not be negative"),
        ({"state_cache_bytes": -1}, "state_cache_bytes=-1 must be a whole number, 0 or more"),
        # As from the environment
        ({"standbys": "1"}, "standbys='1' must be a whole number, 0 or more"),
    ],
)
def test_an_option_out_of_range_is_refused_with_the_reason(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ottla.ConfigError, match=message):
        ottla.App("shop", **options)


def test_an_app_id_that_cannot_name_topics_is_refused() -> None:
    with pytest.raises(ottla.ConfigError, match="cannot be an app's id"):
        ottla.App("a/b")


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        # What is no function
        (lambda orders, *_: orders.filter(5), "step 'topic.orders.filter' (filter) takes a function, not 5"),
        (lambda orders, _, prices: orders.join(prices, "x"), "takes a function, not 'x'"),
        (lambda _, __, prices: prices.map_values(None), "takes a function, not None"),
        # What is no stream, table or window
        (
            lambda orders, topic, _: orders.join(topic, max),
            "join takes another stream or a table, not <topic orders>; its events are a stream as app.stream(topic)",
        ),
        (lambda orders, topic, _: orders.merge(topic), "merge takes another stream, not <topic orders>"),
        (lambda orders, _, prices: orders.merge(prices), "merge takes another stream, not <table prices>"),
        (
            lambda orders, _, prices: prices.join(orders, max),
            "a table's join takes another table, not <stream topic.orders>; a stream meets a table by stream.join(",
        ),
        (lambda orders, *_: orders.window(60), "window() takes a window, as ottla.tumbling(hours=1) is one, not 60"),
    ],
)
def test_an_operator_says_what_it_takes(mistake: Any, message: str) -> None:
    app = ottla.App("shop")
    topic = app.topic("orders", key=str, value=str)
    prices = app.Table("prices", key=str, value=str)
    with pytest.raises(ottla.TopologyError, match=re.escape(message)):
        mistake(app.stream(topic), topic, prices)


class Unknown:
    """A type of nobody's."""


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda app: app.Table("prices", source="prices"), "table 'prices': source='prices' must be a topic"),
        (lambda app: app.GlobalTable("prices", source="prices"), "table 'prices': source='prices' must be a topic"),
        (lambda app: app.Table("prices", key=str, value=int, partitions=0), "needs at least one partition, not 0"),
        (lambda app: app.SetTable("teams", key=str, value=str, partitions="3"), "at least one partition, not '3'"),
        (lambda app: app.Table("my prices", key=str, value=int), "'my prices' cannot have that name"),
        (lambda app: app.Table("", key=str, value=int), "cannot have that name"),
        (lambda app: app.SetGlobalTable("teams", key=Unknown, value=str), "no type that msgspec knows"),
        (lambda app: app.SetGlobalTable("teams", key=str, value=str, changelog=False), "nobody could read it"),
        (lambda app: app.topic("prices", config={"retention.ms": 5}), "config={'retention.ms': 5} must be text"),
    ],
)
def test_a_table_or_topic_that_could_not_be_is_refused_where_it_is_declared(mistake: Any, message: str) -> None:
    with pytest.raises((ottla.ConfigError, ottla.TopologyError), match=re.escape(message)):
        mistake(ottla.App("shop"))


@pytest.mark.parametrize(
    ("what", "declare"),
    [
        ("an agent", lambda app, **name: app.agent(app.topic("in"), **name)),
        ("an agent", lambda app, **name: app.agent(app.channel(), **name)),
        ("a timer", lambda app, **name: app.timer(1, **name)),
        ("a cron job", lambda app, **name: app.crontab("* * * * *", **name)),
        ("a task", lambda app, **name: app.task(**name)),
        ("a punctuator", lambda app, **name: app.punctuate(app.topic("in"), every=1, **name)),
        ("a command", lambda app, **name: app.command(**name)),
    ],
)
def test_what_is_declared_with_a_function_says_what_it_needs_of_it(what: str, declare: Any) -> None:
    nameless = functools.partial(print, "seen")
    with pytest.raises(ottla.TopologyError, match=re.escape(f"{what} needs a name, and {nameless!r} has none")):
        declare(ottla.App("shop"))(nameless)
    declare(ottla.App("shop"), name="show")(nameless)
    with pytest.raises(ottla.TopologyError, match=f"{what} is made of a function, not of 5"):
        declare(ottla.App("shop"))(5)


def test_what_is_called_at_the_start_is_a_function() -> None:
    with pytest.raises(ottla.TopologyError, match="on_start takes a function, not 5"):
        ottla.App("shop").on_start(5)  # type: ignore[arg-type]
