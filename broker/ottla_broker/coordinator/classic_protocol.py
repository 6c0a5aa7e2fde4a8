"""The classic rebalance protocol: what JoinGroup, SyncGroup, Heartbeat, LeaveGroup and silence do to a group. Pure.

A rebalance has two halves. In the first, PREPARING_REBALANCE, every member sends JoinGroup and waits; once all have, or
the rebalance timeout is over, the next generation begins and each is told so, the leader together with everyone's
subscription. In the second, COMPLETING_REBALANCE, the leader sends everybody's assignment in its SyncGroup, which goes
to the log before it goes to the members (KIP-134, KIP-345, KIP-394, KIP-814).

Each operation returns a `Decision`, or raises the KafkaError to answer with.
"""

import logging
from typing import NamedTuple

from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.classic_group import REBALANCEABLE, ClassicGroup, GroupState, Member
from ottla_broker.coordinator.classic_messages import (
    joined,
    protocols_of,
    rebalance_timeout_ms_of,
    refused_join,
    synced,
)
from ottla_broker.coordinator.decision import Decision, Ticket
from ottla_broker.coordinator.embedded_protocol import PROTOCOL_TYPE, subscribed_topics
from ottla_broker.coordinator.group_records import GroupMetadataKey
from ottla_broker.coordinator.group_timers import GroupTimer, GroupTimerKind
from ottla_broker.coordinator.timers import Timers
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember
from ottla_wire.messages.leave_group import LeaveGroupResponse, MemberIdentity, MemberResponse
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

logger = logging.getLogger(__name__)

NEW_MEMBER_JOIN_TIMEOUT_MS = 300_000
"""How long a member may wait in its first JoinGroup: until it is answered it cannot send heartbeats."""

MAX_PENDING_MEMBERS = 10_000
"""How many ids a group gives out before their owners have come back with them."""

APPEND_RETRY_MS = 1_000
"""When to write again that a group is empty, after the log refused it."""


class Joiner(NamedTuple):
    """What a JoinGroup request does not say about who sent it."""

    client_id: str
    client_host: str
    new_member_id: str
    """The id to give if the sender has none: unique, and hard to guess."""
    requires_member_id: bool
    """JoinGroup 4+: a new dynamic member is sent back with its id first, so that lost answers leave no ghosts."""
    supports_skip_assignment: bool
    """JoinGroup 9+: a returning static leader can be told to keep the assignment."""


