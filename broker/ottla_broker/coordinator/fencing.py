"""Who may commit and fetch offsets of a group: members of its generation or epoch, and anyone while it has none. Pure.

A member of a consumer group may commit with an epoch before its own, for partitions that it has had since then: commits
and heartbeats travel independently, and that the epoch has risen since a commit was sent is no reason to lose it
(KIP-1251).
"""

from collections.abc import Callable, Iterable

from ottla_broker.coordinator.classic_group import ClassicGroup, GroupState
from ottla_broker.coordinator.consumer_group import ConsumerGroup
from ottla_broker.coordinator.consumer_member import ConsumerMember
from ottla_broker.coordinator.partitions import TopicIdPartition
from ottla_wire.errors import ErrorCode, KafkaError

FIRST_VERSION_WITH_EPOCHS = 9
"""Of OffsetCommit: before, there is no STALE_MEMBER_EPOCH."""


def check_classic_commit(
    group: ClassicGroup, member_id: str, group_instance_id: str | None, generation: int, *, transactional: bool
) -> None:
    """Whether this member may commit offsets now; raises the KafkaError that says why not.

    Transactions are not bound to the phase of a rebalance: their producer is fenced by other means.
    """
    if generation < 0 and group.state is GroupState.EMPTY:
        return
    if generation >= 0 or member_id or group_instance_id is not None:
        group.member(member_id, group_instance_id)
        if generation != group.generation:
            raise KafkaError(
                ErrorCode.ILLEGAL_GENERATION, f"group {group.group_id!r} is in generation {group.generation}"
            )
    elif not transactional:
        raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"group {group.group_id!r} has members: only they can commit")
    if not transactional and group.state is GroupState.COMPLETING_REBALANCE:
        raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS, f"group {group.group_id!r} rebalances")


def check_consumer_commit(
    group: ConsumerGroup,
    member_id: str,
    epoch: int,
    partitions: Callable[[], Iterable[TopicIdPartition]],
    *,
    version: int,
) -> None:
    """The same for a member of a consumer group; `version` is that of OffsetCommit."""
    if epoch < 0 and not group.members:
        return
    member = group.member(member_id)
    if member.classic is None and version < FIRST_VERSION_WITH_EPOCHS:
        raise KafkaError(
            ErrorCode.UNSUPPORTED_VERSION, "members of the consumer protocol commit with OffsetCommit 9 or later"
        )
    _check_epoch(member, epoch, partitions)


def check_consumer_commit_in_transaction(
    group: ConsumerGroup,
    member_id: str,
    group_instance_id: str | None,
    epoch: int,
    partitions: Callable[[], Iterable[TopicIdPartition]],
) -> None:
    """The same within a transaction. A producer that says nothing about a member is fenced by other means."""
    says_nothing = epoch == -1 and not member_id and group_instance_id is None
    if not says_nothing and not (epoch < 0 and not group.members):
        _check_epoch(group.member(member_id), epoch, partitions)


def check_fetch(group: ConsumerGroup, member_id: str | None, epoch: int) -> None:
    """Whether this member may fetch offsets. Who names none, such as an administrator, always may."""
    if member_id is not None or epoch >= 0:
        _check_epoch(group.member(member_id or ""), epoch, list)


def _check_epoch(member: ConsumerMember, epoch: int, partitions: Callable[[], Iterable[TopicIdPartition]]) -> None:
    if epoch == member.epoch:
        return
    if epoch < member.epoch:
        since = [member.assignment_epoch(partition) for partition in partitions()]
        if since and all(assigned is not None and epoch >= assigned for assigned in since):
            return
    raise KafkaError(
        ErrorCode.STALE_MEMBER_EPOCH if member.classic is None else ErrorCode.ILLEGAL_GENERATION,
        f"member {member.member_id!r} is at epoch {member.epoch}, not {epoch}",
    )
