"""FindCoordinator, and what the members of classic groups say: JoinGroup, SyncGroup, Heartbeat, LeaveGroup."""

from ottla_wire.messages.describe_groups import DescribeGroupsRequest
from ottla_wire.messages.find_coordinator import FindCoordinatorRequest
from ottla_wire.messages.heartbeat import HeartbeatRequest
from ottla_wire.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from ottla_wire.messages.leave_group import LeaveGroupRequest, MemberIdentity
from ottla_wire.messages.sync_group import SyncGroupRequest, SyncGroupRequestAssignment

from .asking import Ask, question
from .members import await_rebalance, commit, join, new_member_id, settle, sync

# --- FindCoordinator


@question(FindCoordinatorRequest)
def coordinators_of_groups_and_transactions(ask: Ask) -> None:
    kinds = [0, 1] if ask.version >= 1 else [0]
    for kind in kinds:
        ask.coordinator("some.key", kind)
        if ask.version >= 4:
            ask(FindCoordinatorRequest(key_type=kind, coordinator_keys=["some.key", "other.key"]))
        elif ask.version >= 1:
            ask(FindCoordinatorRequest(key_type=kind, key="some.key"))
        else:
            ask(FindCoordinatorRequest(key="some.key"))


@question(FindCoordinatorRequest, "1-6")
def coordinators_that_cannot_be(ask: Ask) -> None:
    for kind, key in ((7, "some.key"), (-1, "some.key"), (1, ""), (0, "")):
        if ask.version >= 4:
            ask(FindCoordinatorRequest(key_type=kind, coordinator_keys=[key]))
        else:
            ask(FindCoordinatorRequest(key_type=kind, key=key))


@question(FindCoordinatorRequest, "4-6")
def several_coordinators_at_once(ask: Ask) -> None:
    ask.coordinator("some.key")
    ask(FindCoordinatorRequest(key_type=0, coordinator_keys=[]))
    ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["some.key", "some.key", "other.key"]))


@question(FindCoordinatorRequest, "6")
def coordinators_of_shares(ask: Ask) -> None:
    for key in ("group:AAAAAAAAAAAAAAAAAAAAAA:0", "no such key"):
        ask(FindCoordinatorRequest(key_type=2, coordinator_keys=[key]))


# --- members


@question(JoinGroupRequest)
def a_member_that_joins_an_empty_group(ask: Ask) -> None:
    group = ask.name("group")
    ask.coordinator(group)
    first = ask(join(group))
    if first.error_code:
        ask(join(group, first.member_id))


@question(JoinGroupRequest, "5-9")
def a_static_member_that_joins_twice(ask: Ask) -> None:
    group = ask.name("group")
    settle(ask, group, group_instance_id="static")
    ask(join(group, group_instance_id="static"))
    ask(join(group, "some member", group_instance_id="static"))


@question(JoinGroupRequest)
def members_that_may_not_join(ask: Ask) -> None:
    group = ask.name("group")
    ask.coordinator(group)
    ask(join(""))
    ask(join(group, session_timeout_ms=1))
    ask(join(group, session_timeout_ms=10**9))
    ask(join(group, "no such member"))
    ask(join(group, protocol_type=""))
    ask(join(group, protocols=[]))
    ask(join(ask.name("hasty"), rebalance_timeout_ms=-1))
    ask(join(ask.name("nameless"), protocols=[JoinGroupRequestProtocol(name="", metadata=b"")]))


@question(JoinGroupRequest)
def a_member_with_other_protocols(ask: Ask) -> None:
    group = ask.name("group")
    settle(ask, group)
    ask(join(group, protocol_type="connect"))
    ask(join(group, protocols=[JoinGroupRequestProtocol(name="none such", metadata=b"")]))


@question(JoinGroupRequest)
def a_second_member_that_joins(ask: Ask) -> None:
    """The first one hears of it, joins again and leads; then it goes, and the second one is alone."""
    group = ask.name("group")
    first = settle(ask, group)
    with ask.beside() as other:
        member_id = new_member_id(other, group)
        other.begin(join(group, member_id))
        await_rebalance(ask, group, first)
        joined = ask(join(group, first.member_id))
        followed = other.finish()
        assignments = [
            SyncGroupRequestAssignment(member_id=member, assignment=b"\0\0\0\0\0\0\0\0\0\0")
            for member in (joined.member_id, followed.member_id)
        ]
        ask(sync(group, joined, assignments=assignments), version=5)
        other(sync(group, followed, assignments=[]), version=5)
        ask(LeaveGroupRequest(group_id=group, member_id=joined.member_id), version=2)
        await_rebalance(other, group, followed)
        other(join(group, followed.member_id))


