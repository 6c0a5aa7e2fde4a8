"""One step of a member from what it has towards what it is to have (KIP-848). Pure.

A partition moves in two steps, each confirmed by who takes it: its owner is told to give it up and says that it has;
only then is it free for the member that it is meant for. So it never has two owners, and all other partitions go on
being consumed meanwhile.
"""

from collections.abc import Callable, Set
from uuid import UUID

from ottla_broker.coordinator.consumer_member import ConsumerMember, MemberState
from ottla_broker.coordinator.partitions import TopicIdPartition
from ottla_wire.errors import ErrorCode, KafkaError

Owned = Set[TopicIdPartition] | None
"""The partitions that a member says it uses; None if it says nothing about them because nothing has changed."""


def reconcile(
    member: ConsumerMember,
    target_epoch: int,
    target: Set[TopicIdPartition],
    subscribed: Set[UUID],
    owned: Owned,
    owner: Callable[[TopicIdPartition], str | None],
) -> ConsumerMember:
    """The member after this step, or the same if it has to wait for something.

    `subscribed` are the ids of the topics that it subscribes to: partitions of others are taken from it even where the
    target assignment has not been computed anew yet. Raises FENCED_MEMBER_EPOCH for a member in a state of a later
    version that still uses partitions.
    """
    if member.state is MemberState.UNKNOWN and (owned is None or owned):
        raise KafkaError(
            ErrorCode.FENCED_MEMBER_EPOCH,
            f"member {member.member_id!r} is in an unknown state: give up all partitions and join again",
        )
    if member.state is MemberState.UNREVOKED_PARTITIONS and _uses(owned, member.revoking.keys()):
        return _without_unsubscribed(member, subscribed)
    if member.is_reconciled_to(target_epoch) and all(topic_id in subscribed for topic_id, _ in member.assigned):
        return member

    target = {partition for partition in target if partition[0] in subscribed}
    kept = {partition: epoch for partition, epoch in member.assigned.items() if partition in target}
    lost = {partition: epoch for partition, epoch in member.assigned.items() if partition not in target}
    if lost and _uses(owned, lost.keys()):
        return member.advanced(member.epoch, MemberState.UNREVOKED_PARTITIONS, kept, lost)
    gained = [partition for partition in target - kept.keys() if owner(partition) in (None, member.member_id)]
    state = MemberState.STABLE if len(kept) + len(gained) == len(target) else MemberState.UNRELEASED_PARTITIONS
    return member.advanced(target_epoch, state, kept | dict.fromkeys(gained, target_epoch), {})


def _uses(owned: Owned, partitions: Set[TopicIdPartition]) -> bool:
    """Whether a member may still use some of `partitions`; if it says nothing, it does."""
    return owned is None or not owned.isdisjoint(partitions)


def _without_unsubscribed(member: ConsumerMember, subscribed: Set[UUID]) -> ConsumerMember:
    """While it gives up partitions it has unsubscribed from topics: those go too."""
    lost = {partition: epoch for partition, epoch in member.assigned.items() if partition[0] not in subscribed}
    if not lost:
        return member
    kept = {partition: epoch for partition, epoch in member.assigned.items() if partition not in lost}
    return member.advanced(member.epoch, MemberState.UNREVOKED_PARTITIONS, kept, {**member.revoking, **lost})
