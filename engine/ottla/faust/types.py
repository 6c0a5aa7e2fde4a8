"""`faust.types`: the names by which Faust apps annotate. Those of what the facade has not are any type."""

from __future__ import annotations

from typing import Any, TypeVar

from ottla.faust.agents import Agent as AgentT
from ottla.faust.app import App as AppT
from ottla.faust.channels import Channel as ChannelT
from ottla.faust.codecs import Codec as CodecT
from ottla.faust.codecs import CodecArg
from ottla.faust.events import TP, HeadersArg, Message
from ottla.faust.events import Event as EventT
from ottla.faust.fields import FieldDescriptor as FieldDescriptorT
from ottla.faust.records import ModelOptions
from ottla.faust.records import Record as ModelT
from ottla.faust.schema import Schema as SchemaT
from ottla.faust.streams import Stream as StreamT
from ottla.faust.topics import Topic as TopicT
from ottla.tables import Table as TableT

K = TypeVar("K")
V = TypeVar("V")

CollectionT = TableT
JoinableT = StreamT

_ONLY_TO_ANNOTATE = {
    "AgentManagerT",
    "ConsumerCallback",
    "ConsumerMessage",
    "ConsumerT",
    "FixupT",
    "FutureMessage",
    "JoinT",
    "MessageSentCallback",
    "ModelArg",
    "PendingMessage",
    "ProcessingGuarantee",
    "Processor",
    "ProducerT",
    "RecordMetadata",
    "RegistryT",
    "SensorT",
    "ServiceT",
    "StoreT",
    "TransactionManagerT",
    "TransportT",
    "WindowRange",
    "WindowT",
}


def __getattr__(name: str) -> Any:
    if name in _ONLY_TO_ANNOTATE:
        return Any
    raise AttributeError(f"module 'ottla.faust.types' has no attribute {name!r}")


__all__ = [
    "TP",
    "AgentT",
    "AppT",
    "ChannelT",
    "CodecArg",
    "CodecT",
    "CollectionT",
    "EventT",
    "FieldDescriptorT",
    "HeadersArg",
    "JoinableT",
    "K",
    "Message",
    "ModelOptions",
    "ModelT",
    "SchemaT",
    "StreamT",
    "TableT",
    "TopicT",
    "V",
]
