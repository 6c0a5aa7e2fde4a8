"""Compression codecs: round trips, the formats other clients write, and bounds on what is unpacked."""

import gzip
import struct
import tracemalloc

import cramjam
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_wire.compression import Compression, compress, decompress
from ottla_wire.errors import ErrorCode, InvalidRecord, KafkaError, UnsupportedCompression

every_codec = pytest.mark.parametrize("codec", Compression, ids=lambda codec: codec.name)
packing_codec = pytest.mark.parametrize("codec", list(Compression)[1:], ids=lambda codec: codec.name)


@every_codec
def test_data_survives(codec: Compression, wire_settings: settings) -> None:
    @wire_settings
    @given(data=st.binary(max_size=200), repeat=st.integers(1, 1_000))
    def check(data: bytes, repeat: int) -> None:
        assert decompress(codec, compress(codec, data * repeat)) == data * repeat

    check()


@every_codec
def test_a_bomb_is_refused_before_it_is_unpacked(codec: Compression) -> None:
    bomb = compress(codec, bytes(50_000_000))
    if codec is not Compression.NONE:
        assert len(bomb) < 3_000_000
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRecord, match="more than 1000000 bytes"):
            decompress(codec, bytes(bomb), max_size=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if codec is not Compression.NONE:
        assert peak < 8_000_000


@every_codec
def test_exactly_the_bound_is_allowed(codec: Compression) -> None:
    packed = bytes(compress(codec, bytes(1_000)))
    assert decompress(codec, packed, max_size=1_000) == bytes(1_000)
    with pytest.raises(InvalidRecord):
        decompress(codec, packed, max_size=999)


@pytest.mark.parametrize("codec", [Compression.GZIP, Compression.SNAPPY, Compression.LZ4], ids=lambda codec: codec.name)
def test_cut_data_is_damaged(codec: Compression) -> None:
    packed = bytes(compress(codec, bytes(range(256)) * 10))
    with pytest.raises(InvalidRecord):
        decompress(codec, packed[:-1])


@packing_codec
def test_garbage_is_damaged(codec: Compression, wire_settings: settings) -> None:
    @wire_settings
    @given(data=st.binary(max_size=100))
    def check(data: bytes) -> None:
        try:
            decompress(codec, data, max_size=10_000)
        except KafkaError as error:
            assert error.code is ErrorCode.INVALID_RECORD  # noqa: PT017  not raising is as good

    check()


def test_an_unknown_type_is_unsupported() -> None:
    with pytest.raises(UnsupportedCompression):
        decompress(5, b"")


def test_raw_snappy_is_read() -> None:
    data = b"librdkafka and others send it without framing" * 10
    assert decompress(Compression.SNAPPY, bytes(cramjam.snappy.compress_raw(data))) == data


def test_snappy_is_framed_in_blocks_as_java_does() -> None:
    packed = bytes(compress(Compression.SNAPPY, bytes(100_000)))
    assert packed.startswith(b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1))
    sizes, position = [], 16
    while position < len(packed):
        (length,) = struct.unpack_from(">i", packed, position)
        sizes.append(cramjam.snappy.decompress_raw_len(packed[position + 4 : position + 4 + length]))
        position += 4 + length
    assert sizes == [32_768, 32_768, 32_768, 1_696]


def test_a_snappy_block_that_claims_more_than_there_is_is_damaged() -> None:
    packed = bytes(compress(Compression.SNAPPY, b"abc"))
    for claimed in (-1, 2**31 - 1):
        broken = packed[:16] + struct.pack(">i", claimed) + packed[20:]
        with pytest.raises(InvalidRecord, match="claims"):
            decompress(Compression.SNAPPY, broken)


def test_lz4_blocks_do_not_depend_on_each_other() -> None:
    flags = compress(Compression.LZ4, b"abc")[4]
    assert flags & 0x20


def test_several_gzip_members_and_zstd_frames_are_one() -> None:
    assert decompress(Compression.GZIP, gzip.compress(b"one") + gzip.compress(b"two")) == b"onetwo"
    frames = zstandard.ZstdCompressor().compress(b"one") + zstandard.ZstdCompressor().compress(b"two")
    assert decompress(Compression.ZSTD, frames) == b"onetwo"


@pytest.mark.parametrize(
    ("codec", "levels"),
    [
        (Compression.GZIP, [-1, 1, 9]),
        (Compression.SNAPPY, [1]),
        (Compression.LZ4, [1, 8, 9, 10, 17]),
        (Compression.ZSTD, [-131_072, 0, 1, 22]),
    ],
)
def test_data_survives_every_level(codec: Compression, levels: list[int]) -> None:
    data = b"to be or not to be, " * 1_000
    for level in levels:
        packed = compress(codec, data, level)
        assert decompress(codec, packed) == data
    assert decompress(codec, compress(codec, data)) == data
