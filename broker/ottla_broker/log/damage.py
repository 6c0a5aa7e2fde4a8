"""Tells a log that is damaged from one whose last write was cut short.

A crash leaves at most a part of what was written last. Where whole batches follow bytes that are none, something else
has happened to the file, and cutting the log there, as recovery does, would drop what was acknowledged long ago.
"""

from pathlib import Path
from typing import Final

from ottla_broker.log.disk import Disk
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.header import parse_header
from ottla_broker.log.scan import scan_valid
from ottla_broker.log.segment import LOG_SUFFIX
from ottla_wire.errors import KafkaError
from ottla_wire.records import HEADER_SIZE, MAGIC, RecordBatch

_MAGIC_AT: Final = 16
_SEARCHED_BYTES: Final = 64 * 1024 * 1024


def check_undamaged(disk: Disk, directory: Path) -> None:
    """Raise CorruptFile if a log file in `directory` has whole batches behind bytes that are none. Reads all of it."""
    if not disk.exists(directory):
        return
    for name in sorted(name for name in disk.list(directory) if name.endswith(LOG_SUFFIX)):
        file = disk.open(directory / name)
        try:
            end = max((position + batch.size for position, batch in scan_valid(file, file.size())), default=0)
            if _holds_batch(file.read(min(file.size() - end, _SEARCHED_BYTES), end)):
                raise CorruptFile(f"{directory / name} is damaged at byte {end}: whole batches follow")
        finally:
            file.close()


def _holds_batch(data: bytes) -> bool:
    """Whether a batch with a checksum that is right begins anywhere in `data`."""
    view = memoryview(data)
    at = data.find(MAGIC, _MAGIC_AT)
    while at >= 0 and at - _MAGIC_AT + HEADER_SIZE <= len(data):
        start = at - _MAGIC_AT
        if parse_header(view, start).is_plausible and start + parse_header(view, start).size <= len(data):
            try:
                RecordBatch(view, start).validate()
            except KafkaError:
                pass  # it only looked like one
            else:
                return True
        at = data.find(MAGIC, at + 1)
    return False
