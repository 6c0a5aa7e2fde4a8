"""One consumer group of the classic protocol: its states, its members, and what must hold between them. Pure.

Two kinds of state live here. What a rebalance ends in (generation, protocol, leader, the members and their
assignments) is durable: it changes in `replay` alone, from GroupMetadata records, in life and at recovery alike. What
only matters while members talk to us (who has joined and waits, the phase of a rebalance) dies with this process, as
it does in Apache Kafka: members find out through UNKNOWN_MEMBER_ID or ILLEGAL_GENERATION and join again.

The rules of joining, syncing and leaving are in `classic_protocol`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from ottla_broker.coordinator.decision import Ticket
from ottla_broker.coordinator.embedded_protocol import PROTOCOL_TYPE, subscribed_topics
from ottla_broker.coordinator.errors import IllegalTransition
from ottla_broker.coordinator.group_records import GroupMetadataValue, MemberMetadata
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.messages.join_group import JoinGroupResponse
from ottla_wire.messages.sync_group import SyncGroupResponse


class GroupState(Enum):
    """The values are the names that ListGroups and DescribeGroups answer with."""

    EMPTY = "Empty"
    """No members. It may still hold committed offsets, and disappears once those have expired."""

    PREPARING_REBALANCE = "PreparingRebalance"
    """Waiting for members to join. Heartbeats and syncs are answered REBALANCE_IN_PROGRESS."""

    COMPLETING_REBALANCE = "CompletingRebalance"
    """All have joined and know the new generation; waiting for the leader's assignment. Syncs of followers wait."""

    STABLE = "Stable"
    """The generation and its assignment are in the log."""

    DEAD = "Dead"
    """Deleted. DescribeGroups also says it of groups that do not exist."""


TRANSITIONS: dict[GroupState, frozenset[GroupState]] = {
    GroupState.EMPTY: frozenset({GroupState.PREPARING_REBALANCE, GroupState.DEAD}),
    GroupState.PREPARING_REBALANCE: frozenset({GroupState.COMPLETING_REBALANCE, GroupState.EMPTY, GroupState.DEAD}),
    GroupState.COMPLETING_REBALANCE: frozenset({GroupState.STABLE, GroupState.PREPARING_REBALANCE, GroupState.DEAD}),
    GroupState.STABLE: frozenset({GroupState.PREPARING_REBALANCE, GroupState.DEAD}),
    GroupState.DEAD: frozenset(),
}

REBALANCEABLE = frozenset({GroupState.EMPTY, GroupState.COMPLETING_REBALANCE, GroupState.STABLE})
"""The states from which a rebalance can begin."""


@dataclass(slots=True)
class Member:
    """A member of a classic group. `protocols` maps names, in the member's order of preference, to its metadata."""

    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    protocols: dict[str, bytes]
    assignment: bytes = b""
    joining: Ticket[JoinGroupResponse] | None = None
    """The JoinGroup that waits for the others."""
    syncing: Ticket[SyncGroupResponse] | None = None
    """The SyncGroup that waits for the leader's assignment."""
    is_new: bool = False
    """True until its first rebalance completes: it does not know its id yet and cannot send heartbeats."""

    @property
    def is_static(self) -> bool:
        return self.group_instance_id is not None

    @property
    def awaits_rebalance(self) -> bool:
        """Whether it waits for us, so that we cannot expect heartbeats from it."""
        return not self.is_new and (self.joining is not None or self.syncing is not None)

    def vote(self, candidates: frozenset[str]) -> str:
        """The candidate that this member prefers."""
        return next(name for name in self.protocols if name in candidates)


