"""`faust.types`: the names by which Faust apps annotate. Those of what the facade has not are any type.

Faust has them in modules by subject, such as `faust.types.tuples`: each of those is this one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from ottla.faust.agents import Agent as AgentT
from ottla.faust.app import App as AppT
from ottla.faust.auth import AuthProtocol, SASLMechanism
from ottla.faust.channels import Channel as ChannelT
from ottla.faust.events import TP, HeadersArg, Message, merge_headers
from ottla.faust.events import Event as EventT
from ottla.faust.models.fields import FieldDescriptor as FieldDescriptorT
from ottla.faust.models.record import ModelOptions
from ottla.faust.models.record import Record as ModelT
from ottla.faust.serializers.codecs import Codec as CodecT
from ottla.faust.serializers.codecs import CodecArg
from ottla.faust.serializers.schemas import Schema as SchemaT
from ottla.faust.settings import Settings
from ottla.faust.streams import Stream as StreamT
from ottla.faust.topics import Topic as TopicT
from ottla.faust.web import Request, Response, View, Web
from ottla.tables import Table as TableT

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

CollectionT = TableT
JoinableT = StreamT

_SUBJECTS = (
    "agents", "app", "assignor", "auth", "channels", "codecs", "core", "enums", "events", "fixups", "joins", "models",
    "router", "sensors", "serializers", "settings", "settings.base", "settings.settings", "stores",
    "streams", "tables", "topics", "transports", "tuples", "web", "windows",
)  # fmt: skip
sys.modules.update({f"{__name__}.{subject}": sys.modules[__name__] for subject in _SUBJECTS})

ONLY_TO_ANNOTATE = {
    "ActorRefT",
    "ActorT",
    "AgentErrorHandler",
    "AgentFun",
    "AgentTestWrapperT",
    "AsyncIterableActorT",
    "AutodiscoverArg",
    "AwaitableActorT",
    "BlueprintT",
    "CacheBackendT",
    "CacheT",
    "ChangelogEventCallback",
    "CoercionHandler",
    "CollectionTps",
    "ConductorT",
    "CredentialsArg",
    "CredentialsT",
    "FieldMap",
    "GlobalTableT",
    "GroupByKeyArg",
    "HostToPartitionMap",
    "HttpClientT",
    "IsInstanceArgT",
    "LeaderAssignorT",
    "OpenHeadersArg",
    "PageArg",
    "PartitionAssignorT",
    "PartitionerT",
    "PartitionsAssignedCallback",
    "PartitionsRevokedCallback",
    "RecoverCallback",
    "RelativeArg",
    "ReplyToArg",
    "ResourceOptions",
    "RouterT",
    "SensorDelegateT",
    "SensorInterfaceT",
    "TPorTopicSet",
    "TableManagerT",
    "TaskArg",
    "TopicToPartitionMap",
    "ViewDecorator",
    "ViewHandlerFun",
    "ViewHandlerMethod",
    "WindowCloseCallback",
    "WindowSetT",
    "WindowWrapperT",
    "WindowedItemsViewT",
    "WindowedValuesViewT",
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


def tp_set_to_map(tps: Iterable[TP]) -> dict[str, set[TP]]:
    """Partitions by their topics."""
    found: dict[str, set[TP]] = {}
    for tp in tps:
        found.setdefault(tp.topic, set()).add(tp)
    return found


__all__ = [
    "ONLY_TO_ANNOTATE",
    "TP",
    "AgentT",
    "AppT",
    "AuthProtocol",
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
    "Request",
    "Response",
    "SASLMechanism",
    "SchemaT",
    "Settings",
    "StreamT",
    "TableT",
    "TopicT",
    "V",
    "View",
    "Web",
    "merge_headers",
    "tp_set_to_map",
]
