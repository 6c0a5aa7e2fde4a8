"""The app: where topics, tables, agents and streams are declared, and what a worker needs to know to run them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ottla.agents.agent import Agent, AgentDecorator
from ottla.agents.channels import Channel, ChannelAgent, ChannelAgentDecorator
from ottla.config import AppConfig, OnLostRecords, ProcessingGuarantee, StoreKind
from ottla.deadletters import ErrorPolicy, OnError, StepPolicy
from ottla.deadletters.letters import dead_letter_topic
from ottla.errors import ConfigError, DuplicateName, TopologyError
from ottla.jobs import DeclaresJobs
from ottla.naming import name_of
from ottla.pausing import Pausable
from ottla.serdes import Serde, codec_for
from ottla.serdes.supported import check_supported
from ottla.stream import Stream
from ottla.tables import Table
from ottla.tables.declaring import DeclaresTables
from ottla.task.punctuators import PunctuationTime, add_punctuator
from ottla.time import Duration, Extractor, duration_ms
from ottla.topic import Start, Topic, TopicPattern
from ottla.topology.graph import Graph
from ottla.topology.topology import Topology
from ottla.transport.kafka_settings import BrokerOptions
from ottla.web.pages import DeclaresPages

if TYPE_CHECKING:
    from ottla.agents.client import Client
    from ottla.testing import Driver

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])

AnyTable = Table[Any, Any]
AnySink = Topic[Any, Any] | Agent[Any, Any] | Channel[Any] | ChannelAgent[Any, Any] | Callable[[Any], Any]


class App(DeclaresTables, DeclaresJobs, DeclaresPages, Pausable):
    """A stream app. Its id names its consumer group, its transactions, its internal topics and its state on disk.

    `commit_interval` is how often outputs, state and offsets commit: under exactly once, results are seen that much
    later. `on_error`, `retries` and `retry_backoff` say what becomes of an event that fails (`ErrorPolicy`), and
    `on_deserialization_error` and `on_production_error` of one that cannot be read or written, where that differs.

    `broker_options` are librdkafka's settings by their own names, for TLS, SASL and tuning, such as
    `{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": ..., "sasl.password": ...}`;
    those that Ottla's guarantees rest on are refused. `standbys` is on how many other workers a copy of each task's
    state is kept up, so that one of them takes the task over without restoring. `acceptable_recovery_lag` is how many
    changelog records a worker may have to read and yet be given a task at once; where it would be more, it warms up a
    copy first, of `max_warmup_replicas` tasks at a time (KIP-441). `tags` say where a worker is, such as
    `{"zone": "eu-1a"}`: copies go where no other of their task is. `state_cache_bytes` is how much of
    their state the tasks of a worker keep decoded in memory, together; what is used often should fit. `broker_wait` is
    how long a worker that begins waits for a broker that does not answer. `on_lost_records` says what becomes of a
    worker whose input has lost records that it had yet to read, by retention or by hand: it reads on where there are
    some, says so and counts them ("continue"), or it stops ("fail"). `max_task_idle` is how long a task with several
    inputs waits, at most, for what is yet to be written to one of which it has read all, before it goes on with the
    others (KIP-353, KIP-695). `web` is where a worker listens for HTTP, as
    `HOST:PORT` or `PORT`: pages, health, metrics and queries (`web/`); `web_auth`, as `USER:PASSWORD`, is asked of
    whoever comes. Raises `ConfigError` for an option out of range.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - the word of Faust and Kafka Streams
        *,
        broker: str = "kafka://127.0.0.1:9092",
        processing_guarantee: ProcessingGuarantee = "exactly_once",
        state_dir: str | Path = ".ottla",
        store: StoreKind = "rocksdb",
        commit_interval: Duration = timedelta(milliseconds=100),
        on_error: OnError = "dead_letter",
        on_deserialization_error: OnError | None = None,
        on_production_error: OnError | None = None,
        retries: int = 0,
        retry_backoff: Duration = timedelta(milliseconds=100),
        broker_options: BrokerOptions | None = None,
        standbys: int = 0,
        acceptable_recovery_lag: int = 10_000,
        max_warmup_replicas: int = 2,
        tags: Mapping[str, str] | None = None,
        state_cache_bytes: int = 48_000_000,
        broker_wait: Duration = 60.0,
        on_lost_records: OnLostRecords = "continue",
        max_task_idle: Duration = 0,
        web: str | None = None,
        web_auth: str | None = None,
    ) -> None:
        self.config = AppConfig(
            id,
            broker,
            processing_guarantee,
            Path(state_dir),
            store,
            duration_ms(commit_interval, "commit_interval"),
            ErrorPolicy(
                on_error,
                retries,
                duration_ms(retry_backoff, "retry_backoff") / 1000,
                on_deserialization_error,
                on_production_error,
            ),
            broker_options=dict(broker_options or {}),
            standbys=standbys,
            acceptable_recovery_lag=acceptable_recovery_lag,
            max_warmup_replicas=max_warmup_replicas,
            tags=dict(tags or {}),
            state_cache_bytes=state_cache_bytes,
            broker_wait_ms=duration_ms(broker_wait, "broker_wait"),
            on_lost_records=on_lost_records,
            max_task_idle_ms=duration_ms(max_task_idle, "max_task_idle"),
            web=web,
            web_auth=web_auth,
        )
        self._graph = Graph(id)
        DeclaresTables.__init__(self, self._graph)
        self.commands: dict[str, Callable[..., Any]] = {}
        DeclaresJobs.__init__(self, self._graph.lead)
        DeclaresPages.__init__(self)

    @property
    def id(self) -> str:
        return self.config.app_id

    def __repr__(self) -> str:
        return f"<app {self.id}>"

    @overload
    def topic(
        self,
        name: str,
        *,
        key: type[K],
        value: type[V],
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
        timestamp: str | Extractor | None = None,
        start: Start = "earliest",
    ) -> Topic[K, V]: ...
    @overload
    def topic(
        self,
        name: str,
        *,
        key: Serde[K],
        value: Serde[V],
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
        timestamp: str | Extractor | None = None,
        start: Start = "earliest",
    ) -> Topic[K, V]: ...
    @overload
    def topic(
        self,
        name: str,
        *,
        value: type[V],
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
        timestamp: str | Extractor | None = None,
        start: Start = "earliest",
    ) -> Topic[str, V]: ...
    @overload
    def topic(
        self,
        name: str,
        *,
        key: Any = str,
        value: Any = Any,
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
        timestamp: str | Extractor | None = None,
        start: Start = "earliest",
    ) -> Topic[Any, Any]: ...
    @overload
    def topic(
        self,
        *,
        pattern: str | re.Pattern[str],
        key: Any = str,
        value: Any = Any,
        timestamp: str | Extractor | None = None,
    ) -> TopicPattern[Any, Any]: ...
    def topic(
        self,
        name: str | None = None,
        *,
        pattern: str | re.Pattern[str] | None = None,
        key: Any = str,
        value: Any = Any,
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
        timestamp: str | Extractor | None = None,
        start: Start = "earliest",
    ) -> Topic[Any, Any] | TopicPattern[Any, Any]:
        """Declares a topic, or with `pattern` all topics whose whole names match that regular expression.

        `key` and `value` are types, serdes or names of codecs (see `ottla.serdes`). With `partitions` the topic is
        created when it is missing, with `config` as Kafka's topic configs. `timestamp` is where event time comes from:
        a field's name or a function of the value, in milliseconds since the epoch or as a `datetime`; without it, it is
        the record's own timestamp. `start` is where the app begins to read it where it has not committed yet:
        "earliest", "latest", or a duration, which is what came within that time before (KIP-1106).
        """
        if pattern is not None:
            if name is not None or partitions is not None or config is not None or start != "earliest":
                raise ConfigError(
                    "app.topic(pattern=) is about topics that others create, which are read from their beginning: it "
                    "takes types and timestamp="
                )
            label = str(pattern)
            check_supported(key, f"key of topics {label!r}")
            check_supported(value, f"value of topics {label!r}")
            return TopicPattern(pattern, codec_for(key, label, "key"), codec_for(value, label, "value"), timestamp)
        if name is None:
            raise ConfigError("app.topic() needs a name, or pattern=")
        check_supported(key, f"key of topic {name!r}")
        check_supported(value, f"value of topic {name!r}")
        topic: Topic[Any, Any] = Topic(
            name,
            codec_for(key, name, "key"),
            codec_for(value, name, "value"),
            partitions=partitions,
            config=config,
            timestamp=timestamp,
            start=start,
        )
        return self._graph.topic(topic)

    def stream(self, source: Topic[Any, V] | TopicPattern[Any, V] | Agent[Any, V]) -> Stream[V]:
        """The events of a topic, or those that an agent yields, with the key, time and headers of the event it was
        at."""
        if isinstance(source, Agent):
            return source.stream
        if isinstance(source, Topic):
            return Stream(self._graph, self._graph.source(source), source.key_codec, source.value_codec.kept)
        if isinstance(source, TopicPattern):
            return Stream(self._graph, self._graph.pattern(source), source.key_codec, source.value_codec.kept)
        raise TopologyError(
            f"what is read is a topic as app.topic() declares it, a pattern of topics or an agent, not {source!r}"
        )

    @overload
    def agent(
        self,
        source: Topic[Any, V] | Agent[Any, V] | Stream[V],
        *,
        name: str | None = None,
        uses: Sequence[AnyTable] = (),
        sink: Sequence[AnySink] = (),
        batch: bool = False,
        concurrency: int = 1,
        on_error: OnError | None = None,
        retries: int | None = None,
        retry_backoff: Duration | None = None,
    ) -> AgentDecorator[V]: ...
    @overload
    def agent(
        self, source: Channel[V], *, name: str | None = None, sink: Sequence[AnySink] = (), concurrency: int = 1
    ) -> ChannelAgentDecorator[V]: ...
    def agent(
        self,
        source: Topic[Any, V] | Agent[Any, V] | Stream[V] | Channel[V],
        *,
        name: str | None = None,
        uses: Sequence[AnyTable] = (),
        sink: Sequence[AnySink] = (),
        batch: bool = False,
        concurrency: int = 1,
        on_error: OnError | None = None,
        retries: int | None = None,
        retry_backoff: Duration | None = None,
    ) -> AgentDecorator[V] | ChannelAgentDecorator[V]:
        """Declares the function below as an agent over a topic or stream.

        - An **async** function is called once per task with its `Stream` and runs as long as the task; what it yields
          are its results.
        - A **plain** function is called with each value. What it returns is a result, unless that is None; what it
          yields always is.
        - With **batch=True** either gets whole batches, lists of values as they were polled (`Taken`: `events` has
          their contexts), and gives lists with a result for each, None for none. It is the fastest way.

        Results are a stream of their own (`app.stream(agent)`) and go to each `sink`: a topic, an agent's topic, a
        function, async or not, of the value.

        With **concurrency=N** a task has N instances of an async function, for agents that wait for other services.
        They share each batch by key: events of one key stay in order and meet one instance, and results go on in the
        order of the events. A batch is acknowledged when all of it is done.

        `on_error`, `retries` and `retry_backoff` are the app's unless the agent has its own.

        The agent's name is the function's, or `name`. Tables it uses are found in its code; `uses` names those that
        cannot be seen there.

        An agent over a channel runs in the worker, outside the tasks: see `agents/channels.py`.
        """
        if isinstance(source, Channel):
            if uses or batch or retries or retry_backoff or on_error:
                raise TopologyError("an agent over a channel takes name=, sink= and concurrency= only: it is no task")
            return ChannelAgentDecorator(
                source,
                lambda agent: self.jobs.add_channel_agent(agent, concurrency),
                name=name,
                sink=sink,
                fail=self.config.errors.on_error == "fail",
            )
        stream = source if isinstance(source, Stream) else self.stream(source)
        topic = source if isinstance(source, Topic) else None
        return AgentDecorator(
            self._graph,
            stream,
            topic,
            name=name,
            uses=uses,
            sink=sink,
            batch=batch,
            concurrency=concurrency,
            errors=StepPolicy(on_error, retries, retry_backoff),
        )

    def channel(self, *, maxsize: int = 1_000) -> Channel[Any]:
        """A stream within the process, in memory, outside transactions. Sending to it waits while `maxsize` events
        wait."""
        return Channel(maxsize)

    def punctuate(
        self,
        source: Topic[Any, Any] | Agent[Any, Any] | Stream[Any] | None = None,
        *,
        every: Duration,
        time: PunctuationTime = "stream",
        uses: Sequence[AnyTable] = (),
        name: str | None = None,
    ) -> Callable[[F], F]:
        """Declares the function below as one that each task calls as time goes on, with its part of the tables at hand;
        what it writes and sends is in the task's transaction.

        It may be async, and takes nothing or the time in milliseconds. By `time="stream"` it is called with the first
        event and then whenever event time reaches a multiple of `every`, after the event that did; by `"wall"` every
        `every` on the clock. However far time jumps, it is one call.

        It runs in the tasks that hold the tables it uses; `source` names a topic, agent or stream in whose tasks it
        runs if it uses none.
        """
        after = None if source is None else (source if isinstance(source, Stream) else self.stream(source)).step

        def declare(function: F) -> F:
            add_punctuator(self._graph, function, every, time, after=after, name=name, uses=uses)
            return function

        return declare

    @overload
    def command(self, function: F) -> F: ...
    @overload
    def command(self, *, name: str | None = None) -> Callable[[F], F]: ...
    def command(self, function: F | None = None, *, name: str | None = None) -> F | Callable[[F], F]:
        """Declares the function below, async or not, as a command of the app: its parameters are what it takes on the
        command line, by their annotations (typer). It runs under `app.client()`, so it may send and ask."""

        def declare(function: F) -> F:
            label = name_of("a command", function, name).replace("_", "-")
            if label in self.commands:
                raise DuplicateName(f"there are two commands named {label!r}; give one of them name=")
            self.commands[label] = function
            return function

        return declare if function is None else declare(function)

    def main(self) -> None:
        """Runs what the command line says, `worker` or a command of the app, and exits: the last line of a script."""
        from ottla.app_commands import run_main

        run_main(self)

    def declared_topic(self, name: str) -> Topic[Any, Any]:
        """The topic declared under this name. Raises `TopologyError` if there is none."""
        return self._graph.declared_topic(name)

    def pattern_of(self, topic: str) -> TopicPattern[Any, Any] | None:
        """The declared pattern that a topic's name matches, unless the topic is declared itself."""
        return self._graph.pattern_of(topic)

    def declared_table(self, name: str) -> AnyTable:
        """The table declared under this name. Raises `TopologyError` if there is none."""
        return self._graph.declared_table(name)

    @property
    def declared_tables(self) -> list[AnyTable]:
        """All tables, in the order of their declaration; global tables come last."""
        return self._graph.tables

    @property
    def declared_topics(self) -> list[Topic[Any, Any]]:
        """All topics that the user declared and Ottla needs for them."""
        return self._graph.topics

    @property
    def topology(self) -> Topology:
        """The graph of all that is declared so far. Raises `TopologyError` if it cannot run."""
        if self.jobs and self._graph.is_empty:
            self._graph.lead()  # A worker reads something, and be it the leader's empty topic.
        return self._graph.freeze(dead_letter_topic(self.config.dead_letter_topic))

    def client(self) -> Client:
        """For programs that are no worker: `async with app.client():` makes `send` and `ask` work in its block."""
        from ottla.agents.client import Client

        return Client(self.config)

    def running(self) -> AbstractAsyncContextManager[None]:
        """A worker on the event loop of another program, such as a web server: `async with app.running():`.

        While it lasts, code of that loop sends, asks and queries tables (`web`) as a task of the app does. It ends
        after a last commit. Raises what starts badly, and at the end what has ended the worker before, which is logged.
        """
        from ottla.worker.hosted import hosted

        return hosted(self.topology, self.config, self)

    def test(self, *, now: int | datetime = 0, after: Driver | None = None) -> Driver:
        """This app on memory instead of a broker, with a clock that only moves when told: see `testing.py`.

        The clock begins at `now`, milliseconds since the epoch or a time with its zone. With `after` the app goes on
        with the topics and the state that another driver left when it was closed, as a new version of its app does:
        raises `IncompatibleState` if it could not.
        """
        from ottla.testing import Driver

        if isinstance(now, datetime):
            if now.tzinfo is None:
                raise ConfigError(f"test(now={now!r}) names no time zone: whose {now:%H:%M} is it?")
            now = int(now.timestamp() * 1000)
        return Driver(self, now_ms=now, after=after)