@dataclass(slots=True)
class ClassicGroup:
    """A group and its members, in the order in which they joined."""

    group_id: str
    state: GroupState = GroupState.EMPTY
    generation: int = 0
    protocol_type: str | None = None
    """None for a group that only ever stored offsets (a "simple" group)."""
    protocol: str | None = None
    leader: str | None = None
    state_timestamp_ms: int = -1
    members: dict[str, Member] = field(default_factory=dict)
    pending_members: set[str] = field(default_factory=set)
    """Ids given out with MEMBER_ID_REQUIRED whose owners have not come back with them yet."""
    pending_sync: set[str] = field(default_factory=set)
    """Members of the current generation that have not sent their SyncGroup yet."""
    delay_limit_ms: int | None = None
    """During the rebalance that began from EMPTY: until when its initial delay may be extended."""
    joined_during_delay: bool = False
    """Whether someone joined since the initial rebalance delay was last extended."""
    is_recorded: bool = False
    """Whether the log knows this group; one that it does not know can be forgotten without a tombstone."""
    _static_members: dict[str, str] = field(default_factory=dict)

    # -- states

    def transition_to(self, state: GroupState, now_ms: int) -> None:
        """Raises IllegalTransition for a step that TRANSITIONS does not have."""
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"group {self.group_id!r}", self.state, state)
        self.state = state
        self.state_timestamp_ms = now_ms

    def replay(self, value: GroupMetadataValue | None) -> None:
        """Take over what the log says: the outcome of a rebalance, or with None the end of the group.

        Members that we talk to already keep what the log does not know about them: their other protocols, and
        whether they wait.
        """
        self.is_recorded = True
        if value is None:
            self.members.clear()
            self._static_members.clear()
            self.state = GroupState.DEAD
            return
        known = self.members
        instances = self._static_members
        self.members = {}
        self._static_members = {}
        for recorded in value.members:
            former = known.get(recorded.member_id)
            if former is None and recorded.group_instance_id is not None:
                former = known.get(instances.get(recorded.group_instance_id, ""))
            self._insert(_recorded_member(recorded, value.protocol, former))
        self.generation = value.generation
        self.protocol_type = value.protocol_type or None
        self.protocol = value.protocol
        self.leader = value.leader if value.leader in self.members else next(iter(self.members), None)
        self.pending_sync &= self.members.keys()
        self.state_timestamp_ms = value.current_state_timestamp
        self.state = GroupState.STABLE if self.members else GroupState.EMPTY
        self.check()

    def recorded(self, assignment: dict[str, bytes], now_ms: int) -> GroupMetadataValue:
        """This generation with `assignment` as the log keeps it. Every member gets one, if only an empty one."""
        return GroupMetadataValue(
            protocol_type=self.protocol_type or "",
            generation=self.generation,
            protocol=self.protocol,
            leader=self.leader,
            current_state_timestamp=now_ms,
            members=[
                MemberMetadata(
                    member_id=member.member_id,
                    group_instance_id=member.group_instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    rebalance_timeout=member.rebalance_timeout_ms,
                    session_timeout=member.session_timeout_ms,
                    subscription=member.protocols.get(self.protocol or "", b""),
                    assignment=assignment.get(member.member_id, b""),
                )
                for member in self.members.values()
            ],
        )

    def check(self) -> None:
        """Assert what must hold between the parts; called where they are set."""
        assert (self.state is GroupState.EMPTY) <= (not self.members), "an empty group has no members"
        assert (self.leader is not None) == bool(self.members), "a group with members has a leader, and only then"
        assert self.leader is None or self.leader in self.members, "the leader is a member"
        assert self.pending_members.isdisjoint(self.members), "a pending member is no member yet"
        assert self.pending_sync <= self.members.keys(), "who is to sync is a member"
        assert set(self._static_members.values()) == {m.member_id for m in self.members.values() if m.is_static}

    # -- members

    def add(self, member: Member, protocol_type: str) -> None:
        """Take in a member. The first one sets the protocol type, and leads until someone else is elected."""
        if not self.members:
            self.protocol_type = protocol_type
        self._insert(member)
        self.pending_members.discard(member.member_id)
        if self.leader is None:
            self.leader = member.member_id

    def remove(self, member_id: str) -> Member | None:
        """Let a member or a pending one go. Who has been in the group longest leads next."""
        self.pending_members.discard(member_id)
        self.pending_sync.discard(member_id)
        member = self.members.pop(member_id, None)
        if member is not None and member.group_instance_id is not None:
            del self._static_members[member.group_instance_id]
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)
        return member

    def rename(self, member: Member, member_id: str) -> None:
        """Give a static member the new id under which it has come back; it keeps its place and its leadership."""
        former_id = member.member_id
        member.member_id = member_id
        self.members = {m.member_id: m for m in self.members.values()}
        assert member.group_instance_id is not None, "only static members come back under a new id"
        self._static_members[member.group_instance_id] = member_id
        if former_id in self.pending_sync:
            self.pending_sync.remove(former_id)
            self.pending_sync.add(member_id)
        if self.leader == former_id:
            self.leader = member_id

    def static_member(self, group_instance_id: str) -> Member | None:
        member_id = self._static_members.get(group_instance_id)
        return None if member_id is None else self.members[member_id]

    def member(self, member_id: str, group_instance_id: str | None) -> Member:
        """The member that a request speaks for.

        Raises KafkaError FENCED_INSTANCE_ID when its instance id has come back under another member id since, and
        UNKNOWN_MEMBER_ID when there is no such member.
        """
        if group_instance_id is not None:
            static = self.static_member(group_instance_id)
            if static is not None and static.member_id != member_id:
                raise KafkaError(
                    ErrorCode.FENCED_INSTANCE_ID,
                    f"instance {group_instance_id!r} of group {self.group_id!r} is now member {static.member_id!r}",
                )
            if static is None:
                raise self._unknown(member_id)
        member = self.members.get(member_id)
        if member is None:
            raise self._unknown(member_id)
        return member

    def elect_joined_leader(self) -> bool:
        """Make sure that the leader is one who has joined this rebalance; False if nobody has."""
        if self.leader is not None and self.members[self.leader].joining is None:
            joined = next((member.member_id for member in self.members.values() if member.joining is not None), None)
            if joined is None:
                return False
            self.leader = joined
        return self.leader is not None

    @property
    def waiting_to_join(self) -> int:
        return sum(member.joining is not None for member in self.members.values())

    @property
    def all_joined(self) -> bool:
        return not self.pending_members and all(member.joining is not None for member in self.members.values())

    @property
    def rebalance_timeout_ms(self) -> int:
        """How long a rebalance waits: as long as its most patient member asked for."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    # -- protocols

    def supports(self, protocol_type: str, protocols: Iterable[str]) -> bool:
        """Whether someone with these protocols could be a member: one of them must be common to all."""
        if self.state is GroupState.EMPTY or not self.members:
            return bool(protocol_type) and any(True for _ in protocols)
        return self.protocol_type == protocol_type and not self._common_protocols().isdisjoint(protocols)

    def select_protocol(self) -> str:
        """The protocol with most votes among those that all members support; among equals the one voted for first."""
        candidates = self._common_protocols()
        votes = Counter(member.vote(candidates) for member in self.members.values())
        return max(votes, key=votes.__getitem__)

    def is_subscribed(self, topic: str) -> bool:
        """Whether a member consumes `topic`, or might: one that cannot be read may be to anything."""
        if self.protocol_type != PROTOCOL_TYPE:
            return False
        for member in self.members.values():
            topics = subscribed_topics(member.protocols.get(self.protocol or "", b""))
            if topics is None or topic in topics:
                return True
        return False

    def _common_protocols(self) -> frozenset[str]:
        common: set[str] | None = None
        for member in self.members.values():
            common = set(member.protocols) if common is None else common & member.protocols.keys()
        return frozenset(common or ())

    def _insert(self, member: Member) -> None:
        self.members[member.member_id] = member
        if member.group_instance_id is not None:
            self._static_members[member.group_instance_id] = member.member_id

    def _unknown(self, member_id: str) -> KafkaError:
        return KafkaError(
            ErrorCode.UNKNOWN_MEMBER_ID, f"group {self.group_id!r} has no member {member_id!r}: join again"
        )


def _recorded_member(recorded: MemberMetadata, protocol: str | None, former: Member | None) -> Member:
    """A member as the log says it is, with what only `former` knows."""
    protocols = {} if former is None else former.protocols
    return Member(
        member_id=recorded.member_id,
        group_instance_id=recorded.group_instance_id,
        client_id=recorded.client_id,
        client_host=recorded.client_host,
        # Version 0 of the record had no rebalance timeout.
        rebalance_timeout_ms=recorded.session_timeout
        if recorded.rebalance_timeout == -1
        else recorded.rebalance_timeout,
        session_timeout_ms=recorded.session_timeout,
        protocols={**protocols, protocol or "": recorded.subscription},
        assignment=recorded.assignment,
        joining=None if former is None else former.joining,
        syncing=None if former is None else former.syncing,
        is_new=False if former is None else former.is_new,
    )
