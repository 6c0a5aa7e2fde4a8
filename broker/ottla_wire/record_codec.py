"""Records within a batch: the loops that read and write them, written for speed.

A record is varint-coded relative to its batch (zigzag varints, as in protocol buffers): length, attributes, timestamp
delta, offset delta, key, value, headers. See KIP-98, "message format".
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ottla_wire.errors import InvalidRecord

# length, attributes, timestamp delta, offset delta, key length, value length, header count: a byte each at least
SMALLEST_RECORD = 7

# What a timestamp can be: an int64.
EARLIEST, LATEST = -(2**63), 2**63 - 1

Header = tuple[str, bytes | None]


class Record(NamedTuple):
    """A record as it lies in a log. `timestamp` is in milliseconds since the epoch, -1 for none."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()


class NewRecord(NamedTuple):
    """A record that is to become part of a batch, which gives it its offset."""

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[Header] = ()


def encode_varint(value: int) -> bytes:
    """A signed varint of up to 64 bits: zigzag, then seven bits a byte, lowest first."""
    value = value << 1 if value >= 0 else ~(value << 1)
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Varints(dict[int, bytes]):
    """Encoded varints by value; those not kept are computed."""

    def __missing__(self, value: int) -> bytes:
        return encode_varint(value)


_varint = _Varints((n, encode_varint(n)) for n in range(-64, 512))
_NULL = _varint[-1]


def encode_records(records: Iterable[tuple[int, NewRecord | Record]], base_timestamp: int) -> bytearray:
    """Write records, each given with its offset delta."""
    out = bytearray()
    for offset_delta, record in records:
        key, value, headers = record.key, record.value, record.headers
        body = b"".join(
            (
                b"\x00",
                _varint[record.timestamp - base_timestamp],
                _varint[offset_delta],
                _NULL if key is None else _varint[len(key)],
                key or b"",
                _NULL if value is None else _varint[len(value)],
                value or b"",
                _varint[len(headers)],
            )
        )
        for name, content in headers:
            encoded = name.encode()
            body += _varint[len(encoded)] + encoded
            body += _NULL if content is None else _varint[len(content)] + content
        out += _varint[len(body)]
        out += body
    return out


def decode_records(
    data: bytes, count: int, base_offset: int, base_timestamp: int, append_timestamp: int | None
) -> Iterator[Record]:
    """Yield the `count` records that `data` must consist of.

    Every record's timestamp is `append_timestamp` unless that is None. Raises InvalidRecord for a record that is
    malformed or whose offset does not follow the one before, and for bytes that remain. Records that are all the same
    would compress a thousand times better than any that somebody means, and keep whoever reads them busy for long.
    """
    position, size, last_delta = 0, len(data), -1
    try:
        for _ in range(count):
            length, position = read_varint(data, position)
            end = position + length
            if length < SMALLEST_RECORD - 1 or end > size:
                raise InvalidRecord(f"a record claims {length} bytes, {size - position} remain")
            timestamp_delta, position = read_varint(data, position + 1)
            offset_delta, position = read_varint(data, position)
            if offset_delta <= last_delta:
                raise InvalidRecord(f"a record has the offset delta {offset_delta} after {last_delta}")
            last_delta = offset_delta
            key, position = _read_bytes(data, position, end)
            value, position = _read_bytes(data, position, end)
            header_count, position = read_varint(data, position)
            headers: tuple[Header, ...] = ()
            if header_count:
                headers, position = _read_headers(data, position, end, header_count)
            if position != end:
                raise InvalidRecord(
                    f"a record claims to end at byte {end} of the batch's records, but ends at {position}"
                )
            timestamp = base_timestamp + timestamp_delta if append_timestamp is None else append_timestamp
            if not EARLIEST <= timestamp <= LATEST:
                raise InvalidRecord(f"a record has the timestamp {timestamp}, which is none")
            yield Record(base_offset + offset_delta, timestamp, key, value, headers)
    except (IndexError, UnicodeDecodeError) as error:
        raise InvalidRecord(f"a record is cut short or garbled at byte {position} of the batch's records") from error
    if position != size:
        raise InvalidRecord(f"{size - position} bytes remain after the {count} records of a batch")


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The signed varint at `position`, and where it ends. Raises IndexError for one that is cut short."""
    byte = data[position]
    position += 1
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), position
    value = byte & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 128:
            return (value >> 1) ^ -(value & 1), position
        shift += 7
        if shift > 63:
            raise InvalidRecord("a varint is longer than ten bytes")


def _read_bytes(data: bytes, position: int, limit: int) -> tuple[bytes | None, int]:
    length, position = read_varint(data, position)
    if length < 0:
        return None, position
    end = position + length
    if end > limit:
        raise InvalidRecord(f"a key or value claims {length} bytes, {limit - position} remain in its record")
    return data[position:end], end


def _read_headers(data: bytes, position: int, limit: int, count: int) -> tuple[tuple[Header, ...], int]:
    # A header takes two bytes at least: its two lengths.
    if not 0 <= count <= (limit - position) // 2:
        raise InvalidRecord(f"a record claims {count} headers, {limit - position} bytes remain in it")
    headers: list[Header] = []
    for _ in range(count):
        name, position = _read_bytes(data, position, limit)
        if name is None:
            raise InvalidRecord("a record has a header without a name")
        value, position = _read_bytes(data, position, limit)
        headers.append((str(name, "utf-8"), value))
    return tuple(headers), position
