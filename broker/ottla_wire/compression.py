"""The compression codecs of record batches, each with a bound on what it may unpack to.

Formats are those that Java clients write and read: gzip; snappy in xerial's block framing (raw snappy is read too,
since other clients send it); LZ4 frames of independent blocks; zstd.
"""

import struct
import zlib
from enum import IntEnum
from io import BytesIO

import cramjam
import lz4.frame  # type: ignore[import-untyped]
import zstandard

from ottla_wire.errors import InvalidRecord, UnsupportedCompression

# What a batch may unpack to unless the caller says otherwise.
MAX_DECOMPRESSED = 128 * 1024 * 1024

_GZIP_WINDOW = 31  # zlib's way of asking for a gzip header
_READ_SIZE = 256 * 1024

# snappy-java's SnappyOutputStream: a magic, two int32 version numbers, then blocks of an int32 length and raw snappy.
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER = _XERIAL_MAGIC + struct.pack(">ii", 1, 1)
_XERIAL_BLOCK = 32 * 1024
_INT32 = struct.Struct(">i")


class Compression(IntEnum):
    """Compression types, by their number in a batch's attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


# The levels that Kafka compresses at unless it is told another (KIP-390). For LZ4 the default stands for its fast way,
# and every other level for its thorough one.
DEFAULT_LEVELS = {Compression.GZIP: -1, Compression.LZ4: 9, Compression.ZSTD: 3}


def compress(compression: Compression, data: bytes | bytearray, level: int | None = None) -> bytes | bytearray:
    """Compress the records of a batch; None is the default level, and snappy has no other."""
    if level is None:
        level = DEFAULT_LEVELS.get(compression, 0)
    match compression:
        case Compression.NONE:
            return data
        case Compression.GZIP:
            compressor = zlib.compressobj(level, wbits=_GZIP_WINDOW)
            return compressor.compress(data) + compressor.flush()
        case Compression.SNAPPY:
            return _compress_snappy(memoryview(data))
        case Compression.LZ4:
            # Java's reader refuses blocks that depend on each other.
            effort = lz4.frame.COMPRESSIONLEVEL_MIN if level == DEFAULT_LEVELS[compression] else level
            packed: bytes = lz4.frame.compress(data, compression_level=effort, block_linked=False, store_size=False)
            return packed
        case Compression.ZSTD:
            return zstandard.ZstdCompressor(level).compress(data)


def decompress(compression: int, data: bytes | bytearray | memoryview, max_size: int = MAX_DECOMPRESSED) -> bytes:
    """Unpack the records of a batch.

    Raises InvalidRecord for data that is damaged or unpacks to more than `max_size` bytes, which are never allocated,
    and UnsupportedCompression for a type that is not one of Compression.
    """
    try:
        match compression:
            case Compression.NONE:
                unpacked = bytes(data)
            case Compression.GZIP:
                unpacked = _decompress_gzip(data, max_size)
            case Compression.SNAPPY:
                unpacked = _decompress_snappy(memoryview(data), max_size)
            case Compression.LZ4:
                unpacked = _decompress_lz4(data, max_size)
            case Compression.ZSTD:
                unpacked = _decompress_zstd(data, max_size)
            case _:
                raise UnsupportedCompression(f"compression type {compression} does not exist")
    except (zlib.error, cramjam.DecompressionError, RuntimeError, EOFError, zstandard.ZstdError, struct.error) as error:
        raise InvalidRecord(f"{Compression(compression).name.lower()} data is damaged: {error}") from error
    if len(unpacked) > max_size:
        raise _too_large(max_size)
    return unpacked


def _too_large(max_size: int) -> InvalidRecord:
    return InvalidRecord(f"compressed records unpack to more than {max_size} bytes")


def _decompress_gzip(data: bytes | bytearray | memoryview, max_size: int) -> bytes:
    out = bytearray()
    rest: bytes | bytearray | memoryview = data
    while rest:  # gzip data may consist of several members
        decompressor = zlib.decompressobj(wbits=_GZIP_WINDOW)
        out += decompressor.decompress(rest, max_size + 1 - len(out))
        if len(out) > max_size:
            raise _too_large(max_size)
        if not decompressor.eof:
            raise EOFError("it ends early")
        rest = decompressor.unused_data
    return bytes(out)


def _compress_snappy(view: memoryview) -> bytes:
    out = bytearray(_XERIAL_HEADER)
    for start in range(0, len(view), _XERIAL_BLOCK):
        block = bytes(cramjam.snappy.compress_raw(view[start : start + _XERIAL_BLOCK]))
        out += _INT32.pack(len(block))
        out += block
    return bytes(out)


def _decompress_snappy(view: memoryview, max_size: int) -> bytes:
    if view[: len(_XERIAL_MAGIC)] != _XERIAL_MAGIC:
        if cramjam.snappy.decompress_raw_len(view) > max_size:
            raise _too_large(max_size)
        return bytes(cramjam.snappy.decompress_raw(view))
    out = bytearray()
    position = len(_XERIAL_HEADER)
    while position < len(view):
        (length,) = _INT32.unpack_from(view, position)
        position += _INT32.size
        if not 0 <= length <= len(view) - position:
            raise EOFError(f"a block claims {length} bytes, {len(view) - position} remain")
        block = view[position : position + length]
        if len(out) + cramjam.snappy.decompress_raw_len(block) > max_size:
            raise _too_large(max_size)
        out += cramjam.snappy.decompress_raw(block)
        position += length
    return bytes(out)


def _decompress_lz4(data: bytes | bytearray | memoryview, max_size: int) -> bytes:
    decompressor = lz4.frame.LZ4FrameDecompressor()
    # The library allocates what it is asked for at most, so ask for what is likely.
    step = min(max_size + 1, max(_READ_SIZE, 4 * len(data)))
    out = bytearray(decompressor.decompress(data, max_length=step))
    while not decompressor.eof:
        if len(out) > max_size:
            raise _too_large(max_size)
        if decompressor.needs_input:
            raise EOFError("it ends early")
        out += decompressor.decompress(b"", max_length=step)
    return bytes(out)


def _decompress_zstd(data: bytes | bytearray | memoryview, max_size: int) -> bytes:
    # Data that is cut short yields what there is of it: the records in it then do not add up.
    out = bytearray()
    with zstandard.ZstdDecompressor().stream_reader(BytesIO(data), read_across_frames=True) as reader:
        while chunk := reader.read(min(_READ_SIZE, max_size + 1 - len(out))):
            out += chunk
            if len(out) > max_size:
                raise _too_large(max_size)
    return bytes(out)
