"""Under which subject a schema is registered: the strategies of Confluent's serializers, under their names."""

from __future__ import annotations

from collections.abc import Callable

from ottla.serdes.codec import Part

SubjectName = Callable[[str, Part, str], str]
"""Makes a subject of a topic, of which of its parts it is, and of the record's full name."""


def topic_name(topic: str, part: Part, record: str) -> str:  # noqa: ARG001 - one schema for each topic
    """`orders-value`: all values of a topic have one schema, which evolves. The default everywhere."""
    return f"{topic}-{part}"


def record_name(topic: str, part: Part, record: str) -> str:  # noqa: ARG001 - one schema for each record
    """`shop.Order`: a record has one schema in all topics, and a topic may hold several records."""
    return record


def topic_record_name(topic: str, part: Part, record: str) -> str:  # noqa: ARG001 - of keys as of values
    """`orders-shop.Order`: a topic may hold several records, each with its own schema."""
    return f"{topic}-{record}"
