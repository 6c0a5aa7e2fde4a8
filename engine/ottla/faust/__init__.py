"""Apps written for faust-streaming, run by Ottla: `import ottla.faust as faust`.

What differs is listed in `docs/from-faust.md`. What a Faust app can declare and Ottla does not have is refused by name,
with the reason and what to do instead.
"""

from ottla.channels import Channel
from ottla.faust import codecs, fields, web
from ottla.faust.agents import Agent
from ottla.faust.app import App
from ottla.faust.codecs import Codec
from ottla.faust.events import TP, Event, Message
from ottla.faust.fields import FieldDescriptor, ValidationError
from ottla.faust.records import ModelOptions, Record
from ottla.faust.schema import Schema
from ottla.faust.streams import Stream
from ottla.faust.topics import Topic
from ottla.faust.windows import HoppingWindow, TumblingWindow
from ottla.tables import SetTable, Table

ChannelT = Channel
EventT = Event
StreamT = Stream
TopicT = Topic

__all__ = [
    "TP",
    "Agent",
    "App",
    "Channel",
    "ChannelT",
    "Codec",
    "Event",
    "EventT",
    "FieldDescriptor",
    "HoppingWindow",
    "Message",
    "ModelOptions",
    "Record",
    "Schema",
    "SetTable",
    "Stream",
    "StreamT",
    "Table",
    "Topic",
    "TopicT",
    "TumblingWindow",
    "ValidationError",
    "codecs",
    "fields",
    "web",
]
