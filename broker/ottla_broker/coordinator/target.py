"""The target assignment of a consumer group: asks the assignor that its members prefer. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from ottla_broker.cluster.image import TopicState
from ottla_broker.coordinator.assignors import ASSIGNORS, Subscriber, Target
from ottla_broker.coordinator.consumer_group import NOTHING, ConsumerGroup, topic_ids


def preferred_assignor(group: ConsumerGroup, offered: Sequence[str]) -> str:
    """The assignor that most members ask for; where nobody asks, or as many for one as for another, the earlier one.

    `offered` is what group.consumer.assignors says. A name that was taken off that list since does not count.
    """
    votes = Counter(member.server_assignor for member in group.members.values() if member.server_assignor in offered)
    return max(offered, key=lambda name: votes[name])


def compute_target(group: ConsumerGroup, topics: Mapping[str, TopicState], offered: Sequence[str]) -> Target:
    """What every member is to have, given what it was to have before."""
    subscriptions = set(map(group.topics_of, group.members.values()))
    ids = {subscribed: topic_ids(subscribed, topics) for subscribed in subscriptions}
    subscribers = [
        Subscriber(
            member_id=member.member_id,
            instance_id=member.instance_id,
            topics=ids[group.topics_of(member)],
            assigned=group.target.get(member.member_id, NOTHING),
        )
        for member in group.members.values()
    ]
    partitions = {
        topics[name].id: len(topics[name].partitions)
        for subscribed in subscriptions
        for name in subscribed
        if name in topics
    }
    return ASSIGNORS[preferred_assignor(group, offered)](subscribers, partitions)
