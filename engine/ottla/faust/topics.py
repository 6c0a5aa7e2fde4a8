"""Topics of a Faust app."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import ottla
from ottla.errors import TopologyError
from ottla.faust.events import HeadersArg, Sent, check_callback, headers_of, milliseconds
from ottla.faust.missing import TOPIC, Lacking
from ottla.faust.noted import TopicStream
from ottla.faust.serializers.codecs import CodecArg, codec_of
from ottla.faust.serializers.schemas import Schema
from ottla.topic import TopicPattern


class Topic(Lacking):
    """One topic, or several that are read as one stream. Made by `App.topic`."""

    _lacks = TOPIC
    _called = "topic"

    def __init__(
        self,
        app: Any,
        topics: Sequence[ottla.Topic[Any, Any] | TopicPattern[Any, Any]],
        key_type: Any,
        value_type: Any,
        options: Mapping[str, Any],
    ) -> None:
        self.app = app
        self.declared = topics
        self.key_type = key_type
        self.value_type = value_type
        self._options = options

    def __getattr__(self, name: str) -> Any:
        """What the topic was declared with, by the name of the option."""
        if not name.startswith("_") and name in self._options:
            return self._options[name]
        return super().__getattr__(name)

    def __repr__(self) -> str:
        return f"<Topic: {', '.join(self.topics)}>"

    @property
    def topics(self) -> list[str]:
        return [each.regex.pattern if isinstance(each, TopicPattern) else each.name for each in self.declared]

    def get_topic_name(self) -> str:
        """The name. Raises `TopologyError` if there are several."""
        return self.one("named").name

    def one(self, how: str) -> ottla.Topic[Any, Any]:
        only = self.declared[0]
        if len(self.declared) > 1 or isinstance(only, TopicPattern):
            raise TopologyError(f"{self!r} cannot be {how}: it is several topics")
        return only

    def each(self, how: str) -> list[ottla.Topic[Any, Any]]:
        """All of them. Raises `TopologyError` for a pattern."""
        if self.pattern is not None:
            raise TopologyError(f"{self!r} cannot be {how}: it is whatever matches")
        return [topic for topic in self.declared if not isinstance(topic, TopicPattern)]

    def derive(self, *topics: str, prefix: str = "", suffix: str = "", **options: Any) -> Topic:
        """Another topic, declared as this one but for what is given: of those names, or of its own name with something
        before and behind."""
        names = topics or tuple(f"{prefix}{name}{suffix}" for name in self.topics)
        given = {name: value for name, value in options.items() if value is not None}
        topic: Topic = self.app.topic(*names, **{**self._options, "pattern": None, **given})
        return topic

    derive_topic = derive

    def stream(self) -> TopicStream:
        """The topic's events: for a task, or to be combined with those of an agent, `stream & topic.stream()`."""
        return TopicStream(self.app, self)

    def merged(self) -> ottla.Stream[Any]:
        """The stream of Ottla's: of all the topics."""
        stream, *others = (self.app.declared.stream(each) for each in self.declared)
        merged: ottla.Stream[Any] = stream.merge(*others) if others else stream
        return merged

    @property
    def pattern(self) -> re.Pattern[str] | None:
        """What the names match of the topics that are read, if it was declared so."""
        only = self.declared[0]
        return only.regex if isinstance(only, TopicPattern) else None

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Schema | None = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Any = None,
        force: bool = False,  # noqa: ARG002 - a client sends at once, everything else with its commit
    ) -> Sent:
        """Sends an event. `timestamp` is in seconds. Serializers take the place of the topic's."""
        check_callback(callback)
        key, value = self.encoded(key, value, schema or Schema(), key_serializer, value_serializer)
        await self.one("sent to").send(
            key=key, value=value, partition=partition, timestamp=milliseconds(timestamp), headers=headers_of(headers)
        )
        return Sent()

    def encoded(
        self, key: Any, value: Any, schema: Schema, key_serializer: CodecArg, value_serializer: CodecArg
    ) -> tuple[Any, Any]:
        """A key and a value as bytes where serializers are given, which take the place of the topic's."""
        if (serializer := key_serializer or schema.key_serializer) is not None and key is not None:
            key = codec_of(schema.key_type or self.key_type, serializer).encode(key)
        if (serializer := value_serializer or schema.value_serializer) is not None and value is not None:
            value = codec_of(schema.value_type or self.value_type, serializer).encode(value)
        return key, value

    def send_soon(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        schema: Schema | None = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Any = None,
        force: bool = False,
        eager_partitioning: bool = False,  # noqa: ARG002 - the partition is chosen as it is sent
    ) -> None:
        """As `send`, in an agent, without awaiting: it is sent with the event's commit in either case."""
        sending = self.send(
            key=key,
            value=value,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            schema=schema,
            key_serializer=key_serializer,
            value_serializer=value_serializer,
            callback=callback,
            force=force,
        )
        try:
            sending.send(None)
        except StopIteration:
            return
        sending.close()
        raise TopologyError(f"send_soon on {self!r} works in agents, timers and cron jobs; await send() elsewhere")

    async def maybe_declare(self) -> None:
        """Nothing: a worker creates its topics before it begins."""

    declare = maybe_declare
