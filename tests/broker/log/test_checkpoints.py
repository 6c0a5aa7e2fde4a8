"""The small files: Kafka's formats, and what is refused."""

import uuid
from pathlib import Path

import pytest

from ottla_broker.log import checkpoints
from ottla_broker.log.checkpoints import MetaProperties
from ottla_broker.log.disk import read_whole, write_whole
from ottla_broker.log.epochs import EpochEntry
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.memory_disk import MemoryDisk

DATA = Path("/data")
FILE = DATA / "file"
# The example of Kafka's own Uuid documentation style: 16 bytes, base64 for URLs, no padding.
TOPIC_ID = uuid.UUID(bytes=bytes(range(16)))


@pytest.fixture
def disk() -> MemoryDisk:
    disk = MemoryDisk()
    disk.make_directory(DATA)
    return disk


def test_an_offset_checkpoint_has_version_count_and_lines(disk: MemoryDisk) -> None:
    offsets = {("orders", 0): 5, ("a-b.c_d", 12): 2**40}
    checkpoints.write_offsets(disk, FILE, offsets)
    assert read_whole(disk, FILE) == b"0\n2\norders 0 5\na-b.c_d 12 1099511627776\n"
    assert checkpoints.read_offsets(disk, FILE) == offsets


def test_an_epoch_checkpoint_has_version_count_and_lines(disk: MemoryDisk) -> None:
    write_whole(disk, FILE, checkpoints.encode_epochs([EpochEntry(0, 0), EpochEntry(3, 17)]))
    assert read_whole(disk, FILE) == b"0\n2\n0 0\n3 17\n"
    assert checkpoints.read_epochs(disk, FILE) == [(0, 0), (3, 17)]


def test_a_missing_checkpoint_is_empty(disk: MemoryDisk) -> None:
    assert checkpoints.read_offsets(disk, FILE) == {}
    assert checkpoints.read_epochs(disk, FILE) == []


@pytest.mark.parametrize(
    "contents",
    [b"", b"0", b"1\n0\n", b"0\n2\nt 0 5\n", b"0\n1\nt 0\n", b"0\n1\nt zero 5\n", b"0\n1\nt 0 5\nt 1 5\n", b"\xff\xfe"],
)
def test_a_damaged_checkpoint_is_refused(disk: MemoryDisk, contents: bytes) -> None:
    write_whole(disk, FILE, contents)
    with pytest.raises(CorruptFile, match="/data/file"):
        checkpoints.read_offsets(disk, FILE)
    with pytest.raises(CorruptFile, match="/data/file"):
        checkpoints.read_epochs(disk, FILE)


def test_partition_metadata_has_the_topic_id_in_kafkas_base64(disk: MemoryDisk) -> None:
    checkpoints.write_topic_id(disk, DATA, TOPIC_ID)
    contents = read_whole(disk, DATA / "partition.metadata")
    assert contents == b"version: 0\ntopic_id: AAECAwQFBgcICQoLDA0ODw"
    assert checkpoints.read_topic_id(disk, DATA) == TOPIC_ID


def test_partition_metadata_that_a_power_cut_emptied_or_cut_counts_as_missing(disk: MemoryDisk) -> None:
    assert checkpoints.read_topic_id(disk, DATA) is None
    checkpoints.write_topic_id(disk, DATA, TOPIC_ID)
    contents = read_whole(disk, DATA / "partition.metadata")
    for length in range(len(contents)):
        write_whole(disk, DATA / "partition.metadata", contents[:length])
        assert checkpoints.read_topic_id(disk, DATA) is None


@pytest.mark.parametrize("contents", [b"version: 1\ntopic_id: AAECAwQFBgcICQoLDA0ODw", b"version: 0\n\n", b"nonsense"])
def test_damaged_partition_metadata_is_refused(disk: MemoryDisk, contents: bytes) -> None:
    write_whole(disk, DATA / "partition.metadata", contents)
    with pytest.raises(CorruptFile):
        checkpoints.read_topic_id(disk, DATA)


def test_meta_properties_round_trip(disk: MemoryDisk) -> None:
    assert checkpoints.read_meta_properties(disk, DATA) is None
    properties = MetaProperties("4L6g3nShT-eMCtK--X86sw", 7, TOPIC_ID)
    checkpoints.write_meta_properties(disk, DATA, properties)
    assert checkpoints.read_meta_properties(disk, DATA) == properties


def test_meta_properties_as_kafka_writes_them_are_read(disk: MemoryDisk) -> None:
    written = (
        b"#\n#Sat Nov 21 10:00:00 UTC 2026\ncluster.id=4L6g3nShT-eMCtK--X86sw\n"
        b"directory.id=AAECAwQFBgcICQoLDA0ODw\nnode.id=1\nversion=1\n"
    )
    write_whole(disk, DATA / "meta.properties", written)
    assert checkpoints.read_meta_properties(disk, DATA) == MetaProperties("4L6g3nShT-eMCtK--X86sw", 1, TOPIC_ID)


@pytest.mark.parametrize("contents", [b"", b"version=0\n", b"version=1\ncluster.id=x\nnode.id=one\ndirectory.id=y\n"])
def test_damaged_meta_properties_are_refused(disk: MemoryDisk, contents: bytes) -> None:
    write_whole(disk, DATA / "meta.properties", contents)
    with pytest.raises(CorruptFile, match=r"meta\.properties"):
        checkpoints.read_meta_properties(disk, DATA)


def test_the_clean_shutdown_marker_counts_once(disk: MemoryDisk) -> None:
    assert not checkpoints.take_clean_shutdown(disk, DATA)
    checkpoints.mark_clean_shutdown(disk, DATA, broker_epoch=-1)
    assert read_whole(disk, DATA / ".kafka_cleanshutdown") == b'{"version":0,"brokerEpoch":-1}'
    assert checkpoints.take_clean_shutdown(disk, DATA)
    disk.crash()
    assert not checkpoints.take_clean_shutdown(disk, DATA)
