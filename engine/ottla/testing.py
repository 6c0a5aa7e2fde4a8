"""`app.test()`: the app's own topology and tasks on a broker in memory, one step at a time, with a clock that
stands still.

    with app.test() as driver:
        driver.send(flights, key="UA", value=Flight(...), timestamp=1_000)
        assert driver.read(delays) == []
        driver.end_of_input()
        assert [event.key for event in driver.read(delays)] == ["UA"]
        assert driver.table("cancelled")["UA"] == 0

Nothing runs until something is looked at: what was sent since then is one batch per partition, processed in timestamp
order and committed at once, as a worker would that just polled it. There are no threads, no waiting and no chance.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from ottla.agents.agent import Agent
from ottla.agents.replies import Replies
from ottla.cluster.records import control_topic
from ottla.cluster.view import ClusterView
from ottla.config import AppConfig
from ottla.errors import OttlaError, ProcessingFailed, Unavailable
from ottla.escapes import contained
from ottla.event import Event
from ottla.jobs import Driven, PartitionsFunction, call
from ottla.outlet import Collected, outlet
from ottla.own_loop import OwnLoop
from ottla.serdes import RAW
from ottla.state.cache import StoreCache, open_cache
from ottla.state.derived_store import open_global
from ottla.state.format import StoreFormat
from ottla.state.global_store import GlobalStore
from ottla.state.memory import MemoryStores
from ottla.state.store import Part, StoreSpec
from ottla.tables import Table
from ottla.task.processor import TaskCounts, check_size
from ottla.task.refusals import Refusals, StateRefused
from ottla.task.task import Task
from ottla.time import Duration, checked_timestamp, duration_ms
from ottla.topic import Topic
from ottla.topology.patterns import resolved
from ottla.topology.topology import Plan, TaskId, Topology
from ottla.transport.contract import Headers, Message, OutputRecord, TopicPartition, TopicSpec
from ottla.transport.memory import MemoryBroker, MemoryTransport
from ottla.worker.assignment import clear_unless_at
from ottla.worker.global_tables import failed_by
from ottla.worker.leader import LEADER_STORE
from ottla.worker.questions import Questions
from ottla.worker.upgrades import refuse_changes

if TYPE_CHECKING:
    from ottla.app import App

logger = logging.getLogger("ottla.testing")

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
R = TypeVar("R")


class Driver:
    """Runs an app in memory. Made by `App.test`; used as a context manager, or closed with `close`.

    It is synchronous, so not for use inside a running event loop. `now_ms` is its clock, moved by `advance` and by the
    waits between retries. Where a worker would stop (`ProcessingFailed`) or wait (`Unavailable`) what is looked at
    raises, and the driver is back at its last commit: the next look tries again.
    """

    def __init__(self, app: App, *, now_ms: int = 0, after: Driver | None = None) -> None:
        self.now_ms: int = now_ms if after is None else max(after.now_ms, now_ms)
        self._app = app
        self._topology = app.topology
        self._broker: MemoryBroker = MemoryBroker() if after is None else after._broker
        self._stores: MemoryStores = MemoryStores() if after is None else after._stores
        self._runner = OwnLoop()
        self._processing = asyncio.Lock()
        self._read: dict[TopicPartition, int] = {} if after is None else after._read
        self._tasks: dict[TaskId, Task] = {}
        self._caches: dict[TaskId, dict[str, StoreCache]] = {}
        self._globals: dict[str, GlobalStore] = {}
        self._added: dict[TopicPartition, int] = {}
        self._ended = False
        self._refusals = Refusals()
        self._control = control_topic(app.id)
        self._view = ClusterView()
        if after is not None:
            refuse_changes(_formats(after._topology), _formats(self._topology))
        for prepare in self._topology.preparations:
            prepare()
        self._create_topics()
        self._make_plan()
        self._jobs = Driven(app.jobs, now_ms)
        self._outlet = _Onward(self, self._broker, app.config, lambda _: self._settle())
        self._within = _Onward(self, self._broker, app.config, self._answer)
        exactly_once = app.config.processing_guarantee == "exactly_once"
        self._asks = None if exactly_once else Questions(self._within, self._owner_of)
        self._turns: defaultdict[TaskId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._start()
        app.held_parts = self._held
        self._channel_agents = self._runner.run(self._begin_channel_agents())
        for function in app.jobs.on_start:
            self.call(function)
        self._tell(app.jobs.on_assigned)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the agents, and calls what `on_stop` registered. What was sent and not looked at is not processed.
        Once is enough."""
        if self._runner.closed:
            return
        with self._runner:
            for function in self._app.jobs.on_stop:
                self.call(function)
            self._tell(self._app.jobs.on_revoked)
            for task in self._tasks.values():
                self._runner.run(task.close())
            self._runner.run(self._end_channel_agents())
            self._runner.run(self._outlet.close())
            self._runner.run(self._within.close())
            self._app.held_parts = None
            self._tasks.clear()

    def _tell(self, functions: Sequence[PartitionsFunction]) -> None:
        """Tells what a worker that has all tasks does at its begin and end."""
        parts = [(self._topology.subtopologies[task.subtopology], task.partition) for task in self._tasks]
        inputs = frozenset(
            TopicPartition(topic, number)
            for part, number in parts
            if not any(spec.name == LEADER_STORE for spec in part.stores)
            for topic in part.inputs_at(number)
        )
        for function in functions:
            self.call(partial(function, inputs))

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        """Creates a topic, as others do. One that a pattern of the app matches is read from now on."""
        self.run()
        self._broker.create_topic(TopicSpec(topic, partitions))
        self._make_plan()
        self._runner.run(self._restart())

    def send(
        self,
        topic: Topic[K, V] | str,
        *,
        key: K | None = None,
        value: V | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Writes an event to a topic, encoded as the topic declares. `timestamp` is in milliseconds; without one,
        now."""
        declared = self._topic(topic)
        encoded_key, encoded_value = declared.encode(key, value)
        if timestamp is not None and type(timestamp) is not int:
            checked_timestamp(timestamp)  # A number may be wrong on purpose, to see the event rejected.
        self.send_raw(
            declared.name, encoded_key, encoded_value, timestamp=timestamp, headers=headers, partition=partition
        )

    def send_raw(
        self,
        topic: Topic[Any, Any] | str,
        key: bytes | None,
        value: bytes | None,
        *,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Writes bytes to a topic, whether or not they are what it declares."""
        if self._ended:
            raise OttlaError("the input was ended with end_of_input(); make a new driver with app.test()")
        name = topic if isinstance(topic, str) else topic.name
        time = self.now_ms if timestamp is None else timestamp
        self._broker.append([OutputRecord(name, key, value, time, headers, partition)])

    @overload
    def read(self, topic: Topic[Any, V]) -> list[Event[V]]: ...
    @overload
    def read(self, topic: str) -> list[Event[Any]]: ...
    def read(self, topic: Topic[Any, Any] | str) -> list[Event[Any]]:
        """The committed events of a topic that were not read before, partition by partition, decoded as it declares."""
        self.run()
        declared = self._topic(topic)
        return [_event(declared, message) for message in self._new_messages(declared.name)]

    def dead_letters(self) -> list[Event[bytes]]:
        """The dead letters that were not read before, as raw bytes."""
        return self.read(Topic(self._app.config.dead_letter_topic, RAW, RAW))

    def table(self, table: Table[K, V] | str) -> Mapping[K, V]:
        """A table over all its partitions, to look at. A missing key has the table's default, if there is one."""
        self.run()
        found = self._app.declared_table(table) if isinstance(table, str) else table
        return _View(found, self._held(found.spec))

    def _held(self, spec: StoreSpec) -> list[Part]:
        if spec.name in self._globals:
            return [self._globals[spec.name]]
        return [caches[spec.name] for caches in self._caches.values() if spec.name in caches]

    @property
    def counts(self) -> TaskCounts:
        """What became of all events since the start or the last restart, over all tasks."""
        self.run()
        return TaskCounts.total(task.counts for task in self._tasks.values())

    def call(self, function: Callable[[], Awaitable[T] | T]) -> T:
        """Calls a function of no arguments, async or not, as a worker calls a task of the app: what it sends is
        written. Background tasks do not run by themselves here."""
        result: T = self._runner.run(self._call(function))
        return result

    def ask(self, agent: Agent[V, R], value: V | None = None, *, key: Any = None) -> R | None:
        """Asks an agent as `Agent.ask` does."""
        answer: R | None = self._runner.run(self._call(lambda: agent.ask(value, key=key)))
        return answer

    async def _call(self, function: Callable[[], Any]) -> Any:
        collected = Collected(self._outlet)
        token = outlet.set(collected)
        try:
            result = await call(function)
        finally:
            outlet.reset(token)
        self._broker.append(collected.records)
        return result

    def advance(self, seconds: Duration) -> None:
        """Moves the clock on, in one step: what is due by then is done once. What was sent before happened before."""
        self.run()
        self.now_ms += duration_ms(seconds, "advance(seconds=)")

    def run(self) -> None:
        """Does what is due at this time, processes all that was sent, and what that leads to, and commits."""
        self._runner.run(self._settle())

    async def _settle(self) -> None:
        for job in self._jobs.take(self.now_ms):
            with contained(job.name):
                await self._call(job.call)
        busy = True
        while busy:
            async with self._processing:
                try:
                    busy = await self._process() > 0
                    self._commit()
                except (ProcessingFailed, Unavailable):
                    await self._restart()
                    raise
                except StateRefused as refused:
                    await self._restart()
                    self._refusals.narrow(refused)
                    busy = True
            # Agents over channels run beside the tasks, and may send to them.
            for agent in self._app.jobs.channel_agents:
                await agent.channel.all_done()
            busy |= self._has_unread()

    async def _begin_channel_agents(self) -> list[asyncio.Task[None]]:
        outlet.set(self._outlet)
        return [asyncio.create_task(agent.run()) for agent in self._app.jobs.channel_agents]

    async def _end_channel_agents(self) -> None:
        for running in self._channel_agents:
            running.cancel()
        await asyncio.gather(*self._channel_agents, return_exceptions=True)

    def _has_unread(self) -> bool:
        return any(
            len(self._broker.partition(where).entries) > self._added.get(where, 0)
            for where in (
                TopicPartition(topic, task_id.partition)
                for task_id in self._tasks
                if not self._is_paused(task_id)
                for topic in self._topology.subtopologies[task_id.subtopology].inputs_at(task_id.partition)
            )
        )

    def end_of_input(self) -> None:
        """Nothing will be sent any more: agents see the end of their stream, all windows close, and all of it
        commits."""
        self.run()
        for task_id, task in () if self._ended else self._tasks.items():
            if self._is_paused(task_id):
                continue
            self._runner.run(task.end_of_input())
            self._commit()
            self.run()
        self._ended = True

    def crash_and_restart(self, *, lose_state: bool = False) -> None:
        """Dies after processing what was sent and before the commit, and starts again from what was committed.

        With `lose_state` the local stores are gone too, and are restored from the changelogs.
        """
        self._runner.run(self._process())
        if lose_state:
            self._stores = MemoryStores()
        self._runner.run(self._restart())

    async def _restart(self) -> None:
        """Goes back to the last commit."""
        for task in self._tasks.values():
            await task.close()
        self._start()

    def _make_plan(self) -> None:
        """Finds out what there is to run, on the topics that there are."""
        counts = {topic: len(partitions) for topic, partitions in self._broker.topics.items()}
        self._topology = resolved(self._app.topology, counts)
        self._plan: Plan = self._topology.plan(counts)
        for spec in (*self._plan.internal_topics, self._control):
            self._broker.create_topic(spec)

    def _create_topics(self) -> None:
        """Creates the declared topics; one without a count gets that of the topics it meets."""
        declared = {spec.name: spec for spec in self._topology.topics}
        for part in self._topology.subtopologies:
            topics = [topic for topic in part.inputs if topic in declared]
            known = [declared[topic].partitions or 1 for topic in topics]
            known += [self._topology.table_partitions.get(spec.name, 1) for spec in part.stores]
            for topic in topics:
                if declared[topic].partitions is None:
                    declared[topic] = TopicSpec(topic, max(known), declared[topic].config)
        for spec in declared.values():
            self._broker.create_topic(spec)

    def _start(self) -> None:
        self._tasks.clear()
        self._caches.clear()
        self._added = dict(self._broker.groups[self._app.id].offsets)
        config = self._app.config
        self._globals = {
            spec.name: open_global(spec, self._stores.open("global", spec.name), failed_by(config.errors))
            for spec in self._topology.global_tables
        }
        for task_id in self._plan.tasks:
            part = self._topology.subtopologies[task_id.subtopology]
            caches = {}
            for spec in part.stores:
                store = spec.open(self._stores, str(task_id))
                if spec.logged:
                    log = self._broker.partition(TopicPartition(spec.changelog, task_id.partition))
                    missing = log.messages(store.offset or 0, len(log.entries))
                    store.write_batch([(each.key() or b"", each.value()) for each in missing], len(log.entries))
                else:
                    inputs = (TopicPartition(topic, task_id.partition) for topic in part.inputs_at(task_id.partition))
                    position = sum(self._added.get(where, 0) for where in inputs)
                    clear_unless_at(store, position, f"{spec.name!r} of task {task_id}")
                caches[spec.name] = open_cache(spec, store)
            self._caches[task_id] = caches
            self._tasks[task_id] = Task(
                part,
                task_id,
                caches,
                policy=config.errors,
                max_record_bytes=config.max_record_bytes,
                dead_letter_topic=config.dead_letter_topic,
                sleep=self._sleep,
                global_tables=self._globals,
                partition_counts=self._outlet.partition_counts,
                refusals=self._refusals,
                asks=self._asks,
            )

    async def _process(self) -> int:
        """Gives every task the time and what is new in its topics and lets it process. Returns how many events that
        were."""
        for table in self._globals.values():
            logs = self._broker.topics[table.spec.changelog]
            table.partitions = len(logs)
            for number, log in enumerate(logs):
                if messages := log.messages(table.partition(number).offset or 0, len(log.entries)):
                    table.apply(number, messages)
        processed = 0
        self._follow_control()
        for task_id, task in self._tasks.items():
            if self._is_paused(task_id):
                continue
            await task.advance(self.now_ms, self.now_ms)
            processed += await self._take_turn(task_id)
        return processed

    async def _take_turn(self, task_id: TaskId) -> int:
        """Gives a task what is new in its topics and lets it process. Returns how many events that were."""
        task = self._tasks[task_id]
        topics = self._topology.subtopologies[task_id.subtopology].inputs_at(task_id.partition)
        async with self._turns[task_id]:
            for topic in topics:
                where = TopicPartition(topic, task_id.partition)
                log = self._broker.partition(where)
                task.add(topic, log.messages(self._added.get(where, 0), len(log.entries)))
                self._added[where] = len(log.entries)
            return await task.process(caught_up=topics)

    def _owner_of(self, where: TopicPartition) -> TaskId | None:
        """Which task reads a partition."""
        parts = self._topology.subtopologies
        reading = (task for task in self._tasks if where.partition == task.partition)
        return next((task for task in reading if where.topic in parts[task.subtopology].inputs), None)

    async def _answer(self, records: Sequence[OutputRecord]) -> None:
        """Lets the tasks process that these requests are for, whose agents another agent waits for: at least once, what
        they send is written before the commit."""
        for record in records:
            if (owner := self._owner_of(TopicPartition(record.topic, record.partition or 0))) is not None:
                await self._take_turn(owner)
                self._broker.append(self._tasks[owner].drain())

    def _follow_control(self) -> None:
        """Reads what is paused."""
        log = self._broker.topics[self._control.name][0]
        self._view.take(log.messages(self._view.position, len(log.entries)))

    def _is_paused(self, task_id: TaskId) -> bool:
        return self._view.pauses.hold(self._topology.subtopologies[task_id.subtopology])

    def _commit(self) -> None:
        tasks = self._tasks.values()
        records = [record for task in tasks for record in task.drain()]
        records += [
            OutputRecord(where.topic, key, value, self.now_ms, None, where.partition)
            for task in tasks
            for where, changes in task.changes().items()
            for key, value in changes
        ]
        ends = self._broker.append(records, transaction=True)
        for task in tasks:
            self._broker.groups[self._app.id].offsets.update(task.offsets)
            task.committed(ends, self._broker.groups[self._app.id].offsets)
            for failure in task.take_failures().values():
                logger.warning("%s", failure)

    async def _sleep(self, seconds: float) -> None:
        self.now_ms += duration_ms(seconds, "a retry's backoff")

    def _topic(self, topic: Topic[K, V] | str) -> Topic[K, V]:
        if isinstance(topic, Topic):
            return topic
        if topic in self._broker.topics and (pattern := self._app.pattern_of(topic)) is not None:
            return pattern.topic(topic)
        return self._app.declared_topic(topic)

    def _new_messages(self, topic: str) -> Iterator[Message]:
        for partition, log in enumerate(self._broker.topics.get(topic, ())):
            where = TopicPartition(topic, partition)
            yield from log.messages(self._read.get(where, 0), len(log.entries))
            self._read[where] = len(log.entries)


def run_to_end(app: App, broker: str) -> None:
    """Runs a worker of the app on a broker, until it has processed what the topics hold; all windows close.

    For tests with real clients, next to the fixture `ottla_broker`. State is kept in memory, and restored from the
    changelogs by the next run. Raises what a worker ends with.
    """
    from ottla.worker.launch import run_worker

    with TemporaryDirectory(prefix="ottla-test-") as state_dir:
        config = replace(app.config, broker=broker, state_dir=Path(state_dir), store="memory")
        run_worker(app.topology, config, until_end=True, jobs=app.jobs)


def _formats(topology: Topology) -> dict[str, StoreFormat]:
    return {spec.name: spec.format for part in topology.subtopologies for spec in part.stores}


class _Onward:
    """An `Outlet` to a driver's broker. A request is processed at once, so that its answer is there."""

    def __init__(
        self,
        driver: Driver,
        broker: MemoryBroker,
        config: AppConfig,
        answer: Callable[[Sequence[OutputRecord]], Awaitable[None]],
    ) -> None:
        self._driver = driver
        self._broker = broker
        self._answer = answer
        self._max_record_bytes = config.max_record_bytes
        self._replies = Replies(MemoryTransport(broker, config.app_id, "test"), config.app_id)

    def now_ms(self) -> int:
        return self._driver.now_ms

    def check(self, records: Iterable[OutputRecord]) -> None:
        for record in records:
            check_size(record, self._max_record_bytes)

    async def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        return {topic: len(self._broker.topics[topic]) for topic in topics if topic in self._broker.topics}

    async def send(self, records: Sequence[OutputRecord]) -> None:
        self.check(records)
        self._broker.append(records)

    async def request(self, records: Sequence[OutputRecord]) -> None:
        self._broker.append(records)
        await self._answer(records)

    async def replies(self) -> Replies:
        return self._replies

    async def close(self) -> None:
        await self._replies.close()


class _View(Mapping[K, V]):
    """A table over all partitions, read-only."""

    def __init__(self, table: Table[K, V], parts: list[Part]) -> None:
        self._table = table
        self._parts = parts

    def __getitem__(self, key: K) -> V:
        for part in self._parts:
            value: V | None = self._table.lookup(part, key)
            if value is not None:
                return value
        if self._table.default is None:
            raise KeyError(key)
        return self._table.default()

    def __contains__(self, key: object) -> bool:
        return any(self._table.lookup(part, key) is not None for part in self._parts)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[K]:
        return (key for part in self._parts for key, _ in self._table.entries(part))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<table {self._table.name}: {dict(self)!r}>"


def _event(topic: Topic[Any, V], message: Message) -> Event[V]:
    key, value = message.key(), message.value()
    return Event(
        None if key is None else topic.key_codec.decode(key),
        None if value is None else topic.value_codec.decode(value),  # type: ignore[arg-type]
        checked_timestamp(message.timestamp()[1]),
        list(message.headers() or ()),
        message.topic(),
        message.partition(),
        message.offset(),
    )
