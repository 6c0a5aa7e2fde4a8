"""Metadata, the brokers of the cluster, their directories and features."""

import uuid
from typing import Any

from ottla_wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from ottla_wire.messages.describe_cluster import DescribeClusterRequest
from ottla_wire.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from ottla_wire.messages.describe_quorum import DescribeQuorumRequest, PartitionData, TopicData
from ottla_wire.messages.describe_topic_partitions import Cursor, DescribeTopicPartitionsRequest, TopicRequest
from ottla_wire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from ottla_wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from ottla_wire.messages.unregister_broker import UnregisterBrokerRequest
from ottla_wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest

from ..answers import comparable
from .asking import Ask, question


def metadata(*names: str, **fields: Any) -> MetadataRequest:
    return MetadataRequest(topics=[MetadataRequestTopic(name=name) for name in names], **fields)


@question(MetadataRequest)
def topics_of_the_metadata(ask: Ask) -> None:
    topic = ask.topic(3)
    ask(metadata(topic.name))
    ask(metadata("no/such/name"))
    ask(metadata(""))
    ask(metadata(topic.name, topic.name))
    if ask.version >= 1:
        ask(metadata())
    if ask.version >= 4:
        ask(metadata("no.such.topic", allow_auto_topic_creation=False))
        ask(metadata(ask.name("created")))
    if ask.version >= 8:
        ask(metadata(topic.name, include_topic_authorized_operations=True))
    if 8 <= ask.version <= 10:
        ask(metadata(include_cluster_authorized_operations=True))


@question(MetadataRequest, "10-13")
def topics_of_the_metadata_by_id(ask: Ask) -> None:
    topic = ask.topic()
    for id_, name in ((topic.id, None), (uuid.UUID(int=7), None), (topic.id, topic.name)):
        asked = MetadataRequest(topics=[MetadataRequestTopic(topic_id=id_, name=name)])
        ask(asked)
        asked.include_topic_authorized_operations = True
        ask(asked)


@question(DescribeClusterRequest)
def a_cluster_that_is_described(ask: Ask) -> None:
    ask(DescribeClusterRequest(include_cluster_authorized_operations=True))
    ask(DescribeClusterRequest(include_cluster_authorized_operations=False))
    if ask.version >= 1:
        for kind in (2, 7):
            ask(DescribeClusterRequest(include_cluster_authorized_operations=False, endpoint_type=kind))


@question(DescribeTopicPartitionsRequest)
def topics_that_are_described_in_pages(ask: Ask) -> None:
    one, two = ask.topic(3, kind="one"), ask.topic(2, kind="two")
    asked = [TopicRequest(name=name) for name in (two.name, one.name)]
    ask(DescribeTopicPartitionsRequest(topics=asked))
    for name in (ask.name("nowhere"), "no/such/name", ""):
        ask(DescribeTopicPartitionsRequest(topics=[TopicRequest(name=name)]))
    ask(DescribeTopicPartitionsRequest(topics=asked, response_partition_limit=2))
    cursor = Cursor(topic_name=one.name, partition_index=1)
    ask(DescribeTopicPartitionsRequest(topics=asked, response_partition_limit=3, cursor=cursor))
    for name, index in ((one.name, -1), (one.name, 7), (ask.name("a"), 0), (ask.name("z"), 0)):
        ask(DescribeTopicPartitionsRequest(topics=asked, cursor=Cursor(topic_name=name, partition_index=index)))


# --- the cluster


@question(DescribeLogDirsRequest)
def sizes_of_partitions(ask: Ask) -> None:
    topic = ask.filled_topic(partitions=2)
    ask(DescribeLogDirsRequest(topics=[DescribableLogDirTopic(topic=topic.name, partitions=[0, 1, 7])]))
    ask(DescribeLogDirsRequest(topics=[DescribableLogDirTopic(topic="no.such.topic", partitions=[0])]))
    ask(DescribeLogDirsRequest(topics=[]))


@question(AlterReplicaLogDirsRequest)
def replicas_that_stay_where_they_are(ask: Ask) -> None:
    topic = ask.topic()
    (described,) = ask.quietly(DescribeLogDirsRequest(topics=[])).results
    for path, name, partitions in (
        (described.log_dir, topic.name, [0]),
        (described.log_dir, topic.name, [7]),
        (described.log_dir, "no.such.topic", [0]),
        ("/no/such/directory", topic.name, [0]),
        ("relative", topic.name, [0]),
        ("", topic.name, [0]),
    ):
        topics = [AlterReplicaLogDirTopic(name=name, partitions=partitions)]
        ask(AlterReplicaLogDirsRequest(dirs=[AlterReplicaLogDir(path=path, topics=topics)]))
    ask(AlterReplicaLogDirsRequest(dirs=[]))


@question(DescribeQuorumRequest)
def voters_of_the_metadata(ask: Ask) -> None:
    for name, index in (("__cluster_metadata", 0), ("__cluster_metadata", 7), ("no.such.topic", 0)):
        asked = TopicData(topic_name=name, partitions=[PartitionData(partition_index=index)])
        answer = ask.quietly(DescribeQuorumRequest(topics=[asked]), ask.version)
        (described,) = answer.topics[0].partitions
        described.high_watermark = 0  # how many records say the same is a broker's own affair
        for voter in described.current_voters:
            voter.log_end_offset = 0
        ask.answers.append(comparable(answer))
    ask(DescribeQuorumRequest(topics=[]))


@question(ElectLeadersRequest)
def elections(ask: Ask) -> None:
    topic = ask.topic(2)
    for name, partitions in ((topic.name, [0, 1]), (topic.name, [7]), ("no.such.topic", [0])):
        ask(ElectLeadersRequest(topic_partitions=[TopicPartitions(topic=name, partitions=partitions)]))
    ask(ElectLeadersRequest(topic_partitions=[]))
    everywhere = ask.quietly(ElectLeadersRequest(topic_partitions=None), ask.version)
    ask.answers.append([comparable(told) for told in everywhere.replica_election_results if told.partition_result])
    ask(ElectLeadersRequest(topic_partitions=[TopicPartitions(topic=topic.name, partitions=[0])] * 2))
    if ask.version >= 1:
        asked = [TopicPartitions(topic=topic.name, partitions=[0])]
        ask(ElectLeadersRequest(election_type=1, topic_partitions=asked))
        ask(ElectLeadersRequest(election_type=7, topic_partitions=asked))


@question(UpdateFeaturesRequest)
def features_that_cannot_be_changed(ask: Ask) -> None:
    for feature, level in (("no.such.feature", 1), ("transaction.version", 99), ("", 1), ("transaction.version", -1)):
        ask(UpdateFeaturesRequest(feature_updates=[FeatureUpdateKey(feature=feature, max_version_level=level)]))


@question(UpdateFeaturesRequest, "1-2")
def features_that_would_be_changed(ask: Ask) -> None:
    for level, kind in ((2, 1), (1, 1), (1, 2), (1, 3), (0, 2), (1, 7)):
        update = FeatureUpdateKey(feature="transaction.version", max_version_level=level, upgrade_type=kind)
        ask(UpdateFeaturesRequest(feature_updates=[update], validate_only=True))


@question(UnregisterBrokerRequest)
def a_broker_that_is_not_registered(ask: Ask) -> None:
    ask(UnregisterBrokerRequest(broker_id=7))
