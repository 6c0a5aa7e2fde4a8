"""`ottla log dump --records` of the brokers' own topics."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ottla_wire.records import NewRecord, build_batch

Run = Callable[..., Any]
NAME = f"{0:020d}.log"


def dumped(run: Run, directory: Path) -> list[dict[str, Any]]:
    """The records of all segments in a directory."""
    lines = run("log", "dump", *map(str, directory.glob("*.log")), "--records", "--format", "json").ok().out
    return [json.loads(line) for line in lines.splitlines()]


@pytest.fixture
def data(ottla: Run, topic: str) -> Path:
    """The data directory of the broker, where it is one of this machine."""
    (directory,) = ottla("cluster", "log-dirs", "-t", topic, "--format", "json").ok().json
    path = Path(directory["directory"])
    if not (path / f"{topic}-0").exists():
        pytest.skip("the broker runs elsewhere")
    return path


def test_committed_offsets_and_groups(ottla: Run, run: Run, topic: str, data: Path) -> None:
    ottla("consume", topic, "-g", f"{topic}-readers", "-e").ok()
    found = [record for folder in data.glob("__consumer_offsets-*") for record in dumped(run, folder)]
    ours = [record for record in found if record["key"].get("group") == f"{topic}-readers"]
    commits = [record for record in ours if record["type"] == "offset_commit"]
    assert {(record["key"]["partition"], record["value"]["offset"]) for record in commits} == {(0, 1), (1, 1), (2, 1)}
    groups = [record for record in ours if record["type"] == "group_metadata"]
    assert groups[0]["value"]["protocol_type"] == "consumer"
    assert groups[0]["value"]["members"][0]["client_id"] == "ottla-cli"
    text = run("log", "dump", *(str(folder) for folder in data.glob("__consumer_offsets-*")), "--records").ok().out
    assert f"{{group={topic}-readers topic={topic} partition=1}}\t{{offset=1 leader_epoch=0" in text


def test_cluster_metadata(run: Run, topic: str, data: Path) -> None:
    found = dumped(run, data / "__cluster_metadata-0")
    assert {"feature_level", "register_broker", "topic", "partition"} <= {record["type"] for record in found}
    (made,) = [record for record in found if record["type"] == "topic" and record["value"]["name"] == topic]
    partitions = [record["value"] for record in found if record["type"] == "partition"]
    assert sorted(p["partition_id"] for p in partitions if p["topic_id"] == made["value"]["topic_id"]) == [0, 1, 2]


def test_what_cannot_be_read_is_shown_as_it_is(run: Run, tmp_path: Path) -> None:
    for topic in ("__consumer_offsets-3", "__transaction_state-0", "__cluster_metadata-0"):
        directory = tmp_path / topic
        directory.mkdir()
        (directory / NAME).write_bytes(build_batch([NewRecord(b"\x77\x77", b"news", 1_000)]))
        (record,) = dumped(run, directory)
        assert (record["type"], record["key"], record["value"]) == ("unknown", "ww", "news")
