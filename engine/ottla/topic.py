"""Topics as an app declares them: a name, the types of keys and values, and where event time comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, TypeVar

from ottla.errors import ConfigError, EncodeError, NoDestination, Unavailable
from ottla.outlet import current_outlet
from ottla.serdes import Codec, state_key_codec_for
from ottla.task.processor import PartitionCounts, current
from ottla.time import Duration, Extractor, checked_timestamp, duration_ms, timestamp_extractor
from ottla.transport.contract import PASSED_ON, Headers, OutputRecord, TopicSpec

K = TypeVar("K")
V = TypeVar("V")

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def is_topic_name(name: object) -> bool:
    """Whether Kafka lets a topic have this name."""
    return (
        isinstance(name, str) and 0 < len(name) <= 249 and name not in (".", "..") and _NAME_CHARACTERS.issuperset(name)
    )


def check_partitions(what: str, partitions: object) -> None:
    """Raises `ConfigError`, naming what should have so many, for no number of partitions."""
    if partitions is not None and not (isinstance(partitions, int) and partitions >= 1):
        raise ConfigError(f"{what} needs at least one partition, not {partitions!r}")


Start = Literal["earliest", "latest"] | Duration
"""Where reading begins: at an end, or so long before the time at which it begins."""


class Topic(Generic[K, V]):
    """A topic of keys `K` and values `V`. Made by `App.topic`.

    With `partitions` it is created when it is missing; without, it must exist. An `internal` one is the app's own: it
    is created with as many partitions as the plan finds that it needs.
    """

    def __init__(
        self,
        name: str,
        key_codec: Codec[K],
        value_codec: Codec[V],
        *,
        partitions: int | None = None,
        config: Mapping[str, str] | None = None,
        timestamp: str | Extractor | None = None,
        internal: bool = False,
        start: Start = "earliest",
    ) -> None:
        if not is_topic_name(name):
            raise ConfigError(
                f"{name!r} cannot be a topic's name: 1 to 249 letters, digits, dots, dashes and underscores"
            )
        check_partitions(f"topic {name!r}", partitions)
        for setting in (config or {}).items():
            if not all(isinstance(each, str) for each in setting):
                raise ConfigError(f"topic {name!r}: config={dict([setting])!r} must be text, as topic configs are")
        self.name = name
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.spec = TopicSpec(name, partitions, dict(config or {}))
        self.timestamp = timestamp
        self.internal = internal
        self.start = _checked_start(name, start)
        self.extract_timestamp = timestamp_extractor(timestamp, value_codec)

    def __repr__(self) -> str:
        return f"<topic {self.name}>"

    async def send(
        self,
        *,
        key: K | None = None,
        value: V | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Sends an event. In an agent it becomes visible with the commit that covers the event being processed; in a
        timer or cron job with the one that covers the run; under `app.client()` it is written when this returns.

        `timestamp` is in milliseconds since the epoch; without one it is the time of the event being processed, outside
        agents now. Raises `NotInTask` where there is neither, `EncodeError` for a key, value or headers that are not of
        the topic's types, `NoDestination` for a partition that it has not, and `InvalidTimestamp`.
        """
        context = current.get(None)
        if context is not None:
            time = context.event_time() if timestamp is None else timestamp
            counts: PartitionCounts = context.partition_counts
            context.emit(await self.record(key, value, time, headers, partition, counts))
            return
        out = current_outlet(f"sending to topic {self.name!r}")
        time = out.now_ms() if timestamp is None else timestamp
        await out.send([await self.record(key, value, time, headers, partition, out.partition_counts)])

    async def record(
        self,
        key: K | None,
        value: V | None,
        timestamp: int,
        headers: Headers | None,
        partition: int | None,
        partition_counts: PartitionCounts,
    ) -> OutputRecord:
        """An event as it is written. Raises what `send` does for what cannot be."""
        encoded_key, encoded_value = self.encode(key, value)
        if headers:
            headers = _checked_headers(self.name, headers)
        if partition is not None:
            count = (await partition_counts([self.name])).get(self.name)
            if type(partition) is not int or partition < 0 or (count is not None and partition >= count):
                raise NoDestination(f"topic {self.name!r} has {count} partitions, and no partition {partition!r}")
        return OutputRecord(self.name, encoded_key, encoded_value, checked_timestamp(timestamp), headers, partition)

    def encode(self, key: K | None, value: V | None) -> tuple[bytes | None, bytes | None]:
        """The bytes of a key and a value; None stays None. Raises `EncodeError`."""
        return (
            None if key is None else _encode("key", self.name, self.key_codec, key),
            None if value is None else _encode("value", self.name, self.value_codec, value),
        )

    def same_as(self, other: Topic[Any, Any]) -> bool:
        """Whether both declarations say the same."""
        return (
            self.spec == other.spec
            and self.key_codec.name == other.key_codec.name
            and self.value_codec.name == other.value_codec.name
            and self.timestamp == other.timestamp
            and self.internal == other.internal
            and self.start == other.start
        )


