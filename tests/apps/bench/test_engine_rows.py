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
