"""Snapshots of the metadata log: the cluster as it was at one offset, so that the records that led there can go.

A snapshot is a file beside the segments, `OFFSET-EPOCH.checkpoint`: batches with the records that make the image anew,
between a header and a footer, in the format of Apache Kafka (KIP-630), whose kafka-dump-log reads it. OFFSET is the
first that is not in it any more. The file has its name only when it is whole and on the device; what a crash leaves
otherwise is a `.tmp` file, which the log's recovery removes.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ottla_broker.cluster.image import ClusterImage
from ottla_broker.cluster.records import MetadataRecord, decode_record, encode_record
from ottla_broker.log.disk import Disk, read_whole, write_whole
from ottla_broker.log.errors import CorruptFile
from ottla_wire.control_records import ControlType, control_type
from ottla_wire.errors import KafkaError
from ottla_wire.records import NewRecord, RecordBatch, build_batch, iter_batches

_NAME: Final = re.compile(r"(?P<end>\d{20})-(?P<epoch>\d{10})\.checkpoint")
_CONTROL_KEY: Final = struct.Struct(">hh")  # version, type
_HEADER: Final = struct.Struct(">hqB")  # version, when the last record in it was appended, no tagged fields
_FOOTER: Final = struct.Struct(">hB")  # version, no tagged fields
_RECORDS_PER_BATCH: Final = 1_000


class Snapshot(NamedTuple):
    """One of the files: what it holds ends before `end_offset`."""

    path: Path
    end_offset: int


def newest(disk: Disk, directory: Path) -> Snapshot | None:
    """The snapshot that a start begins with."""
    return max(_all(disk, directory), key=lambda snapshot: snapshot.end_offset, default=None)


def write(disk: Disk, directory: Path, image: ClusterImage, leader_epoch: int, appended_ms: int) -> Snapshot:
    """Write down the image, durably; `appended_ms` is when the last record in it was. Raises OSError.

    May run in a thread, provided that the image does not change meanwhile.
    """
    end_offset = image.offset + 1
    path = directory / f"{end_offset:020d}-{leader_epoch:010d}.checkpoint"
    write_whole(disk, path, _encode(image, leader_epoch, appended_ms))
    return Snapshot(path, end_offset)


def load(disk: Disk, snapshot: Snapshot, image: ClusterImage) -> None:
    """Bring an empty image to where the snapshot ends.

    Raises CorruptFile if the file does not hold together, UnknownRecord or MalformedMessage if this version cannot read
    what it holds.
    """
    image.restore(_decode(read_whole(disk, snapshot.path), snapshot.path), snapshot.end_offset)


def remove_older(disk: Disk, than: Snapshot) -> None:
    """Remove the snapshots in whose place this one is. Raises OSError."""
    for snapshot in _all(disk, than.path.parent):
        if snapshot.end_offset < than.end_offset:
            disk.remove(snapshot.path)


def _all(disk: Disk, directory: Path) -> list[Snapshot]:
    matches = [match for match in map(_NAME.fullmatch, disk.list(directory)) if match is not None]
    return [Snapshot(directory / match[0], int(match["end"])) for match in matches]


def _encode(image: ClusterImage, leader_epoch: int, appended_ms: int) -> bytearray:
    records = [NewRecord(None, encode_record(record), appended_ms) for record in image.records()]
    data = _control(ControlType.SNAPSHOT_HEADER, _HEADER.pack(0, appended_ms, 0), 0, leader_epoch, appended_ms)
    for first in range(0, len(records), _RECORDS_PER_BATCH):
        some = records[first : first + _RECORDS_PER_BATCH]
        data += build_batch(some, base_offset=1 + first, leader_epoch=leader_epoch)
    end = 1 + len(records)
    return data + _control(ControlType.SNAPSHOT_FOOTER, _FOOTER.pack(0, 0), end, leader_epoch, appended_ms)


def _control(kind: ControlType, value: bytes, offset: int, leader_epoch: int, timestamp: int) -> bytearray:
    record = NewRecord(_CONTROL_KEY.pack(0, kind), value, timestamp)
    return build_batch([record], base_offset=offset, leader_epoch=leader_epoch, control=True)


def _decode(data: bytes, path: Path) -> Iterator[MetadataRecord]:
    kinds = []
    try:
        for batch in iter_batches(data):
            batch.validate()
            if batch.is_control:
                kinds.append(_kind(batch))
            else:
                for stored in batch.records():
                    assert stored.value is not None
                    yield decode_record(stored.value)
    except KafkaError as error:
        raise CorruptFile(f"The metadata snapshot {path} is damaged: {error}; restore it from a copy") from error
    # Between the two may be what Apache Kafka says of its quorum.
    if kinds[:1] + kinds[-1:] != [ControlType.SNAPSHOT_HEADER, ControlType.SNAPSHOT_FOOTER]:
        raise CorruptFile(f"The metadata snapshot {path} is not whole; restore it from a copy")


def _kind(batch: RecordBatch) -> int:
    return next((control_type(record) for record in batch.records()), -1)
