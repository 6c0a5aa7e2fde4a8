"""Apps written for faust-streaming, run by Ottla: `import ottla.faust as faust`.

What differs is listed in `docs/from-faust.md`. What a Faust app can declare and Ottla does not have is refused by name,
with the reason and what to do instead.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ottla.errors import ConfigError
from ottla.faust import cli, contrib, exceptions, models, modules, sensors, serializers, types, utils, web
from ottla.faust.agents import Agent
from ottla.faust.app import App, current_event
from ottla.faust.auth import GSSAPICredentials, SASLCredentials, SSLCredentials
from ottla.faust.channels import Channel
from ottla.faust.cli import AppCommand, Command
from ottla.faust.events import TP, Event, Message
from ottla.faust.exceptions import ValidationError
from ottla.faust.missing import ABSENT, MODULES, REFUSAL
from ottla.faust.models.fields import FieldDescriptor
from ottla.faust.models.record import ModelOptions, Record
from ottla.faust.sensors import Monitor, Sensor
from ottla.faust.serializers.codecs import Codec
from ottla.faust.serializers.schemas import Schema
from ottla.faust.settings import Settings
from ottla.faust.streams import Stream
from ottla.faust.topics import Topic
from ottla.faust.utils import uuid
from ottla.faust.windows import HoppingWindow, TumblingWindow, Window
from ottla.faust.worker import Worker
from ottla.tables import GlobalTable, SetTable, Table
from ottla.tables.global_sets import SetGlobalTable

ChannelT = Channel
EventT = Event
StreamT = Stream
TopicT = Topic
Model = Record


def __getattr__(name: str) -> Any:
    if name in ("Service", "ServiceT") and find_spec("mode") is not None:
        return getattr(import_module("mode"), name)
    if (instead := MODULES["faust"].get(name) or ABSENT.get(name)) is not None:
        raise ConfigError(REFUSAL.format(f"faust.{name}", instead))
    raise AttributeError(f"module 'ottla.faust' has no attribute {name!r}")


__all__ = [
    "TP",
    "Agent",
    "App",
    "AppCommand",
    "Channel",
    "ChannelT",
    "Codec",
    "Command",
    "Event",
    "EventT",
    "FieldDescriptor",
    "GSSAPICredentials",
    "GlobalTable",
    "HoppingWindow",
    "Message",
    "Model",
    "ModelOptions",
    "Monitor",
    "Record",
    "SASLCredentials",
    "SSLCredentials",
    "Schema",
    "Sensor",
    "SetGlobalTable",
    "SetTable",
    "Settings",
    "Stream",
    "StreamT",
    "Table",
    "Topic",
    "TopicT",
    "TumblingWindow",
    "ValidationError",
    "Window",
    "Worker",
    "cli",
    "contrib",
    "current_event",
    "exceptions",
    "models",
    "modules",
    "sensors",
    "serializers",
    "types",
    "utils",
    "uuid",
    "web",
]
