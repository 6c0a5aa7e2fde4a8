"""`ottla cluster`."""

from collections.abc import Callable
from typing import Any

import pytest

from ottla_apps.cli.cluster import find_troubles
from ottla_wire.messages.metadata import MetadataResponse, MetadataResponsePartition, MetadataResponseTopic

Run = Callable[..., Any]


@pytest.mark.usefixtures("topic")
def test_info(ottla: Run, brokers: str) -> None:
    shown = ottla("cluster", "info", "--format", "json").ok().json
    assert shown["summary"]["cluster_id"]
    assert shown["summary"]["topics"] >= 1
    assert f"{shown['brokers'][0]['host']}:{shown['brokers'][0]['port']}" == brokers
    assert shown["brokers"][0]["leads"] == shown["summary"]["partitions"]


@pytest.mark.usefixtures("topic")
def test_a_cluster_that_is_well(ottla: Run) -> None:
    shown = ottla("cluster", "health", "--format", "json").ok().json
    assert shown["healthy"] is True
    assert (shown["leaderless"], shown["under_replicated"], shown["offline_replicas"]) == (0, 0, 0)


def test_the_worst_of_a_partition_is_told() -> None:
    def partition(index: int, leader: int, isr: list[int], offline: list[int]) -> MetadataResponsePartition:
        return MetadataResponsePartition(
            partition_index=index, leader_id=leader, replica_nodes=[1, 2], isr_nodes=isr, offline_replicas=offline
        )

    partitions = [
        partition(0, 1, [1, 2], []),
        partition(1, 1, [1], []),
        partition(2, 1, [1], [2]),
        partition(3, -1, [], [1, 2]),
    ]
    metadata = MetadataResponse(brokers=[], topics=[MetadataResponseTopic(name="t", partitions=partitions)])
    assert list(find_troubles(metadata)) == [
        ("t", 1, "under_replicated"),
        ("t", 2, "offline_replicas"),
        ("t", 3, "leaderless"),
    ]


def test_log_dirs(ottla: Run, topic: str) -> None:
    shown = ottla("cluster", "log-dirs", "-t", topic, "--partitions", "--format", "json").ok().json
    (directory,) = shown["directories"]
    assert directory["partitions"] == 3
    assert 0 < directory["size_bytes"] <= directory["volume_bytes"]
    assert sum(row["size_bytes"] for row in shown["partitions"]) == directory["size_bytes"]
    assert {row["topic"] for row in shown["partitions"]} == {topic}
    assert ottla("cluster", "log-dirs").ok().rows
    ottla("cluster", "log-dirs", "--broker", "99").fails("The cluster has no broker 99.", 2)
    ottla("cluster", "log-dirs", "-t", "nope").fails("Topic 'nope' does not exist; .*")


def test_features(ottla: Run) -> None:
    shown = ottla("cluster", "features", "--apis", "--format", "json").ok().json
    assert "metadata.version" in {row["feature"] for row in shown["features"]}
    assert {"key": 18, "api": "ApiVersions", "lowest": 0, "highest": 4} in shown["apis"]
