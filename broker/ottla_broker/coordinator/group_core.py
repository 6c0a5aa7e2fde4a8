"""The groups and offsets of one partition of `__consumer_offsets`: what the runtime drives. Pure.

Every operation finds its group, lets the rules decide (`classic_protocol`, `offsets`), and returns a `Decision`, a
plain answer, or raises the KafkaError to answer with. Durable state changes in `replay` and `replay_marker` alone.

A group has a type, that of the protocol that its members speak: `ClassicGroup` or `ConsumerGroup`. What concerns the
latter, or is to make one, goes on to `consumer_groups`.
"""

from collections.abc import Collection, Iterator

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.classic_group import ClassicGroup, GroupState
from ottla_broker.coordinator.classic_protocol import ClassicProtocol, Joiner
from ottla_broker.coordinator.consumer_draft import Draft
from ottla_broker.coordinator.consumer_group import ConsumerGroup, ConsumerGroupState
from ottla_broker.coordinator.consumer_groups import ConsumerGroups, Group
from ottla_broker.coordinator.consumer_records import ConsumerGroupKey, ConsumerGroupMetadataKey
from ottla_broker.coordinator.decision import CoordinatorRecord, Decision, Ticket
from ottla_broker.coordinator.fencing import check_fetch
from ottla_broker.coordinator.group_records import (
    GroupMetadataKey,
    GroupMetadataValue,
    OffsetCommitKey,
    OffsetCommitValue,
)
from ottla_broker.coordinator.group_timers import GroupTimer, GroupTimerKind
from ottla_broker.coordinator.offset_store import OffsetStore
from ottla_broker.coordinator.offsets import Offsets
from ottla_broker.coordinator.timers import Timers
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.describe_groups import DescribedGroup, DescribedGroupMember
from ottla_wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from ottla_wire.messages.leave_group import LeaveGroupResponse, MemberIdentity, MemberResponse
from ottla_wire.messages.list_groups import ListedGroup
from ottla_wire.messages.offset_commit import OffsetCommitRequest, OffsetCommitResponse
from ottla_wire.messages.offset_delete import OffsetDeleteRequest, OffsetDeleteResponse
from ottla_wire.messages.offset_fetch import OffsetFetchRequestTopics, OffsetFetchResponseGroup
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from ottla_wire.messages.txn_offset_commit import TxnOffsetCommitRequest, TxnOffsetCommitResponse

CLASSIC, CONSUMER = "classic", "consumer"
"""What ListGroups calls the types of groups."""

CLASSIC_TIMERS = frozenset({GroupTimerKind.SESSION, GroupTimerKind.JOIN, GroupTimerKind.SYNC})

EXPIRED_PER_BATCH = 1_000
"""How many tombstones one look for expired offsets writes at a time."""

FORGOTTEN_PER_BATCH = 1_000
"""The same when a topic is deleted: a batch of some 100 KB."""

FORGETTING_RETRY_MS = 1_000
"""When to write again what the log refused of that."""


