"""Reads topics by a librdkafka consumer: a range of each partition, or what a group assigns."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ottla_apps.cli.admin import refusal
from ottla_apps.cli.connection import Cluster
from ottla_apps.cli.errors import Unreachable
from ottla_apps.cli.output import reader_has_gone
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.points import START, Range
from ottla_apps.cli.positions import bounds, resolve, resolve_starts
from ottla_apps.cli.record_format import Shown
from ottla_apps.cli.topics import select_partitions

# Short enough for Ctrl-C to be noticed at once.
_POLL_S = 0.2
_BATCH = 1000
_PROBE_S = 1.0
_FOLLOWING_WAIT_MS = 500
_ENDING_WAIT_MS = 10
_COMMIT_INTERVAL_S = 5.0

Render = Callable[[Shown], bytes]


class Plan(NamedTuple):
    """What to read: from where (None: from the start, or where a group has got to), how much, and whether to wait."""

    topics: Sequence[str]
    span: Range | None
    limit: int | None
    follow: bool
    isolation: str  # read_committed or read_uncommitted


class StopRequests:
    """Whether SIGINT or SIGTERM came while this context manager was open.

    They are noted instead of raised, so that what was printed is also committed; the second one is raised.
    """

    def __init__(self) -> None:
        self.came = False

    def _on_signal(self, _number: int, _frame: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Reader:
    """The loop that both kinds of reader share. `run` returns when the plan is fulfilled; for ever, if it follows."""

    def __init__(self, cluster: Cluster, plan: Plan, settings: dict[str, Any]) -> None:
        self._cluster = cluster
        self._plan = plan
        self._silent_since: float | None = None
        self._probed = 0.0
        common = {
            "enable.partition.eof": True,
            "isolation.level": plan.isolation,
            "error_cb": self._on_error,
            # A fetch at the end of a partition tells that it is the end when it returns.
            "fetch.wait.max.ms": _FOLLOWING_WAIT_MS if plan.follow else _ENDING_WAIT_MS,
        }
        try:
            self._consumer = Consumer(cluster.client(common | settings))
        except KafkaException as error:
            raise refusal("The consumer does not start", error.args[0]) from None

    def run(self, render: Render) -> None:
        """Print records until there are enough, or SIGINT or SIGTERM tells to stop. Raises CommandError, and
        KeyboardInterrupt where it was told to stop.
        """
        with StopRequests() as requests:
            try:
                self._begin()
                self._read(render, requests)
            except KafkaException as error:
                raise refusal(f"{', '.join(self._plan.topics)} cannot be read", error.args[0]) from None
            finally:
                self._end()
        if requests.came:
            raise KeyboardInterrupt

    def _read(self, render: Render, requests: "StopRequests") -> None:
        printed = 0
        while not self._finished() and printed != self._plan.limit and not requests.came:
            most = _BATCH if self._plan.limit is None else min(_BATCH, self._plan.limit - printed)
            messages = self._receive(most)
            for message in messages:
                if self._take(message):
                    sys.stdout.buffer.write(render(message))  # type: ignore[arg-type]
                    self._printed(message)
                    printed += 1
            if messages:
                sys.stdout.buffer.flush()
            if reader_has_gone():
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            self._check_silence()
            self._check_progress()

    def _receive(self, most: int) -> list[Message]:
        """What is there by now; waits a little for the first message, and not for more."""
        first = self._consumer.poll(_POLL_S)
        if first is None:
            return []
        return [first, *self._consumer.consume(most - 1, 0)] if most > 1 else [first]

    def _take(self, message: Message) -> bool:
        """Whether to print a message; it may also be the news that a partition's end was reached."""
        error = message.error()
        if error is None:
            self._silent_since = None
            return self._wanted(message)
        where = Partition(str(message.topic()), message.partition() or 0)
        if error.code() == KafkaError._PARTITION_EOF:
            self._at_end(where, message.offset() or 0)
            return False
        if error.code() == KafkaError._ALL_BROKERS_DOWN or error.retriable():
            self._on_error(error)
            return False
        raise refusal(f"{where} cannot be read" if message.topic() else "The topics cannot be read", error)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and self._silent_since is None:
            self._silent_since = time.monotonic()

    def _check_silence(self) -> None:
        """Give up when no broker has been there for as long as the timeout; librdkafka would try for ever."""
        now = time.monotonic()
        if self._silent_since is None or now - self._probed < _PROBE_S:
            return
        self._probed = now
        try:
            self._consumer.list_topics(self._plan.topics[0], timeout=_PROBE_S)
        except KafkaException:
            if now - self._silent_since > self._cluster.timeout_s:
                timeout_s = self._cluster.timeout_s
                raise Unreachable(f"No broker at {self._cluster.bootstrap} for {timeout_s:g} s.") from None
        else:
            self._silent_since = None

    def _check_progress(self) -> None:
        """Raise where a reader waits for something that does not come."""

    def _begin(self) -> None:
        raise NotImplementedError

    def _finished(self) -> bool:
        raise NotImplementedError

    def _wanted(self, message: Message) -> bool:
        raise NotImplementedError

    def _printed(self, message: Message) -> None:
        raise NotImplementedError

    def _at_end(self, partition: Partition, offset: int) -> None:
        raise NotImplementedError

    def _end(self) -> None:
        self._consumer.close()


