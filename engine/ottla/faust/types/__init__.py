"""`faust.types`: the names by which Faust apps annotate. Those of what the facade has not are any type.

Faust has them in modules by subject, such as `faust.types.tuples`: each of those is this one.
"""

from __future__ import annotations

import sys
from typing import Any, TypeVar

from ottla.faust.agents import Agent as AgentT
from ottla.faust.app import App as AppT
from ottla.faust.channels import Channel as ChannelT
from ottla.faust.events import TP, HeadersArg, Message
from ottla.faust.events import Event as EventT
from ottla.faust.models.fields import FieldDescriptor as FieldDescriptorT
from ottla.faust.models.record import ModelOptions
from ottla.faust.models.record import Record as ModelT
from ottla.faust.serializers.codecs import Codec as CodecT
from ottla.faust.serializers.codecs import CodecArg
from ottla.faust.serializers.schemas import Schema as SchemaT
from ottla.faust.streams import Stream as StreamT
from ottla.faust.topics import Topic as TopicT
from ottla.tables import Table as TableT

K = TypeVar("K")
V = TypeVar("V")

CollectionT = TableT
JoinableT = StreamT

_SUBJECTS = (
    "agents", "app", "assignor", "auth", "channels", "codecs", "core", "enums", "events", "fixups", "joins", "models",
    "router", "sensors", "serializers", "settings", "stores", "streams", "tables", "topics", "transports", "tuples",
    "web", "windows",
)  # fmt: skip
sys.modules.update({f"{__name__}.{subject}": sys.modules[__name__] for subject in _SUBJECTS})

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
    "SinkT",
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
