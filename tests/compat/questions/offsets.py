"""OffsetCommit, OffsetFetch, OffsetDelete."""

import uuid
from typing import Any

from ottla_wire.messages.join_group import JoinGroupRequestProtocol
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
)
from ottla_wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from ottla_wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)

from ..answers import NO_ID
from .asking import Ask, Topic, question
from .members import commit, settle


def committed(ask: Ask, group: str, *topics: Topic, version: int | None = None, **fields: Any) -> OffsetFetchRequest:
    """The offsets of partitions 0 and 1 of topics; without any, all offsets of the group."""
    if (ask.version if version is None else version) < 8:
        asked = [OffsetFetchRequestTopic(name=topic.name, partition_indexes=[0, 1]) for topic in topics]
        return OffsetFetchRequest(group_id=group, topics=asked or None, **fields)
    by_id = [OffsetFetchRequestTopics(name=topic.name, topic_id=topic.id, partition_indexes=[0, 1]) for topic in topics]
    return OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id=group, topics=by_id or None)], **fields)


@question(OffsetCommitRequest)
def offsets_committed_without_members(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    ask.coordinator(group)
    ask(commit(group, topic))
    ask(commit(group, topic, metadata=None))
    ask(commit(group, topic, metadata="m" * 5000))
    ask(commit(group, topic, index=7))
    ask(commit(group, topic, -1))
    ask(commit(group, Topic("no.such.topic", uuid.UUID(int=7))))
    ask(commit("", topic))


@question(OffsetCommitRequest)
def offsets_committed_by_members(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    joined = settle(ask, group)
    mine = {"generation_id_or_member_epoch": joined.generation_id, "member_id": joined.member_id}
    ask(commit(group, topic, **mine))
    ask(commit(group, topic, **(mine | {"generation_id_or_member_epoch": 17})))
    ask(commit(group, topic, **(mine | {"member_id": "no such member"})))
    ask(commit(group, topic))
    ask(commit(ask.name("nowhere"), topic, **mine))


@question(OffsetCommitRequest)
def several_offsets_of_one_partition(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    ask.coordinator(group)
    request = commit(group, topic, 5)
    request.topics[0].partitions += commit(group, topic, 6).topics[0].partitions
    ask(request)
    ask(committed(ask, group, topic, version=9), version=9)
    request.topics *= 2
    ask(request)
    request.topics[0].partitions[0].partition_index = 7
    ask(request)


@question(OffsetCommitRequest)
def no_offsets(ask: Ask) -> None:
    group = ask.name("group")
    ask.coordinator(group)
    ask(OffsetCommitRequest(group_id=group, member_id="", topics=[]))


@question(OffsetCommitRequest)
def offsets_of_the_topic_of_offsets(ask: Ask) -> None:
    group = ask.name("group")
    ask.coordinator(group)
    (described,) = ask.quietly(MetadataRequest(topics=[MetadataRequestTopic(name="__consumer_offsets")])).topics
    ask(commit(group, Topic("__consumer_offsets", described.topic_id)))


@question(OffsetCommitRequest, "2-4")
def offsets_with_a_retention_of_their_own(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    ask.coordinator(group)
    ask(commit(group, topic, retention_time_ms=1000))


@question(OffsetCommitRequest, "7-10")
def offsets_committed_by_static_members(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    joined = settle(ask, group, group_instance_id="static")
    mine = {"generation_id_or_member_epoch": joined.generation_id, "member_id": joined.member_id}
    for fields in ({"group_instance_id": "static"}, {"group_instance_id": "none such"}, {}):
        ask(commit(group, topic, **(mine | fields)))
    ask(commit(group, topic, **(mine | {"member_id": "other", "group_instance_id": "static"})))


@question(OffsetCommitRequest, "10")
def offsets_committed_for_a_topic_without_an_id(ask: Ask) -> None:
    group = ask.name("group")
    ask.coordinator(group)
    ask(commit(group, Topic("", NO_ID)))


@question(OffsetFetchRequest)
def offsets_of_groups(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    ask.coordinator(group)
    ask.quietly(commit(group, topic))
    ask(committed(ask, group, topic))
    if ask.version >= 2:
        ask(committed(ask, group))
    ask(committed(ask, ask.name("nowhere"), topic))
    ask(committed(ask, group, Topic("no.such.topic", uuid.UUID(int=7))))
    ask(committed(ask, "", topic))


@question(OffsetFetchRequest, "8-10")
def offsets_of_several_groups(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    ask.coordinator(group)
    ask.quietly(commit(group, topic))
    described = committed(ask, group, topic).groups + committed(ask, ask.name("nowhere"), topic).groups
    ask(OffsetFetchRequest(groups=described))
    ask(OffsetFetchRequest(groups=described[:1] * 2))
    ask(OffsetFetchRequest(groups=[]))


@question(OffsetFetchRequest)
def offsets_of_one_partition_twice(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    ask.coordinator(group)
    ask.quietly(commit(group, topic))
    ask(committed(ask, group, topic, topic))


@question(OffsetFetchRequest, "7-10")
def offsets_that_must_be_stable(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    ask.coordinator(group)
    ask.quietly(commit(group, topic))
    ask(committed(ask, group, topic, require_stable=True))


@question(OffsetFetchRequest, "9-10")
def offsets_for_members_that_do_not_exist(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    settle(ask, group)
    asked = [OffsetFetchRequestTopics(name=topic.name, topic_id=topic.id, partition_indexes=[0])]
    for member, epoch in (("no such member", 1), (None, 3)):
        described = OffsetFetchRequestGroup(group_id=group, member_id=member, member_epoch=epoch, topics=asked)
        ask(OffsetFetchRequest(groups=[described]))


@question(OffsetDeleteRequest)
def offsets_that_are_deleted(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    ask.coordinator(group)
    ask.quietly(commit(group, topic))

    def delete(of: str, name: str, *indexes: int) -> None:
        partitions = [OffsetDeleteRequestPartition(partition_index=index) for index in indexes]
        ask(OffsetDeleteRequest(group_id=of, topics=[OffsetDeleteRequestTopic(name=name, partitions=partitions)]))

    delete(group, topic.name, 0, 1)
    delete(group, topic.name, 0, 7, -1)
    delete(group, topic.name, 7)
    delete(group, "no.such.topic", 0)
    delete(ask.name("nowhere"), topic.name, 0)
    delete("", topic.name, 0)


@question(OffsetDeleteRequest)
def offsets_of_topics_that_members_read(ask: Ask) -> None:
    topic, group = ask.topic(2), ask.name("group")
    subscription = b"\0\0" + b"\0\0\0\1" + len(topic.name).to_bytes(2, "big") + topic.name.encode() + b"\0\0\0\0"
    joined = settle(ask, group, protocols=[JoinGroupRequestProtocol(name="range", metadata=subscription)])
    mine = {"generation_id_or_member_epoch": joined.generation_id, "member_id": joined.member_id}
    ask.quietly(commit(group, topic, **mine))
    partitions = [OffsetDeleteRequestPartition(partition_index=0)]
    ask(OffsetDeleteRequest(group_id=group, topics=[OffsetDeleteRequestTopic(name=topic.name, partitions=partitions)]))
    ask(OffsetDeleteRequest(group_id=group, topics=[]))
