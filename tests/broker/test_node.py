"""A node from start to stop, and what it finds when it starts again."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import uvloop

from ottla_broker.cluster.elections import ElectionType
from ottla_broker.cluster.image import ResourceType
from ottla_broker.cluster.topics import NewTopic
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.partition import Origin
from ottla_broker.node import ADDRESS_FILE
from ottla_wire.control_records import build_end_txn_marker
from ottla_wire.records import NewRecord, build_batch


def batch(value: bytes = b"v") -> bytearray:
    return build_batch([NewRecord(b"k", value, 1_000)])


def strays(directory: Path) -> list[Path]:
    """Partitions that were set aside."""
    return list(directory.glob("*-stray"))


def run(main: Any) -> None:
    uvloop.run(main())


def test_topics_settings_and_records_survive_a_restart(start_node: Any) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t", 2, config={"retention.ms": "7"})])
            node.broker.append(node.broker.partition("t", 1), batch())
            cluster_id, topic_id = node.broker.cluster_id, node.broker.image.topics["t"].id
        async with start_node() as node:
            assert node.broker.cluster_id == cluster_id
            assert node.broker.image.topics["t"].id == topic_id
            assert node.broker.image.config(ResourceType.TOPIC, "t") == {"retention.ms": "7"}
            log = node.broker.partition("t", 1)
            assert (log.high_watermark, log.log_end_offset, log.config.retention_ms) == (1, 1, 7)
            assert node.broker.leadership(log).leader_epoch == 0

    run(main)


@pytest.mark.parametrize("crash", [False, True])
def test_a_node_starts_from_a_snapshot_of_its_metadata(start_node: Any, node_directory: Path, crash: bool) -> None:
    async def main() -> None:
        async with start_node(metadata_log_max_record_bytes_between_snapshots=1) as node:
            controller = node.broker.controller
            for number in range(5):
                await controller.create_topics([NewTopic("passing", 2, config={"retention.ms": str(number)})])
                node.broker.append(node.broker.partition("passing", 1), batch())
                await controller.delete_topics([node.broker.image.topics["passing"]])
            await controller.create_topics([NewTopic("t", 2, config={"retention.ms": "7"})])
            node.broker.append(node.broker.partition("t", 1), batch())
            topic_id, ids = node.broker.image.topics["t"].id, await controller.allocate_producer_ids()
            await controller.elect_leaders([], ElectionType.PREFERRED)
            log = node._logs.get("__cluster_metadata", 0)
            node._logs.enforce_retention(log)
            assert log.size_bytes == 0
            shutil.copytree(node_directory, node_directory.with_name("crashed"))
        if crash:
            shutil.rmtree(node_directory)
            node_directory.with_name("crashed").rename(node_directory)
        async with start_node() as node:
            assert [topic for topic in node.broker.image.topics if not topic.startswith("__")] == ["t"]
            assert node.broker.image.topics["t"].id == topic_id
            assert node.broker.partition("t", 1).config.retention_ms == 7
            assert node.broker.append(node.broker.partition("t", 1), batch()).base_offset == 1
            assert (await node.broker.controller.allocate_producer_ids()).start == ids.stop
            assert strays(node_directory) == []

    run(main)


def test_after_a_crash_partitions_are_led_in_a_new_epoch(start_node: Any, node_directory: Path) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t")])
            node.broker.append(node.broker.partition("t", 0), batch())
            # What a crash leaves behind is what lies there now.
            shutil.copytree(node_directory, node_directory.with_name("crashed"))
        shutil.rmtree(node_directory)
        node_directory.with_name("crashed").rename(node_directory)
        async with start_node() as node:
            log = node.broker.partition("t", 0)
            assert node.broker.leadership(log).leader_epoch == 1
            assert log.high_watermark == 1
            assert node.broker.append(log, batch()).base_offset == 1
            assert log.leader_epoch == 1

    run(main)


def test_a_partition_whose_directory_is_missing_is_made_again(start_node: Any, node_directory: Path) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t", 2)])
        shutil.rmtree(node_directory / "t-1")
        async with start_node() as node:
            assert node.broker.append(node.broker.partition("t", 1), batch()).base_offset == 0

    run(main)


@pytest.mark.parametrize("kept", [0, 9, 30])
def test_a_partition_whose_topic_id_a_power_cut_has_taken_keeps_its_records(
    start_node: Any, node_directory: Path, kept: int
) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.ensure_topics(["t"])
            log = node.broker.partition("t", 0)
            node.broker.append(log, build_batch([NewRecord(b"k", b"v", 1_000)]))
        file = node_directory / "t-0" / "partition.metadata"
        whole = file.read_bytes()
        file.write_bytes(whole[:kept])
        async with start_node() as node:
            assert node.broker.partition("t", 0).log_end_offset == 1
        assert file.read_bytes() == whole

    uvloop.run(main())


def test_what_is_left_of_a_deleted_topic_is_deleted(start_node: Any, node_directory: Path) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t")])
            node.broker.append(node.broker.partition("t", 0), batch())
        shutil.copytree(node_directory / "t-0", node_directory.with_name("t-0"))
        async with start_node() as node:
            await node.broker.controller.delete_topics([node.broker.image.topics["t"]])
        shutil.copytree(node_directory.with_name("t-0"), node_directory / "t-0")  # a crash came first
        async with start_node() as node:
            assert node.broker.logs.get("t", 0) is None
            assert not (node_directory / "t-0").exists()
            assert not strays(node_directory)

    run(main)


def test_what_belongs_to_no_topic_that_was_ever_known_is_kept(
    start_node: Any, node_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has deleted it: the metadata log may be damaged, or of another cluster."""

    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t")])
            node.broker.append(node.broker.partition("t", 0), batch())
        shutil.rmtree(node_directory / "__cluster_metadata-0")
        for _ in range(2):
            async with start_node() as node:
                assert "t" not in node.broker.image.topics
                (kept,) = strays(node_directory)
                assert (kept / "00000000000000000000.log").stat().st_size > 0
                assert str(kept) in caplog.text
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("t")])
            assert node.broker.partition("t", 0).log_end_offset == 0

    run(main)