class ClassicProtocol:
    """The rules, over groups of one partition; `timers` is where deadlines go."""

    def __init__(self, config: BrokerConfig, timers: Timers[GroupTimer], partition: int) -> None:
        self._config = config
        self._timers = timers
        self._partition = partition

    # -- join

    def join(
        self,
        group: ClassicGroup,
        request: JoinGroupRequest,
        joiner: Joiner,
        ticket: Ticket[JoinGroupResponse],
        now_ms: int,
    ) -> Decision:
        """JoinGroup: answered when the rebalance that it belongs to or starts has everyone together."""
        decision = Decision()
        member_id = request.member_id
        if not self._has_room_for(group, member_id):
            group.remove(member_id)
            raise KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED, f"group {group.group_id!r} is full")
        if not group.supports(request.protocol_type, [protocol.name for protocol in request.protocols]):
            raise KafkaError(
                ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
                f"group {group.group_id!r} of type {group.protocol_type!r} has no protocol in common with this member",
            )
        if not member_id:
            self._join_new(group, request, joiner, ticket, now_ms, decision)
        elif member_id in group.pending_members and request.group_instance_id is None:
            self._add(group, member_id, request, joiner, ticket, now_ms, decision)
        else:
            self._rejoin(group, group.member(member_id, request.group_instance_id), request, ticket, now_ms, decision)
        group.check()
        return decision

    def _has_room_for(self, group: ClassicGroup, member_id: str) -> bool:
        member = group.members.get(member_id)
        if group.state is GroupState.EMPTY:
            return True
        if group.state is GroupState.PREPARING_REBALANCE:
            # Who has joined is counted, not who is a member: the limit may have been lowered since, and then the
            # last ones to join again are those who have to go.
            is_waiting = member is not None and member.joining is not None
            return is_waiting or group.waiting_to_join < self._config.group_max_size
        return member is not None or len(group.members) < self._config.group_max_size

    def _join_new(
        self,
        group: ClassicGroup,
        request: JoinGroupRequest,
        joiner: Joiner,
        ticket: Ticket[JoinGroupResponse],
        now_ms: int,
        decision: Decision,
    ) -> None:
        member_id = joiner.new_member_id
        if request.group_instance_id is not None:
            static = group.static_member(request.group_instance_id)
            if static is not None:
                self._return_of_static(group, static, request, joiner, ticket, now_ms, decision)
            else:
                self._add(group, member_id, request, joiner, ticket, now_ms, decision)
        elif joiner.requires_member_id:
            if len(group.pending_members) >= MAX_PENDING_MEMBERS:
                raise KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED, f"too many are joining group {group.group_id!r}")
            group.pending_members.add(member_id)
            self._timers.set(self._session(group, member_id), now_ms + request.session_timeout_ms)
            decision.answer(ticket, refused_join(ErrorCode.MEMBER_ID_REQUIRED, member_id))
        else:
            self._add(group, member_id, request, joiner, ticket, now_ms, decision)

    def _add(
        self,
        group: ClassicGroup,
        member_id: str,
        request: JoinGroupRequest,
        joiner: Joiner,
        ticket: Ticket[JoinGroupResponse],
        now_ms: int,
        decision: Decision,
    ) -> None:
        member = Member(
            member_id=member_id,
            group_instance_id=request.group_instance_id,
            client_id=joiner.client_id,
            client_host=joiner.client_host,
            rebalance_timeout_ms=rebalance_timeout_ms_of(request),
            session_timeout_ms=request.session_timeout_ms,
            protocols=protocols_of(request),
            joining=ticket,
            is_new=True,
        )
        group.add(member, request.protocol_type)
        group.joined_during_delay = group.delay_limit_ms is not None
        self._timers.set(self._session(group, member_id), now_ms + NEW_MEMBER_JOIN_TIMEOUT_MS)
        self._rebalance_or_complete_join(group, f"member {member_id!r} joined", now_ms, decision)

    def _rejoin(
        self,
        group: ClassicGroup,
        member: Member,
        request: JoinGroupRequest,
        ticket: Ticket[JoinGroupResponse],
        now_ms: int,
        decision: Decision,
    ) -> None:
        unchanged = list(member.protocols.items()) == list(protocols_of(request).items())
        if unchanged and (
            # It may not have received the answer to its first JoinGroup.
            group.state is GroupState.COMPLETING_REBALANCE
            # The leader starts a rebalance by joining again, for reasons such as new partitions of a topic.
            or (group.state is GroupState.STABLE and group.leader != member.member_id)
        ):
            self._reset_session(group, member, now_ms)
            decision.answer(ticket, joined(group, member))
            return
        self._update(member, request, ticket, decision)
        self._rebalance_or_complete_join(group, f"member {member.member_id!r} joined again", now_ms, decision)

    def _return_of_static(
        self,
        group: ClassicGroup,
        member: Member,
        request: JoinGroupRequest,
        joiner: Joiner,
        ticket: Ticket[JoinGroupResponse],
        now_ms: int,
        decision: Decision,
    ) -> None:
        """A static member is back without its member id: it gets a new one, and the old one is fenced (KIP-345)."""
        if group.state is GroupState.STABLE and not _changes_assignment(group, member, request):
            self._replace_static(group, member, request, joiner, ticket, now_ms, decision)
            return
        for waiting in (member.joining, member.syncing):
            if waiting is not None:
                decision.refuse(waiting, ErrorCode.FENCED_INSTANCE_ID)
        member.joining = member.syncing = None
        self._timers.cancel(self._session(group, member.member_id))
        group.rename(member, joiner.new_member_id)
        self._reset_session(group, member, now_ms)
        self._update(member, request, ticket, decision)
        # After the leader was told who takes part, only a new rebalance can give the new member id an assignment.
        reason = f"static member {member.group_instance_id!r} came back as {member.member_id!r}"
        self._rebalance_or_complete_join(group, reason, now_ms, decision)

    def _replace_static(
        self,
        group: ClassicGroup,
        member: Member,
        request: JoinGroupRequest,
        joiner: Joiner,
        ticket: Ticket[JoinGroupResponse],
        now_ms: int,
        decision: Decision,
    ) -> None:
        """Only the member id changes, which goes to the log: no rebalance, and everyone keeps their assignment."""
        former_id, former_leader = member.member_id, group.leader
        member_id, is_leader = joiner.new_member_id, former_leader == member.member_id
        value = group.recorded({m.member_id: m.assignment for m in group.members.values()}, group.state_timestamp_ms)
        recorded = next(entry for entry in value.members if entry.member_id == former_id)
        recorded.member_id = member_id
        recorded.rebalance_timeout = rebalance_timeout_ms_of(request)
        recorded.session_timeout = request.session_timeout_ms
        recorded.subscription = protocols_of(request)[group.protocol or ""]
        if is_leader:
            value.leader = member_id
        decision.append(GroupMetadataKey(group=group.group_id), value)

        reply = JoinGroupResponse(
            member_id=member_id,
            generation_id=group.generation,
            protocol_type=group.protocol_type,
            protocol_name=group.protocol,
            leader=(value.leader if joiner.supports_skip_assignment else former_leader) or "",
            members=[],
        )
        if is_leader and joiner.supports_skip_assignment:
            reply.skip_assignment = True
            reply.members = [
                JoinGroupResponseMember(
                    member_id=entry.member_id, group_instance_id=entry.group_instance_id, metadata=entry.subscription
                )
                for entry in value.members
            ]
        # Before KIP-814 a returning leader is told of its former self as the leader, lest it assign again.
        decision.answer(ticket, reply)

        def then() -> None:
            replaced = group.members[member_id]
            replaced.protocols = protocols_of(request)
            self._timers.cancel(self._session(group, former_id))
            self._reset_session(group, replaced, now_ms)

        decision.then = then

    def _update(
        self, member: Member, request: JoinGroupRequest, ticket: Ticket[JoinGroupResponse], decision: Decision
    ) -> None:
        """Take over what a member says when it joins again."""
        if member.joining is not None:
            decision.refuse(member.joining, ErrorCode.REBALANCE_IN_PROGRESS, "replaced by a later JoinGroup")
        member.joining = ticket
        member.protocols = protocols_of(request)
        member.rebalance_timeout_ms = rebalance_timeout_ms_of(request)
        member.session_timeout_ms = request.session_timeout_ms

    # -- the first half of a rebalance

    def _rebalance_or_complete_join(self, group: ClassicGroup, reason: str, now_ms: int, decision: Decision) -> None:
        if group.state in REBALANCEABLE:
            self.prepare_rebalance(group, reason, now_ms, decision)
        else:
            self._complete_join_if_all_joined(group, now_ms, decision)

    def prepare_rebalance(self, group: ClassicGroup, reason: str, now_ms: int, decision: Decision) -> None:
        """Begin a rebalance: ask everyone to join, those first who wait for an assignment that will not come."""
        for member in group.members.values():
            if member.syncing is not None:
                decision.refuse(member.syncing, ErrorCode.REBALANCE_IN_PROGRESS)
                member.syncing = None
                self._reset_session(group, member, now_ms)
        group.pending_sync.clear()
        self._timers.cancel(self._sync(group))
        is_first = group.state is GroupState.EMPTY
        group.transition_to(GroupState.PREPARING_REBALANCE, now_ms)
        logger.info("group %r: rebalance after generation %d: %s", group.group_id, group.generation, reason)
        delay_ms = self._config.group_initial_rebalance_delay_ms
        if is_first and delay_ms > 0:
            group.delay_limit_ms = now_ms + max(delay_ms, group.rebalance_timeout_ms)
            group.joined_during_delay = False
            self._timers.set(self._join(group), now_ms + delay_ms)
        elif is_first or group.all_joined:
            self._complete_join(group, now_ms, decision)
        else:
            self._timers.set(self._join(group), now_ms + group.rebalance_timeout_ms)

    def _complete_join_if_all_joined(self, group: ClassicGroup, now_ms: int, decision: Decision) -> None:
        if group.state is GroupState.PREPARING_REBALANCE and group.delay_limit_ms is None and group.all_joined:
            self._complete_join(group, now_ms, decision)

    def _complete_join(self, group: ClassicGroup, now_ms: int, decision: Decision) -> None:
        """Begin the next generation with who has joined, and with static members, who may be away for a while."""
        group.delay_limit_ms = None
        self._timers.cancel(self._join(group))
        for member in [m for m in group.members.values() if m.joining is None and not m.is_static]:
            logger.info("group %r: member %r did not join in time", group.group_id, member.member_id)
            group.remove(member.member_id)
            self._timers.cancel(self._session(group, member.member_id))
        if not group.members:
            self._become_empty(group, now_ms, decision)
            return
        if not group.elect_joined_leader():
            # Static members only, all of them away: until their sessions end there is nobody to assign anything.
            self._timers.set(self._join(group), now_ms + group.rebalance_timeout_ms)
            return
        group.generation += 1
        group.protocol = group.select_protocol()
        group.transition_to(GroupState.COMPLETING_REBALANCE, now_ms)
        group.pending_sync = set(group.members)
        for member in group.members.values():
            if member.joining is not None:
                decision.answer(member.joining, joined(group, member))
                member.joining = None
            member.is_new = False
            self._reset_session(group, member, now_ms)
        self._timers.set(self._sync(group), now_ms + group.rebalance_timeout_ms)
        group.check()

    def _become_empty(self, group: ClassicGroup, now_ms: int, decision: Decision) -> None:
        value = group.recorded({}, now_ms)
        value.generation += 1
        value.protocol = None
        decision.append(GroupMetadataKey(group=group.group_id), value)

        def otherwise(failed_ms: int) -> Decision:
            self._timers.set(self._join(group), failed_ms + APPEND_RETRY_MS)
            return Decision()

        decision.otherwise = otherwise

    # -- the second half

    def sync(
        self, group: ClassicGroup, request: SyncGroupRequest, ticket: Ticket[SyncGroupResponse], now_ms: int
    ) -> Decision:
        """SyncGroup: a follower waits for the leader's, and the leader's for the log."""
        decision = Decision()
        member = group.member(request.member_id, request.group_instance_id)
        _check_generation(group, request.generation_id)
        for told, true in ((request.protocol_type, group.protocol_type), (request.protocol_name, group.protocol)):
            if told is not None and true is not None and told != true:
                raise KafkaError(
                    ErrorCode.INCONSISTENT_GROUP_PROTOCOL, f"group {group.group_id!r} uses {true!r}, not {told!r}"
                )
        if group.state is GroupState.PREPARING_REBALANCE:
            raise _rebalance_in_progress(group)
        group.pending_sync.discard(member.member_id)
        if not group.pending_sync:
            self._timers.cancel(self._sync(group))
        if group.state is GroupState.STABLE:
            self._reset_session(group, member, now_ms)
            decision.answer(ticket, synced(group, member.assignment))
            return decision
        if member.syncing is not None:
            decision.refuse(member.syncing, ErrorCode.REBALANCE_IN_PROGRESS, "replaced by a later SyncGroup")
        member.syncing = ticket
        if member.member_id == group.leader:
            self._assign(group, {a.member_id: bytes(a.assignment) for a in request.assignments}, now_ms, decision)
        return decision

    def _assign(self, group: ClassicGroup, assignment: dict[str, bytes], now_ms: int, decision: Decision) -> None:
        """Write the leader's assignment to the log, and give it to whom waits for it."""
        decision.append(GroupMetadataKey(group=group.group_id), group.recorded(assignment, now_ms))
        for member in group.members.values():
            if member.syncing is not None:
                decision.answer(member.syncing, synced(group, assignment.get(member.member_id, b"")))
                member.syncing = None
                self._reset_session(group, member, now_ms)

        def otherwise(failed_ms: int) -> Decision:
            again = Decision()
            self.prepare_rebalance(group, "the assignment could not be written to the log", failed_ms, again)
            return again

        decision.otherwise = otherwise

    # -- signs of life

    def heartbeat(self, group: ClassicGroup, request: HeartbeatRequest, now_ms: int) -> HeartbeatResponse:
        """Heartbeat: keeps the session, and tells of a rebalance."""
        member = group.member(request.member_id, request.group_instance_id)
        _check_generation(group, request.generation_id)
        self._reset_session(group, member, now_ms)
        if group.state is GroupState.PREPARING_REBALANCE:
            raise _rebalance_in_progress(group)
        return HeartbeatResponse()

    def keep_session(self, group: ClassicGroup, member_id: str, now_ms: int) -> None:
        """Something else than a heartbeat shows that a member lives: a commit of offsets does."""
        member = group.members.get(member_id)
        if member is not None and not member.is_new:
            self._reset_session(group, member, now_ms)

    def interrupt(self, group: ClassicGroup, now_ms: int, decision: Decision) -> None:
        """The group moves to the consumer protocol: whoever waits for the others has to join again."""
        for member in group.members.values():
            for waiting in (member.joining, member.syncing):
                if waiting is not None:
                    decision.refuse(waiting, ErrorCode.REBALANCE_IN_PROGRESS)
            member.joining = member.syncing = None
            self._reset_session(group, member, now_ms)

    def end_rebalance(self, group: ClassicGroup) -> None:
        """It has moved: its rebalance, if there was one, is over."""
        self._timers.cancel(self._join(group))
        self._timers.cancel(self._sync(group))

    def restore_sessions(self, group: ClassicGroup, now_ms: int) -> None:
        """After a restart every member has a full session timeout to be heard from."""
        for member in group.members.values():
            self._reset_session(group, member, now_ms)

    # -- leaving

    def leave(
        self, group: ClassicGroup, members: list[MemberIdentity], ticket: Ticket[LeaveGroupResponse], now_ms: int
    ) -> Decision:
        """LeaveGroup: of the members themselves, or by instance id through an administrator (KIP-345)."""
        decision = Decision()
        responses = [
            MemberResponse(
                member_id=identity.member_id,
                group_instance_id=identity.group_instance_id,
                error_code=self._leave_one(group, identity, decision),
            )
            for identity in members
        ]
        if any(response.error_code == ErrorCode.NONE for response in responses):
            if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
                self.prepare_rebalance(group, "members left", now_ms, decision)
            else:
                self._complete_join_if_all_joined(group, now_ms, decision)
        decision.answer(ticket, LeaveGroupResponse(members=responses))
        return decision

    def _leave_one(self, group: ClassicGroup, identity: MemberIdentity, decision: Decision) -> ErrorCode:
        member_id = identity.member_id
        if not member_id:
            static = group.static_member(identity.group_instance_id or "")
            if static is None:
                return ErrorCode.UNKNOWN_MEMBER_ID
            member_id = static.member_id
        elif member_id not in group.pending_members:
            try:
                group.member(member_id, identity.group_instance_id)
            except KafkaError as error:
                return error.code
        self._remove(group, member_id, decision)
        return ErrorCode.NONE

    def _remove(self, group: ClassicGroup, member_id: str, decision: Decision) -> None:
        member = group.remove(member_id)
        self._timers.cancel(self._session(group, member_id))
        if not group.pending_sync:
            self._timers.cancel(self._sync(group))
        if member is not None:
            for waiting in (member.joining, member.syncing):
                if waiting is not None:
                    decision.refuse(waiting, ErrorCode.UNKNOWN_MEMBER_ID)

    # -- silence

    def expire(self, group: ClassicGroup, timer: GroupTimer, now_ms: int) -> Decision:
        """A deadline of this group has passed."""
        decision = Decision()
        if timer.kind is GroupTimerKind.SESSION:
            self._session_over(group, timer.member_id, now_ms, decision)
        elif timer.kind is GroupTimerKind.JOIN:
            self._join_over(group, now_ms, decision)
        else:
            self._sync_over(group, now_ms, decision)
        group.check()
        return decision

    def _session_over(self, group: ClassicGroup, member_id: str, now_ms: int, decision: Decision) -> None:
        member = group.members.get(member_id)
        if member is not None and member.awaits_rebalance:
            return  # it waits for us; its session begins again with our answer
        logger.info("group %r: member %r was not heard from in time", group.group_id, member_id)
        self._remove(group, member_id, decision)
        if member is not None and group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            self.prepare_rebalance(group, f"the session of member {member_id!r} ended", now_ms, decision)
        else:
            self._complete_join_if_all_joined(group, now_ms, decision)

    def _join_over(self, group: ClassicGroup, now_ms: int, decision: Decision) -> None:
        limit_ms = group.delay_limit_ms
        if limit_ms is not None and group.joined_during_delay and now_ms < limit_ms:
            group.joined_during_delay = False
            deadline_ms = min(now_ms + self._config.group_initial_rebalance_delay_ms, limit_ms)
            self._timers.set(self._join(group), deadline_ms)
        else:
            self._complete_join(group, now_ms, decision)

    def _sync_over(self, group: ClassicGroup, now_ms: int, decision: Decision) -> None:
        for member_id in sorted(group.pending_sync):
            logger.info("group %r: member %r did not sync in time", group.group_id, member_id)
            self._remove(group, member_id, decision)
        self.prepare_rebalance(group, "members did not sync in time", now_ms, decision)

    # -- timers

    def _reset_session(self, group: ClassicGroup, member: Member, now_ms: int) -> None:
        self._timers.set(self._session(group, member.member_id), now_ms + member.session_timeout_ms)

    def _session(self, group: ClassicGroup, member_id: str) -> GroupTimer:
        return GroupTimer(self._partition, GroupTimerKind.SESSION, group.group_id, member_id)

    def _join(self, group: ClassicGroup) -> GroupTimer:
        return GroupTimer(self._partition, GroupTimerKind.JOIN, group.group_id)

    def _sync(self, group: ClassicGroup) -> GroupTimer:
        return GroupTimer(self._partition, GroupTimerKind.SYNC, group.group_id)


def _check_generation(group: ClassicGroup, generation: int) -> None:
    if generation != group.generation:
        raise KafkaError(
            ErrorCode.ILLEGAL_GENERATION,
            f"group {group.group_id!r} is in generation {group.generation}, not {generation}: join again",
        )


def _rebalance_in_progress(group: ClassicGroup) -> KafkaError:
    return KafkaError(ErrorCode.REBALANCE_IN_PROGRESS, f"group {group.group_id!r} rebalances: join again")


def _changes_assignment(group: ClassicGroup, member: Member, request: JoinGroupRequest) -> bool:
    """Whether a static member has come back with something that calls for another assignment.

    Apache Kafka asks only whether another protocol would be selected, and a consumer that comes back with other topics
    is not assigned them until some later rebalance. Ours compares the topics too; the rest of a subscription (owned
    partitions, generation) always differs after a restart and is no reason.
    """
    protocols = protocols_of(request)
    former, member.protocols = member.protocols, protocols
    try:
        if group.select_protocol() != group.protocol:
            return True
    finally:
        member.protocols = former
    name = group.protocol or ""
    return group.protocol_type == PROTOCOL_TYPE and (
        subscribed_topics(former.get(name, b"")) != subscribed_topics(protocols[name])
    )
