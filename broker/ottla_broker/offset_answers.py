"""Answers about offsets: the coordinator answers for the partitions that exist, the handler for the others."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar


class _Topic(Protocol):
    name: str
    partitions: Any


T = TypeVar("T", bound=_Topic)


def joined(answered: list[T], refused: list[T], key: Callable[[T], object] = lambda topic: topic.name) -> list[T]:
    """Both in one list that names each topic once: clients that look a topic up find all of its partitions.

    Where nothing was refused, the coordinator's answer is as good as it is.
    """
    if not refused:
        return answered
    topics: dict[object, T] = {}
    for topic in (*answered, *refused):
        first = topics.setdefault(key(topic), topic)
        if first is not topic:
            first.partitions += topic.partitions
    return list(topics.values())