@pytest.mark.parametrize("clean", [True, False])
def test_a_damaged_metadata_log_stops_the_start_and_changes_nothing(
    start_node: Any, node_directory: Path, clean: bool
) -> None:
    marker = node_directory / ".kafka_cleanshutdown"

    async def main() -> None:
        async with start_node() as node:
            for name in ("first", "second", "third"):
                await node.broker.controller.create_topics([NewTopic(name)])
            log = node.broker.partition("second", 0)
            node.broker.append(log, batch())
            node.broker.append(log, batch())
            log.delete_records_before(1)
        if not clean:
            marker.unlink()
        file = node_directory / "__cluster_metadata-0" / "00000000000000000000.log"
        data = file.read_bytes()
        damaged = bytearray(data)
        damaged[data.index(b"second") + 2] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(CorruptFile, match=r"The metadata log .* is damaged"):
            async with start_node():
                pass
        assert file.read_bytes() == damaged
        assert marker.exists() == clean
        file.write_bytes(data)
        async with start_node() as node:
            log = node.broker.partition("second", 0)
            assert (log.log_start_offset, log.log_end_offset) == (1, 2)
            assert node.broker.leadership(log).leader_epoch == (0 if clean else 1)

    run(main)


def test_the_address_file_lives_as_long_as_the_broker(start_node: Any, node_directory: Path) -> None:
    file = node_directory / ADDRESS_FILE

    async def main() -> None:
        async with start_node() as node:
            assert file.read_text().strip() == str(node.address)
        assert not file.exists()

    run(main)


def test_clients_are_sent_to_the_advertised_address(start_node: Any) -> None:
    async def main() -> None:
        async with start_node(advertised_listeners="broker.example:0") as node:
            ((broker, endpoint),) = node.broker.endpoints("PLAINTEXT")
            assert broker.id == 1
            assert (endpoint.host, endpoint.port) == ("broker.example", node.address.port)

    run(main)


def test_producer_ids_are_never_given_twice(start_node: Any) -> None:
    async def main() -> None:
        given: list[int] = []
        for _ in range(3):
            async with start_node() as node:
                given += await node.broker.allocate_producer_ids()
        assert len(set(given)) == len(given) == 3000

    run(main)


def test_43_what_is_on_disk_is_laid_out_as_kafka_does(start_node: Any, node_directory: Path) -> None:
    async def main() -> None:
        async with start_node() as node:
            await node.broker.controller.create_topics([NewTopic("some.topic", 2)])
            node.broker.append(node.broker.partition("some.topic", 1), batch())
            producer = {"producer_id": 1, "producer_epoch": 0}
            begun = build_batch([NewRecord(None, b"v", 1_000)], **producer, base_sequence=0, transactional=True)
            node.broker.append(node.broker.partition("some.topic", 1), begun)
            aborted = build_end_txn_marker(commit=False, **producer, coordinator_epoch=0, timestamp=1_000)
            node.broker.append(node.broker.partition("some.topic", 1), aborted, origin=Origin.COORDINATOR)

    run(main)
    data = node_directory
    names = {path.name for path in data.iterdir()}
    assert names == {
        ".kafka_cleanshutdown",
        ".lock",
        "__cluster_metadata-0",
        "log-start-offset-checkpoint",
        "meta.properties",
        "recovery-point-offset-checkpoint",
        "replication-offset-checkpoint",
        "cleaner-offset-checkpoint",
        "some.topic-0",
        "some.topic-1",
    }
    assert {path.name for path in (data / "some.topic-1").iterdir()} == {
        "00000000000000000000.log",
        "00000000000000000000.index",
        "00000000000000000000.timeindex",
        "00000000000000000000.txnindex",
        "00000000000000000003.snapshot",
        "leader-epoch-checkpoint",
        "partition.metadata",
    }
    assert "node.id=1" in (data / "meta.properties").read_text()
    assert "some.topic 1 3" in (data / "recovery-point-offset-checkpoint").read_text()


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, lambda node: len(node.broker.image.topics["__consumer_offsets"].partitions) == 2),
        (
            {"offsets_topic_num_partitions": 5},
            lambda n: len(n.broker.image.topics["__consumer_offsets"].partitions) == 5,
        ),
        (
            {"offsets_topic_compression_codec": 3},
            lambda node: node.broker.partition("__consumer_offsets", 0).config.compression_type == "lz4",
        ),
        ({"num_partitions": 3}, lambda node: len(node.broker.image.topics["t"].partitions) == 3),
        ({"node_id": 7}, lambda node: [broker.id for broker, _ in node.broker.endpoints("PLAINTEXT")] == [7]),
        (
            {"advertised_listeners": "PLAINTEXT://somewhere:1"},
            lambda node: [end.host for _, end in node.broker.endpoints("PLAINTEXT")] == ["somewhere"],
        ),
    ],
)
def test_47_kafkas_settings_are_honoured_by_name(start_node: Any, settings: Any, found: Any) -> None:
    async def main() -> None:
        async with start_node(**settings) as node:
            await node.broker.controller.ensure_topics(["t", "__consumer_offsets"])
            assert found(node)

    run(main)
