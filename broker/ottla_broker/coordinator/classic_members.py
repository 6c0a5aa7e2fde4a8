"""Members of a consumer group that still speak the classic protocol (KIP-848, online migration). Pure.

To them the group looks like a classic one whose leader is somebody else. The member epoch is their generation. What is
a heartbeat's answer to others, "give this up" or "there is more for you", is REBALANCE_IN_PROGRESS to them, upon which
they join again, with what they use in their subscription, and take a step towards the target; SyncGroup then brings
what that step gave them. Nobody waits for anybody, so every request is answered at once.
"""

from collections.abc import Sequence
from dataclasses import replace

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.coordinator.classic_messages import protocols_of, rebalance_timeout_ms_of, refused_join
from ottla_broker.coordinator.classic_protocol import Joiner
from ottla_broker.coordinator.consumer_draft import Draft
from ottla_broker.coordinator.consumer_group import NOTHING, ConsumerGroup
from ottla_broker.coordinator.consumer_member import Classic, ConsumerMember, MemberState
from ottla_broker.coordinator.consumer_protocol import ConsumerProtocol
from ottla_broker.coordinator.decision import Ticket
from ottla_broker.coordinator.embedded_protocol import PROTOCOL_TYPE, with_ids, write_assignment
from ottla_broker.coordinator.group_timers import GroupTimer, GroupTimerKind
from ottla_broker.coordinator.timers import Timers
from ottla_wire.errors import ErrorCode, KafkaError, MalformedMessage
from ottla_wire.messages.consumer_protocol import ConsumerProtocolSubscription, read_subscription
from ottla_wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from ottla_wire.messages.leave_group import MemberIdentity, MemberResponse
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


class ClassicMembers:
    """The rules for them, over consumer groups of one partition."""

    def __init__(
        self, protocol: ConsumerProtocol, timers: Timers[GroupTimer], partition: int, image: ClusterImage
    ) -> None:
        self._protocol = protocol
        self._timers = timers
        self._partition = partition
        self._image = image

    # -- join and sync

    def join(
        self,
        draft: Draft,
        request: JoinGroupRequest,
        joiner: Joiner,
        ticket: Ticket[JoinGroupResponse],
        now_ms: int,
    ) -> None:
        """JoinGroup: a step towards the target. Raises the KafkaError to answer with."""
        group, instance_id = draft.group, request.group_instance_id
        member_id = request.member_id or joiner.new_member_id
        self._protocol.check_room(group, member_id, instance_id)
        subscription = subscription_of(group, request)
        if not request.member_id and instance_id is None and joiner.requires_member_id:
            draft.decision.answer(ticket, refused_join(ErrorCode.MEMBER_ID_REQUIRED, member_id))
            return
        if request.member_id and (instance_id is not None or subscription.owned_partitions):
            # A new member comes with the id that it was sent back with, and nothing else. One that was removed without
            # noticing has to give up first what others may have by now.
            member = group.member(member_id, instance_id)
        else:
            member = self._protocol.joining(draft, member_id, instance_id, is_classic=True)
        classic = Classic(request.session_timeout_ms, tuple(protocols_of(request).items()))
        updated = replace(
            member,
            instance_id=instance_id if instance_id is not None else member.instance_id,
            rack_id=subscription.rack_id or member.rack_id,
            client_id=joiner.client_id,
            client_host=joiner.client_host,
            topic_names=frozenset(subscription.topics),
            topic_regex=None,
            rebalance_timeout_ms=rebalance_timeout_ms_of(request),
            server_assignor=None,
            classic=classic,
        )
        owned = with_ids(subscription.owned_partitions, self._image.topics)
        after = self._protocol.step(draft, updated, owned, now_ms)
        response = JoinGroupResponse(
            generation_id=after.epoch,
            protocol_type=PROTOCOL_TYPE,
            protocol_name=classic.protocol,
            leader="",
            member_id=member_id,
            members=[],
        )
        draft.decision.answer(ticket, response)
        self._protocol.cancel_deadlines(group.group_id, member_id)
        self._keep_session(group, after, now_ms)
        self._timers.set(self._timer(GroupTimerKind.MEMBER_SYNC, group, after), now_ms + after.rebalance_timeout_ms)

    def sync(self, group: ConsumerGroup, request: SyncGroupRequest, now_ms: int) -> SyncGroupResponse:
        """SyncGroup: what the last step has given to the member. Raises the KafkaError to answer with."""
        member, classic = _classic_member(group, request.member_id, request.group_instance_id)
        _check_generation(member, request.generation_id)
        for told, true in ((request.protocol_type, PROTOCOL_TYPE), (request.protocol_name, classic.protocol)):
            if told is not None and told != true:
                raise KafkaError(
                    ErrorCode.INCONSISTENT_GROUP_PROTOCOL, f"group {group.group_id!r} uses {true!r}, not {told!r}"
                )
        if group.epoch > member.epoch and member.state is not MemberState.UNREVOKED_PARTITIONS:
            self._await_join(group, member, now_ms)
            raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS, f"group {group.group_id!r} has changed: join again")
        self._timers.cancel(self._timer(GroupTimerKind.MEMBER_SYNC, group, member))
        self._keep_session(group, member, now_ms)
        return SyncGroupResponse(
            protocol_type=PROTOCOL_TYPE,
            protocol_name=classic.protocol,
            assignment=write_assignment(member.assigned, self._image.topics_by_id, classic.subscription),
        )

    # -- signs of life

    def heartbeat(self, group: ConsumerGroup, request: HeartbeatRequest, now_ms: int) -> HeartbeatResponse:
        """Heartbeat: REBALANCE_IN_PROGRESS when there is a step to take, by joining again."""
        member, _ = _classic_member(group, request.member_id, request.group_instance_id)
        _check_generation(member, request.generation_id)
        self._keep_session(group, member, now_ms)
        if (
            group.epoch > member.epoch
            or member.state is MemberState.UNREVOKED_PARTITIONS
            or (member.state is MemberState.UNRELEASED_PARTITIONS and not _waits_for_others(group, member))
        ):
            self._await_join(group, member, now_ms)
            return HeartbeatResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS)
        return HeartbeatResponse()

    # -- leaving

    def leaving(
        self, group: ConsumerGroup, identities: Sequence[MemberIdentity]
    ) -> tuple[list[MemberResponse], list[str]]:
        """LeaveGroup: the answer for each, and the ids of the members that go.

        Administrators remove members by it too, by instance id, whichever protocol those speak (KIP-345).
        """
        responses, gone = [], []
        for identity in identities:
            member_id, instance_id = identity.member_id, identity.group_instance_id
            code = ErrorCode.NONE
            try:
                if not member_id and instance_id is not None:
                    member_id = group.static_members.get(instance_id, "")
                member_id = group.member(member_id, instance_id).member_id
                gone.append(member_id)
            except KafkaError as error:
                code = error.code
            responses.append(
                MemberResponse(member_id=identity.member_id, group_instance_id=instance_id, error_code=code)
            )
        return responses, list(dict.fromkeys(gone))

    # -- deadlines

    def _keep_session(self, group: ConsumerGroup, member: ConsumerMember, now_ms: int) -> None:
        assert member.classic is not None
        session = self._timer(GroupTimerKind.SESSION, group, member)
        self._timers.set(session, now_ms + member.classic.session_timeout_ms)

    def _await_join(self, group: ConsumerGroup, member: ConsumerMember, now_ms: int) -> None:
        timer = self._timer(GroupTimerKind.MEMBER_JOIN, group, member)
        if timer not in self._timers:
            self._timers.set(timer, now_ms + member.rebalance_timeout_ms)

    def _timer(self, kind: GroupTimerKind, group: ConsumerGroup, member: ConsumerMember) -> GroupTimer:
        return GroupTimer(self._partition, kind, group.group_id, member.member_id)


