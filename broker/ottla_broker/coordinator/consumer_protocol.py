"""The consumer protocol: what ConsumerGroupHeartbeat, silence and the topics' metadata do to a consumer group. Pure.

One heartbeat does it all (KIP-848). A member says who it is, what it subscribes to and what it uses; that may change
the group, which raises its epoch; a raised epoch calls for another target assignment; and the member takes one step
towards the target, the outcome of which is the answer. There is no barrier at which members wait for each other.

Members that speak the classic protocol are dealt with in `classic_members`, which shares `step` and `remove` with this.
"""

import logging
from collections.abc import Iterable, Mapping

from ottla_broker.cluster.group_configs import GroupConfig
from ottla_broker.cluster.image import ClusterImage, ResourceType
from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.consumer_draft import Draft
from ottla_broker.coordinator.consumer_group import NOTHING, ConsumerGroup, Resolved, topic_ids
from ottla_broker.coordinator.consumer_member import (
    JOIN_EPOCH,
    NONE_ASSIGNED,
    STATIC_LEAVE_EPOCH,
    ConsumerMember,
    MemberState,
)
from ottla_broker.coordinator.consumer_messages import Sender, is_full, left, owned_by, stepped, updated
from ottla_broker.coordinator.decision import Ticket
from ottla_broker.coordinator.group_timers import GroupTimer, GroupTimerKind
from ottla_broker.coordinator.reconciliation import Owned, reconcile
from ottla_broker.coordinator.regexes import Regex
from ottla_broker.coordinator.target import compute_target
from ottla_broker.coordinator.timers import Timers
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse

logger = logging.getLogger(__name__)

MEMBER_TIMERS = (
    GroupTimerKind.SESSION,
    GroupTimerKind.REVOCATION,
    GroupTimerKind.MEMBER_JOIN,
    GroupTimerKind.MEMBER_SYNC,
)

APPEND_RETRY_MS = 1_000
"""When to remove a silent member again, after the log refused it."""


