"""The small text files of a data directory and of a partition directory, in Kafka's formats.

    DATA/recovery-point-offset-checkpoint    up to which offset each partition is known to be on the device
    DATA/log-start-offset-checkpoint         the log start offsets that DeleteRecords or retention moved
    DATA/replication-offset-checkpoint       the high watermarks
    DATA/cleaner-offset-checkpoint           up to which offset each compacted partition is compacted
    DATA/meta.properties                     which cluster and node the directory belongs to
    DATA/.kafka_cleanshutdown                present only between a clean stop and the next start
    DATA/TOPIC-0/leader-epoch-checkpoint     the leader epochs of the partition
    DATA/TOPIC-0/partition.metadata          the topic's id

Reading a file that does not hold together raises `CorruptFile` with its path.
"""

import base64
import binascii
import dataclasses
import json
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ottla_broker.log.disk import Disk, read_whole, write_whole
from ottla_broker.log.epochs import EpochEntry
from ottla_broker.log.errors import CorruptFile

RECOVERY_POINTS: Final = "recovery-point-offset-checkpoint"
LOG_START_OFFSETS: Final = "log-start-offset-checkpoint"
HIGH_WATERMARKS: Final = "replication-offset-checkpoint"
FIRST_DIRTY_OFFSETS: Final = "cleaner-offset-checkpoint"
META_PROPERTIES: Final = "meta.properties"
CLEAN_SHUTDOWN: Final = ".kafka_cleanshutdown"
LEADER_EPOCHS: Final = "leader-epoch-checkpoint"
PARTITION_METADATA: Final = "partition.metadata"

_VERSION: Final = 0
NO_TOPIC_ID: Final = uuid.UUID(int=0)

TopicPartition = tuple[str, int]


def _encode_lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in (_VERSION, len(lines), *lines)).encode()


def _read_lines(disk: Disk, path: Path) -> list[str]:
    """The entries of a checkpoint file, none if there is no file."""
    try:
        lines = read_whole(disk, path).decode().splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError:
        raise CorruptFile(f"{path} is not text") from None
    if len(lines) < 2 or lines[0] != str(_VERSION):
        raise CorruptFile(f"{path} does not begin with version {_VERSION} and a count")
    if lines[1] != str(len(lines) - 2):
        raise CorruptFile(f"{path} announces {lines[1]} entries and has {len(lines) - 2}")
    return lines[2:]


def write_offsets(disk: Disk, path: Path, offsets: Mapping[TopicPartition, int]) -> None:
    """Replace an offset checkpoint, durably."""
    lines = [f"{topic} {index} {offset}" for (topic, index), offset in offsets.items()]
    write_whole(disk, path, _encode_lines(lines))


def read_offsets(disk: Disk, path: Path) -> dict[TopicPartition, int]:
    """The offsets of an offset checkpoint, none if there is no file."""
    offsets: dict[TopicPartition, int] = {}
    for line in _read_lines(disk, path):
        try:
            topic, index, offset = line.split()
            offsets[topic, int(index)] = int(offset)
        except ValueError:
            raise CorruptFile(f"{path} has the line {line!r}, which is no topic, partition and offset") from None
    return offsets


def encode_epochs(epochs: Iterable[EpochEntry]) -> bytes:
    """The contents of a leader epoch checkpoint."""
    return _encode_lines([f"{epoch} {start_offset}" for epoch, start_offset in epochs])


def read_epochs(disk: Disk, path: Path) -> list[EpochEntry]:
    """The entries of a leader epoch checkpoint, none if there is no file."""
    entries = []
    for line in _read_lines(disk, path):
        try:
            epoch, start_offset = line.split()
            entries.append(EpochEntry(int(epoch), int(start_offset)))
        except ValueError:
            raise CorruptFile(f"{path} has the line {line!r}, which is no epoch and offset") from None
    return entries


def encode_uuid(value: uuid.UUID) -> str:
    """A UUID as Kafka writes it: base64 for URLs, 22 characters."""
    return base64.urlsafe_b64encode(value.bytes).decode().rstrip("=")