class TopicPattern(Generic[K, V]):
    """All topics whose names match, of keys `K` and values `V`, to be read as one. Made by `App.topic(pattern=)`.

    A worker reads those that there are when it begins, and others within a minute of when they appear.
    """

    def __init__(
        self,
        pattern: str | re.Pattern[str],
        key_codec: Codec[K],
        value_codec: Codec[V],
        timestamp: str | Extractor | None = None,
    ) -> None:
        try:
            self.regex = re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"app.topic(pattern={pattern!r}) is no regular expression: {error}") from error
        self.key_codec = key_codec
        self.value_codec = value_codec
        self.timestamp = timestamp

    def __repr__(self) -> str:
        return f"<topics {self.regex.pattern}>"

    def topic(self, name: str) -> Topic[K, V]:
        """One of the topics."""
        return Topic(name, self.key_codec, self.value_codec, timestamp=self.timestamp)

    def same_as(self, other: TopicPattern[Any, Any]) -> bool:
        """Whether both declarations say the same."""
        return (
            self.regex == other.regex
            and self.key_codec.name == other.key_codec.name
            and self.value_codec.name == other.value_codec.name
            and self.timestamp == other.timestamp
        )


def _checked_start(topic: str, start: Start) -> Literal["earliest", "latest"] | int:
    """An end of the topic, or how many milliseconds before now. Raises `ConfigError`."""
    if not isinstance(start, str):
        return duration_ms(start, f"topic {topic!r}: start")
    if start not in ("earliest", "latest"):
        raise ConfigError(f'topic {topic!r}: start={start!r} is unknown; it is "earliest", "latest" or a duration')
    return start


def repartition_topic(
    app_id: str, step: str, key: Any, value_codec: Codec[Any], partitions: int | None
) -> Topic[Any, Any]:
    """The topic through which what a step hands on goes to the tasks of its keys, which are of a type or codec."""
    name = f"{app_id}-{step}-repartition"
    return Topic(
        name,
        key if isinstance(key, Codec) else state_key_codec_for(key, name),
        value_codec,
        partitions=partitions,
        config=PASSED_ON,
        internal=True,
    )


def _checked_headers(topic: str, headers: Headers | Mapping[str, Any]) -> Headers:
    """The headers, texts in UTF-8. Raises `EncodeError` for what cannot be one."""
    checked: Headers = []
    pairs: Iterable[Any] = headers.items() if isinstance(headers, Mapping) else headers
    for each in pairs:
        match each:
            case str(name), str(text):
                checked.append((name, text.encode()))
            case str(name), (bytes() | None) as value:
                checked.append((name, value))
            case _:
                raise EncodeError(
                    f"{each!r:.200} cannot be a header for topic {topic!r}: it is a name with bytes or None"
                )
    return checked


def _encode(part: str, topic: str, codec: Codec[Any], data: Any) -> bytes:
    try:
        encoded = codec.encode(data)
    except Unavailable:
        raise
    except Exception as error:
        raise EncodeError(f"{data!r:.200} cannot be a {part} of topic {topic!r} ({codec.name}): {error}") from error
    if not isinstance(encoded, bytes):
        raise EncodeError(f"{data!r:.200} cannot be a {part} of topic {topic!r} ({codec.name}): it is no bytes")
    return encoded
