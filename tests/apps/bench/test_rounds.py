"""Figures are taken in alternating rounds after a warm-up, and the median counts."""

import pytest

from ottla_apps.bench.rounds import Turn, alternate, medians


def test_contenders_take_turns_and_the_first_round_is_thrown_away() -> None:
    figures = {"a": iter([1000.0, 3.0, 1.0, 2.0]), "b": iter([1000.0, 30.0, 10.0, 20.0])}
    turns: list[str] = []

    taken = alternate(
        {name: lambda name=name: {"speed": next(figures[name])} for name in figures},
        3,
        lambda turn: turns.append(str(turn)),
    )

    assert taken == {"a": {"speed": 2.0}, "b": {"speed": 20.0}}
    assert turns[:4] == ["a: warm-up", "b: warm-up", "a: round 1 of 3", "b: round 1 of 3"]
    assert len(turns) == 8


def test_without_a_warm_up_the_first_round_counts() -> None:
    turns: list[str] = []

    taken = alternate({"a": lambda: {"speed": 7.0}}, 1, lambda turn: turns.append(str(turn)), warm_up=False)

    assert taken == {"a": {"speed": 7.0}}
    assert turns == ["a: round 1 of 1"]


def test_each_figure_has_its_own_median() -> None:
    assert medians([{"x": 1, "y": 9}, {"x": 2, "y": 7}, {"x": 9, "y": 8}]) == {"x": 2, "y": 8}


def test_a_contender_that_fails_ends_the_measurement() -> None:
    def fail() -> dict[str, float]:
        raise RuntimeError("no broker")

    with pytest.raises(RuntimeError, match="no broker"):
        alternate({"a": fail}, 1, lambda _turn: None)


def test_a_turn_reads_as_progress() -> None:
    assert str(Turn("ottla", 2, 5)) == "ottla: round 2 of 5"
