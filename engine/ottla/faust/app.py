"""`faust.App`: what a Faust app declares, on an `ottla.App` of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

import ottla
from ottla.errors import ConfigError, TopologyError
from ottla.faust.agents import Agent
from ottla.faust.channel_streams import ChannelStream
from ottla.faust.channels import Channel
from ottla.faust.cli import Declared
from ottla.faust.closing import close_windows
from ottla.faust.declaring import DeclaresTables, check_options
from ottla.faust.discovering import discover, modules_of
from ottla.faust.environment import from_environment
from ottla.faust.events import Event, HeadersArg, Sent
from ottla.faust.jobs import DeclaresJobs
from ottla.faust.lifecycle import Lives
from ottla.faust.missing import APP, Lacking
from ottla.faust.noted import TopicStream, unwrapped
from ottla.faust.running import Runs
from ottla.faust.sensed import sensed
from ottla.faust.sensors import Monitor, Sensors
from ottla.faust.serializers.codecs import CodecArg, codec_of
from ottla.faust.settings import Settings as SettingsClass
from ottla.faust.settings import settings
from ottla.faust.signals import Signals
from ottla.faust.tables import FaustTable, Windowed
from ottla.faust.topics import Topic
from ottla.faust.utils import module_of
from ottla.faust.web import Web
from ottla.faust.web.cache import CacheBackend, MemoryCache
from ottla.serdes import Codec
from ottla.task.processor import current
from ottla.topology.discovery import names_in
from ottla.topology.topology import Topology

_by_id: WeakValueDictionary[str, App] = WeakValueDictionary()
"""The apps of this process, to find that of a running task."""


class App(DeclaresTables, DeclaresJobs, Signals, Lives, Runs, Lacking):
    """A Faust app. Options are Faust's (`settings.py`); `app.ottla` is the `ottla.App` it becomes."""

    _lacks = APP
    _called = "app"
    Settings = SettingsClass

    rebalancing = False
    """Workers keep what they have at work while others come and go."""
    should_stop = False
    """A worker that stops ends its tasks where they wait: no loop of theirs has to look."""

    def __init__(self, id: str, **options: Any) -> None:  # noqa: A002 - Faust's name
        monitor: Monitor | None = options.pop("monitor", None)
        monitor_class: type[Monitor] | None = options.pop("Monitor", None)
        self.conf = settings(id, {**options, **from_environment(options.get("env_prefix"))})
        _by_id[self.conf.app_id] = self
        self.declared = ottla.App(self.conf.app_id, **self.conf.for_ottla())
        self._agents: dict[str, Agent] = {}
        self._topics: dict[str, Topic] = {}
        self.tables: dict[str, FaustTable] = {}
        self.seen_tables: list[FaustTable] = []
        """The tables, and what was made of them by time."""
        self.sensors = Sensors()
        self._monitor: Monitor | None = None
        if monitor is None and monitor_class is not None:
            monitor = monitor_class()
        if monitor is not None:
            self.monitor = monitor
        self.web = Web(self)
        self.cache: CacheBackend = MemoryCache()
        """Where answers of views are kept, unless their `cache` has a backend of its own."""
        self.functions: list[Callable[..., Any]] = []
        self.commands: dict[str, Declared] = {}
        self.log = logging.getLogger("ottla.faust")
        self.loop: Any = None
        """What tests set; whoever runs the app has an event loop of its own."""
        self.flow_control = _AlwaysFlows()
        self._finalized = False

    def __repr__(self) -> str:
        return f"<App: {self.conf.app_id}>"

    # -- what is declared

    def topic(
        self,
        *topics: str,
        key_type: Any = None,
        value_type: Any = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        schema: Any = None,
        partitions: int | None = None,
        internal: bool = False,
        retention: Any = None,
        compacting: bool | None = None,
        deleting: bool | None = None,
        config: dict[str, Any] | None = None,
        pattern: Any = None,
        replicas: int | None = None,  # noqa: ARG002 - the cluster's default
        acks: bool = True,  # noqa: ARG002 - always
        allow_empty: bool | None = None,  # a null value is None whatever the type
        has_prefix: bool = False,  # noqa: ARG002 - of Faust's own use
        maxsize: int | None = None,  # noqa: ARG002 - no queue stands between the broker and an agent
        loop: Any = None,  # noqa: ARG002 - whoever runs the app has an event loop of its own
    ) -> Topic:
        """Declares a topic, several that are read as one stream, or with `pattern` all whose whole names match."""
        options = {
            "key_type": key_type,
            "value_type": value_type,
            "key_serializer": key_serializer,
            "value_serializer": value_serializer,
            "schema": schema,
            "partitions": partitions,
            "internal": internal,
            "retention": retention,
            "compacting": compacting,
            "deleting": deleting,
            "config": config,
            "pattern": pattern,
            "allow_empty": allow_empty,
        }
        if bool(topics) == (pattern is not None):
            raise ConfigError("app.topic() takes the names of topics, or pattern=")
        if schema is not None:
            key_type, value_type = key_type or schema.key_type, value_type or schema.value_type
            key_serializer = key_serializer or schema.key_serializer
            value_serializer = value_serializer or schema.value_serializer
        topic_config = {name: str(value) for name, value in (config or {}).items()}
        if retention is not None:
            seconds = retention.total_seconds() if isinstance(retention, timedelta) else retention
            topic_config["retention.ms"] = str(int(seconds * 1000))
        if compacting or deleting:
            topic_config["cleanup.policy"] = ",".join(["compact"] * bool(compacting) + ["delete"] * bool(deleting))
        key = codec_of(key_type, key_serializer or self.conf.key_serializer)
        value = codec_of(value_type, value_serializer or self.conf.value_serializer)
        if pattern is not None:
            if self.conf.consumer_auto_offset_reset != "earliest":
                raise ConfigError("app.topic(pattern=) reads from the start: consumer_auto_offset_reset= is of topics")
            return Topic(
                self, [self.declared.topic(pattern=pattern, key=key, value=value)], key_type, value_type, options
            )
        declared = [
            self.declared.topic(
                name,
                key=key,
                value=value,
                partitions=partitions or (self.conf.topic_partitions if internal else None),
                config=topic_config,
                start=self.conf.consumer_auto_offset_reset,
            )
            for name in topics
        ]
        topic = Topic(self, declared, key_type, value_type, options)
        if len(topics) == 1:
            self._topics[topics[0]] = topic
        return topic

    def stream(
        self,
        channel: Any,
        beacon: Any = None,  # noqa: ARG002 - of Faust's services
        *,
        processors: Iterable[Callable[[Any], Any]] = (),
    ) -> TopicStream | ChannelStream:
        """The events of a topic or channel: for a task, or those of a topic to be combined with those of an agent."""
        stream = channel.stream() if isinstance(channel, Channel) else self.as_topic(channel).stream()
        for processor in processors:
            stream.add_processor(processor)
        return stream

    def channel(
        self,
        *,
        maxsize: int | None = None,
        schema: Any = None,  # noqa: ARG002 - nothing is written
        key_type: Any = None,  # noqa: ARG002
        value_type: Any = None,  # noqa: ARG002
        loop: Any = None,  # noqa: ARG002 - whoever runs the app has an event loop of its own
    ) -> Channel:
        """A stream in memory. One without a bound has room for a thousand events."""
        return Channel(self, self.declared.channel(maxsize=maxsize or 1_000), maxsize or 1_000)

    def agent(
        self,
        channel: Any = None,
        *,
        name: str | None = None,
        concurrency: int = 1,
        sink: Iterable[Any] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        help: str | None = None,  # noqa: A002 - Faust's name
        isolated_partitions: bool = False,  # noqa: ARG002 - they always are
        use_reply_headers: bool = True,  # noqa: ARG002 - always
        supervisor_strategy: Any = None,  # noqa: ARG002 - an agent that raises begins anew
        on_error: Callable[[Agent, BaseException], Any] | None = None,
        **options: Any,
    ) -> Callable[[Callable[..., Any]], Agent]:
        """Declares the async function below as an agent over a topic, a channel, or a topic of its own.

        `on_error` is awaited with the agent and the error when the function raises; what it sends stays.
        """

        def declare(fun: Callable[..., Any]) -> Agent:
            label = name or f"{module_of(unwrapped(fun))}.{unwrapped(fun).__name__}"
            if label in self._agents:
                raise ottla.DuplicateName(f"there are two agents named {label!r}; give one of them name=")
            reads = channel
            if not (reads is None or isinstance(reads, str)):
                check_options(f"agent {label!r}", options, ())
            if reads is None or isinstance(reads, str):
                own = reads or f"{self.conf.app_id}-{label}"
                reads = self.topic(own, internal=True, key_type=key_type, value_type=value_type, **options)
            self._agents[label] = Agent(self, label, fun, reads, list(sink or ()), concurrency, help, on_error)
            return self._agents[label]

        return declare

    actor = agent

    @property
    def monitor(self) -> Monitor:
        """What counts for the app: from its start if it was asked for before, or an agent, timer, task, page or command
        mentions it."""
        if self._monitor is None:
            if self._finalized:
                raise TopologyError("app.monitor has counted nothing: mention it before the app runs, or in its agents")
            self.monitor = Monitor()
        assert self._monitor is not None, "it was just set"
        return self._monitor

    @monitor.setter
    def monitor(self, monitor: Monitor) -> None:
        if self._monitor is not None:
            self.sensors.remove(self._monitor)
        self._monitor = monitor
        self.sensors.add(monitor)

    # -- what runs

    def discover(
        self,
        *modules: str,
        categories: Iterable[str] | None = None,  # noqa: ARG002 - what is imported declares all that it has
        ignore: Iterable[Any] = (),
    ) -> None:
        """Imports modules, and packages with all that is in them but tests, for what they declare. `ignore` has
        regular expressions, or functions of a name, for modules to leave out."""
        discover(modules, ignore)

    @property
    def finalized(self) -> bool:
        """Whether what was declared has become Ottla's."""
        return self._finalized

    @property
    def ottla(self) -> ottla.App:
        """The app as Ottla runs it: for `app.ottla.test()`, streams, windows and joins. Nothing more can be declared by
        Faust's words once it was asked for."""
        self.finalize()
        return self.declared

    @property
    def topology(self) -> Topology:
        """What a worker runs. Topics that are missing are created, and may have any number of partitions."""
        topology = self.ottla.topology
        if not self.conf.topic_allow_declare:
            return topology
        count = self.conf.topic_partitions
        lenient = (
            replace(spec, partitions=None, partitions_if_missing=spec.partitions or count) for spec in topology.topics
        )
        return replace(topology, topics=tuple(lenient))

    @property
    def agents(self) -> dict[str, Agent]:
        return self._agents

    def finalize(self) -> None:
        """Makes what was declared Ottla's."""
        if self._finalized:
            return
        self._discover()
        self.on_webserver_init(self.web)
        self.web.blueprints.apply()
        functions = [*self.functions, *(agent.fun for agent in self._agents.values())]
        if self._monitor is None and any("monitor" in names_in(unwrapped(function)) for function in functions):
            self.monitor = Monitor()
        self._finalized = True
        if self.sensors:
            for table in self.seen_tables:
                sensed(table)
        self.emit_configured()
        self._configure()
        self.live([unwrapped(function) for function in functions])
        for function in self.on_worker_init.functions:
            self.declared.on_start(lambda function=function: function(self))
        for function in self.on_before_shutdown.functions:
            self.declared.on_stop(lambda function=function: function(self))
        if self.on_partitions_assigned.functions or self.on_rebalance_complete.functions:
            self.declared.on_assigned(self.emit_assigned)
        if self.on_partitions_revoked.functions:
            self.declared.on_revoked(self.emit_revoked)
        for table in self.tables.values():
            if table.recover_callbacks:
                self.declared.on_assigned(table.recovered)
            if isinstance(table, Windowed) and table.closing is not None:
                close_windows(table, self.conf.table_cleanup_interval)
        for agent in self._agents.values():
            agent.make()

    async def sleep(self, n: float | timedelta) -> None:
        """Waits for so many seconds, or until the worker stops."""
        await asyncio.sleep(n.total_seconds() if isinstance(n, timedelta) else n)

    async def send(
        self,
        channel: Any,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Any = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Any = None,
        *,
        force: bool = False,  # noqa: ARG002 - see Topic.send
    ) -> Sent:
        """Sends an event to a topic, agent or channel. Serializers take the place of the topic's."""
        to = channel if isinstance(channel, Agent | Channel) else self.as_topic(channel)
        options = {} if schema is None or isinstance(channel, Agent) else {"schema": schema}
        return await to.send(
            key=key,
            value=value,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            callback=callback,
            **options,
        )

    def main(self) -> None:
        """Runs what the command line says: the last line of a script."""
        from ottla.faust.commands import run

        run(self)

    def current_event(self) -> Event | None:
        """The event that the agent is at whose code is running."""
        event = ottla.current_event()
        return None if event is None else Event(self, event)

    # -- for the rest of the facade

    def value_codec(self, type_: Any) -> Codec[Any]:
        return codec_of(type_, "json")

    def as_topic(self, channel: Any) -> Topic:
        """The topic of that name, or the topic itself."""
        if isinstance(channel, Topic):
            return channel
        if isinstance(channel, Agent) and isinstance(channel.channel, Topic):
            return channel.channel
        if not isinstance(channel, str):
            raise TopologyError(f"{channel!r} must be a topic, or the name of one")
        return self._topics[channel] if channel in self._topics else self.topic(channel)

    def _configure(self) -> None:
        """Takes the options as they are now: they may have been set after the app was made."""
        self.conf = settings(self.conf.id, {name: value for name, value in vars(self.conf).items() if name != "id"})
        if self.conf.app_id != self.declared.id:
            raise ConfigError("version= names topics and state that are declared by now: give it to faust.App()")
        self.declared.config = ottla.App(self.conf.app_id, **self.conf.for_ottla()).config

    def _discover(self) -> None:
        self.discover(*modules_of(self.conf.autodiscover, self.conf.origin))


class _AlwaysFlows:
    """`app.flow_control`, of which Faust's tests say that it is to go on."""

    def resume(self) -> None:
        """Nothing was held back."""


def current_event() -> Event | None:
    """The event that the agent is at whose code is running."""
    context = current.get(None)
    app = None if context is None else _by_id.get(context.dead_letter_topic.removesuffix("-dead-letter"))
    return None if app is None else app.current_event()
