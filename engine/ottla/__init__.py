"""Ottla: a stream-processing framework for Python.

    app = ottla.App("flights")
    flights = app.topic("flights", key=str, value=Flight, partitions=6)

    @app.agent(flights)
    async def departed(flights):
        async for flight in flights:
            yield flight

What is exported here is the public API; everything else may change.
"""

from ottla.agents.agent import Agent, current_event
from ottla.agents.channels import Channel, ChannelAgent
from ottla.aggregations import (
    Aggregation,
    collect,
    count,
    first,
    last,
    maximum,
    mean,
    minimum,
    reduce,
    sum,  # noqa: A004
    top,
)
from ottla.app import App
from ottla.cogroup import Cogrouped, WindowedCogroup
from ottla.deadletters import Decision, Failure
from ottla.errors import (
    AgentFailed,
    ConfigError,
    CopartitionError,
    DecodeError,
    DuplicateName,
    EncodeError,
    EventError,
    IncompatibleState,
    InvalidTimestamp,
    NoAnswer,
    NoDestination,
    NotInTask,
    OttlaError,
    ProcessingFailed,
    RecordRefused,
    RecordTooLarge,
    TopologyError,
    Unavailable,
)
from ottla.event import Event, Taken
from ottla.relations import Change, View
from ottla.serdes import Codec, Serde
from ottla.state.changelog import StateProgress
from ottla.state.versioned import Version
from ottla.stream import Stream
from ottla.tables import GlobalTable, SetTable, Table, TableSet, VersionedTable, WindowTable
from ottla.topic import Topic, TopicPattern
from ottla.topology.topology import Topology
from ottla.transport.contract import TopicPartition
from ottla.windows import (
    CountWindow,
    SessionWindow,
    SlidingWindow,
    Window,
    Windowed,
    WindowedStream,
    WindowKey,
    counting,
    hopping,
    session,
    sliding,
    tumbling,
)
from ottla.windows.result_stream import WindowResults

__all__ = [
    "Agent",
    "AgentFailed",
    "Aggregation",
    "App",
    "Change",
    "Channel",
    "ChannelAgent",
    "Codec",
    "Cogrouped",
    "ConfigError",
    "CopartitionError",
    "CountWindow",
    "Decision",
    "DecodeError",
    "DuplicateName",
    "EncodeError",
    "Event",
    "EventError",
    "Failure",
    "GlobalTable",
    "IncompatibleState",
    "InvalidTimestamp",
    "NoAnswer",
    "NoDestination",
    "NotInTask",
    "OttlaError",
    "ProcessingFailed",
    "RecordRefused",
    "RecordTooLarge",
    "Serde",
    "SessionWindow",
    "SetTable",
    "SlidingWindow",
    "StateProgress",
    "Stream",
    "Table",
    "TableSet",
    "Taken",
    "Topic",
    "TopicPartition",
    "TopicPattern",
    "Topology",
    "TopologyError",
    "Unavailable",
    "Version",
    "VersionedTable",
    "View",
    "Window",
    "WindowKey",
    "WindowResults",
    "WindowTable",
    "Windowed",
    "WindowedCogroup",
    "WindowedStream",
    "collect",
    "count",
    "counting",
    "current_event",
    "first",
    "hopping",
    "last",
    "maximum",
    "mean",
    "minimum",
    "reduce",
    "session",
    "sliding",
    "sum",
    "top",
    "tumbling",
]
