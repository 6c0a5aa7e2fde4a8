"""The figures of a worker: all of them are in the guide, and they are those of what was committed."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import ottla
from ottla.transport.contract import OutputRecord, TopicPartition, TopicSpec
from ottla.transport.errors import TransactionAbortedError
from ottla.worker.metrics import WorkerMetrics

GUIDE = Path(__file__).parents[3] / "docs" / "workers.md"


def test_the_guide_lists_every_figure_with_its_labels() -> None:
    section = GUIDE.read_text().split("### Figures")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (`ottla_.+?) \| (.+) \|$", section, re.MULTILINE)
    told = {
        name: set(re.findall(r"`(topic|partition|reason)`", text))
        for names, text in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    metrics = WorkerMetrics("shop")
    metrics.lag.labels("shop", "orders", 0).set(1)
    metrics.count_lost(TopicPartition("orders", 0), 1)
    exported: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        exported[name] = {label for sample in family.samples for label in sample.labels} - {"app", "le"}
    assert told == exported


def failing_app() -> ottla.App:
    """Fails on 1 after a retry, skips events of 2; counts by key in windows of ten seconds."""
    app = ottla.App("shop", retries=1, retry_backoff=0, commit_interval=timedelta(milliseconds=10))
    numbers = app.topic("numbers", key=str, value=int, partitions=1)

    @app.agent(numbers)
    async def check(stream: ottla.Stream[int]) -> None:
        async for number in stream:
            if number == 1:
                raise ValueError("one")

    @app.agent(numbers, on_error="skip", retries=0)
    async def skip(stream: ottla.Stream[int]) -> None:
        async for number in stream:
            if number == 2:
                raise ValueError("two")

    app.stream(numbers).window(ottla.tumbling(10)).aggregate("counts", n=ottla.count())
    return app


def test_what_became_of_events_is_counted_with_their_commit(play: Callable[..., None]) -> None:
    async def scenario(cluster: Any) -> None:
        cluster.broker.create_topic(TopicSpec("numbers", 1))
        cluster.broker.append(
            OutputRecord("numbers", key, b"%d" % number, at_s * 1_000)
            for key, number, at_s in [(b"a", 1, 0), (b"a", 2, 1), (None, 3, 2), (b"a", 4, 25), (b"a", 5, 3)]
        )
        cluster.broker.fail_next_commits("numbers", TransactionAbortedError("lost"))
        metrics = WorkerMetrics("shop")
        await cluster.run_to_end(failing_app(), metrics=metrics)
        found = {
            (sample.name, sample.labels.get("reason")): sample.value
            for family in metrics.registry.collect()
            for sample in family.samples
            if family.type == "counter" and sample.name.endswith("_total")
        }
        assert found["ottla_aborted_commits_total", None] == 1
        assert found["ottla_events_total", None] == 10
        assert found["ottla_dead_letters_total", None] == 1
        assert found["ottla_skipped_events_total", None] == 1
        assert found["ottla_retries_total", None] == 1
        assert found["ottla_dropped_events_total", "null_key"] == 1
        assert found["ottla_dropped_events_total", "null_value"] == 0
        assert found["ottla_dropped_events_total", "late"] == 1
        assert found["ottla_closed_windows_total", None] == 2

    play(scenario)