class ConsumerProtocol:
    """The rules, over groups of one partition; `timers` is where deadlines go, `image` what the topics are like."""

    def __init__(self, config: BrokerConfig, timers: Timers[GroupTimer], partition: int, image: ClusterImage) -> None:
        self._config = config
        self._timers = timers
        self._partition = partition
        self._image = image

    # -- the heartbeat

    def heartbeat(
        self,
        draft: Draft,
        request: ConsumerGroupHeartbeatRequest,
        sender: Sender,
        ticket: Ticket[ConsumerGroupHeartbeatResponse],
        now_ms: int,
    ) -> None:
        """A member joins or keeps up. Raises the KafkaError to answer with."""
        member_id = request.member_id or sender.new_member_id
        owned = owned_by(request)
        before = draft.group.members.get(member_id)
        self.check_room(draft.group, member_id, request.instance_id)
        if request.member_epoch == JOIN_EPOCH:
            member = self.joining(draft, member_id, request.instance_id, is_classic=False)
        else:
            member = draft.group.member(member_id, request.instance_id)
            _check_epoch(member, request.member_epoch, owned)
        after = self.step(draft, updated(member, request, sender), owned, now_ms)
        self._keep_deadlines(draft.group.group_id, member, after, now_ms)

        had = NONE_ASSIGNED if before is None else before.assigned
        # A member that is behind has missed an answer, and who tells everything wants to be told everything.
        tells_all = request.member_epoch != after.epoch or is_full(request) or after.assigned.keys() != had.keys()
        interval_ms = self._group_config(draft.group.group_id).consumer_heartbeat_interval_ms
        draft.decision.answer(ticket, stepped(after, interval_ms, with_assignment=tells_all))

    def check_room(self, group: ConsumerGroup, member_id: str, instance_id: str | None) -> None:
        """Raises GROUP_MAX_SIZE_REACHED for one too many; who takes the place of a static member needs no other."""
        is_known = member_id in group.members or instance_id in group.static_members
        if not is_known and len(group.members) >= self._config.group_consumer_max_size:
            raise KafkaError(
                ErrorCode.GROUP_MAX_SIZE_REACHED,
                f"group {group.group_id!r} has {len(group.members)} members, as many as group.consumer.max.size allows",
            )

    def joining(self, draft: Draft, member_id: str, instance_id: str | None, *, is_classic: bool) -> ConsumerMember:
        """Who joins: a new member, one that begins anew, or a static one that takes over from its former self.

        Raises UNRELEASED_INSTANCE_ID while a member of the consumer protocol holds the instance id and has not said
        that it leaves. To move between the protocols is reason enough to take over without that.
        """
        static = draft.group.static_member(instance_id)
        if static is None or (static.member_id == member_id and static.epoch != STATIC_LEAVE_EPOCH):
            return draft.group.members.get(member_id) or ConsumerMember(member_id=member_id)
        if static.epoch != STATIC_LEAVE_EPOCH and static.classic is None and not is_classic:
            raise KafkaError(
                ErrorCode.UNRELEASED_INSTANCE_ID,
                f"instance {instance_id!r} of group {draft.group.group_id!r} is still member {static.member_id!r}",
            )
        logger.info("group %r: instance %r is now member %r", draft.group.group_id, instance_id, member_id)
        target = draft.group.target.get(static.member_id, NOTHING)
        draft.remove(static.member_id)
        draft.put(static.succeeded_by(member_id))
        draft.set_target_of(member_id, target)
        return draft.group.members[member_id]

    # -- what follows from a member's words

    def step(self, draft: Draft, member: ConsumerMember, owned: Owned, now_ms: int) -> ConsumerMember:
        """Take in what a member says about itself, and let it take a step; the member as it is after that.

        Raises INVALID_REGULAR_EXPRESSION.
        """
        former = draft.group.members.get(member.member_id)
        topics = frozenset[str]() if former is None else draft.group.topics_of(former)
        if member != former:
            if member.topic_regex is not None and (former is None or member.topic_regex != former.topic_regex):
                Regex(member.topic_regex)
            draft.put(member)
            draft.forget_unused_regexes()
        self._raise_epoch_if_changed(draft, has_changed=draft.group.topics_of(member) != topics)
        self._assign_if_due(draft, now_ms)
        member = draft.group.members[member.member_id]
        if draft.has_changed or not member.is_reconciled_to(draft.group.target_epoch):
            group = draft.group
            member = reconcile(
                member,
                group.target_epoch,
                group.target.get(member.member_id, NOTHING),
                topic_ids(group.topics_of(member), self._image.topics),
                owned,
                group.owners.get,
            )
            draft.put(member)
        return member

    def _raise_epoch_if_changed(self, draft: Draft, *, has_changed: bool) -> None:
        group, version = draft.group, self._image.topics_offset
        if not has_changed and group.epoch > 0 and group.seen_version == version:
            return
        metadata_hash = group.hash_of(self._image.topics)
        if has_changed or group.epoch == 0 or metadata_hash != group.metadata_hash:
            draft.set_epoch(group.epoch + 1, metadata_hash)
            logger.info("group %r: epoch %d", group.group_id, draft.group.epoch)
        else:
            group.seen_version = version

    def _assign_if_due(self, draft: Draft, now_ms: int) -> None:
        """Compute the target assignment of a new epoch, but not too often: members tend to come in crowds.

        Who waits for the first partitions at all, such as the first member, need not wait for a crowd.
        """
        group = draft.group
        if group.epoch == group.target_epoch:
            return
        interval_ms = self._group_config(group.group_id).consumer_assignment_interval_ms
        if any(group.target.values()) and 0 <= now_ms - group.target_timestamp_ms < interval_ms:
            timer = self._timer(GroupTimerKind.ASSIGNMENT, group.group_id)
            self._timers.set(timer, group.target_timestamp_ms + interval_ms)
            return
        target = compute_target(group, self._image.topics, self._config.group_consumer_assignors)
        draft.set_target(target, now_ms)

    # -- leaving

    def leave(
        self,
        draft: Draft,
        request: ConsumerGroupHeartbeatRequest,
        ticket: Ticket[ConsumerGroupHeartbeatResponse],
        now_ms: int,
    ) -> None:
        """A static member leaves for a while: nothing moves unless its session ends before it is back."""
        member = draft.group.member(request.member_id, request.instance_id)
        draft.put(member.away())
        self._timers.cancel(self._timer(GroupTimerKind.REVOCATION, draft.group.group_id, member.member_id))
        self._start_session(draft.group.group_id, member, now_ms)
        draft.decision.answer(ticket, left(request))

    def remove(self, draft: Draft, member_ids: Iterable[str]) -> None:
        """These members are gone: what they had is free, and will be assigned at the next heartbeat of another."""
        for member_id in member_ids:
            draft.remove(member_id)
        draft.forget_unused_regexes()
        draft.set_epoch(draft.group.epoch + 1, draft.group.hash_of(self._image.topics))

    # -- silence

    def is_overdue(self, group: ConsumerGroup, timer: GroupTimer) -> bool:
        """Whether the member that a deadline is about has to go. It may be gone: deadlines outlive their members."""
        member = group.members.get(timer.member_id)
        if member is None:
            return False
        match timer.kind:
            case GroupTimerKind.SESSION:
                return True
            case GroupTimerKind.REVOCATION:
                return member.classic is None and member.state is MemberState.UNREVOKED_PARTITIONS
            case GroupTimerKind.MEMBER_JOIN | GroupTimerKind.MEMBER_SYNC:
                return member.classic is not None
        return False

    def assign(self, draft: Draft, now_ms: int) -> None:
        """The group has waited long enough since its last target assignment."""
        if draft.group.members:
            self._assign_if_due(draft, now_ms)

    # -- regular expressions

    def needs_resolution(self, group: ConsumerGroup) -> bool:
        """Whether expressions have to be matched: new ones, or all of them because there are other topics now."""
        regexes = group.regexes()
        return bool(regexes) and (
            group.resolving_version != self._image.topics_offset or not regexes <= group.resolved.keys()
        )

    def resolve(self, draft: Draft, version: int, found: Mapping[str, frozenset[str]], now_ms: int) -> None:
        """What expressions stand for, by the topics as of `version`. Others than before make it another group."""
        has_changed = False
        for regex in draft.group.regexes() & found.keys():
            known = draft.group.resolved.get(regex)
            if known is None or known.topics != found[regex]:
                has_changed = has_changed or bool(found[regex]) or known is not None
                draft.set_resolved(regex, Resolved(found[regex], version), now_ms)
        self._raise_epoch_if_changed(draft, has_changed=has_changed)

    # -- deadlines

    def restore_deadlines(self, group: ConsumerGroup, now_ms: int) -> None:
        """After a restart every member has a full session timeout to be heard from."""
        for member in group.members.values():
            self._keep_deadlines(group.group_id, None, member, now_ms)

    def cancel_deadlines(self, group_id: str, member_id: str) -> None:
        """Nothing is expected of a member now."""
        for kind in MEMBER_TIMERS:
            self._timers.cancel(self._timer(kind, group_id, member_id))

    def retry_later(self, timer: GroupTimer, failed_ms: int) -> None:
        """What a deadline called for could not be written to the log."""
        self._timers.set(timer, failed_ms + APPEND_RETRY_MS)

    def _keep_deadlines(
        self, group_id: str, former: ConsumerMember | None, member: ConsumerMember, now_ms: int
    ) -> None:
        self._start_session(group_id, member, now_ms)
        if member.classic is not None:
            return
        revocation = self._timer(GroupTimerKind.REVOCATION, group_id, member.member_id)
        if member.state is not MemberState.UNREVOKED_PARTITIONS:
            self._timers.cancel(revocation)
        elif former is None or former.revoking.keys() != member.revoking.keys():
            self._timers.set(revocation, now_ms + member.rebalance_timeout_ms)

    def _start_session(self, group_id: str, member: ConsumerMember, now_ms: int) -> None:
        if member.classic is not None:
            timeout_ms = member.classic.session_timeout_ms
        else:
            timeout_ms = self._group_config(group_id).consumer_session_timeout_ms
        self._timers.set(self._timer(GroupTimerKind.SESSION, group_id, member.member_id), now_ms + timeout_ms)

    def _timer(self, kind: GroupTimerKind, group_id: str, member_id: str = "") -> GroupTimer:
        return GroupTimer(self._partition, kind, group_id, member_id)

    def _group_config(self, group_id: str) -> GroupConfig:
        return GroupConfig.of(self._image.config(ResourceType.GROUP, group_id), self._config)


def _check_epoch(member: ConsumerMember, epoch: int, owned: Owned) -> None:
    """A member that does not know of its last step is let through if it does not use more than it was given."""
    if epoch == member.epoch:
        return
    if epoch == member.previous_epoch and owned is not None and owned <= member.assigned.keys():
        return
    raise KafkaError(
        ErrorCode.FENCED_MEMBER_EPOCH,
        f"member {member.member_id!r} is at epoch {member.epoch}, not {epoch}: give up all partitions and join again",
    )
