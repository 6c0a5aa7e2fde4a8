"""The frame reader: frames come out whole however the bytes come in."""

import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ottla_wire.errors import FrameTooLarge
from ottla_wire.frames import FIRST_ROOM, SMALL_FRAME, FrameReader, SpareBuffers

MAX_SIZE = 100 * 1024 * 1024


def framed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(body)) + body for body in bodies)


def taken(reader: FrameReader) -> list[bytes]:
    frames = [bytes(frame) for frame in reader.frames]
    reader.frames.clear()
    return frames


def patterned(size: int) -> bytes:
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


def test_frames_come_out_byte_by_byte() -> None:
    reader = FrameReader(MAX_SIZE)
    frames = []
    for byte in framed(b"one", b"", b"three" * 10):
        reader.receive_data(bytes([byte]))
        frames += taken(reader)
    assert frames == [b"one", b"", b"three" * 10]
    assert not reader.mid_frame


def test_frames_come_out_of_any_cut(wire_settings: settings) -> None:
    bodies = st.lists(st.sampled_from([0, 1, 3, 100, SMALL_FRAME, SMALL_FRAME + 1, FIRST_ROOM * 2 + 7]), max_size=6)

    @settings(wire_settings, max_examples=wire_settings.max_examples * 10)
    @given(sizes=bodies, cuts=st.lists(st.integers(1, 100_000), min_size=1, max_size=20), direct=st.booleans())
    def check(sizes: list[int], cuts: list[int], direct: bool) -> None:
        expected = [patterned(size) for size in sizes]
        stream = memoryview(framed(*expected))
        reader = FrameReader(MAX_SIZE)
        frames: list[bytes] = []
        turn = 0
        while stream:
            step = cuts[turn % len(cuts)]
            turn += 1
            buffer = reader.direct_buffer() if direct else None
            if buffer is not None:
                count = min(step, len(buffer), len(stream))
                buffer[:count] = stream[:count]
                buffer.release()
                reader.direct_received(count)
            else:
                count = min(step, len(stream))
                reader.receive_data(stream[:count])
            stream = stream[count:]
            frames += taken(reader)
        assert frames == expected
        assert not reader.mid_frame

    check()


@pytest.mark.parametrize("size", [-1, -(2**31), 1_001, 2**31 - 1])
def test_a_length_out_of_bounds_is_refused(size: int) -> None:
    length = struct.pack(">i", size)
    for first, rest in ((b"", length), (length[:2], length[2:])):
        reader = FrameReader(1_000)
        reader.receive_data(first)
        with pytest.raises(FrameTooLarge, match=f"{size} bytes, the limit is 1000"):
            reader.receive_data(rest)


def test_the_limit_itself_is_allowed() -> None:
    reader = FrameReader(1_000)
    reader.receive_data(framed(bytes(1_000)))
    assert taken(reader) == [bytes(1_000)]


@pytest.mark.parametrize(
    ("opening", "who"),
    [(b"GET / HTTP/1.1\r\n", "HTTP"), (b"\x16\x03\x01\x02\x00\x01", "TLS"), (b"SSH-2.0-OpenSSH", "SSH")],
)
def test_strangers_are_named(opening: bytes, who: str) -> None:
    with pytest.raises(FrameTooLarge, match=who):
        FrameReader(MAX_SIZE).receive_data(opening)


def test_an_announced_length_allocates_nothing() -> None:
    tracemalloc.start()
    try:
        readers = [FrameReader(MAX_SIZE) for _ in range(10)]
        for reader in readers:
            reader.receive_data(struct.pack(">i", MAX_SIZE) + bytes(100))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2 * FIRST_ROOM
    assert all(reader.mid_frame for reader in readers)


def test_a_frame_stays_as_it_is_while_it_is_held() -> None:
    reader = FrameReader(MAX_SIZE)
    first, second = patterned(200_000), bytes(200_000)
    reader.receive_data(framed(first))
    held = reader.frames.popleft()
    reader.receive_data(framed(second))
    assert taken(reader) == [second]
    assert bytes(held) == first


def test_the_buffer_of_a_large_frame_is_reused_once_it_is_let_go() -> None:
    reader = FrameReader(MAX_SIZE, SpareBuffers(1_000_000))
    reader.receive_data(framed(bytes(200_000)))
    frame = reader.frames.popleft()
    assert isinstance(frame, memoryview)
    buffer = frame.obj
    part = frame[10:20]
    del frame
    reader.receive_data(framed(bytes(200_000)))
    frame = reader.frames.popleft()
    assert isinstance(frame, memoryview)
    assert frame.obj is not buffer  # a part of it was still held
    other = frame.obj
    del part, frame
    reader.receive_data(framed(bytes(150_000)))
    frame = reader.frames.popleft()
    assert isinstance(frame, memoryview)
    assert frame.obj is buffer or frame.obj is other
    assert len(frame) == 150_000


def test_readers_share_buffers_up_to_a_limit() -> None:
    spares = SpareBuffers(limit=1_000_000)
    for _ in range(20):
        reader = FrameReader(MAX_SIZE, spares)
        reader.receive_data(framed(bytes(300_000)))
        assert taken(reader) == [bytes(300_000)]
    assert spares.take(300_001) is None
    one = spares.take(300_000)
    assert one is not None
    assert spares.take(300_000) is None  # twenty frames went through the same buffer

    spares.put(bytearray(600_000))
    spares.put(bytearray(600_000))
    assert spares.take(100) is None  # they are far too large for this
    assert spares.take(500_000) is not None
    assert spares.take(500_000) is None  # the older one went over the limit


def test_frames_are_writable() -> None:
    reader = FrameReader(MAX_SIZE)
    reader.receive_data(framed(b"small", bytes(50_000)))
    for _ in range(2):
        frame = reader.frames.popleft()
        frame[0:1] = b"X"
        assert bytes(frame[:1]) == b"X"


def test_the_callers_buffer_may_be_reused() -> None:
    reader = FrameReader(MAX_SIZE)
    scratch = bytearray(framed(b"abcdef", b"ghijkl"))
    reader.receive_data(memoryview(scratch)[:14])
    scratch[:] = bytes(len(scratch))
    reader.receive_data(framed(b"abcdef", b"ghijkl")[14:])
    assert taken(reader) == [b"abcdef", b"ghijkl"]


def test_mid_frame_tells_a_cut_connection() -> None:
    reader = FrameReader(MAX_SIZE)
    assert not reader.mid_frame
    reader.receive_data(b"\x00")
    assert reader.mid_frame
    reader.receive_data(b"\x00\x00\x02a")
    assert reader.mid_frame
    reader.receive_data(b"b")
    assert not reader.mid_frame
