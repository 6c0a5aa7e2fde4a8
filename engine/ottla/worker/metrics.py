"""A worker's figures for Prometheus, counted per batch and per commit, never per event: see `docs/workers.md`."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ottla.task.processor import TaskCounts
from ottla.transport.contract import TopicPartition

_COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class WorkerMetrics:
    """The figures of one worker, in a registry of its own unless one is given."""

    def __init__(self, app_id: str, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        label = ("app",)

        def counter(name: str, text: str) -> Counter:
            return Counter(name, text, label, registry=self.registry).labels(app_id)

        self.events = counter("ottla_events", "Events processed.")
        self.produced = counter("ottla_produced_records", "Records written to topics, changelogs aside.")
        self.changes = counter("ottla_changelog_records", "Records written to changelogs.")
        self.aborts = counter("ottla_aborted_commits", "Commits that failed and were made anew.")
        self._lost = Counter(
            "ottla_lost_records",
            "Offsets of inputs that were deleted before they were read.",
            ("app", "topic", "partition"),
            registry=self.registry,
        )
        self._app_id = app_id
        self.restored = counter("ottla_restored_records", "Changelog records read to restore state.")
        dropped = Counter(
            "ottla_dropped_events",
            "Events that a step had no use for: without a key or value, or late.",
            ("app", "reason"),
            registry=self.registry,
        )
        self._outcomes = {
            "dead_lettered": counter("ottla_dead_letters", "Events that failed and went to the dead-letter topic."),
            "skipped": counter("ottla_skipped_events", "Events that failed and were skipped."),
            "retried": counter("ottla_retries", "Attempts to process an event that failed again."),
            "null_key_dropped": dropped.labels(app_id, "null_key"),
            "null_value_dropped": dropped.labels(app_id, "null_value"),
            "late_dropped": dropped.labels(app_id, "late"),
            "windows_closed": counter("ottla_closed_windows", "Windows that are over."),
        }
        self.commit_seconds: Histogram = Histogram(
            "ottla_commit_seconds", "Time from a commit's begin to its end.", label,
            buckets=_COMMIT_BUCKETS_S, registry=self.registry,
        ).labels(app_id)  # fmt: skip
        self.restore_seconds: Histogram = Histogram(
            "ottla_restore_seconds", "Time to restore the state of an assignment.", label,
            buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800), registry=self.registry,
        ).labels(app_id)  # fmt: skip
        self.tasks: Gauge = Gauge(
            "ottla_tasks", "Tasks assigned to this worker.", label, registry=self.registry
        ).labels(app_id)
        self.lag: Gauge = Gauge(
            "ottla_lag_records",
            "Offsets between what is committed and the end of the partition.",
            ("app", "topic", "partition"),
            registry=self.registry,
        )

    def count_lost(self, where: TopicPartition, offsets: int) -> None:
        """Counts offsets of an input that were deleted before they were read."""
        self._lost.labels(self._app_id, *where).inc(offsets)

    def count(self, before: TaskCounts, now: TaskCounts) -> None:
        """Counts what became of the events of a task between two commits."""
        if now != before:
            for outcome, counted in self._outcomes.items():
                if more := getattr(now, outcome) - getattr(before, outcome):
                    counted.inc(more)
