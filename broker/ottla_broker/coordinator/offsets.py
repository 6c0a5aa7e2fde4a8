"""Committing, fetching, deleting and expiring offsets: the rules over `OffsetStore`. Pure.

Who may commit is in `fencing`.
"""

from collections.abc import Iterable, Iterator, Sequence

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.classic_group import ClassicGroup, GroupState
from ottla_broker.coordinator.consumer_group import ConsumerGroup
from ottla_broker.coordinator.decision import Decision, Producer
from ottla_broker.coordinator.embedded_protocol import PROTOCOL_TYPE
from ottla_broker.coordinator.fencing import (
    check_classic_commit,
    check_consumer_commit,
    check_consumer_commit_in_transaction,
)
from ottla_broker.coordinator.group_records import OffsetCommitKey, OffsetCommitValue
from ottla_broker.coordinator.offset_store import CommittedOffset, OffsetStore
from ottla_broker.coordinator.partitions import TopicIdPartition
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from ottla_wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from ottla_wire.messages.offset_fetch import (
    OffsetFetchRequestTopics,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
)
from ottla_wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestTopic,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

INVALID_OFFSET = -1


class Offsets:
    """The rules, over the offsets of one partition of the log."""

    def __init__(self, config: BrokerConfig, store: OffsetStore, image: ClusterImage) -> None:
        self._config = config
        self._store = store
        self._image = image

    # -- commit

    def commit(
        self,
        group: ClassicGroup | ConsumerGroup,
        request: OffsetCommitRequest,
        version: int,
        now_ms: int,
        decision: Decision,
    ) -> OffsetCommitResponse:
        """OffsetCommit. Raises the KafkaError that holds for the whole group."""
        member_id, generation = request.member_id, request.generation_id_or_member_epoch
        if isinstance(group, ClassicGroup):
            check_classic_commit(group, member_id, request.group_instance_id, generation, transactional=False)
        else:
            check_consumer_commit(group, member_id, generation, lambda: self._by_id(request.topics), version=version)
        expire_ms = -1 if request.retention_time_ms == -1 else now_ms + request.retention_time_ms
        return OffsetCommitResponse(
            topics=[
                OffsetCommitResponseTopic(
                    name=topic.name,
                    topic_id=topic.topic_id,
                    partitions=[
                        OffsetCommitResponsePartition(partition_index=index, error_code=code)
                        for index, code in self._record(group, topic, now_ms, decision, expire_ms)
                    ],
                )
                for topic in request.topics
            ]
        )

    def commit_in_transaction(
        self, group: ClassicGroup | ConsumerGroup, request: TxnOffsetCommitRequest, now_ms: int, decision: Decision
    ) -> TxnOffsetCommitResponse:
        """TxnOffsetCommit: the same, but the offsets wait for the end of the producer's transaction."""
        member_id, instance_id = request.member_id, request.group_instance_id
        if isinstance(group, ClassicGroup):
            check_classic_commit(group, member_id, instance_id, request.generation_id, transactional=True)
        else:
            check_consumer_commit_in_transaction(
                group, member_id, instance_id, request.generation_id, lambda: self._by_id(request.topics)
            )
        decision.producer = Producer(request.producer_id, request.producer_epoch)
        return TxnOffsetCommitResponse(
            topics=[
                TxnOffsetCommitResponseTopic(
                    name=topic.name,
                    partitions=[
                        TxnOffsetCommitResponsePartition(partition_index=index, error_code=code)
                        for index, code in self._record(group, topic, now_ms, decision)
                    ],
                )
                for topic in request.topics
            ]
        )

    def _record(
        self,
        group: ClassicGroup | ConsumerGroup,
        topic: OffsetCommitRequestTopic | TxnOffsetCommitRequestTopic,
        now_ms: int,
        decision: Decision,
        expire_ms: int = -1,
    ) -> Iterator[tuple[int, ErrorCode]]:
        """Decide on the offsets of one topic, with a record for each that is taken: every partition, and its answer."""
        for partition in topic.partitions:
            index = partition.partition_index
            if self._is_too_large(partition.committed_metadata):
                yield index, ErrorCode.OFFSET_METADATA_TOO_LARGE
                continue
            decision.append(
                OffsetCommitKey(group=group.group_id, topic=topic.name, partition=index),
                OffsetCommitValue(
                    offset=partition.committed_offset,
                    leader_epoch=partition.committed_leader_epoch,
                    metadata=partition.committed_metadata or "",
                    commit_timestamp=now_ms,
                    expire_timestamp=expire_ms,
                ),
            )
            yield index, ErrorCode.NONE

    def _is_too_large(self, metadata: str | None) -> bool:
        return metadata is not None and len(metadata) > self._config.offset_metadata_max_bytes

    def _by_id(
        self, topics: Iterable[OffsetCommitRequestTopic] | Iterable[TxnOffsetCommitRequestTopic]
    ) -> Iterator[TopicIdPartition]:
        """The partitions of a request as members have them. Topics that do not exist are not asked for."""
        for topic in topics:
            topic_id = self._image.topics[topic.name].id
            for partition in topic.partitions:
                yield topic_id, partition.partition_index

    # -- fetch

    def fetch(
        self, group_id: str, topics: Sequence[OffsetFetchRequestTopics] | None, require_stable: bool
    ) -> OffsetFetchResponseGroup:
        """OffsetFetch: of the partitions asked for, or of all with an offset. A missing offset is -1 and no error.

        With `require_stable` a partition that an open transaction is about to commit is UNSTABLE_OFFSET_COMMIT
        (KIP-447): who reads on from the old offset would process twice.
        """
        committed = self._store.committed(group_id)
        response = OffsetFetchResponseGroup(group_id=group_id, topics=[])
        if topics is None:
            indexes_of: dict[str, list[int]] = {}
            for name, index in committed:
                indexes_of.setdefault(name, []).append(index)
            topics = [
                OffsetFetchRequestTopics(name=name, partition_indexes=indexes) for name, indexes in indexes_of.items()
            ]
        for topic in topics:
            answered = OffsetFetchResponseTopics(name=topic.name, topic_id=topic.topic_id, partitions=[])
            response.topics.append(answered)
            for index in topic.partition_indexes:
                if require_stable and self._store.has_pending(group_id, (topic.name, index)):
                    answered.partitions.append(no_offset(index, ErrorCode.UNSTABLE_OFFSET_COMMIT))
                    continue
                offset = committed.get((topic.name, index))
                answered.partitions.append(no_offset(index) if offset is None else _fetched(index, offset))
        return response

    # -- delete and expire

    def delete(
        self, group: ClassicGroup | ConsumerGroup, request: OffsetDeleteRequest, decision: Decision
    ) -> OffsetDeleteResponse:
        """OffsetDelete: not of topics that a member consumes, and only of consumers' groups while there are any."""
        if group.members and group.protocol_type != PROTOCOL_TYPE:
            raise KafkaError(ErrorCode.NON_EMPTY_GROUP, f"group {group.group_id!r} has members")
        response = OffsetDeleteResponse(topics=[])
        for topic in request.topics:
            subscribed = group.is_subscribed(topic.name)
            code = ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if subscribed else ErrorCode.NONE
            answered = OffsetDeleteResponseTopic(name=topic.name, partitions=[])
            response.topics.append(answered)
            for partition in topic.partitions:
                index = partition.partition_index
                key = (topic.name, index)
                held = key in self._store.committed(group.group_id) or self._store.has_pending(group.group_id, key)
                if not subscribed and held:
                    decision.append(OffsetCommitKey(group=group.group_id, topic=topic.name, partition=index), None)
                answered.partitions.append(OffsetDeleteResponsePartition(partition_index=index, error_code=code))
        return response

    def delete_all(self, group_id: str, decision: Decision) -> None:
        """Tombstones for every offset of the group, those that are pending included."""
        for topic, index in self._store.partitions(group_id):
            decision.append(OffsetCommitKey(group=group_id, topic=topic, partition=index), None)

    def delete_topic(self, topic: str, limit: int, decision: Decision) -> None:
        """Tombstones for offsets of a topic that is gone, `limit` at most: another one of that name starts afresh."""
        for group_id in self._store.groups():
            for name, index in self._store.partitions(group_id):
                if name == topic:
                    decision.append(OffsetCommitKey(group=group_id, topic=name, partition=index), None)
                    if len(decision.records) == limit:
                        return

    def expire(self, group: ClassicGroup | ConsumerGroup, now_ms: int, decision: Decision) -> bool:
        """Tombstones for the offsets whose retention is over; whether the group then has none left (KIP-211)."""
        if isinstance(group, ConsumerGroup):
            empty_since_ms = -1  # such a group does not know since when; as in Apache Kafka each offset ages by itself
        elif group.protocol_type is None:
            empty_since_ms = -1  # nobody joins such a group: each offset ages from its own commit
        elif group.state is GroupState.EMPTY:
            empty_since_ms = group.state_timestamp_ms
        elif group.protocol_type == PROTOCOL_TYPE and group.state is GroupState.STABLE:
            empty_since_ms = -1  # topics that no member subscribes to any more
        else:
            return False
        nothing_left = True
        for (topic, index), offset in self._store.committed(group.group_id).items():
            if (
                self._is_expired(offset, empty_since_ms, now_ms)
                and not group.is_subscribed(topic)
                and not self._store.has_pending(group.group_id, (topic, index))
            ):
                decision.append(OffsetCommitKey(group=group.group_id, topic=topic, partition=index), None)
            else:
                nothing_left = False
        return nothing_left and not self._store.has_open_transaction(group.group_id)

    def _is_expired(self, offset: CommittedOffset, empty_since_ms: int, now_ms: int) -> bool:
        if offset.expire_timestamp_ms != -1:
            return now_ms >= offset.expire_timestamp_ms
        since_ms = offset.commit_timestamp_ms if empty_since_ms == -1 else empty_since_ms
        return now_ms - since_ms >= self._config.offsets_retention_minutes * 60_000


def no_offset(index: int, code: ErrorCode = ErrorCode.NONE) -> OffsetFetchResponsePartitions:
    """The answer for a partition without a committed offset, or with an error instead."""
    return OffsetFetchResponsePartitions(
        partition_index=index, committed_offset=INVALID_OFFSET, committed_leader_epoch=-1, metadata="", error_code=code
    )


def _fetched(index: int, offset: CommittedOffset) -> OffsetFetchResponsePartitions:
    return OffsetFetchResponsePartitions(
        partition_index=index,
        committed_offset=offset.offset,
        committed_leader_epoch=offset.leader_epoch,
        metadata=offset.metadata,
        error_code=ErrorCode.NONE,
    )
