"""What a broker has acknowledged outlives its death, at whatever moment that comes; the long version is in compat."""

from pathlib import Path

from .kills import kill_often

KILLS = 10


def test_a_broker_that_is_killed_while_it_writes_loses_nothing_and_leaves_no_gap(tmp_path: Path) -> None:
    broker = kill_often(tmp_path / "data", KILLS, seed=1)
    assert broker.kills == KILLS
    for producer in broker.producers:
        assert producer.acknowledged > KILLS, f"{producer.topic} was hardly written to"
