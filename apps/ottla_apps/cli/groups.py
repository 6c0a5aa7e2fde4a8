"""Groups of both protocols, classic and KIP-848, as brokers describe them.

librdkafka's own call for this crashed the process where the coordinator was not ready, so these are requests of ours.
"""

from collections.abc import Iterable
from typing import NamedTuple

from ottla_apps.cli.errors import CommandError, Refused
from ottla_apps.cli.partition import Partition
from ottla_apps.cli.wire_client import GROUP, WireClient, check
from ottla_wire.errors import ErrorCode, MalformedMessage
from ottla_wire.messages import consumer_group_describe as kip_848
from ottla_wire.messages import describe_groups as classic
from ottla_wire.messages import offset_delete
from ottla_wire.messages.consumer_protocol import read_assignment
from ottla_wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse

CLASSIC_TYPE, CONSUMER_TYPE = "classic", "consumer"
# The protocol type of groups whose members share the partitions of topics.
_CONSUMER_PROTOCOL = "consumer"


class ListedGroup(NamedTuple):
    """A group in a list. `state` and `type` are None where the broker is too old to say."""

    group_id: str
    type: str | None
    protocol_type: str
    state: str | None
    coordinator: int


class Member(NamedTuple):
    """A member of a group and the partitions that it has."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    partitions: list[Partition]


class Group(NamedTuple):
    """A group: its state, and who is in it."""

    group_id: str
    type: str
    state: str
    assignor: str
    coordinator: int
    members: list[Member]


def list_groups(wire: WireClient) -> list[ListedGroup]:
    """All groups that the nodes of the cluster coordinate, sorted by id."""
    found = []
    for node in wire.nodes():
        answer = wire.request(ListGroupsRequest(), ListGroupsResponse, node)
        check(answer.error_code, f"The groups of node {node} cannot be listed")
        found += [
            ListedGroup(
                group.group_id,
                group.group_type.lower() or None,
                group.protocol_type,
                group.group_state or None,
                node,
            )
            for group in answer.groups
        ]
    return sorted(found)


def describe_group(wire: WireClient, group_id: str) -> Group:
    """A group of either protocol. Raises Refused where there is none of that id."""

    def ask(node: int) -> Group:
        found = _describe_kip_848(wire, group_id, node) if wire.serves(kip_848.ConsumerGroupDescribeRequest) else None
        return found or _describe_classic(wire, group_id, node)

    return wire.at_coordinator(group_id, GROUP, ask)


def _describe_kip_848(wire: WireClient, group_id: str, node: int) -> Group | None:
    """The group if it is one of KIP-848."""
    request = kip_848.ConsumerGroupDescribeRequest(group_ids=[group_id], include_authorized_operations=False)
    (group,) = wire.request(request, kip_848.ConsumerGroupDescribeResponse, node).groups
    if group.error_code in (ErrorCode.GROUP_ID_NOT_FOUND, ErrorCode.UNSUPPORTED_VERSION):
        return None
    check(group.error_code, f"Group {group_id!r} cannot be described", group.error_message)
    members = [
        Member(
            member.member_id,
            member.instance_id,
            member.client_id,
            member.client_host,
            [Partition(t.topic_name, index) for t in member.assignment.topic_partitions for index in t.partitions],
        )
        for member in group.members
    ]
    return Group(group_id, CONSUMER_TYPE, group.group_state, group.assignor_name, node, members)


def _describe_classic(wire: WireClient, group_id: str, node: int) -> Group:
    request = classic.DescribeGroupsRequest(groups=[group_id])
    (group,) = wire.request(request, classic.DescribeGroupsResponse, node).groups
    # A group that does not exist was called dead before it became an error (KIP-1043).
    if group.error_code == ErrorCode.GROUP_ID_NOT_FOUND or (not group.error_code and group.group_state == "Dead"):
        raise Refused(f"Group {group_id!r} does not exist.", ErrorCode.GROUP_ID_NOT_FOUND)
    check(group.error_code, f"Group {group_id!r} cannot be described", group.error_message)
    members = [
        Member(
            member.member_id,
            member.group_instance_id,
            member.client_id,
            member.client_host,
            _assigned(member.member_assignment) if group.protocol_type == _CONSUMER_PROTOCOL else [],
        )
        for member in group.members
    ]
    return Group(group_id, CLASSIC_TYPE, group.group_state, group.protocol_data, node, members)


def delete_offsets(
    wire: WireClient, group_id: str, partitions: Iterable[Partition]
) -> dict[Partition, CommandError | None]:
    """Delete what a group has committed. Returns what went wrong, or None, for each partition. Raises Refused."""
    topics: dict[str, list[int]] = {}
    for partition in partitions:
        topics.setdefault(partition.topic, []).append(partition.number)
    request = offset_delete.OffsetDeleteRequest(
        group_id=group_id,
        topics=[
            offset_delete.OffsetDeleteRequestTopic(
                name=topic,
                partitions=[offset_delete.OffsetDeleteRequestPartition(partition_index=index) for index in indexes],
            )
            for topic, indexes in topics.items()
        ],
    )

    def ask(node: int) -> offset_delete.OffsetDeleteResponse:
        response = wire.request(request, offset_delete.OffsetDeleteResponse, node)
        check(response.error_code, f"Cannot delete offsets of group {group_id!r}")
        return response

    outcomes: dict[Partition, CommandError | None] = {}
    for topic in wire.at_coordinator(group_id, GROUP, ask).topics:
        for answer in topic.partitions:
            partition = Partition(topic.name, answer.partition_index)
            try:
                check(answer.error_code, f"Cannot delete the offset of group {group_id!r} in {partition}")
                outcomes[partition] = None
            except CommandError as error:
                outcomes[partition] = error
    return outcomes


def _assigned(assignment: bytes) -> list[Partition]:
    """The partitions in a classic member's assignment; none while the group rebalances."""
    if not assignment:
        return []
    try:
        topics = read_assignment(assignment).assigned_partitions
    except MalformedMessage as error:
        raise CommandError(f"A member's assignment cannot be read: {error}.") from None
    return [Partition(topic.topic, index) for topic in topics for index in topic.partitions]