def subscription_of(group: ConsumerGroup, request: JoinGroupRequest) -> ConsumerProtocolSubscription:
    """What the joiner subscribes to. Raises INCONSISTENT_GROUP_PROTOCOL if it could not be in a group with the others.

    They will not be asked for assignments here, but they might be again, once the last other member has left.
    """
    protocols = protocols_of(request)
    others = [member for member in group.classic_members() if member.member_id != request.member_id]
    common = set(protocols).intersection(
        *({name for name, _ in member.classic.protocols} for member in others if member.classic is not None)
    )
    if request.protocol_type == PROTOCOL_TYPE and common:
        try:
            return read_subscription(next(iter(protocols.values())))
        except MalformedMessage:
            pass
    raise KafkaError(
        ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
        f"group {group.group_id!r} is one of consumers: this member is none, or shares no protocol with the others",
    )


def _classic_member(group: ConsumerGroup, member_id: str, instance_id: str | None) -> tuple[ConsumerMember, Classic]:
    member = group.member(member_id, instance_id)
    if member.classic is None:
        raise KafkaError(
            ErrorCode.UNKNOWN_MEMBER_ID,
            f"member {member_id!r} of group {group.group_id!r} does not speak the classic protocol",
        )
    return member, member.classic


def _check_generation(member: ConsumerMember, generation: int) -> None:
    if generation != member.epoch:
        raise KafkaError(
            ErrorCode.ILLEGAL_GENERATION,
            f"member {member.member_id!r} is in generation {member.epoch}, not {generation}: join again",
        )


def _waits_for_others(group: ConsumerGroup, member: ConsumerMember) -> bool:
    missing = group.target.get(member.member_id, NOTHING) - member.assigned.keys()
    return any(partition in group.owners for partition in missing)
