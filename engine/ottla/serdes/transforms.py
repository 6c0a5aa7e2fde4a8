"""Codecs of bytes to bytes, to be put behind another: `json(Order) | GZIP`.

Kafka compresses batches of records by itself (`compression.type`), and better than one record alone can be; these are
for topics whose other readers and writers do it value by value. What is decompressed is bounded: a small message must
not fill the memory of the worker.
"""

from __future__ import annotations

import base64
import gzip
import zlib

import lz4.frame  # type: ignore[import-untyped]
import zstandard

from ottla.serdes.codec import Codec

MOST_BYTES = 64 * 1024 * 1024
"""How large a value may be once it is decompressed."""

_GZIP, _ZLIB = 31, 15


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)  # Equal values are equal bytes, so that a key finds its partition.


def _inflate(data: bytes, kind: int) -> bytes:
    found = b""
    while data:
        stream = zlib.decompressobj(kind)
        found += stream.decompress(data, MOST_BYTES + 1 - len(found))
        _check(len(found))
        if not stream.eof:
            raise ValueError("the compressed data ends too early")
        data = stream.unused_data
    return found


def _lz4(data: bytes) -> bytes:
    stream = lz4.frame.LZ4FrameDecompressor()
    found: bytes = stream.decompress(data, MOST_BYTES + 1)
    _check(len(found))
    if not stream.eof:
        raise ValueError("the compressed data ends too early")
    return found


def _zstd(data: bytes) -> bytes:
    _check(zstandard.frame_content_size(data))
    return zstandard.ZstdDecompressor().decompress(data, max_output_size=MOST_BYTES)


def _check(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"decompressed it is larger than {MOST_BYTES} bytes")


GZIP: Codec[bytes] = Codec("gzip", _gzip, lambda data: _inflate(data, _GZIP), bytes)
ZLIB: Codec[bytes] = Codec("zlib", zlib.compress, lambda data: _inflate(data, _ZLIB), bytes)
LZ4: Codec[bytes] = Codec("lz4", lz4.frame.compress, _lz4, bytes)
ZSTD: Codec[bytes] = Codec("zstd", lambda data: zstandard.ZstdCompressor().compress(data), _zstd, bytes)
BASE64: Codec[bytes] = Codec("base64", base64.b64encode, lambda data: base64.b64decode(data, validate=True), bytes)