@question(HeartbeatRequest)
def members_during_a_rebalance(ask: Ask) -> None:
    topic, group = ask.topic(), ask.name("group")
    first = settle(ask, group)
    mine = {"generation_id_or_member_epoch": first.generation_id, "member_id": first.member_id}
    with ask.beside() as other:
        other.begin(join(group, new_member_id(other, group)), JoinGroupRequest.versions.highest)
        await_rebalance(ask, group, first)
        ask(HeartbeatRequest(group_id=group, generation_id=first.generation_id, member_id=first.member_id))
        ask(sync(group, first), version=5)
        ask(commit(group, topic, **mine), version=9)
        ask(DescribeGroupsRequest(groups=[group]), version=6)
        second = ask(join(group, first.member_id), version=9)
        follower = other.finish()
        ask(HeartbeatRequest(group_id=group, generation_id=second.generation_id, member_id=first.member_id))
        mine["generation_id_or_member_epoch"] = second.generation_id
        ask(commit(group, topic, **mine), version=9)
        ask(DescribeGroupsRequest(groups=[group]), version=6)
        other.begin(sync(group, follower, assignments=[]), SyncGroupRequest.versions.highest)
        ask(sync(group, second), version=5)
        other.finish()


@question(SyncGroupRequest)
def assignments_of_members(ask: Ask) -> None:
    group = ask.name("group")
    joined = settle(ask, group)
    ask(sync(group, joined))
    ask(sync(group, joined, generation_id=17))
    ask(sync(group, joined, member_id="no such member"))
    ask(sync(ask.name("nowhere"), joined))
    ask(sync("", joined))


@question(SyncGroupRequest, "5")
def an_assignment_for_another_protocol(ask: Ask) -> None:
    group = ask.name("group")
    joined = settle(ask, group)
    ask(sync(group, joined, protocol_type="connect", protocol_name="range"))
    ask(sync(group, joined, protocol_type="consumer", protocol_name="none such"))
    ask(sync(group, joined, protocol_type=None, protocol_name=None))


@question(HeartbeatRequest)
def heartbeats_of_members(ask: Ask) -> None:
    group = ask.name("group")
    joined = settle(ask, group)
    for name, generation, member in (
        (group, joined.generation_id, joined.member_id),
        (group, 17, joined.member_id),
        (group, joined.generation_id, "no such member"),
        (group, joined.generation_id, ""),
        (ask.name("nowhere"), 1, joined.member_id),
        ("", 1, joined.member_id),
    ):
        ask(HeartbeatRequest(group_id=name, generation_id=generation, member_id=member))


@question(HeartbeatRequest, "3-4")
def heartbeats_of_static_members(ask: Ask) -> None:
    group = ask.name("group")
    joined = settle(ask, group, group_instance_id="static")
    for member, instance in ((joined.member_id, "static"), ("other", "static"), (joined.member_id, "none such")):
        ask(
            HeartbeatRequest(
                group_id=group, generation_id=joined.generation_id, member_id=member, group_instance_id=instance
            )
        )


def leave(ask: Ask, group: str, *members: MemberIdentity) -> LeaveGroupRequest:
    if ask.version < 3:
        return LeaveGroupRequest(group_id=group, member_id=members[0].member_id)
    return LeaveGroupRequest(group_id=group, members=list(members))


@question(LeaveGroupRequest)
def members_that_leave(ask: Ask) -> None:
    group = ask.name("group")
    joined = settle(ask, group)
    ask(leave(ask, group, MemberIdentity(member_id="no such member")))
    ask(leave(ask, ask.name("nowhere"), MemberIdentity(member_id=joined.member_id)))
    ask(leave(ask, "", MemberIdentity(member_id=joined.member_id)))
    ask(leave(ask, group, MemberIdentity(member_id="")))
    ask(leave(ask, group, MemberIdentity(member_id=joined.member_id)))
    ask(leave(ask, group, MemberIdentity(member_id=joined.member_id)))


@question(LeaveGroupRequest, "3-5")
def several_members_that_leave_at_once(ask: Ask) -> None:
    group = ask.name("group")
    joined = settle(ask, group)
    ask(LeaveGroupRequest(group_id=group, members=[]))
    ask(leave(ask, group, *[MemberIdentity(member_id=joined.member_id)] * 2))


@question(LeaveGroupRequest, "3-5")
def static_members_that_are_made_to_leave(ask: Ask) -> None:
    group = ask.name("group")
    settle(ask, group, group_instance_id="static")
    ask(
        leave(
            ask,
            group,
            MemberIdentity(member_id="", group_instance_id="none such"),
            MemberIdentity(member_id="other", group_instance_id="static"),
            MemberIdentity(member_id="", group_instance_id="static"),
        )
    )
