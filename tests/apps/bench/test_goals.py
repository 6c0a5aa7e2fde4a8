"""A figure is held to a factor of the peer's, and a report says which ones miss it."""

import json

import pytest

from ottla_apps.bench.goals import Comparison, at_least, at_most, compare
from ottla_apps.bench.report import Report, Row, show

OURS = {"produces_per_s": 900.0, "start_s": 0.5, "records": 10.0}
THEIRS = {"produces_per_s": 1000.0, "start_s": 5.0, "records": 10.0}
GOALS = {"produces_per_s": at_least(), "start_s": at_most(0.2), "p99_ms": at_most()}
COMPARED = list(compare("small", OURS, "kafka", THEIRS, GOALS))


def test_figures_with_a_goal_are_compared_where_both_have_them() -> None:
    slower, quicker = COMPARED

    assert slower == Comparison("small", "produces_per_s", "kafka", 1000.0, 0.9, "at least 1", holds=False)
    assert quicker == Comparison("small", "start_s", "kafka", 5.0, 0.1, "at most 0.2", holds=True)


def test_a_goal_that_is_just_met_is_met() -> None:
    assert at_least(1).holds(1.0)
    assert at_most(0.2).holds(0.2)
    assert not at_most(0.2).holds(0.21)


def test_a_peer_that_took_nothing_is_no_measure() -> None:
    assert not list(compare("small", {"start_s": 1.0}, "kafka", {"start_s": 0.0}, GOALS))


def test_a_table_marks_what_falls_short_and_lists_it(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row("small", "ottla", OURS), Row("small", "kafka", THEIRS)]

    show(Report("broker", rows, 3, COMPARED), as_json=False)

    assert capsys.readouterr().out.splitlines() == [
        "job\tcontender\tproduces per s\tstart s\trecords",
        "small\tottla\t900\t0.5\t10",
        "small\tkafka\t1,000\t5\t10",
        "small\t/ kafka\t0.90 short\t0.10\t",
        "1 of 2 figures are what they are to be",
        "short: small: produces_per_s is 0.90 times kafka's 1,000, to be at least 1",
    ]


def test_json_has_every_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    show(Report("broker", [Row("small", "ottla", OURS)], 3, COMPARED), as_json=True)

    first, second = json.loads(capsys.readouterr().out)["comparisons"]
    assert (first["figure"], first["ratio"], first["goal"], first["holds"]) == (
        "produces_per_s",
        0.9,
        "at least 1",
        False,
    )
    assert second["holds"]