def decode_uuid(text: str) -> uuid.UUID:
    """The UUID of Kafka's 22 characters; ValueError for anything else."""
    try:
        return uuid.UUID(bytes=base64.urlsafe_b64decode(text + "=="))
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def write_topic_id(disk: Disk, directory: Path, topic_id: uuid.UUID, *, sync: bool = False) -> None:
    """Write a partition's partition.metadata; without `sync` its durability comes with the partition's first flush."""
    write_whole(disk, directory / PARTITION_METADATA, _metadata(topic_id), sync=sync)


def _metadata(topic_id: uuid.UUID) -> bytes:
    return f"version: {_VERSION}\ntopic_id: {encode_uuid(topic_id)}".encode()


def read_topic_id(disk: Disk, directory: Path) -> uuid.UUID | None:
    """The topic id in a partition's partition.metadata, None if a power cut has left part of it or nothing."""
    path = directory / PARTITION_METADATA
    try:
        data = read_whole(disk, path)
    except FileNotFoundError:
        return None
    head = _metadata(NO_TOPIC_ID)[: -len(encode_uuid(NO_TOPIC_ID))]
    if head.startswith(data) or (data.startswith(head) and len(data) < len(_metadata(NO_TOPIC_ID))):
        return None
    fields = _properties(data, ":")
    try:
        if fields["version"] != str(_VERSION):
            raise CorruptFile(f"{path} has version {fields['version']}, not {_VERSION}")
        return decode_uuid(fields["topic_id"])
    except (KeyError, ValueError):
        raise CorruptFile(f"{path} has no version and topic_id") from None


def _properties(data: bytes, separator: str) -> dict[str, str]:
    fields = {}
    for line in data.decode(errors="replace").splitlines():
        name, found, value = line.partition(separator)
        if found and not name.startswith("#"):
            fields[name.strip()] = value.strip()
    return fields


@dataclasses.dataclass(frozen=True, slots=True)
class MetaProperties:
    """To which cluster and node a data directory belongs (KIP-631, KIP-858)."""

    cluster_id: str
    node_id: int
    directory_id: uuid.UUID


def write_meta_properties(disk: Disk, data_directory: Path, properties: MetaProperties) -> None:
    """Write meta.properties, durably."""
    text = (
        "#\n"
        f"cluster.id={properties.cluster_id}\n"
        f"directory.id={encode_uuid(properties.directory_id)}\n"
        f"node.id={properties.node_id}\n"
        "version=1\n"
    )
    write_whole(disk, data_directory / META_PROPERTIES, text.encode())


def read_meta_properties(disk: Disk, data_directory: Path) -> MetaProperties | None:
    """The contents of meta.properties, None if the directory is new."""
    path = data_directory / META_PROPERTIES
    try:
        fields = _properties(read_whole(disk, path), "=")
    except FileNotFoundError:
        return None
    try:
        if fields["version"] != "1":
            raise CorruptFile(f"{path} has version {fields['version']}, only 1 is known")
        return MetaProperties(fields["cluster.id"], int(fields["node.id"]), decode_uuid(fields["directory.id"]))
    except (KeyError, ValueError):
        raise CorruptFile(f"{path} lacks a valid version, cluster.id, node.id or directory.id") from None


def mark_clean_shutdown(disk: Disk, data_directory: Path, broker_epoch: int) -> None:
    """Leave the marker that spares the next start the recovery. Everything must be flushed before."""
    text = json.dumps({"version": _VERSION, "brokerEpoch": broker_epoch}, separators=(",", ":"))
    write_whole(disk, data_directory / CLEAN_SHUTDOWN, text.encode())


def take_clean_shutdown(disk: Disk, data_directory: Path) -> bool:
    """Whether the last stop was clean. Removes the marker, durably, before anything is written again."""
    path = data_directory / CLEAN_SHUTDOWN
    if not disk.exists(path):
        return False
    disk.remove(path)
    disk.sync_directory(data_directory)
    return True