class GroupCore:
    """One partition's groups. `timers` is shared with the other partitions of this node."""

    def __init__(self, partition: int, config: BrokerConfig, timers: Timers[GroupTimer], image: ClusterImage) -> None:
        self.partition = partition
        self.groups: dict[str, Group] = {}
        self._image = image
        self.store = OffsetStore()
        self._config = config
        self._timers = timers
        self._protocol = ClassicProtocol(config, timers, partition)
        self.consumers = ConsumerGroups(config, timers, partition, image, self.groups, self._protocol)
        self._offsets = Offsets(config, self.store, image)

    # -- replay

    def replay(self, record: CoordinatorRecord, log_offset: int, producer_id: int) -> None:
        """Take over one record of the log, in life after it was appended and at start alike."""
        match record:
            case CoordinatorRecord(OffsetCommitKey() as key, OffsetCommitValue() | None as value):
                self.store.replay(key, value, log_offset, producer_id)
                if value is not None and key.group not in self.groups:
                    self.groups[key.group] = ClassicGroup(key.group)
            case CoordinatorRecord(GroupMetadataKey() as key, GroupMetadataValue() | None as value):
                self._replay_classic(key.group, value)
            case CoordinatorRecord(key, _) if isinstance(key, ConsumerGroupKey):
                self._replay_consumer(key.group_id, record)

    def _replay_classic(self, group_id: str, value: GroupMetadataValue | None) -> None:
        group = self.groups.get(group_id)
        if value is None:
            if isinstance(group, ClassicGroup):
                group.replay(None)
                self._forget(group_id)
            return
        if not isinstance(group, ClassicGroup):
            group = self.groups[group_id] = ClassicGroup(group_id)
        group.replay(value)

    def _replay_consumer(self, group_id: str, record: CoordinatorRecord) -> None:
        group = self.groups.get(group_id)
        if record.value is not None and not isinstance(group, ConsumerGroup):
            group = self.groups[group_id] = ConsumerGroup(group_id)
        if not isinstance(group, ConsumerGroup):
            return
        group.replay(record)
        if record.value is None and isinstance(record.key, ConsumerGroupMetadataKey):
            self._forget(group_id)

    def _forget(self, group_id: str) -> None:
        """The group is no more. Its offsets may be there still: until they expire they are those of a simple group."""
        if any(True for _ in self.store.partitions(group_id)):
            self.groups[group_id] = ClassicGroup(group_id)
        else:
            del self.groups[group_id]

    def replay_marker(self, producer_id: int, committed: bool) -> None:
        """Take over the end of a transaction that committed offsets here."""
        self.store.replay_marker(producer_id, committed)

    def loaded(self, now_ms: int) -> None:
        """The log has been replayed and the groups are open for requests: let time run for them."""
        for group in self.groups.values():
            if isinstance(group, ClassicGroup):
                self._protocol.restore_sessions(group, now_ms)
            else:
                self.consumers.restore_deadlines(group.group_id, now_ms)
        self._schedule_retention(now_ms + self._config.offsets_retention_check_interval_ms)

    def expire(self, timer: GroupTimer, now_ms: int) -> Decision:
        """One of our deadlines has passed."""
        if timer.kind is GroupTimerKind.RETENTION:
            return self._expire_offsets(now_ms)
        if timer.kind is GroupTimerKind.DELETED_TOPIC:
            return self._forget_late(timer, now_ms)
        group = self.groups.get(timer.group_id)
        if isinstance(group, ConsumerGroup):
            return self.consumers.expire(group, timer, now_ms)
        if group is None or timer.kind not in CLASSIC_TIMERS:
            return Decision()
        try:
            return self._protocol.expire(group, timer, now_ms)
        finally:
            self._forget_if_unused(group)

    # -- members

    def join(
        self, request: JoinGroupRequest, joiner: Joiner, ticket: Ticket[JoinGroupResponse], now_ms: int
    ) -> Decision:
        """JoinGroup. A group begins to exist when someone without a member id joins it."""
        group = self.groups.get(request.group_id)
        if isinstance(group, ConsumerGroup):

            def join_classic() -> Decision:
                try:
                    return self.join(request, joiner, ticket, now_ms)
                except KafkaError as error:
                    decision = Decision()
                    decision.refuse(ticket, error.code, error.message)
                    return decision

            return self.consumers.join(group, request, joiner, ticket, now_ms, join_classic)
        if group is None:
            if request.member_id:
                raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"there is no group {request.group_id!r}")
            group = self.groups[request.group_id] = ClassicGroup(request.group_id)
        try:
            return self._protocol.join(group, request, joiner, ticket, now_ms)
        finally:
            self._forget_if_unused(group)

    def sync(self, request: SyncGroupRequest, ticket: Ticket[SyncGroupResponse], now_ms: int) -> Decision:
        """SyncGroup."""
        group = self._group_of_member(request.group_id)
        if isinstance(group, ConsumerGroup):
            return self.consumers.sync(group, request, ticket, now_ms)
        return self._protocol.sync(group, request, ticket, now_ms)

    def heartbeat(self, request: HeartbeatRequest, now_ms: int) -> HeartbeatResponse:
        """Heartbeat."""
        group = self._group_of_member(request.group_id)
        if isinstance(group, ConsumerGroup):
            return self.consumers.heartbeat_of_classic(group, request, now_ms)
        return self._protocol.heartbeat(group, request, now_ms)

    def leave(
        self, group_id: str, members: list[MemberIdentity], ticket: Ticket[LeaveGroupResponse], now_ms: int
    ) -> Decision:
        """LeaveGroup."""
        group = self.groups.get(group_id)
        if group is None:
            decision = Decision()
            decision.answer(ticket, LeaveGroupResponse(members=[_unknown_member(identity) for identity in members]))
            return decision
        if isinstance(group, ConsumerGroup):
            return self.consumers.leave(group, members, ticket, now_ms)
        try:
            return self._protocol.leave(group, members, ticket, now_ms)
        finally:
            self._forget_if_unused(group)

    # -- offsets

    def commit(
        self, request: OffsetCommitRequest, version: int, ticket: Ticket[OffsetCommitResponse], now_ms: int
    ) -> Decision:
        """OffsetCommit. Without a generation it may name a group that does not exist yet."""
        decision = Decision()
        missing = ErrorCode.GROUP_ID_NOT_FOUND if version >= 9 else ErrorCode.ILLEGAL_GENERATION
        group = self._group_to_commit(request.group_id, request.generation_id_or_member_epoch, missing)
        decision.answer(ticket, self._offsets.commit(group, request, version, now_ms, decision))
        if isinstance(group, ClassicGroup) and group.state in (GroupState.STABLE, GroupState.PREPARING_REBALANCE):
            self._protocol.keep_session(group, request.member_id, now_ms)
        return decision

    def commit_in_transaction(
        self, request: TxnOffsetCommitRequest, ticket: Ticket[TxnOffsetCommitResponse], now_ms: int
    ) -> Decision:
        """TxnOffsetCommit."""
        decision = Decision()
        group = self._group_to_commit(request.group_id, request.generation_id, ErrorCode.ILLEGAL_GENERATION)
        decision.answer(ticket, self._offsets.commit_in_transaction(group, request, now_ms, decision))
        return decision

    def fetch_offsets(
        self,
        group_id: str,
        topics: list[OffsetFetchRequestTopics] | None,
        require_stable: bool,
        member_id: str | None = None,
        member_epoch: int = -1,
    ) -> OffsetFetchResponseGroup:
        """OffsetFetch. A group that does not exist has no offsets, which is no error."""
        group = self.groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            check_fetch(group, member_id, member_epoch)
        return self._offsets.fetch(group_id, topics, require_stable)

    def delete_offsets(self, request: OffsetDeleteRequest, ticket: Ticket[OffsetDeleteResponse]) -> Decision:
        """OffsetDelete."""
        decision = Decision()
        group = self._existing_group(request.group_id)
        decision.answer(ticket, self._offsets.delete(group, request, decision))
        return decision

    def deleted_topics(self) -> set[str]:
        """The topics that there are offsets in and that are gone: a crash came before the offsets could be deleted."""
        found = {name for group_id in self.store.groups() for name, _ in self.store.partitions(group_id)}
        return found - self._image.topics.keys()

    def forget_topic(self, topic: str) -> Decision:
        """A topic was deleted, and with it go the offsets in it, so many at a time: to be repeated until none are left.

        What the log refuses is tried again by itself.
        """
        decision = Decision()
        self._offsets.delete_topic(topic, FORGOTTEN_PER_BATCH, decision)

        def otherwise(failed_ms: int) -> Decision:
            timer = GroupTimer(self.partition, GroupTimerKind.DELETED_TOPIC, topic=topic)
            self._timers.set(timer, failed_ms + FORGETTING_RETRY_MS)
            return Decision()

        decision.otherwise = otherwise
        return decision

    def _forget_late(self, timer: GroupTimer, now_ms: int) -> Decision:
        if timer.topic in self._image.topics:  # made again: whose offsets these are cannot be told any more
            return Decision()
        decision = self.forget_topic(timer.topic)
        if decision.records:
            self._timers.set(timer, now_ms)
        return decision

    def _expire_offsets(self, now_ms: int) -> Decision:
        decision = Decision()
        for group in list(self.groups.values()):
            nothing_left = self._offsets.expire(group, now_ms, decision)
            if nothing_left and self._is_unused(group):
                self._delete(group, decision)
            if len(decision.records) >= EXPIRED_PER_BATCH:
                self._schedule_retention(now_ms)
                break
        else:
            self._schedule_retention(now_ms + self._config.offsets_retention_check_interval_ms)

        def otherwise(failed_ms: int) -> Decision:
            self._schedule_retention(failed_ms + self._config.offsets_retention_check_interval_ms)
            return Decision()

        decision.otherwise = otherwise
        return decision

    # -- administration

    def list_groups(self, states: Collection[str], types: Collection[str]) -> Iterator[ListedGroup]:
        """ListGroups: those in one of `states` and of one of `types`, in lower case; empty means all."""
        for group in self.groups.values():
            group_type = CLASSIC if isinstance(group, ClassicGroup) else CONSUMER
            if (not types or group_type in types) and (not states or group.state.value.lower() in states):
                yield ListedGroup(
                    group_id=group.group_id,
                    protocol_type=group.protocol_type or "",
                    group_state=group.state.value,
                    group_type=group_type,
                )

    def describe(self, group_id: str) -> DescribedGroup:
        """DescribeGroups: protocol and subscriptions only while they are settled. Raises GROUP_ID_NOT_FOUND."""
        group = self._existing_group(group_id)
        if not isinstance(group, ClassicGroup):
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} is not a classic group.")
        settled = group.state is GroupState.STABLE
        return DescribedGroup(
            group_id=group_id,
            group_state=group.state.value,
            protocol_type=group.protocol_type or "",
            protocol_data=(group.protocol or "") if settled else "",
            members=[
                DescribedGroupMember(
                    member_id=member.member_id,
                    group_instance_id=member.group_instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    member_metadata=member.protocols.get(group.protocol or "", b"") if settled else b"",
                    member_assignment=member.assignment,
                )
                for member in group.members.values()
            ],
        )

    def delete_group(self, group_id: str, ticket: Ticket[None]) -> Decision:
        """DeleteGroups: with its offsets. Raises GROUP_ID_NOT_FOUND, or NON_EMPTY_GROUP while it has members."""
        group = self._existing_group(group_id)
        if group.state not in (GroupState.EMPTY, ConsumerGroupState.EMPTY):
            raise KafkaError(ErrorCode.NON_EMPTY_GROUP, f"group {group_id!r} has members")
        decision = Decision()
        self._offsets.delete_all(group_id, decision)
        self._delete(group, decision)
        decision.answer(ticket, None)
        return decision

    # -- groups

    def _group_of_member(self, group_id: str) -> Group:
        group = self.groups.get(group_id)
        if group is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"there is no group {group_id!r}: join again")
        return group

    def _existing_group(self, group_id: str) -> Group:
        group = self.groups.get(group_id)
        if group is None:
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} not found.")
        return group

    def _group_to_commit(self, group_id: str, generation: int, missing: ErrorCode) -> Group:
        group = self.groups.get(group_id)
        if group is not None:
            return group
        if generation >= 0:
            raise KafkaError(missing, f"there is no group {group_id!r}")
        return ClassicGroup(group_id)  # comes to exist when its first offset is replayed

    def _is_unused(self, group: Group) -> bool:
        """Whether nobody is in the group, or about to join it."""
        if isinstance(group, ConsumerGroup):
            return not group.members
        return group.state is GroupState.EMPTY and not group.pending_members

    def _delete(self, group: Group, decision: Decision) -> None:
        if isinstance(group, ConsumerGroup):
            Draft(group, decision).delete()
        else:
            decision.append(GroupMetadataKey(group=group.group_id), None)

    def _forget_if_unused(self, group: ClassicGroup) -> None:
        """A group that the log does not know leaves no trace once nobody is about to join it."""
        if self._is_unused(group) and not group.is_recorded and self.store.is_empty(group.group_id):
            self.groups.pop(group.group_id, None)

    def _schedule_retention(self, deadline_ms: int) -> None:
        self._timers.set(GroupTimer(self.partition, GroupTimerKind.RETENTION), deadline_ms)


def _unknown_member(identity: MemberIdentity) -> MemberResponse:
    return MemberResponse(
        member_id=identity.member_id,
        group_instance_id=identity.group_instance_id,
        error_code=ErrorCode.UNKNOWN_MEMBER_ID,
    )
