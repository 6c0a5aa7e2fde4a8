"""Members come, go, fall silent and crash with the broker, in any order: a classic group always converges.

Hypothesis plays up to six members against one group. After every step the invariants hold and what the log says is what
the group was last durably; at the end everyone behaves, and the group must settle in one generation with one leader.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ottla_broker.coordinator.classic_group import GroupState
from ottla_broker.coordinator.classic_protocol import NEW_MEMBER_JOIN_TIMEOUT_MS
from ottla_broker.coordinator.group_timers import GroupTimer, GroupTimerKind
from ottla_wire.errors import ErrorCode

SLOTS = st.integers(0, 5)
PROTOCOLS = [{"range": b"r"}, {"range": b"r", "sticky": b"s"}, {"sticky": b"s", "range": b"r"}]


class Player:
    """One client: what it believes, and the request it waits for."""

    def __init__(self, instance):
        self.instance = instance
        self.member_id = ""
        self.joining = None
        self.syncing = None
        self.joined = None
        self.stable = False

    def reset(self):
        self.__init__(self.instance)


class GroupMachine(RuleBasedStateMachine):
    make_driver = None

    @initialize(delay_ms=st.sampled_from([0, 3_000]))
    def start(self, delay_ms):
        self.driver = type(self).make_driver(group_initial_rebalance_delay_ms=delay_ms)
        self.players = [Player(f"static-{slot}" if slot >= 4 else None) for slot in range(6)]

    # -- what clients do

    def settle(self, player):
        """Take in the answers that have come."""
        call, player.joining = player.joining, player.joining
        if call is not None and call.answered:
            player.joining = None
            if call.code is ErrorCode.NONE:
                player.joined, player.member_id, player.stable = call.answer, call.answer.member_id, False
            elif call.code is ErrorCode.MEMBER_ID_REQUIRED:
                player.member_id = call.answer.member_id
            elif call.code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
                player.reset()
        call = player.syncing
        if call is not None and call.answered:
            player.syncing = None
            if call.code is ErrorCode.NONE:
                player.stable = True
            else:
                self.fail(player, call.code)

    def fail(self, player, code):
        """An error of a member's request: join again, under the same id if it still counts."""
        player.joined, player.stable = None, False
        if code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION, ErrorCode.FENCED_INSTANCE_ID):
            player.member_id = ""

    def step(self, player, protocols):
        """What a well-behaved client does next."""
        self.settle(player)
        if player.joining is not None or player.syncing is not None:
            return
        if player.joined is None:
            player.joining = self.driver.join(
                player.member_id, instance=player.instance, protocols=protocols, rebalance_timeout_ms=30_000
            )
        elif not player.stable:
            assignments = {member.member_id: b"a" for member in player.joined.members}
            player.syncing = self.driver.sync(player.joined, assignments, instance=player.instance)
        else:
            code = self.driver.heartbeat(player.joined, instance=player.instance)
            if code is not ErrorCode.NONE:
                self.fail(player, code)
        self.settle(player)

    @rule(slot=SLOTS, protocols=st.sampled_from(PROTOCOLS))
    def client_goes_on(self, slot, protocols):
        self.step(self.players[slot], protocols)

    @rule(slot=SLOTS)
    def client_crashes(self, slot):
        self.players[slot].reset()

    @rule(slot=SLOTS)
    def client_leaves(self, slot):
        player = self.players[slot]
        if player.member_id:
            self.driver.leave(player.member_id, instance=player.instance)
            player.reset()

    @rule(milliseconds=st.sampled_from([1, 2_999, 10_000, 30_000]))
    def time_passes(self, milliseconds):
        self.driver.advance(milliseconds)

    @rule()
    def log_refuses_for_a_while(self):
        self.driver.refusing = ErrorCode.NOT_COORDINATOR

    @rule()
    def log_works_again(self):
        self.driver.refusing = None

    @rule()
    def broker_restarts(self):
        self.driver.restart()
        for player in self.players:
            if player.joining is not None or player.syncing is not None:
                player.joining = player.syncing = player.joined = None

    # -- what must hold

    @invariant()
    def the_parts_of_the_group_agree(self):
        group = self.driver.core.groups.get("group")
        if group is not None:
            group.check()
            if group.state is GroupState.STABLE:
                assert group.members
                assert all(group.protocol in member.protocols for member in group.members.values())
                assert all(member.joining is None for member in group.members.values())

    @invariant()
    def recovery_is_the_last_durable_state(self):
        recovered = self.driver.recovered().groups.get("group")
        group = self.driver.core.groups.get("group")
        if group is None or not group.is_recorded:
            assert recovered is None
        elif group.state in (GroupState.STABLE, GroupState.EMPTY):
            assert recovered.state is group.state
            assert recovered.generation == group.generation
            assert (recovered.protocol, recovered.leader) == (group.protocol, group.leader)
            assert {m.member_id: m.assignment for m in recovered.members.values()} == {
                m.member_id: m.assignment for m in group.members.values()
            }
        else:
            assert recovered.generation <= group.generation

    @invariant()
    def no_request_is_lost(self):
        group = self.driver.core.groups.get("group")
        members = [] if group is None else list(group.members.values())
        for player in self.players:
            if player.joining is not None and not player.joining.answered:
                assert player.joining in [member.joining for member in members]
            if player.syncing is not None and not player.syncing.answered:
                assert player.syncing in [member.syncing for member in members]

    @invariant()
    def nothing_waits_for_ever(self):
        group = self.driver.core.groups.get("group")
        if group is None:
            return
        timers = self.driver.timers
        if group.state is GroupState.PREPARING_REBALANCE:
            assert GroupTimer(0, GroupTimerKind.JOIN, "group") in timers
        if group.state is GroupState.COMPLETING_REBALANCE:
            assert GroupTimer(0, GroupTimerKind.SYNC, "group") in timers
        for member in group.members.values():
            if not member.awaits_rebalance:
                deadline_ms = timers.deadline(GroupTimer(0, GroupTimerKind.SESSION, "group", member.member_id))
                longest_ms = NEW_MEMBER_JOIN_TIMEOUT_MS if member.is_new else member.session_timeout_ms
                assert deadline_ms is not None
                assert self.driver.now_ms < deadline_ms <= self.driver.now_ms + longest_ms

    @invariant()
    def only_a_new_member_is_new(self):
        group = self.driver.core.groups.get("group")
        if group is not None and group.state in (GroupState.COMPLETING_REBALANCE, GroupState.STABLE):
            assert not any(member.is_new for member in group.members.values())

    def teardown(self):
        """In the end everybody behaves: one generation, one leader, everyone assigned."""
        if not hasattr(self, "driver"):
            return
        self.driver.refusing = None
        self.driver.advance(300_000)  # those that crashed are gone, even new ones
        for _ in range(60):
            for player in self.players:
                self.step(player, PROTOCOLS[1])
            self.driver.advance(1_000)
        group = self.driver.group
        assert group.state is GroupState.STABLE
        assert len(group.members) == len(self.players)
        assert all(player.stable for player in self.players)
        assert {player.joined.generation_id for player in self.players} == {group.generation}
        assert {player.member_id for player in self.players} == set(group.members)


def test_a_group_converges_whatever_its_members_do(groups):
    GroupMachine.make_driver = staticmethod(groups)
    machine = GroupMachine.TestCase
    machine.settings = settings(max_examples=60, stateful_step_count=40)
    machine("runTest").runTest()
