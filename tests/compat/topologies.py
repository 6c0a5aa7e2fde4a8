"""Topologies as lists of steps: as Ottla declares them, and what they emit in Ottla and in Kafka Streams.

`Streams.java` declares the same steps for Kafka Streams' own `TopologyTestDriver`.
"""

import os
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from hypothesis import HealthCheck, settings

import ottla
from ottla.testing import Driver

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
    number: int | None = None
    """Of a record that was read: which of those that were sent its headers are of."""


Emitted = list[list[Record]]
"""What each record led to."""


def pair(left: str | None, right: str | None) -> str:
    return f"{left or 'null'}+{right or 'null'}"


def first_letter(value: str | None) -> str | None:
    return None if value is None or value.startswith("-") else value[:1]


FOREIGN_OF = {"a": "x", "b": "y", "x": "y", "y": "y"}
"""Which key of the other table a key names."""


def foreign_of_key(_: str) -> str | None:
    return FOREIGN_OF.get(ottla.current_event().key)


def bracketed(value: str) -> str:
    return f"<{value}>"


def declare(app: ottla.App, steps: Iterable[Step], partitions: int = 1) -> None:
    """The steps in the words of Ottla."""
    made: dict[str, Any] = {}

    def topic(name: str) -> ottla.Topic[str, str]:
        return app.topic(name, key=str, value=str, partitions=partitions)

    for step in steps:
        name, of, other = step.get("name", ""), made.get(step.get("of", "")), made.get(step.get("with", ""))
        how = {"inner": "join", "left": "left_join", "outer": "outer_join"}.get(step.get("how", ""), "")
        match step["step"]:
            case "stream":
                made[name] = app.stream(topic(step["topic"]))
            case "stream_join":
                window = {each: step[each] * MS for each in ("before", "after", "grace")}
                made[name] = getattr(of, how)(other, pair, name=name, **window)
            case "stream_filter":
                made[name] = of.filter(passes(step["least"]))
            case "stream_map":
                made[name] = of.map(bracketed_or_null, type=str)
            case "flat_map":
                made[name] = of.flat_map(once_and_again, type=str)
            case "merge":
                made[name] = of.merge(other)
            case "branch":
                parts = of.branch(large=passes(step["least"]))
                made[name], made[f"{name}-rest"] = parts["large"], parts["rest"]
            case "stateful":
                made[name] = app.stream(differences(app, name, of))
            case "punctuated":
                made[name] = app.stream(beats_of(app, name, of, step["every"] * MS))
            case "reduce":
                made[name] = of.aggregate(name, all=ottla.reduce(joined_by_bar, type=str)).map_values(
                    told_all, type=str
                )
            case "window_reduce":
                reduction = ottla.reduce(joined_by_bar, type=str)
                results = of.window(window_of(step)).aggregate(f"{name}-all", emit=emit_of(step), all=reduction)
                made[name] = results.to_window_table(name, retention=86_400).map_values(told_all, type=str)
            case "table":
                made[name] = app.Table(name, source=topic(step["topic"]))
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
                    name, source=topic(step["topic"]), versioned=step.get("retention", 86_400_000) * MS
                )
            case "stream_table_join":
                made[name] = getattr(of, how)(other, pair, name=name, grace=step.get("grace", 0) * MS)
            case "table_join":
                made[name] = getattr(of, how)(other, pair, type=str)
            case "foreign_key_join":
                made[name] = getattr(of, how)(
                    other, pair, on=foreign_of_key if step.get("on") == "key" else first_letter, name=name, type=str
                )
            case "global_table":
                made[name] = app.GlobalTable(name, source=topic(step["topic"]))
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
                of.to(topic(step["topic"]))
            case "cogroup":
                first = put_in_or_forget if step.get("forgets") else put_in
                made[name] = of.cogroup(first).cogroup(other, taken_out).aggregate(name, initial="")
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
                for chosen in step["topics"]:
                    topic(chosen)
                of.to(topic_by_letter)
            case unknown:
                raise ValueError(f"there is no step {unknown!r}")


def passes(least: str) -> Callable[[str | None], bool]:
    return lambda value: value is not None and value >= least


def bracketed_or_null(value: str | None) -> str:
    return f"<{value or 'null'}>"


