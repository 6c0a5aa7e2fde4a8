"""Members come, go, fall silent, miss answers and crash with the broker, in any order: a consumer group converges.

Hypothesis plays six clients of the consumer protocol against one group, two of them static, while topics appear, grow
and disappear. At no time may two members use the same partition, and what the log says is always what the group is; at
the end everyone behaves, and each partition has exactly one owner who knows it.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ottla_broker.coordinator.consumer_group import ConsumerGroup, ConsumerGroupState
from ottla_wire.errors import ErrorCode

SLOTS = st.integers(0, 5)
TOPICS = ["alpha", "beta", "gamma"]
SUBSCRIPTIONS = st.sampled_from(
    [(["alpha"], None), (["alpha", "beta"], None), (["beta", "gamma"], None), ([], ".*a"), (["gamma"], "al.*|be.*")]
)


class ConsumerMachine(RuleBasedStateMachine):
    make_driver = None

    @initialize(interval_ms=st.sampled_from([0, 1_000]), there=st.integers(0, 6))
    def start(self, interval_ms, there):
        self.driver = type(self).make_driver(group_consumer_assignment_interval_ms=interval_ms)
        self.driver.topic("alpha", 6)
        self.ids = 0
        self.players = [None] * 6
        for slot in range(6):
            self.new_process(slot)
        self.driver.settle(*self.players[:there])

    def new_process(self, slot):
        """A client begins, or is started again: it has a new member id, but the same instance id."""
        self.ids += 1
        instance = f"instance-{slot}" if slot >= 4 else None
        former = self.players[slot]
        topics, regex = (["alpha"], None) if former is None else (former.topics, former.regex)
        self.players[slot] = self.driver.consumer(
            f"member-{self.ids}", topics, regex=regex, instance=instance, assignor="range" if slot == 1 else None
        )

    # -- what clients do

    @rule(slots=st.lists(SLOTS, min_size=1, max_size=12))
    def clients_go_on(self, slots):
        for slot in slots:
            self.players[slot].heartbeat()

    @rule(slot=SLOTS)
    def client_tells_everything(self, slot):
        self.players[slot].heartbeat(full=True)

    @rule(slot=SLOTS)
    def answer_gets_lost(self, slot):
        player = self.players[slot]
        player.heartbeat(lost=True)
        player.has_news = True  # who misses an answer says next time what it uses

    @rule(slot=SLOTS, subscription=SUBSCRIPTIONS)
    def client_subscribes_otherwise(self, slot, subscription):
        player = self.players[slot]
        player.topics, player.regex = subscription[0], subscription[1] or ""
        player.heartbeat(full=True)

    @rule(slot=SLOTS)
    def client_crashes(self, slot):
        self.new_process(slot)

    @rule(slot=SLOTS)
    def client_leaves(self, slot):
        player = self.players[slot]
        player.leave(-1 if player.instance is None else -2)
        self.new_process(slot)

    @rule(milliseconds=st.sampled_from([1, 999, 5_000, 20_000]))
    def time_passes(self, milliseconds):
        self.driver.advance(milliseconds)

    @rule(slot=SLOTS)
    def the_others_fall_silent(self, slot):
        for _ in range(10):
            self.driver.advance(6_000)
            self.players[slot].heartbeat()

    # -- what happens to the broker and its topics

    @rule(topic=st.sampled_from(TOPICS), partitions=st.integers(1, 5))
    def topic_appears_or_grows(self, topic, partitions):
        self.driver.topic(topic, partitions)

    @rule(topic=st.sampled_from(TOPICS[1:]))
    def topic_disappears(self, topic):
        if topic in self.driver.image.topics:
            self.driver.delete_topic(topic)

    @rule()
    def expressions_take_long_to_match(self):
        self.driver.matches_regexes = False

    @rule()
    def expressions_are_matched(self):
        self.driver.matches_regexes = True
        self.driver.match_regexes()

    @rule()
    def log_refuses_for_a_while(self):
        self.driver.refusing = ErrorCode.NOT_COORDINATOR

    @precondition(lambda self: self.driver.refusing is not None)
    @rule()
    def log_works_again(self):
        self.driver.refusing = None

    @rule()
    def broker_restarts(self):
        self.driver.restart()

    # -- what must hold

    @property
    def group(self):
        return self.driver.core.groups.get("group", ConsumerGroup("group"))

    @invariant()
    def the_parts_of_the_group_agree(self):
        self.group.check()

    @invariant()
    def who_uses_a_partition_owns_it(self):
        # An owner is one, so that no two members can use the same partition.
        for player in self.players:
            if player.member_id in self.group.members and player.epoch > 0:
                owned = {p for p, member_id in self.group.owners.items() if member_id == player.member_id}
                assert player.uses <= owned, f"{player.member_id} uses what it was not given"

    @invariant()
    def the_log_says_what_the_group_is(self):
        recovered = self.driver.recovered().groups.get("group", ConsumerGroup("group"))
        for field in ("epoch", "metadata_hash", "members", "target", "target_epoch", "resolved", "owners"):
            assert getattr(recovered, field) == getattr(self.group, field), field

    def teardown(self):
        """From now on everyone behaves: the group must settle, and go on doing so when a topic grows."""
        if not hasattr(self, "driver"):
            return
        self.driver.refusing = None
        self.driver.matches_regexes = True
        self.everyone_behaves(rounds=30)  # long enough for members of processes that are gone to time out
        self.check_settled()
        self.driver.topic("alpha", 9)
        self.everyone_behaves(rounds=5)
        self.check_settled()

    def everyone_behaves(self, rounds):
        for _ in range(rounds):
            self.driver.advance(4_000)
            for player in self.players:
                player.heartbeat()

    def check_settled(self):
        group, image = self.group, self.driver.image
        assert group.state is ConsumerGroupState.STABLE
        assert sorted(group.members) == sorted(player.member_id for player in self.players)
        subscribed = group.subscribed_topics()
        assert sorted(partition for player in self.players for partition in player.uses) == sorted(
            (topic.id, index)
            for topic in image.topics.values()
            if topic.name in subscribed
            for index in range(len(topic.partitions))
        )
        for player in self.players:
            names = {image.topics_by_id[topic_id].name for topic_id, _ in player.uses}
            assert names <= group.topics_of(group.members[player.member_id])


def test_a_consumer_group_always_converges(groups):
    class Machine(ConsumerMachine):
        make_driver = staticmethod(groups)

    case = Machine.TestCase
    case.settings = settings(max_examples=60, stateful_step_count=40)
    case().runTest()
