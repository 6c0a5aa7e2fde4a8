"""The engine's rows: who does which job, and figures that a contender really printed."""

import subprocess
from pathlib import Path

import pytest

from ottla_apps.bench.engine import rows
from ottla_apps.bench.engine.jobs import JOBS, Peers, contenders, figures_of

PEERS = Peers(Path("python"), Path("jars"))
OURS = ["ottla exactly once", "ottla at least once"]


def test_a_row_is_chosen_by_a_part_of_its_name() -> None:
    assert rows.choose(["KEYS", "windowed"]) == ["windowed", "1,000,000 keys"]
    assert rows.choose(None) == rows.names()
    assert rows.choose(["nothing"]) == []


@pytest.mark.parametrize("job", JOBS)
def test_without_peers_ottla_does_every_job_alone(job: str) -> None:
    assert list(contenders(job, "127.0.0.1:1", 1024, 1.0, None)) == OURS


@pytest.mark.parametrize(
    ("job", "peers"),
    [
        ("agent", ["faust-streaming", "quixstreams"]),
        ("windowed", ["faust-streaming", "quixstreams", "kafka streams exactly once", "kafka streams at least once"]),
        ("join", ["quixstreams", "kafka streams exactly once", "kafka streams at least once"]),
    ],
)
def test_peers_do_the_jobs_that_they_can_do(job: str, peers: list[str]) -> None:
    assert list(contenders(job, "127.0.0.1:1", 1024, 1.0, PEERS)) == OURS + peers


def test_a_program_without_a_figure_is_quoted() -> None:
    done = subprocess.CompletedProcess(["jobs"], 1, stdout="hello\n", stderr="it broke\n")
    with pytest.raises(RuntimeError, match="jobs ended without a figure: it broke"):
        figures_of(["jobs"], done)


def test_the_last_figure_counts() -> None:
    done = subprocess.CompletedProcess(["jobs"], 0, stdout='{"events": 1}\nnoise\n{"events": 2}\n', stderr="")
    assert figures_of(["jobs"], done) == {"events": 2}


def test_a_row_is_held_to_its_target_and_to_the_peers() -> None:
    ours, peer = {"events_per_s": 150_000.0, "events": 1.0}, {"events_per_s": 30_000.0, "events": 1.0}
    target, beside = rows.held("windowed", {OURS[0]: ours, OURS[1]: peer, "quixstreams": peer})
    assert (target.peer, target.theirs, target.ratio, target.holds) == ("target", 200_000, 0.75, False)
    assert (beside.peer, beside.ratio, beside.holds) == ("quixstreams", 5.0, True)


def test_latency_is_held_to_its_target_at_least_once() -> None:
    name = next(each for each in rows.names() if each.startswith("latency"))
    (found,) = rows.held(name, {OURS[0]: {"p99_ms": 50.0}, OURS[1]: {"p99_ms": 8.0}})
    assert (found.figure, found.goal, found.holds) == ("p99_ms", "at most 1", True)


def test_a_row_without_a_target_is_held_to_the_peers_alone() -> None:
    figures = {"events_per_s": 1.0}
    assert [each.peer for each in rows.held("table", dict.fromkeys([*OURS, "faust-streaming"], figures))] == [
        "faust-streaming"
    ]