def once_and_again(value: str | None) -> list[str]:
    return [] if value is None else [value, f"{value}'"]


def put_in(so_far: str, value: str | None) -> str:
    return f"{so_far}+{value or 'null'}"


def put_in_or_forget(so_far: str, value: str) -> str | None:
    return None if value.startswith("-") else f"{so_far}+{value}"


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


def emit_of(step: Step) -> Any:
    """What is told of a window when it closes, Kafka Streams tells by a strategy of the window or by `suppress`."""
    return "close" if step["emit"] == "suppress" else step["emit"]


def number_of(event: ottla.Event[Any]) -> int | None:
    number = dict(event.headers).get("number")
    return None if number is None else int(number)


def differences(app: ottla.App, name: str, of: ottla.Stream[str]) -> ottla.Agent[str, str]:
    """An agent that tells each value with that of its key before."""
    kept = app.Table(f"{name}-kept", key=str, value=str)

    async def differ(events: ottla.Stream[str]) -> AsyncIterator[str]:
        async for event in events.events():
            if event.key is None:
                continue
            before = kept.get(event.key)
            if event.value is None:
                kept.pop(event.key, None)
            else:
                kept[event.key] = event.value
            yield f"{before or 'null'}>{event.value or 'null'}"

    return app.agent(of, name=name, uses=[kept])(differ)


def beats_of(app: ottla.App, name: str, of: ottla.Stream[str], every: timedelta) -> ottla.Topic[str, str]:
    """A topic to which a punctuator writes the time at each beat of stream time."""
    beats = text_topic(app, f"{name}-beats")

    async def beat(time_ms: int) -> None:
        await beats.send(key="beat", value=f"at {time_ms}")

    app.punctuate(of, every=every, name=name)(beat)
    return beats


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


def of_kafka_streams(streams: Program, steps: list[Step], records: list[Record], **what: Any) -> Emitted:
    emitted = streams.call("run_topology", steps=steps, records=records, **what)
    return [[Record(*record) for record in made] for made in emitted]


def written_by(step: Step) -> list[str]:
    match step["step"]:
        case "to":
            return [step["topic"]]
        case "to_chosen":
            return list(step["topics"])
    return []


def of_ottla(
    steps: list[Step],
    records: list[Record],
    *,
    crashes: Collection[int] = (),
    tables: Sequence[str] | None = None,
    dropped: bool = False,
    partitions: int = 1,
) -> Emitted:
    """What Ottla emits for each of the records and, where that is asked for, how many it `dropped` at last and what
    is in the `tables`. `crashes` are the numbers of the records with which the app dies before it commits, and
    loses its local state."""
    app = ottla.App("shop")
    declare(app, steps, partitions)
    outputs = [topic for step in steps for topic in written_by(step)]
    emitted = []
    with app.test() as driver:
        for number, record in enumerate(records):
            headers = [("number", str(number).encode())]
            driver.send(record.topic, key=record.key, value=record.value, timestamp=record.timestamp, headers=headers)
            if number in crashes:
                driver.crash_and_restart(lose_state=True)
            emitted.append(
                [
                    Record(name, event.key, event.value, event.timestamp, number_of(event))
                    for name in outputs
                    for event in driver.read(name)
                ]
            )
        if dropped:
            counts = driver.counts
            number = counts.null_key_dropped + counts.null_value_dropped + counts.late_dropped
            emitted.append([Record("dropped", None, str(number), 0)])
        if tables is not None:
            emitted.append([record for name in tables for record in contents(driver, name)])
    return emitted


def without_numbers(emitted: Emitted) -> Emitted:
    """Without what headers say: where results of windows have none, or have those of an event, here and not there."""
    return [[each._replace(number=None) for each in made] for made in emitted]


def contents(driver: Driver, name: str) -> Iterator[Record]:
    """What a table holds: see `contents` in `Streams.java`."""
    table = driver.table(name)
    for key in sorted(table):
        held = table[key]
        by_window = held if isinstance(held, dict) else {0: held}
        values = {start: getattr(value, "all", value) for start, value in by_window.items()}
        yield from (Record(name, key, value, start) for start, value in values.items() if value is not None)
