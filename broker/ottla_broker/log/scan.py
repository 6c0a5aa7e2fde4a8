"""Walks the batches of a log file: by their headers alone, or whole and checked."""

from collections.abc import Iterator
from typing import Final

from ottla_broker.log.disk import File
from ottla_broker.log.header import BatchHeader, parse_header
from ottla_wire.errors import KafkaError
from ottla_wire.records import HEADER_SIZE, RecordBatch

_CHUNK: Final = 1024 * 1024


def scan_headers(file: File, position: int, end: int, *, block_size: int = 8192) -> Iterator[tuple[int, BatchHeader]]:
    """The (position, header) of each batch in [position, end), which must begin at a batch boundary.

    Stops where no whole batch with a plausible header follows; the caller sees that by the position it has reached. A
    scan over large batches reads little more than their headers, one over small batches many of them at a time.
    """
    block, block_start = b"", position
    while position + HEADER_SIZE <= end:
        offset = position - block_start
        if offset + HEADER_SIZE > len(block):
            block, block_start, offset = file.read(min(block_size, end - position), position), position, 0
            if len(block) < HEADER_SIZE:
                return
        header = parse_header(block, offset)
        if not header.is_plausible or position + header.size > end:
            return
        yield position, header
        position += header.size


def scan_valid(file: File, end: int) -> Iterator[tuple[int, RecordBatch]]:
    """The (position, batch) of each batch in [0, end) until the first one that is cut short, damaged or no batch."""
    position = 0
    while position + HEADER_SIZE <= end:
        chunk = file.read(min(_CHUNK, end - position), position)
        if len(chunk) < HEADER_SIZE:
            return
        first = parse_header(chunk)
        if not first.is_plausible or position + first.size > end:
            return
        if first.size > len(chunk):
            chunk = file.read(first.size, position)
        view, offset = memoryview(chunk), 0
        while offset + HEADER_SIZE <= len(chunk) and offset + parse_header(view, offset).size <= len(chunk):
            try:
                batch = RecordBatch(view, offset)
                batch.validate()
            except KafkaError:
                return
            yield position + offset, batch
            offset += batch.size
        position += offset


def read_batch(file: File, position: int, header: BatchHeader) -> RecordBatch:
    """The whole batch whose header a scan has found at `position`."""
    return RecordBatch(file.read(header.size, position))
