"""How the leader goes from one assignment to the next: a task is nobody's until its last holder let go of it."""

from collections.abc import Mapping

import pytest

from ottla.cluster.placement import Copying
from ottla.cluster.records import (
    Assignment,
    Grant,
    Report,
    assignment_record,
    control_topic,
    report_record,
)
from ottla.cluster.view import ClusterView, next_assignment
from ottla.errors import OttlaError
from ottla.topology.topology import TaskId
from ottla.transport.contract import OffsetRange, OutputRecord, TopicPartition
from ottla.transport.memory import MemoryMessage

CONTROL = TopicPartition(control_topic("app").name, 0)
ONE, TWO = TaskId(0, 0), TaskId(0, 1)
CHANGELOGS = {ONE: OffsetRange(0, 10), TWO: OffsetRange(0, 10)}


class Told:
    """A view, and what it is told."""

    def __init__(self) -> None:
        self.view = ClusterView()

    def take(self, record: OutputRecord) -> None:
        self.view.take([MemoryMessage(record, 0, self.view.position)])

    def report(self, worker: str, report: Report | None) -> None:
        self.take(report_record(CONTROL, worker, report, 0))

    def decide(
        self, *live: str, changelogs: Mapping[TaskId, OffsetRange] = CHANGELOGS, standbys: int = 0
    ) -> Assignment | None:
        following = next_assignment(self.view, live, [ONE, TWO], changelogs, Copying(standbys))
        if following is not None:
            self.take(assignment_record(CONTROL, following, 0))
        return following


def test_a_task_changes_hands_in_two_steps() -> None:
    told = Told()
    told.report("a", Report())
    first = told.decide("a")
    assert first == Assignment(number=1, workers=["a"], active={"0_0": Grant("a", 1), "0_1": Grant("a", 1)})
    assert told.decide("a") is None
    told.report("b", Report())
    second = told.decide("a", "b")
    assert second is not None
    assert (second.active, second.releasing) == ({"0_0": Grant("a", 1)}, {"0_1": Grant("a", 2)})
    assert told.view.asked_back_from("a") == {TWO}
    assert told.decide("a", "b") is None
    told.report("a", Report(seen=2))
    third = told.decide("a", "b")
    assert third is not None
    assert (third.active, third.releasing) == ({"0_0": Grant("a", 1), "0_1": Grant("b", 3)}, {})
    assert told.view.granted_to("b") == {TWO: 3}


def test_a_copy_of_what_stays_does_not_call_that_away_while_the_other_is_on_its_way() -> None:
    told = Told()
    far = {ONE: OffsetRange(0, 5000), TWO: OffsetRange(0, 5000)}
    told.report("a", Report(warm=["0_0", "0_1"]))
    told.decide("a", changelogs=far, standbys=1)
    told.report("b", Report())
    second = told.decide("a", "b", changelogs=far, standbys=1)
    assert second is not None
    assert (second.active, second.releasing) == ({"0_0": Grant("a", 1)}, {"0_1": Grant("a", 2)})
    # The copies of what stays are there sooner than the other task is let go of.
    told.report("b", Report(seen=2, warm=["0_0"], offsets={"0_0": 5000}))
    assert told.decide("a", "b", changelogs=far, standbys=1) is None
    told.report("a", Report(seen=2, warm=["0_0"], offsets={"0_0": 5000, "0_1": 5000}))
    third = told.decide("a", "b", changelogs=far, standbys=1)
    assert third is not None
    assert (third.active, third.releasing) == ({"0_0": Grant("a", 1), "0_1": Grant("b", 3)}, {})


def test_a_holder_that_is_no_member_need_not_let_go() -> None:
    told = Told()
    told.report("a", Report())
    told.decide("a")
    told.report("b", Report())
    told.decide("a", "b")
    following = told.decide("b")
    assert following is not None
    assert following.active == {"0_0": Grant("b", 3), "0_1": Grant("b", 3)}


def test_a_member_that_has_not_reported_yet_keeps_what_it_has() -> None:
    told = Told()
    told.report("a", Report())
    told.decide("a")
    told.report("a", None)
    told.report("b", Report())
    following = told.decide("a", "b")
    assert following is not None
    assert {grant.worker for grant in (*following.active.values(), *following.releasing.values())} == {"a"}


def test_a_task_that_was_lost_and_won_again_is_another_grant() -> None:
    told = Told()
    told.report("a", Report())
    told.report("b", Report())
    told.decide("a")
    told.decide("b")
    told.decide("a")
    assert told.view.granted_to("a") == {ONE: 3, TWO: 3}


def test_state_on_disk_decides_where_it_is_long_to_restore() -> None:
    told = Told()
    changelogs = {ONE: OffsetRange(0, 1_000_000), TWO: OffsetRange(0, 1_000_000)}
    told.report("a", Report(offsets={"0_1": 999_000}))
    told.report("b", Report(offsets={"0_0": 1_000_000}))
    following = told.decide("a", "b", changelogs=changelogs)
    assert following is not None
    assert following.active == {"0_0": Grant("b", 1), "0_1": Grant("a", 1)}


def test_copies_are_told_to_their_workers() -> None:
    told = Told()
    told.report("a", Report())
    told.report("b", Report())
    told.decide("a", "b", standbys=1)
    assert told.view.copied_by("a") | told.view.copied_by("b") == {ONE, TWO}
    assert not told.view.copied_by("a") & told.view.granted_to("a").keys()


def test_whoever_is_to_have_a_task_keeps_its_copy_until_it_has_it() -> None:
    told = Told()
    told.report("a", Report())
    told.report("b", Report())
    told.decide("a", "b", standbys=1)
    [of_a] = told.view.granted_to("a")
    assert told.view.copied_by("b") == {of_a}
    # Given one that leaves: it holds nothing any more, but is a member still
    told.report("a", None)
    second = told.decide("a", "b", standbys=1)
    assert second is not None
    assert list(second.releasing) == [str(of_a)]
    assert told.view.copied_by("b") == {of_a}
    told.decide("b", standbys=1)
    assert of_a in told.view.granted_to("b")
    assert told.view.copied_by("b") == set()


def test_without_a_worker_that_reported_nothing_is_decided() -> None:
    told = Told()
    assert told.decide("a") is None
    told.report("a", Report())
    assert told.decide() is None


def test_a_record_of_another_kind_is_refused_with_what_to_do() -> None:
    told = Told()
    with pytest.raises(OttlaError, match="delete the topic"):
        told.take(OutputRecord(CONTROL.topic, b"assignment", b"[]", 0))
