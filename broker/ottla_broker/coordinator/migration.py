"""Online migration: a group that has members moves between the classic and the consumer protocol (KIP-848). Pure.

The first member of the consumer protocol to join a classic group of consumers **upgrades** it: its members and what
they are assigned go over as they are, and those members go on speaking the classic protocol (`classic_members`). When
the last member of the consumer protocol goes, the group is **downgraded**, and the others rebalance among themselves.
`group.consumer.migration.policy` says which of the two may happen. A group without members becomes whatever the first
one to join asks for.
"""

import logging
from collections.abc import Collection
from dataclasses import replace

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.classic_group import ClassicGroup, GroupState, Member
from ottla_broker.coordinator.consumer_draft import Draft
from ottla_broker.coordinator.consumer_group import ConsumerGroup
from ottla_broker.coordinator.consumer_member import Classic, ConsumerMember, MemberState
from ottla_broker.coordinator.decision import Decision
from ottla_broker.coordinator.embedded_protocol import PROTOCOL_TYPE, with_ids, write_assignment
from ottla_broker.coordinator.group_records import GroupMetadataKey
from ottla_broker.coordinator.partitions import TopicIdPartition
from ottla_wire.errors import ErrorCode, KafkaError, MalformedMessage
from ottla_wire.messages.consumer_protocol import read_assignment, read_subscription

logger = logging.getLogger(__name__)

COMMON_ASSIGNORS = frozenset({"range", "roundrobin", "sticky", "cooperative-sticky"})
"""Those that need no data of their own with an assignment, though librdkafka's send some. With any other one, such as
that of Kafka Streams, the data would be missed."""


class Migration:
    """The rules of both directions."""

    def __init__(self, config: BrokerConfig, image: ClusterImage) -> None:
        self._config = config
        self._image = image

    # -- up

    def upgrade(self, group: ClassicGroup, decision: Decision) -> Draft:
        """Make a consumer group of a classic one, as part of `decision`.

        Raises GROUP_ID_NOT_FOUND, which says that there is no consumer group of that name, if it cannot be.
        """
        self._check_upgrade(group)
        members = [self._upgraded(group, member) for member in group.members.values()]
        assigned = [partition for member in members for partition in member.assigned]
        if len(assigned) != len(set(assigned)):
            raise _not_upgraded(group, "its leader has assigned partitions to several members at once")
        members = _each_owned_once(members, set(assigned))
        if group.is_recorded:
            decision.append(GroupMetadataKey(group=group.group_id), None)
        draft = Draft(ConsumerGroup(group.group_id), decision)
        if members:
            logger.info("group %r moves to the consumer protocol, with %d members", group.group_id, len(members))
            for member in members:
                draft.put(member)
            metadata_hash = draft.group.hash_of(self._image.topics)
            draft.set_epoch(group.generation, metadata_hash)
            draft.set_target({member.member_id: frozenset(member.assigned) for member in members}, 0)
            if group.state is not GroupState.STABLE:
                # What the rebalance was for is another epoch's to bring about.
                draft.set_epoch(group.generation + 1, metadata_hash)
        return draft

    def _check_upgrade(self, group: ClassicGroup) -> None:
        if group.state is GroupState.EMPTY:
            return
        if self._config.group_consumer_migration_policy not in ("bidirectional", "upgrade"):
            raise _not_upgraded(group, "group.consumer.migration.policy does not allow it")
        if group.protocol_type != PROTOCOL_TYPE:
            raise _not_upgraded(group, "it is not one of consumers")
        if len(group.members) > self._config.group_consumer_max_size:
            raise _not_upgraded(group, "it has more members than group.consumer.max.size allows")

    def _upgraded(self, group: ClassicGroup, member: Member) -> ConsumerMember:
        classic = Classic(member.session_timeout_ms, tuple(member.protocols.items()))
        partitions: frozenset[TopicIdPartition] = frozenset()
        try:
            subscription = read_subscription(member.protocols.get(group.protocol or "", classic.subscription))
            if member.assignment:
                assignment = read_assignment(member.assignment)
                if assignment.user_data and group.protocol not in COMMON_ASSIGNORS:
                    raise _not_upgraded(group, "its assignor keeps data of its own with assignments")
                partitions = with_ids(assignment.assigned_partitions, self._image.topics)
        except MalformedMessage as error:
            raise _not_upgraded(group, f"member {member.member_id!r} cannot be understood: {error}") from None
        # What it had when it joined this generation it may be using still: it has to confirm that it does not.
        unrevoked = with_ids(subscription.owned_partitions, self._image.topics) - partitions
        return ConsumerMember(
            member_id=member.member_id,
            instance_id=member.group_instance_id,
            rack_id=subscription.rack_id or None,
            client_id=member.client_id,
            client_host=member.client_host,
            topic_names=frozenset(subscription.topics),
            rebalance_timeout_ms=member.rebalance_timeout_ms,
            classic=classic,
            epoch=group.generation,
            previous_epoch=group.generation,
            assigned=dict.fromkeys(partitions, group.generation),
            revoking=dict.fromkeys(unrevoked, group.generation),
        )

    # -- down

    def downgrades(self, group: ConsumerGroup, gone: Collection[str], *, joining: int = 0) -> bool:
        """Whether `group` is to be a classic one once these members are gone and so many join by that protocol."""
        staying = [member for member in group.members.values() if member.member_id not in gone]
        return (
            0 < len(staying) + joining <= self._config.group_max_size
            and all(member.classic is not None for member in staying)
            and self._config.group_consumer_migration_policy in ("bidirectional", "downgrade")
        )

    def downgrade(self, group: ConsumerGroup, gone: Collection[str], decision: Decision, now_ms: int) -> None:
        """Make a classic group of a consumer group without the members that are gone, as part of `decision`.

        The group is then as after a rebalance that gave everyone what they may be using; it needs another one.
        """
        classic = ClassicGroup(group.group_id, generation=group.epoch)
        assignment: dict[str, bytes] = {}
        for member in group.members.values():
            if member.member_id in gone or member.classic is None:
                continue
            classic.add(_downgraded(member, member.classic), PROTOCOL_TYPE)
            assignment[member.member_id] = write_assignment(
                {*member.assigned, *member.revoking}, self._image.topics_by_id, member.classic.subscription
            )
        logger.info("group %r moves back to the classic protocol, with %d members", group.group_id, len(assignment))
        Draft(group, decision).delete()
        if classic.members:
            classic.protocol = classic.select_protocol()
            decision.append(GroupMetadataKey(group=group.group_id), classic.recorded(assignment, now_ms))


def _each_owned_once(members: list[ConsumerMember], taken: set[TopicIdPartition]) -> list[ConsumerMember]:
    """Of what members have to confirm, leave out what is others' by now."""
    owners = []
    for member in members:
        revoking = {partition: epoch for partition, epoch in member.revoking.items() if partition not in taken}
        taken.update(revoking)
        state = MemberState.UNREVOKED_PARTITIONS if revoking else MemberState.STABLE
        owners.append(replace(member, revoking=revoking, state=state))
    return owners


def _downgraded(member: ConsumerMember, classic: Classic) -> Member:
    return Member(
        member_id=member.member_id,
        group_instance_id=member.instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        session_timeout_ms=classic.session_timeout_ms,
        protocols=dict(classic.protocols),
    )


def _not_upgraded(group: ClassicGroup, reason: str) -> KafkaError:
    return KafkaError(
        ErrorCode.GROUP_ID_NOT_FOUND,
        f"group {group.group_id!r} is a classic group and cannot become a consumer group: {reason}",
    )
