"""Topologies as lists of steps: as Ottla declares them, and what they emit in Ottla and in Kafka Streams.

`Streams.java` declares the same steps for Kafka Streams' own `TopologyTestDriver`.
"""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings

import ottla

from .programs import Program

MS = timedelta(milliseconds=1)
EXAMPLES = settings(
    max_examples=int(os.environ.get("OTTLA_EXAMPLES", 40)),
    derandomize="OTTLA_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""The same ones in every run, so that what nobody has seen yet is found by who looks for it: `OTTLA_EXAMPLES` says how
many others are drawn instead."""

Step = dict[str, Any]
Run = Callable[..., None]


class Record(NamedTuple):
    """A record, sent to a topic or read from one."""

    topic: str
    key: str | None
    value: str | None
    timestamp: int


Emitted = list[list[Record]]
"""What each record led to."""


def pair(left: str | None, right: str | None) -> str:
    return f"{left or 'null'}+{right or 'null'}"


def first_letter(value: str) -> str | None:
    return None if value.startswith("-") else value[:1]


def bracketed(value: str) -> str:
    return f"<{value}>"


def declare(app: ottla.App, steps: Iterable[Step]) -> None:
    """The steps in the words of Ottla."""
    made: dict[str, Any] = {}
    for step in steps:
        name, of, other = step.get("name", ""), made.get(step.get("of", "")), made.get(step.get("with", ""))
        how = {"inner": "join", "left": "left_join", "outer": "outer_join"}.get(step.get("how", ""), "")
        match step["step"]:
            case "stream":
                made[name] = app.stream(text_topic(app, step["topic"]))
            case "stream_join":
                window = {each: step[each] * MS for each in ("before", "after", "grace")}
                made[name] = getattr(of, how)(other, pair, name=name, **window)
            case "table":
                made[name] = app.Table(name, source=text_topic(app, step["topic"]))
            case "to_table":
                made[name] = of.to_table(name)
            case "to_stream":
                made[name] = of.to_stream()
            case "filter":
                made[name] = of.filter(at_least(step["least"]))
            case "map_values":
                made[name] = of.map_values(bracketed, type=str)
            case "versioned_table":
                made[name] = app.Table(
                    name, source=text_topic(app, step["topic"]), versioned=step.get("retention", 86_400_000) * MS
                )
            case "stream_table_join":
                made[name] = getattr(of, how)(other, pair, name=name, grace=step.get("grace", 0) * MS)
            case "table_join":
                made[name] = getattr(of, how)(other, pair, type=str)
            case "foreign_key_join":
                made[name] = getattr(of, how)(other, pair, on=first_letter, name=name, type=str)
            case "global_table":
                made[name] = app.GlobalTable(name, source=text_topic(app, step["topic"]))
            case "global_join":
                made[name] = getattr(of, how)(other, pair, key=first_letter, name=name)
            case "aggregate":
                made[name] = of.aggregate(name, all=ottla.reduce(put_in, str)).map_values(told_all, type=str)
            case "group":
                groups = of.group_by(first_letter, name=f"{name}-groups", type=str)
                made[name] = groups.aggregate(name, all=ottla.reduce(put_in, str, remove=taken_out)).map_values(
                    told_all, type=str
                )
            case "count":
                windows = of.window(window_of(step))
                emit = step["within"] * MS if "within" in step else step["emit"]
                counts = windows.aggregate(name, emit=emit, count=ottla.count())
                made[name] = counts.map(count_text, type=str)
            case "window_table":
                counts = of.window(window_of(step)).aggregate(f"{name}-counts", emit=step["emit"], count=ottla.count())
                made[name] = counts.to_window_table(name, retention=86_400).map_values(count_alone, type=str)
            case "window_filter":
                made[name] = of.filter(at_least(step["least"]))
            case "window_join":
                made[name] = getattr(of, how)(other, pair, type=str)
            case "window_foreign_key_join":
                made[name] = getattr(of, how)(other, pair, on=first_letter, name=name, type=str)
            case "window_suppress":
                made[name] = of.suppress(step["within"] * MS)
            case "window_group":
                groups = of.group_by(start_at_hand, name=f"{name}-groups", type=str)
                made[name] = groups.aggregate(name, all=ottla.reduce(put_in, str, remove=taken_out)).map_values(
                    told_all, type=str
                )
            case "window_stream":
                made[name] = of.to_stream().map(result_text, type=str)
            case "to":
                of.to(text_topic(app, step["topic"]))
            case "cogroup":
                made[name] = of.cogroup(put_in).cogroup(other, taken_out).aggregate(name, initial="")
            case "windowed_cogroup":
                windows = of.cogroup(put_in).cogroup(other, taken_out).window(window_of(step))
                merge = joined_by_bar if step["window"] == "session" else None
                aggregates = windows.aggregate(name, emit="update", initial="", merge=merge)
                made[name] = aggregates.map(result_text, type=str)
            case "suppress":
                made[name] = of.suppress(step["within"] * MS, max_records=step.get("most"))
            case "select_key":
                made[name] = of.select_key(first_letter, type=str)
            case "repartition":
                made[name] = of.repartition(name=name)
            case "to_chosen":
                for topic in step["topics"]:
                    text_topic(app, topic)
                of.to(topic_by_letter)
            case unknown:
                raise ValueError(f"there is no step {unknown!r}")


def put_in(so_far: str, value: str | None) -> str:
    return f"{so_far}+{value or 'null'}"


def taken_out(so_far: str, value: str | None) -> str:
    return f"{so_far}-{value or 'null'}"


def told_all(aggregate: Any) -> str:
    text: str = aggregate.all
    return text


def topic_by_letter(event: ottla.Event[str]) -> str:
    return f"out-{'null' if event.value is None else event.value[:1]}"


def at_least(least: str) -> Callable[[str], bool]:
    return lambda value: value >= least


def text_topic(app: ottla.App, name: str) -> ottla.Topic[str, str]:
    return app.topic(name, key=str, value=str)


def window_of(step: Step) -> Any:
    grace = step["grace"] * MS
    match step["window"]:
        case "hopping":
            return ottla.hopping(step["size"] * MS, step["advance"] * MS, grace=grace)
        case "sliding":
            return ottla.sliding(step["size"] * MS, grace=grace)
    return ottla.session(step["size"] * MS, grace=grace)


def joined_by_bar(earlier: str, later: str) -> str:
    """Kafka Streams merges the initial aggregate, too, which here is none."""
    return f"{earlier}|{later}" if earlier else later


def count_alone(result: Any) -> str:
    return str(result.count)


def start_at_hand(_: str) -> str:
    event: ottla.Event[Any] = ottla.current_event()
    return f"from {event.key.start}"


def result_text(result: Any) -> str:
    return f"{result.key}@{result.start}-{result.end}={'null' if result.value is None else result.value}"


def count_text(result: Any) -> str:
    count = "null" if result.value is None else str(result.value.count)
    return f"{result.key}@{result.start}-{result.end}={count}"


def of_kafka_streams(streams: Program, steps: list[Step], records: list[Record]) -> Emitted:
    emitted = streams.call("run_topology", steps=steps, records=records)
    return [[Record(*record) for record in made] for made in emitted]


def written_by(step: Step) -> list[str]:
    match step["step"]:
        case "to":
            return [step["topic"]]
        case "to_chosen":
            return list(step["topics"])
    return []


def of_ottla(steps: list[Step], records: list[Record]) -> Emitted:
    app = ottla.App("shop")
    declare(app, steps)
    outputs = [topic for step in steps for topic in written_by(step)]
    emitted = []
    with app.test() as driver:
        for record in records:
            driver.send(record.topic, key=record.key, value=record.value, timestamp=record.timestamp)
            emitted.append(
                [
                    Record(name, event.key, event.value, event.timestamp)
                    for name in outputs
                    for event in driver.read(name)
                ]
            )
    return emitted
