"""CreateTopics, DeleteTopics, CreatePartitions."""

import uuid

from ottla_wire.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from ottla_wire.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from ottla_wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic

from ..answers import NO_ID, comparable
from .asking import Ask, batch, produce, question
from .fetch import fetch
from .members import commit
from .positions import offsets


def creatable(name: str, partitions: int = 1, replicas: int = 1, **settings: str | None) -> CreatableTopic:
    configs = [CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in settings.items()]
    return CreatableTopic(
        name=name, num_partitions=partitions, replication_factor=replicas, assignments=[], configs=configs
    )


def assigned(name: str, *assignments: list[int], first: int = 0) -> CreatableTopic:
    return CreatableTopic(
        name=name,
        num_partitions=-1,
        replication_factor=-1,
        assignments=[
            CreatableReplicaAssignment(partition_index=index, broker_ids=brokers)
            for index, brokers in enumerate(assignments, first)
        ],
        configs=[],
    )


@question(CreateTopicsRequest)
def topics_that_are_created(ask: Ask) -> None:
    name = ask.name("topic")
    ask(CreateTopicsRequest(topics=[creatable(name, 2, retention_ms="1000")], validate_only=True))
    ask(CreateTopicsRequest(topics=[creatable(name, 2, retention_ms="1000")]))
    ask(CreateTopicsRequest(topics=[creatable(name)]))
    ask(CreateTopicsRequest(topics=[assigned(ask.name("assigned"), [1], [1])]))


def create(ask: Ask, *topics: CreatableTopic) -> None:
    """Ask without looking at the settings of what is created."""
    answer = ask.quietly(CreateTopicsRequest(topics=list(topics)), ask.version)
    for topic in answer.topics:
        topic.configs = None
    ask.answers.append(comparable(answer))


@question(CreateTopicsRequest, "4-7")
def topics_that_are_created_with_defaults(ask: Ask) -> None:
    create(ask, creatable(ask.name("topic"), -1, -1))


@question(CreateTopicsRequest)
def topics_that_cannot_be_created(ask: Ask) -> None:
    name = ask.name("topic")
    for topic in (
        creatable(""),
        creatable("."),
        creatable("no/such/name"),
        creatable("n" * 250),
        creatable(name, 0),
        creatable(name, -7),
        creatable(name, 1, 0),
        creatable(name, 1, 3),
        creatable(name, 1, -7),
        creatable(name, no_such_setting="1"),
        creatable(name, retention_ms="soon"),
        creatable(name, retention_ms="-5"),
        creatable(name, retention_ms=None),
        creatable(name, cleanup_policy="none such"),
        creatable(name, min_insync_replicas="0"),
        assigned(name, [7]),
        assigned(name, [1, 1]),
        assigned(name, []),
        assigned(name, [1], first=1),
    ):
        create(ask, topic)
    create(ask, creatable(name), creatable(name), creatable(ask.name("other")))
    create(ask, creatable("__consumer_offsets"))


@question(CreateTopicsRequest)
def no_topics(ask: Ask) -> None:
    ask(CreateTopicsRequest(topics=[]))


@question(CreateTopicsRequest)
def topics_whose_names_collide(ask: Ask) -> None:
    name = ask.name("a_b")
    ask.quietly(CreateTopicsRequest(topics=[creatable(name)]))
    ask(CreateTopicsRequest(topics=[creatable(name.replace("_", "."))]))


@question(DeleteTopicsRequest, "1-5")
def topics_that_are_deleted(ask: Ask) -> None:
    topic = ask.topic()
    ask(DeleteTopicsRequest(topic_names=[topic.name, "no.such.topic"], timeout_ms=5000))
    ask(DeleteTopicsRequest(topic_names=[], timeout_ms=5000))
    for names in ([""], ["no/such/name"], [ask.topic(kind="twice").name] * 2):
        ask(DeleteTopicsRequest(topic_names=names, timeout_ms=5000))


@question(DeleteTopicsRequest, "6")
def topics_that_are_deleted_by_name_or_id(ask: Ask) -> None:
    one, two, three = (ask.topic(kind=kind) for kind in ("one", "two", "three"))
    for topics in (
        [DeleteTopicState(name=one.name, topic_id=NO_ID), DeleteTopicState(name=None, topic_id=two.id)],
        [
            DeleteTopicState(name="no.such.topic", topic_id=NO_ID),
            DeleteTopicState(name=None, topic_id=uuid.UUID(int=7)),
        ],
        [DeleteTopicState(name=three.name, topic_id=three.id)],
        [DeleteTopicState(name=three.name, topic_id=NO_ID), DeleteTopicState(name=three.name, topic_id=NO_ID)],
        [DeleteTopicState(name=None, topic_id=NO_ID)],
    ):
        ask(DeleteTopicsRequest(topics=topics, timeout_ms=5000))


@question(DeleteTopicsRequest, "1-5")
def a_topic_that_is_created_anew(ask: Ask) -> None:
    former, group = ask.filled_topic(), ask.name("group")
    ask.coordinator(group)
    ask.quietly(commit(group, former))
    ask(DeleteTopicsRequest(topic_names=[former.name], timeout_ms=5000))
    for named in (MetadataRequestTopic(name=former.name), MetadataRequestTopic(name=None, topic_id=former.id)):
        request = MetadataRequest(topics=[named], allow_auto_topic_creation=False)
        ask.until(lambda response: response.topics[0].error_code, request, 12)
    topic = ask.topic(2)
    for either in (former, topic):
        ask(fetch(either, 0), version=13)
        ask(produce(either, batch(b"a")), version=13)
        ask(commit(group, either), version=10)
    ask(offsets(topic, -1), version=7)


@question(CreatePartitionsRequest)
def topics_that_grow(ask: Ask) -> None:
    topic = ask.topic(2)

    def grow(count: int, *assignments: list[int], name: str = topic.name, only: bool = False) -> None:
        given = [CreatePartitionsAssignment(broker_ids=brokers) for brokers in assignments]
        asked = CreatePartitionsTopic(name=name, count=count, assignments=given or None)
        ask(CreatePartitionsRequest(topics=[asked], timeout_ms=5000, validate_only=only))

    grow(3, only=True)
    grow(3)
    grow(3)
    grow(2)
    grow(-1)
    grow(0)
    grow(4, [1])
    grow(5, [7])
    grow(5, [1], [1])
    grow(5, [1, 1])
    grow(9, name="no.such.topic")
    grow(9, name="no/such/name")
    grow(9, name="")
    request = MetadataRequest(topics=[MetadataRequestTopic(name=topic.name)])
    ask.until(lambda response: len(response.topics[0].partitions) == 4, request, 12)
    twice = [CreatePartitionsTopic(name=topic.name, count=9, assignments=None)] * 2
    ask(CreatePartitionsRequest(topics=twice, timeout_ms=5000, validate_only=False))
