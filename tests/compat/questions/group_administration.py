"""DescribeGroups, ListGroups, DeleteGroups."""

from ottla_wire.messages.delete_groups import DeleteGroupsRequest
from ottla_wire.messages.describe_groups import DescribeGroupsRequest
from ottla_wire.messages.list_groups import ListGroupsRequest

from ..answers import comparable
from .asking import Ask, question
from .consumer_groups import coordinator_with, heartbeat
from .members import commit, settle


@question(DescribeGroupsRequest)
def groups_that_are_described(ask: Ask) -> None:
    group, empty = ask.name("group"), ask.name("empty")
    topic = ask.topic()
    ask.coordinator(empty)
    ask.quietly(commit(empty, topic))
    settle(ask, group)
    for name in (group, empty, ask.name("nowhere"), ""):
        ask(DescribeGroupsRequest(groups=[name]))


@question(DescribeGroupsRequest)
def consumer_groups_that_are_described_as_classic_ones(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    coordinator_with(ask, group, topic)
    ask.quietly(heartbeat(group, subscribed_topic_names=[topic.name]))
    ask(DescribeGroupsRequest(groups=[group]))
    ask(DescribeGroupsRequest(groups=[group, group]))
    ask(DescribeGroupsRequest(groups=[]))


@question(DescribeGroupsRequest, "3-6")
def operations_on_a_group_that_is_described(ask: Ask) -> None:
    group = ask.name("group")
    settle(ask, group)
    for name in (group, ask.name("nowhere"), ""):
        ask(DescribeGroupsRequest(groups=[name], include_authorized_operations=True))


def listed(ask: Ask, *groups: str, **filters: list[str]) -> None:
    """What is said of these groups in a list of all."""
    found = ask.quietly(ListGroupsRequest(**filters), ask.version).groups
    ask.answers.append(comparable([group for group in found if group.group_id in groups]))


@question(ListGroupsRequest)
def groups_that_are_listed(ask: Ask) -> None:
    group, empty, consumer = ask.name("group"), ask.name("empty"), ask.name("consumer")
    ask.coordinator(empty)
    ask.quietly(commit(empty, ask.topic()))
    settle(ask, group)
    ask.quietly(heartbeat(consumer))
    listed(ask, group, empty, consumer)
    if ask.version >= 4:
        listed(ask, group, empty, consumer, states_filter=["stable", "Empty"])
    if ask.version >= 5:
        for kind in ("classic", "Consumer", "CLASSIC"):
            listed(ask, group, empty, consumer, types_filter=[kind])


@question(ListGroupsRequest, "4-5")
def groups_in_states_and_of_types(ask: Ask) -> None:
    """All groups of the broker would be too many to compare: only filters that none passes."""
    ask(ListGroupsRequest(states_filter=["PreparingRebalance"]))
    ask(ListGroupsRequest(states_filter=["no such state"]))
    if ask.version >= 5:
        ask(ListGroupsRequest(types_filter=["no such type"]))


@question(DeleteGroupsRequest)
def groups_that_are_deleted(ask: Ask) -> None:
    group, empty = ask.name("group"), ask.name("empty")
    topic = ask.topic()
    ask.coordinator(empty)
    ask.quietly(commit(empty, topic))
    settle(ask, group)
    ask(DeleteGroupsRequest(groups_names=[group, empty, ask.name("nowhere"), ""]))
    ask(DeleteGroupsRequest(groups_names=[empty]))
    ask(DeleteGroupsRequest(groups_names=[group, group]))
    ask(DeleteGroupsRequest(groups_names=[]))


@question(DeleteGroupsRequest)
def consumer_groups_that_are_deleted(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    coordinator_with(ask, group, topic)
    ask.quietly(heartbeat(group, subscribed_topic_names=[topic.name]))
    ask(DeleteGroupsRequest(groups_names=[group]))
    ask.quietly(heartbeat(group, member_epoch=-1, subscribed_topic_names=None, topic_partitions=None))
    ask(DeleteGroupsRequest(groups_names=[group]))
