"""The consumer groups among the groups of one partition: which rules decide what, and what becomes of a group. Pure.

`GroupCore` comes here with what concerns a consumer group, or is to make one. The rules are in `consumer_protocol`,
`classic_members` and `migration`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.classic_group import ClassicGroup, GroupState
from ottla_broker.coordinator.classic_members import ClassicMembers, subscription_of
from ottla_broker.coordinator.classic_protocol import ClassicProtocol, Joiner
from ottla_broker.coordinator.consumer_draft import Draft
from ottla_broker.coordinator.consumer_group import ConsumerGroup
from ottla_broker.coordinator.consumer_member import JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH
from ottla_broker.coordinator.consumer_messages import Sender, described, left
from ottla_broker.coordinator.consumer_protocol import ConsumerProtocol
from ottla_broker.coordinator.decision import Decision, Ticket
from ottla_broker.coordinator.group_timers import GroupTimer, GroupTimerKind
from ottla_broker.coordinator.migration import Migration
from ottla_broker.coordinator.target import preferred_assignor
from ottla_broker.coordinator.timers import Timers
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.consumer_group_describe import DescribedGroup
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse
from ottla_wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from ottla_wire.messages.leave_group import LeaveGroupResponse, MemberIdentity
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

Group = ClassicGroup | ConsumerGroup


class Resolution(NamedTuple):
    """Regular expressions to match with the topics as of `version`, an offset of the metadata log."""

    group_id: str
    regexes: frozenset[str]
    version: int


class ConsumerGroups:
    """See the module's text. `groups` are all groups of the partition; they change in `GroupCore.replay` alone."""

    def __init__(
        self,
        config: BrokerConfig,
        timers: Timers[GroupTimer],
        partition: int,
        image: ClusterImage,
        groups: Mapping[str, Group],
        classic: ClassicProtocol,
    ) -> None:
        self._config = config
        self._image = image
        self._groups = groups
        self._classic = classic
        self._protocol = ConsumerProtocol(config, timers, partition, image)
        self._members = ClassicMembers(self._protocol, timers, partition, image)
        self._migration = Migration(config, image)
        self._unresolved: set[str] = set()
        self._resolving: set[str] = set()

    # -- members of the consumer protocol

    def heartbeat(
        self,
        request: ConsumerGroupHeartbeatRequest,
        sender: Sender,
        ticket: Ticket[ConsumerGroupHeartbeatResponse],
        now_ms: int,
    ) -> Decision:
        """ConsumerGroupHeartbeat. A group begins to exist, or to be a consumer group, when someone joins it so."""
        group = self._groups.get(request.group_id)
        decision = Decision()
        if not isinstance(group, ConsumerGroup):
            if request.member_epoch == JOIN_EPOCH:
                return self._join_first(group or ClassicGroup(request.group_id), request, sender, ticket, now_ms)
            # Apache Kafka says GROUP_ID_NOT_FOUND, upon which clients give up; to this they join again.
            raise KafkaError(
                ErrorCode.UNKNOWN_MEMBER_ID, f"there is no consumer group {request.group_id!r} any more: join again"
            )
        if request.member_epoch == LEAVE_EPOCH:
            member = group.member(request.member_id, request.instance_id)
            decision.answer(ticket, left(request))
            self._remove(group, [member.member_id], decision, now_ms)
            return decision
        draft = Draft(group, decision)
        if request.member_epoch == STATIC_LEAVE_EPOCH:
            self._protocol.leave(draft, request, ticket, now_ms)
        else:
            self._protocol.heartbeat(draft, request, sender, ticket, now_ms)
            self._resolve_soon(draft.group)
        return decision

    def _join_first(
        self,
        former: ClassicGroup,
        request: ConsumerGroupHeartbeatRequest,
        sender: Sender,
        ticket: Ticket[ConsumerGroupHeartbeatResponse],
        now_ms: int,
    ) -> Decision:
        decision = Decision()
        draft = self._migration.upgrade(former, decision)
        self._protocol.heartbeat(draft, request, sender, ticket, now_ms)
        self._classic.interrupt(former, now_ms, decision)
        self._resolve_soon(draft.group)

        def then() -> None:
            self._classic.end_rebalance(former)
            self.restore_deadlines(request.group_id, now_ms)

        decision.then = then
        return decision

    # -- members of the classic protocol

    def join(
        self,
        group: ConsumerGroup,
        request: JoinGroupRequest,
        joiner: Joiner,
        ticket: Ticket[JoinGroupResponse],
        now_ms: int,
        join_classic: Callable[[], Decision],
    ) -> Decision:
        """JoinGroup. `join_classic` lets the member join what has meanwhile become a classic group."""
        decision = Decision()
        if not group.members:
            if request.member_id:
                raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"group {group.group_id!r} has no members: join again")
            self._downgrade(group, [], decision, now_ms, join_classic)
            decision.deferred.append(ticket)
            return decision
        static = group.static_member(request.group_instance_id)
        if static is not None and static.classic is None and not request.member_id:
            # The last member of the consumer protocol may have come back as one of the classic protocol.
            subscription_of(group, request)
            if self._migration.downgrades(group, [static.member_id], joining=1):
                self._downgrade(group, [static.member_id], decision, now_ms, join_classic)
                decision.deferred.append(ticket)
                return decision
        self._members.join(Draft(group, decision), request, joiner, ticket, now_ms)
        return decision

    def sync(
        self, group: ConsumerGroup, request: SyncGroupRequest, ticket: Ticket[SyncGroupResponse], now_ms: int
    ) -> Decision:
        """SyncGroup."""
        decision = Decision()
        decision.answer(ticket, self._members.sync(group, request, now_ms))
        return decision

    def heartbeat_of_classic(self, group: ConsumerGroup, request: HeartbeatRequest, now_ms: int) -> HeartbeatResponse:
        """Heartbeat."""
        return self._members.heartbeat(group, request, now_ms)

    def leave(
        self,
        group: ConsumerGroup,
        identities: list[MemberIdentity],
        ticket: Ticket[LeaveGroupResponse],
        now_ms: int,
    ) -> Decision:
        """LeaveGroup."""
        decision = Decision()
        responses, gone = self._members.leaving(group, identities)
        if gone:
            self._remove(group, gone, decision, now_ms)
        decision.answer(ticket, LeaveGroupResponse(members=responses))
        return decision

    # -- the end of members

    def expire(self, group: ConsumerGroup, timer: GroupTimer, now_ms: int) -> Decision:
        """A deadline of this group has passed."""
        decision = Decision()
        if timer.kind is GroupTimerKind.ASSIGNMENT:
            self._protocol.assign(Draft(group, decision), now_ms)
        elif self._protocol.is_overdue(group, timer):
            self._remove(group, [timer.member_id], decision, now_ms)

        def otherwise(failed_ms: int) -> Decision:
            self._protocol.retry_later(timer, failed_ms)
            return Decision()

        decision.otherwise = otherwise
        return decision

    def _remove(self, group: ConsumerGroup, gone: Collection[str], decision: Decision, now_ms: int) -> None:
        """These members are gone. Those who stay may be better off in a classic group."""
        if not self._migration.downgrades(group, gone):
            self._protocol.remove(Draft(group, decision), gone)
            return

        def rebalance() -> Decision:
            begun = Decision()
            classic = self._groups.get(group.group_id)
            if isinstance(classic, ClassicGroup) and classic.state is GroupState.STABLE:
                reason = "the last member of the consumer protocol has gone"
                self._classic.prepare_rebalance(classic, reason, now_ms, begun)
            return begun

        self._downgrade(group, gone, decision, now_ms, rebalance)

    def _downgrade(
        self,
        group: ConsumerGroup,
        gone: Collection[str],
        decision: Decision,
        now_ms: int,
        follow: Callable[[], Decision],
    ) -> None:
        """The group becomes a classic one; `follow` says how it goes on as such."""
        self._migration.downgrade(group, gone, decision, now_ms)
        member_ids = list(group.members)

        def then() -> Decision:
            for member_id in member_ids:
                self._protocol.cancel_deadlines(group.group_id, member_id)
            classic = self._groups.get(group.group_id)
            if isinstance(classic, ClassicGroup):
                self._classic.restore_sessions(classic, now_ms)
            return follow()

        decision.then = then

    # -- deadlines

    def restore_deadlines(self, group_id: str, now_ms: int) -> None:
        """After a restart, or when a classic group has become a consumer group."""
        group = self._groups.get(group_id)
        if isinstance(group, ConsumerGroup):
            self._protocol.restore_deadlines(group, now_ms)

    # -- regular expressions

    def _resolve_soon(self, group: ConsumerGroup) -> None:
        if group.group_id not in self._resolving and self._protocol.needs_resolution(group):
            self._unresolved.add(group.group_id)

    def take_unresolved(self) -> list[Resolution]:
        """The expressions that wait to be matched; the driver comes back with `resolved` or `unresolvable`."""
        version = self._image.topics_offset
        resolutions = []
        for group_id in sorted(self._unresolved):
            group = self._groups.get(group_id)
            if isinstance(group, ConsumerGroup) and self._protocol.needs_resolution(group):
                group.resolving_version = version
                self._resolving.add(group_id)
                resolutions.append(Resolution(group_id, frozenset(group.regexes()), version))
        self._unresolved.clear()
        return resolutions

    def resolved(self, resolution: Resolution, found: Mapping[str, frozenset[str]], now_ms: int) -> Decision:
        """The topics that each of the expressions stands for."""
        self._resolving.discard(resolution.group_id)
        decision = Decision()
        group = self._groups.get(resolution.group_id)
        if not isinstance(group, ConsumerGroup):
            return decision
        self._protocol.resolve(Draft(group, decision), resolution.version, found, now_ms)

        def otherwise(_failed_ms: int) -> Decision:
            self.unresolvable(resolution)
            return Decision()

        decision.otherwise = otherwise
        return decision

    def unresolvable(self, resolution: Resolution) -> None:
        """They could not be matched now; the next heartbeat will ask for it again."""
        self._resolving.discard(resolution.group_id)
        group = self._groups.get(resolution.group_id)
        if isinstance(group, ConsumerGroup):
            group.resolving_version = -1

    # -- administration

    def group(self, group_id: str) -> ConsumerGroup:
        """Raises GROUP_ID_NOT_FOUND for a group that does not exist or is a classic one."""
        group = self._groups.get(group_id)
        if group is None:
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} not found.")
        if not isinstance(group, ConsumerGroup):
            raise KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} is not a consumer group.")
        return group

    def describe(self, group_id: str) -> DescribedGroup:
        """ConsumerGroupDescribe. Raises GROUP_ID_NOT_FOUND."""
        group = self.group(group_id)
        assignor = preferred_assignor(group, self._config.group_consumer_assignors)
        return described(group, assignor, self._image.topics_by_id)
