"""Server-side assignors: everything is assigned once, evenly, and what need not move stays."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ottla_broker.coordinator import balancing
from ottla_broker.coordinator.assignors import ASSIGNORS, Subscriber, assign_range, assign_uniform

TOPICS = [uuid.UUID(int=number + 1) for number in range(5)]
A, B, C, D, E = TOPICS


def subscriber(name, topics, assigned=(), instance=None):
    return Subscriber(name, instance, frozenset(topics), frozenset(assigned))


def partitions_of(topics, counts):
    return {(topic, index) for topic in topics for index in range(counts[topic])}


def after(subscribers, target):
    """The same members once they have what they were given."""
    return [s._replace(assigned=target[s.member_id]) for s in subscribers]


def moved(subscribers, target):
    """How many partitions have another owner than before, not counting those that had none."""
    former = {partition: s.member_id for s in subscribers for partition in s.assigned}
    return sum(former.get(partition, name) != name for name, assigned in target.items() for partition in assigned)


COUNTS = st.fixed_dictionaries({topic: st.integers(1, 8) for topic in TOPICS})
SUBSCRIPTIONS = st.lists(st.frozensets(st.sampled_from(TOPICS)), min_size=1, max_size=7)


@st.composite
def groups(draw, alike=False):
    """Members, some with parts of an earlier assignment, which may not fit any more."""
    subscriptions = draw(SUBSCRIPTIONS)
    if alike:
        subscriptions = [subscriptions[0]] * len(subscriptions)
    counts = draw(COUNTS)
    owners = draw(
        st.dictionaries(
            st.tuples(st.sampled_from(TOPICS), st.integers(0, 9)), st.integers(0, len(subscriptions) - 1), max_size=30
        )
    )
    members = [
        subscriber(
            f"member-{number}",
            topics,
            {partition for partition, owner in owners.items() if owner == number},
            instance=draw(st.one_of(st.none(), st.just(f"instance-{number}"))),
        )
        for number, topics in enumerate(subscriptions)
    ]
    return members, counts


# -- what holds for both


@pytest.mark.parametrize("name", sorted(ASSIGNORS))
@given(group=groups())
def test_every_partition_goes_to_one_member_that_subscribes_to_it(name, group):
    members, counts = group
    target = ASSIGNORS[name](members, counts)
    assert target.keys() == {s.member_id for s in members}
    given_away = [partition for assigned in target.values() for partition in assigned]
    assert sorted(given_away) == sorted(partitions_of({t for s in members for t in s.topics}, counts))
    for s in members:
        assert {topic for topic, _ in target[s.member_id]} <= s.topics


@pytest.mark.parametrize("name", sorted(ASSIGNORS))
@given(group=groups())
def test_an_assignment_is_final_while_nothing_changes(name, group):
    members, counts = group
    target = ASSIGNORS[name](members, counts)
    assert ASSIGNORS[name](after(members, target), counts) == target
    assert ASSIGNORS[name](list(reversed(members)), counts) == target, "the order of members does not matter"


@pytest.mark.parametrize("name", sorted(ASSIGNORS))
def test_nobody_and_nothing_are_assigned_too(name):
    assert ASSIGNORS[name]([], {}) == {}
    assert ASSIGNORS[name]([subscriber("a", [])], {}) == {"a": frozenset()}


# -- uniform


@given(group=groups(alike=True))
def test_members_that_subscribe_alike_differ_by_one_at_most(group):
    members, counts = group
    sizes = [len(assigned) for assigned in assign_uniform(members, counts).values()]
    assert max(sizes) - min(sizes) <= 1


@given(group=groups(alike=True))
def test_among_members_that_subscribe_alike_as_few_partitions_move_as_can(group):
    members, counts = group
    target = assign_uniform(members, counts)
    everything = partitions_of(members[0].topics, counts)
    held = sorted((len(s.assigned & everything) for s in members), reverse=True)
    share, extra = divmod(len(everything), len(members))
    quotas = [share + (position < extra) for position in range(len(members))]
    assert moved([s._replace(assigned=s.assigned & everything) for s in members], target) == sum(
        max(0, size - quota) for size, quota in zip(held, quotas, strict=True)
    )


@given(group=groups())
def test_no_chain_of_moves_would_make_it_more_even(group):
    members, counts = group
    target = assign_uniform(members, counts)
    by_id = {s.member_id: s for s in members}
    for taker in members:
        # Who could, directly or through others, hand a partition on to this one?
        reachable, queue = {taker.member_id}, [taker.member_id]
        while queue:
            for topic in by_id[queue.pop()].topics:
                for name, assigned in target.items():
                    if name not in reachable and any(partition[0] == topic for partition in assigned):
                        reachable.add(name)
                        queue.append(name)
        assert max(len(target[name]) for name in reachable) <= len(target[taker.member_id]) + 1


@given(group=groups(), newcomer=st.frozensets(st.sampled_from(TOPICS), min_size=1))
def test_a_newcomer_gets_its_share_and_nothing_else_moves(group, newcomer):
    members, counts = group
    members = after(members, assign_uniform(members, counts))
    joined = [*members, subscriber("newcomer", newcomer)]
    target = assign_uniform(joined, counts)
    subscribed = {topic for s in members for topic in s.topics}
    taken = [partition for partition in target["newcomer"] if partition[0] in subscribed]
    if all(s.topics == newcomer for s in members):
        assert moved(members, target) == len(taken)
    assert moved(members, target) <= sum(counts[topic] for topic in subscribed)


def test_who_leaves_leaves_its_partitions_to_the_others_evenly():
    counts = {A: 9}
    members = [subscriber(name, [A]) for name in "abc"]
    members = after(members, assign_uniform(members, counts))
    staying = members[:2]
    target = assign_uniform(staying, counts)
    assert moved(staying, target) == 0
    assert sorted(map(len, target.values())) == [4, 5]


def test_partitions_are_handed_on_where_nobody_can_take_them_directly():
    members = [
        subscriber("a", [A], [(A, index) for index in range(4)]),
        subscriber("b", [A, B], [(B, 0), (B, 1)]),
        subscriber("c", [B]),
    ]
    target = assign_uniform(members, {A: 4, B: 2})
    assert [len(target[name]) for name in "abc"] == [2, 2, 2]


def test_a_group_too_large_to_even_out_at_once_is_still_assigned_completely(monkeypatch):
    monkeypatch.setattr(balancing, "MOST_STEPS", 10)
    members = [subscriber(f"m{number}", TOPICS[number % 3 : number % 3 + 3]) for number in range(20)]
    counts = dict.fromkeys(TOPICS, 30)
    target = assign_uniform(members, counts)
    assert sum(map(len, target.values())) == 150


def test_a_large_group_is_assigned_completely():
    topics = [uuid.UUID(int=number + 1) for number in range(300)]
    counts = dict.fromkeys(topics, 6)
    members = [subscriber(f"m{number}", topics[number : number + 200]) for number in range(60)]
    target = assign_uniform(members, counts)
    joined = [*after(members, target), subscriber("new", topics)]
    again = assign_uniform(joined, counts)
    assert sum(map(len, again.values())) == len(partitions_of({t for s in joined for t in s.topics}, counts))


# -- range


def test_ranges_of_topics_of_one_size_fall_together():
    members = [subscriber("a", [A, B]), subscriber("b", [A, B])]
    assert assign_range(members, {A: 3, B: 3}) == {
        "a": {(A, 0), (A, 1), (B, 0), (B, 1)},
        "b": {(A, 2), (B, 2)},
    }


def test_a_range_is_shared_by_those_who_subscribe_to_the_topic():
    members = [subscriber("a", [A]), subscriber("b", [A, B]), subscriber("c", [B])]
    assert assign_range(members, {A: 2, B: 3}) == {"a": {(A, 0)}, "b": {(A, 1), (B, 0), (B, 1)}, "c": {(B, 2)}}


def test_a_static_member_keeps_its_range_under_another_member_id():
    former = [subscriber("a", [A], instance="1"), subscriber("b", [A], instance="2"), subscriber("c", [A])]
    later = [subscriber("z", [A], instance="1"), subscriber("b", [A], instance="2"), subscriber("c", [A])]
    assert assign_range(former, {A: 5})["a"] == assign_range(later, {A: 5})["z"]


def test_more_members_than_partitions_leave_some_without():
    members = [subscriber(name, [A]) for name in "abc"]
    for assign in ASSIGNORS.values():
        assert sorted(map(len, assign(members, {A: 2}).values())) == [0, 1, 1]
