"""The groups and offsets of one partition of `__consumer_offsets`: what the runtime drives. Pure.

Every operation finds its group, lets the rules decide (`classic_protocol`, `offsets`), and returns a `Decision`, a
plain answer, or raises the KafkaError to answer with. Durable state changes in `replay` and `replay_marker` alone.

A group has a type. All are classic today; consumer groups (KIP-848) will be a second type beside `ClassicGroup`.
"""

from collections.abc import Collection, Iterator

from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.classic_group import ClassicGroup, GroupState
from ottla_broker.coordinator.classic_protocol import ClassicProtocol, Joiner
from ottla_broker.coordinator.decision import CoordinatorRecord, Decision, Ticket
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

GROUP_TYPE = "classic"
"""What ListGroups calls the groups of the classic protocol."""

EXPIRED_PER_BATCH = 1_000
"""How many tombstones one look for expired offsets writes at a time."""


class GroupCore:
    """One partition's groups. `timers` is shared with the other partitions of this node."""

    def __init__(self, partition: int, config: BrokerConfig, timers: Timers[GroupTimer]) -> None:
        self.partition = partition
        self.groups: dict[str, ClassicGroup] = {}
        self.store = OffsetStore()
        self._config = config
        self._timers = timers
        self._protocol = ClassicProtocol(config, timers, partition)
        self._offsets = Offsets(config, self.store)

    # -- replay

    def replay(self, record: CoordinatorRecord, log_offset: int, producer_id: int) -> None:
        """Take over one record of the log, in life after it was appended and at start alike."""
        match record:
            case CoordinatorRecord(OffsetCommitKey() as key, OffsetCommitValue() | None as value):
                self.store.replay(key, value, log_offset, producer_id)
                if value is not None and key.group not in self.groups:
                    self.groups[key.group] = ClassicGroup(key.group)
            case CoordinatorRecord(GroupMetadataKey() as key, GroupMetadataValue() | None as value):
                if value is None:
                    group = self.groups.pop(key.group, None)
                else:
                    group = self.groups.setdefault(key.group, ClassicGroup(key.group))
                if group is not None:
                    group.replay(value)

    def replay_marker(self, producer_id: int, committed: bool) -> None:
        """Take over the end of a transaction that committed offsets here."""
        self.store.replay_marker(producer_id, committed)

    def loaded(self, now_ms: int) -> None:
        """The log has been replayed and the groups are open for requests: let time run for them."""
        for group in self.groups.values():
            self._protocol.restore_sessions(group, now_ms)
        self._schedule_retention(now_ms + self._config.offsets_retention_check_interval_ms)

    def expire(self, timer: GroupTimer, now_ms: int) -> Decision:
        """One of our deadlines has passed."""
        if timer.kind is GroupTimerKind.RETENTION:
            return self._expire_offsets(now_ms)
        group = self.groups.get(timer.group_id)
        if group is None:
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
        return self._protocol.sync(self._group_of_member(request.group_id), request, ticket, now_ms)

    def heartbeat(self, request: HeartbeatRequest, now_ms: int) -> HeartbeatResponse:
        """Heartbeat."""
        return self._protocol.heartbeat(self._group_of_member(request.group_id), request, now_ms)

    def leave(
        self, group_id: str, members: list[MemberIdentity], ticket: Ticket[LeaveGroupResponse], now_ms: int
    ) -> Decision:
        """LeaveGroup."""
        group = self.groups.get(group_id)
        if group is None:
            decision = Decision()
            decision.answer(ticket, LeaveGroupResponse(members=[_unknown_member(identity) for identity in members]))
            return decision
        try:
            return self._protocol.leave(group, members, ticket, now_ms)
        finally:
            self._forget_if_unused(group)

    # -- offsets

    def commit(
        self, request: OffsetCommitRequest, missing: ErrorCode, ticket: Ticket[OffsetCommitResponse], now_ms: int
    ) -> Decision:
        """OffsetCommit. Without a generation it may name a group that does not exist yet.

        `missing` is the error for a group that does not exist otherwise; it depends on the request's version.
        """
        decision = Decision()
        group = self._group_to_commit(request.group_id, request.generation_id_or_member_epoch, missing)
        decision.answer(ticket, self._offsets.commit(group, request, now_ms, decision))
        if group.state in (GroupState.STABLE, GroupState.PREPARING_REBALANCE):
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
        self, group_id: str, topics: list[OffsetFetchRequestTopics] | None, require_stable: bool
    ) -> OffsetFetchResponseGroup:
        """OffsetFetch. A group that does not exist has no offsets, which is no error."""
        return self._offsets.fetch(group_id, topics, require_stable)

    def delete_offsets(self, request: OffsetDeleteRequest, ticket: Ticket[OffsetDeleteResponse]) -> Decision:
        """OffsetDelete."""
        decision = Decision()
        group = self._existing_group(request.group_id)
        decision.answer(ticket, self._offsets.delete(group, request, decision))
        return decision

    def forget_topic(self, topic: str) -> Decision:
        """A topic was deleted, and with it go the offsets in it."""
        decision = Decision()
        self._offsets.delete_topic(topic, decision)
        return decision

    def _expire_offsets(self, now_ms: int) -> Decision:
        decision = Decision()
        for group in list(self.groups.values()):
            nothing_left = self._offsets.expire(group, now_ms, decision)
            if nothing_left and group.state is GroupState.EMPTY and not group.pending_members:
                decision.append(GroupMetadataKey(group=group.group_id), None)
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
        if types and GROUP_TYPE not in types:
            return
        for group in self.groups.values():
            if not states or group.state.value.lower() in states:
                yield ListedGroup(
                    group_id=group.group_id,
                    protocol_type=group.protocol_type or "",
                    group_state=group.state.value,
                    group_type=GROUP_TYPE,
                )

    def describe(self, group_id: str) -> DescribedGroup:
        """DescribeGroups: subscriptions and assignments only while they are settled. Raises GROUP_ID_NOT_FOUND."""
        group = self._existing_group(group_id)
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
                    member_assignment=member.assignment if settled else b"",
                )
                for member in group.members.values()
            ],
        )

    def delete_group(self, group_id: str, ticket: Ticket[None]) -> Decision:
        """DeleteGroups: with its offsets. Raises GROUP_ID_NOT_FOUND, or NON_EMPTY_GROUP while it has members."""
        group = self._existing_group(group_id)
        if group.state is not GroupState.EMPTY:
            raise KafkaError(ErrorCode.NON_EMPTY_GROUP, f"group {group_id!r} has members")
        decision = Decision()
        self._offsets.delete_all(group_id, decision)
        decision.append(GroupMetadataKey(group=group_id), None)
        decision.answer(ticket, None)
        return decision

    # -- groups

    def _group_of_member(self, group_id: str) -> ClassicGroup:
        group = self.groups.get(group_id)
        if group is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"there is no group {group_id!r}: join again")
        return group

    def _existing_group(self, group_id: str) -> ClassicGroup:
        group = self.groups.get(group_id)
        if group is None:
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} not found.")
        return group

    def _group_to_commit(self, group_id: str, generation: int, missing: ErrorCode) -> ClassicGroup:
        group = self.groups.get(group_id)
        if group is not None:
            return group
        if generation >= 0:
            raise KafkaError(missing, f"there is no group {group_id!r}")
        return ClassicGroup(group_id)  # comes to exist when its first offset is replayed

    def _forget_if_unused(self, group: ClassicGroup) -> None:
        """A group that the log does not know leaves no trace once nobody is about to join it."""
        unused = group.state is GroupState.EMPTY and not group.is_recorded and not group.pending_members
        if unused and self.store.is_empty(group.group_id):
            self.groups.pop(group.group_id, None)

    def _schedule_retention(self, deadline_ms: int) -> None:
        self._timers.set(GroupTimer(self.partition, GroupTimerKind.RETENTION), deadline_ms)


def _unknown_member(identity: MemberIdentity) -> MemberResponse:
    return MemberResponse(
        member_id=identity.member_id,
        group_instance_id=identity.group_instance_id,
        error_code=ErrorCode.UNKNOWN_MEMBER_ID,
    )
