"""Where tasks go: balanced, to their state, and not about without need."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ottla.cluster.placement import Copying, Placement, Situation, place
from ottla.topology.topology import TaskId

ACCEPTABLE_LAG = Copying().acceptable_lag
MAX_WARMUPS = Copying().max_warmups
FAR = 10 * ACCEPTABLE_LAG
TASKS = [TaskId(part, number) for part in range(2) for number in range(4)]


def situation(
    lags: dict[str, dict[TaskId, int]],
    owners: dict[TaskId, str] | None = None,
    copies: dict[TaskId, tuple[str, ...]] | None = None,
    standbys: int = 0,
    tasks: list[TaskId] = TASKS,
) -> Situation:
    return Situation(tasks, set(tasks), lags, owners or {}, copies or {}, Copying(standbys))


def nothing_anywhere(*workers: str, lag: int = 0) -> dict[str, dict[TaskId, int]]:
    return {worker: dict.fromkeys(TASKS, lag) for worker in workers}


def loads(placement: Placement) -> list[int]:
    return sorted(Counter(placement.active.values()).values())


def test_new_tasks_are_spread_part_by_part() -> None:
    placement = place(situation(nothing_anywhere("a", "b")))
    assert Counter((worker, task.subtopology) for task, worker in placement.active.items()) == {
        ("a", 0): 2,
        ("a", 1): 2,
        ("b", 0): 2,
        ("b", 1): 2,
    }


def test_a_worker_that_comes_back_gets_what_its_disk_holds() -> None:
    lags = nothing_anywhere("a", "b", lag=FAR)
    for task in TASKS:
        lags["a" if task.partition % 2 else "b"][task] = 5
    placement = place(situation(lags))
    assert placement.active == {task: "a" if task.partition % 2 else "b" for task in TASKS}


def test_what_a_dead_worker_had_goes_to_the_copies_and_nothing_else_moves() -> None:
    owners = {task: "abc"[number % 3] for number, task in enumerate(TASKS)}
    lags = nothing_anywhere("b", "c", lag=FAR)
    for task, owner in owners.items():
        if owner in lags:
            lags[owner][task] = 0
    orphans = [task for task, owner in owners.items() if owner == "a"]
    lags["b"][orphans[0]] = lags["c"][orphans[1]] = lags["c"][orphans[2]] = 10
    left = {task: owner for task, owner in owners.items() if owner != "a"}
    placement = place(situation(lags, left, dict.fromkeys(orphans, ("b", "c"))))
    assert {task: worker for task, worker in placement.active.items() if task in left} == left
    assert placement.active[orphans[1]] == "c"
    assert placement.standby == {}


def test_a_new_worker_warms_up_before_it_gets_a_task() -> None:
    lags = nothing_anywhere("a") | nothing_anywhere("new", lag=FAR)
    owners = dict.fromkeys(TASKS, "a")
    placement = place(situation(lags, owners))
    assert set(placement.active.values()) == {"a"}
    assert len(placement.standby) == MAX_WARMUPS
    warmed = list(placement.standby)
    for task in warmed:
        lags["new"][task] = 0
    placement = place(situation(lags, owners, dict.fromkeys(warmed, ("new",))))
    assert [task for task, worker in placement.active.items() if worker == "new"] == warmed


def test_how_many_warm_up_at_a_time_and_from_how_near_a_task_moves_at_once_is_said_by_the_app() -> None:
    lags = nothing_anywhere("a") | nothing_anywhere("new", lag=FAR)
    asked = situation(lags, dict.fromkeys(TASKS, "a"))
    assert len(place(replace(asked, copying=Copying(max_warmups=3))).standby) == 3
    at_once = place(replace(asked, copying=Copying(acceptable_lag=FAR)))
    assert loads(at_once) == [4, 4]
    assert at_once.standby == {}


def test_a_worker_that_lost_its_disk_does_not_get_its_tasks_while_a_copy_is_there() -> None:
    lags = nothing_anywhere("a", lag=FAR) | nothing_anywhere("b")
    placement = place(situation(lags, dict.fromkeys(TASKS[:4], "a") | dict.fromkeys(TASKS[4:], "b")))
    assert set(placement.active.values()) == {"b"}
    assert {worker for copies in placement.standby.values() for worker in copies} == {"a"}


def test_copies_are_spread_and_never_where_the_task_runs() -> None:
    placement = place(situation(nothing_anywhere("a", "b", "c", "d"), standbys=1))
    assert all(placement.active[task] not in copies for task, copies in placement.standby.items())
    assert set(placement.standby) == set(TASKS)
    assert Counter(copies[0] for copies in placement.standby.values()) == dict.fromkeys("abcd", 2)


WORKERS = ["a", "b", "c", "d", "e"]


@given(
    data=st.data(),
    workers=st.lists(st.sampled_from(WORKERS), min_size=1, unique=True),
    partitions=st.integers(1, 13),
    standbys=st.integers(0, 3),
)
def test_whatever_the_situation_it_settles_balanced(
    data: st.DataObject, workers: list[str], partitions: int, standbys: int
) -> None:
    tasks = [TaskId(part, number) for part in range(2) for number in range(partitions)]
    lag = st.sampled_from([0, 100, ACCEPTABLE_LAG, ACCEPTABLE_LAG + 1, FAR])
    lags = {worker: {task: data.draw(lag) for task in tasks} for worker in workers}
    owners = {task: owner for task in tasks if (owner := data.draw(st.sampled_from([*workers, None]))) is not None}
    copies: dict[TaskId, tuple[str, ...]] = {}
    rounds = 0
    while True:
        placement = place(situation(lags, owners, copies, standbys, tasks))
        assert placement.active.keys() == set(tasks)
        for task, keeping in placement.standby.items():
            assert placement.active[task] not in keeping
            assert len(set(keeping)) == len(keeping) <= standbys + 1
        warmups = sum(len(keeping) - min(standbys, len(workers) - 1) for keeping in placement.standby.values())
        assert warmups <= MAX_WARMUPS
        if placement.active == owners and placement.standby == copies:
            break
        owners, copies = dict(placement.active), dict(placement.standby)
        for task in tasks:  # what was given is restored, and copies are made
            for worker in (owners[task], *copies.get(task, ())):
                lags[worker][task] = 0
        rounds += 1
        assert rounds <= 2 * len(tasks) + 4
    assert loads(placement)[-1] <= -(-len(tasks) // len(workers))
    assert all(len(keeping) == min(standbys, len(workers) - 1) for keeping in placement.standby.values())


ZONES = {worker: {"zone": worker[0]} for worker in ("a1", "a2", "b1", "b2", "c1", "c2")}


def zone(worker: str) -> str:
    return worker[0]


@given(standbys=st.integers(1, 2), owners=st.lists(st.sampled_from(sorted(ZONES)), min_size=8, max_size=8))
def test_copies_are_in_other_zones_than_their_task_and_each_other(standbys: int, owners: list[str]) -> None:
    described = replace(
        situation(nothing_anywhere(*ZONES), dict(zip(TASKS, owners, strict=True)), standbys=standbys), tags=ZONES
    )
    placement = place(described)
    for task, worker in placement.active.items():
        zones = [zone(worker), *map(zone, placement.standby[task])]
        assert len(zones) == len(set(zones)) == standbys + 1


def test_where_zones_do_not_suffice_as_many_differ_as_can() -> None:
    tags = {"a1": {"zone": "a"}, "a2": {"zone": "a"}, "a3": {"zone": "a"}, "b1": {"zone": "b"}}
    placement = place(replace(situation(nothing_anywhere(*tags), standbys=2), tags=tags))
    for task, worker in placement.active.items():
        assert worker == "b1" or "b1" in placement.standby[task]


def test_several_tags_count_one_by_one() -> None:
    tags = {
        "w1": {"zone": "a", "cluster": "x"},
        "w2": {"zone": "a", "cluster": "y"},
        "w3": {"zone": "b", "cluster": "y"},
    }
    placement = place(replace(situation(nothing_anywhere(*tags), dict.fromkeys(TASKS, "w1"), standbys=1), tags=tags))
    assert {placement.standby[task] for task, worker in placement.active.items() if worker == "w1"} == {("w3",)}


def test_a_worker_without_tags_comes_last() -> None:
    tags = {"w1": {"zone": "a"}, "w2": {}, "w3": {"zone": "b"}}
    placement = place(replace(situation(nothing_anywhere(*tags), dict.fromkeys(TASKS, "w1"), standbys=1), tags=tags))
    assert {placement.standby[task] for task, worker in placement.active.items() if worker == "w1"} == {("w3",)}