class RangeReader(Reader):
    """Reads partitions from an offset each, up to another where the plan has one. Belongs to no group."""

    def __init__(self, cluster: Cluster, plan: Plan, partitions: Sequence[int] | None) -> None:
        wanted = [p for topic in plan.topics for p in select_partitions(cluster.wire, topic, partitions)]
        held = bounds(cluster.wire, wanted, committed_only=plan.isolation == "read_committed")
        span = plan.span or Range(START)
        self._starts = resolve_starts(cluster.wire, span.start, held)
        # What is not there yet cannot be asked for: until it is, what comes before it is passed over.
        self._asked = {partition: min(start, held[partition].end) for partition, start in self._starts.items()}
        self._stops: dict[Partition, int] = {}
        if span.stop is not None:
            self._stops = resolve(cluster.wire, span.stop, held, future=True)
        if not plan.follow:
            self._stops = {partition: min(self._stops.get(partition, end), end) for partition, (_, end) in held.items()}
        self._left = {p for p, start in self._starts.items() if p not in self._stops or start < self._stops[p]}
        # librdkafka wants a group's name of every consumer; this one never joins it and commits nothing.
        settings = {"group.id": "ottla-cli", "enable.auto.commit": False, "auto.offset.reset": "error"}
        super().__init__(cluster, plan, settings)

    def _begin(self) -> None:
        self._consumer.assign([TopicPartition(*partition, self._asked[partition]) for partition in sorted(self._left)])

    def _finished(self) -> bool:
        return not self._left

    def _wanted(self, message: Message) -> bool:
        partition = Partition(str(message.topic()), message.partition() or 0)
        stop = self._stops.get(partition)
        offset = message.offset() or 0
        if offset < self._starts[partition]:
            return False
        if stop is None:
            return True
        if offset + 1 >= stop:
            self._leave(partition)
        return offset < stop

    def _at_end(self, partition: Partition, offset: int) -> None:
        # The last offsets before a stop may be markers of transactions, or compacted away: no message says so.
        stop = self._stops.get(partition)
        if stop is not None and offset >= stop:
            self._leave(partition)

    def _leave(self, partition: Partition) -> None:
        if partition in self._left:
            self._left.discard(partition)
            self._consumer.incremental_unassign([TopicPartition(*partition)])

    def _printed(self, message: Message) -> None:
        """Nothing is to be remembered."""


class GroupReader(Reader):
    """Joins a group, and commits what was printed: now and then, when partitions go, and at the end.

    Where the group has committed nothing it begins at the start; where the plan has a start, there in any case.
    """

    def __init__(self, cluster: Cluster, plan: Plan, group: str) -> None:
        for topic in plan.topics:
            select_partitions(cluster.wire, topic, None)
        self._group = group
        self._assigned: set[Partition] | None = None
        self._unassigned_since = time.monotonic()
        self._committed = time.monotonic()
        self._uncommitted = False
        self._ended: set[Partition] = set()
        self._moved: set[Partition] = set()
        self._starts: dict[Partition, int] = {}  # of those that were moved
        settings = {
            "group.id": group,
            "auto.offset.reset": "earliest",
            # With commits of its own a consumer that closes without a broker waits a minute for the last of them.
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }
        super().__init__(cluster, plan, settings)

    def _begin(self) -> None:
        self._consumer.subscribe(
            list(self._plan.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._assigned = {Partition(found.topic, found.partition) for found in assigned}
        self._ended.clear()
        # A partition that comes back after a rebalance goes on where it was.
        moving = self._assigned - self._moved if self._plan.span is not None else set()
        if moving and self._plan.span is not None:
            wire = self._cluster.wire
            held = bounds(wire, moving)
            self._starts |= resolve_starts(wire, self._plan.span.start, held)
            self._moved |= moving
            for found in assigned:
                if (partition := Partition(found.topic, found.partition)) in moving:
                    found.offset = min(self._starts[partition], held[partition].end)
        consumer.assign(assigned)

    def _on_revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._commit()
        self._on_lost(consumer, revoked)

    def _on_lost(self, _consumer: Consumer, _lost: list[TopicPartition]) -> None:
        """Another member has them already: it is too late for a commit."""
        self._uncommitted = False
        self._assigned = None
        self._unassigned_since = time.monotonic()

    def _check_progress(self) -> None:
        if time.monotonic() - self._committed > _COMMIT_INTERVAL_S:
            self._commit()
        timeout_s = self._cluster.timeout_s
        if self._assigned is None and time.monotonic() - self._unassigned_since > timeout_s:
            raise Unreachable(f"Group {self._group!r} did not assign partitions within {timeout_s:g} s; see --timeout.")

    def _finished(self) -> bool:
        """Whether each partition that this member has was read to its end, unless it is to wait for more."""
        return not self._plan.follow and self._assigned is not None and self._assigned <= self._ended

    def _wanted(self, message: Message) -> bool:
        partition = Partition(str(message.topic()), message.partition() or 0)
        self._ended.discard(partition)
        return (message.offset() or 0) >= self._starts.get(partition, 0)

    def _printed(self, message: Message) -> None:
        self._consumer.store_offsets(message)
        self._uncommitted = True

    def _commit(self) -> None:
        """Commit what was printed, unless no broker is there: then the next member reads those records again."""
        self._committed = time.monotonic()
        if self._uncommitted and self._silent_since is None:
            self._consumer.commit(asynchronous=False)
            self._uncommitted = False

    def _at_end(self, partition: Partition, _offset: int) -> None:
        self._ended.add(partition)

    def _end(self) -> None:
        try:
            self._commit()
        except KafkaException as error:
            raise refusal(f"The offsets of group {self._group!r} were not committed", error.args[0]) from None
        finally:
            super()._end()
