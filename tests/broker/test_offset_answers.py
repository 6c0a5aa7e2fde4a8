"""Answers of coordinator and handler about the partitions of one topic."""

from ottla_broker.offset_answers import joined
from ottla_wire.messages.offset_delete import OffsetDeleteResponsePartition, OffsetDeleteResponseTopic


def topic(name: str, *indexes: int) -> OffsetDeleteResponseTopic:
    partitions = [OffsetDeleteResponsePartition(partition_index=index) for index in indexes]
    return OffsetDeleteResponseTopic(name=name, partitions=partitions)


def test_each_topic_is_named_once() -> None:
    answered, refused = [topic("a", 0, 1), topic("b", 0), topic("a", 2)], [topic("c", 7), topic("a", 9)]
    assert joined(answered, refused) == [topic("a", 0, 1, 2, 9), topic("b", 0), topic("c", 7)]


def test_what_the_coordinator_answers_alone_is_left_alone() -> None:
    answered = [topic("a", 0), topic("a", 0)]
    assert joined(answered, []) is answered


def test_topics_can_be_told_apart_by_something_else() -> None:
    assert len(joined([topic("a", 0)], [topic("a", 1)], key=id)) == 2
