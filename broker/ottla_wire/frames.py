"""Sans-IO framing: bytes from a connection in, whole frames out.

A frame is an int32 length and that many bytes. Small frames are copied out of what was received; a large one is
assembled in a buffer of its own, which `direct_buffer` offers to `recv_into`, so that the bytes of a produce request
are written once. That buffer grows with the bytes that arrive, never with those that were merely announced.
"""

import struct
from collections import deque

from ottla_wire.errors import FrameTooLarge

LENGTH_SIZE = 4
# Frames up to this size are copied out of the receive buffer; beyond, a copy costs more than a buffer.
SMALL_FRAME = 16 * 1024
# The buffer of a large frame starts with room for this much and then doubles.
FIRST_ROOM = 256 * 1024

_LENGTH = struct.Struct(">i")

# What other protocols begin with, so that the log can say who is knocking.
_STRANGERS = (
    (b"GET ", "an HTTP request"),
    (b"POST", "an HTTP request"),
    (b"PUT ", "an HTTP request"),
    (b"HEAD", "an HTTP request"),
    (b"PRI ", "an HTTP/2 request"),
    (b"SSH-", "an SSH client"),
    (b"\x16\x03", "a TLS handshake on a listener without TLS"),
)


class SpareBuffers:
    """Buffers of large frames that were handed out, for reuse once nobody refers to them.

    Fresh memory costs several times what recycled memory does: the kernel clears each page at its first touch. One
    object serves all readers of a thread. It keeps at most `limit` bytes; what goes beyond lives as long as its frame.
    """

    _TRIES = 8

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = 0
        self._buffers: deque[bytearray] = deque()

    def take(self, size: int) -> bytearray | None:
        """A buffer of at least `size` bytes that nobody refers to, if one is found soon, and not one far too large."""
        for _ in range(min(self._TRIES, len(self._buffers))):
            buffer = self._buffers.popleft()
            if size <= len(buffer) <= 4 * size and _is_free(buffer):
                self._kept -= len(buffer)
                return buffer
            self._buffers.append(buffer)
        return None

    def put(self, buffer: bytearray) -> None:
        """Keep a buffer whose frame was handed out."""
        self._buffers.append(buffer)
        self._kept += len(buffer)
        while self._kept > self._limit:
            self._kept -= len(self._buffers.popleft())


_spares = SpareBuffers(limit=32 * 1024 * 1024)


class FrameReader:
    """Cuts the bytes of one connection into frames.

    Feed it with `receive_data`, or read straight into `direct_buffer` while that offers one, and take the whole frames
    off the left of `frames`. They come without their length field, are writable, and stay valid for as long as they are
    referred to. After FrameTooLarge the connection is lost: nothing tells where frames begin.
    """

    def __init__(self, max_size: int, spares: SpareBuffers = _spares) -> None:
        self._max_size = max_size
        self._spares = spares
        self.frames: deque[bytearray | memoryview] = deque()
        self.takes_direct = False  # whether `direct_buffer` offers one
        self._length = bytearray()  # the part of a length field that has arrived
        self._size = 0  # of the frame being assembled
        self._filled = 0
        self._body: bytearray | None = None

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes in the order in which they came. They are copied: the caller may reuse its buffer.

        Raises FrameTooLarge for a length that is negative or above the limit.
        """
        view = memoryview(data)
        position, end = 0, len(view)
        if self._body is None and not self._length and LENGTH_SIZE <= end <= LENGTH_SIZE + SMALL_FRAME:
            size = end - LENGTH_SIZE
            if _LENGTH.unpack_from(view) == (size,) and size <= self._max_size:
                self.frames.append(bytearray(view[LENGTH_SIZE:]))  # one small frame, as mostly
                return
        while position < end:
            if self._body is not None:
                taken = min(end - position, self._size - self._filled)
                self._make_room(taken)
                self._body[self._filled : self._filled + taken] = view[position : position + taken]
                self._advance(taken)
                position += taken
                continue
            if not self._length and end - position >= LENGTH_SIZE:
                (size,) = _LENGTH.unpack_from(view, position)
                position += LENGTH_SIZE
            else:
                taken = min(end - position, LENGTH_SIZE - len(self._length))
                self._length += view[position : position + taken]
                position += taken
                if len(self._length) < LENGTH_SIZE:
                    return
                (size,) = _LENGTH.unpack(self._length)
                self._length.clear()
            if not 0 <= size <= self._max_size:
                raise self._refusal(size)
            if size <= SMALL_FRAME and size <= end - position:
                self.frames.append(bytearray(view[position : position + size]))
                position += size
            else:
                self._begin(size)

    def direct_buffer(self) -> memoryview | None:
        """Where the next bytes of a large frame belong, or None when bytes are to go through `receive_data`.

        Release it before the next call of this reader, and report what was written into it by `direct_received`.
        """
        if not self.takes_direct:
            return None
        self._make_room(1)
        assert self._body is not None
        return memoryview(self._body)[self._filled : self._size]

    def direct_received(self, count: int) -> None:
        """`count` bytes were written to the start of what `direct_buffer` returned."""
        self._advance(count)

    @property
    def mid_frame(self) -> bool:
        """Whether the bytes so far end within a frame: a connection that closes now was cut off."""
        return self._body is not None or bool(self._length)

    @property
    def partial_bytes(self) -> int:
        """How much has arrived of a frame that is not whole yet."""
        return len(self._length) if self._body is None else LENGTH_SIZE + self._filled

    def _refusal(self, size: int) -> FrameTooLarge:
        opening = _LENGTH.pack(size)
        for beginning, stranger in _STRANGERS:
            if opening.startswith(beginning):
                return FrameTooLarge(f"the peer is no Kafka client: this looks like {stranger}")
        return FrameTooLarge(f"a frame announces {size} bytes, the limit is {self._max_size}")

    def _begin(self, size: int) -> None:
        self._size, self._filled = size, 0
        self.takes_direct = size > SMALL_FRAME
        spare = self._spares.take(size) if self.takes_direct else None
        self._body = bytearray(min(size, FIRST_ROOM)) if spare is None else spare
        self._advance(0)

    def _make_room(self, wanted: int) -> None:
        assert self._body is not None
        room = len(self._body)
        if self._filled + wanted > room:
            self._body += bytes(min(self._size, max(2 * room, self._filled + wanted)) - room)

    def _advance(self, count: int) -> None:
        assert self._body is not None
        self._filled += count
        if self._filled == self._size:
            body, self._body = self._body, None
            if self.takes_direct:
                self.takes_direct = False
                self.frames.append(memoryview(body)[: self._size])
                self._spares.put(body)
            else:
                self.frames.append(body)


def _is_free(buffer: bytearray) -> bool:
    """Whether no memoryview of the buffer is left: only then can its size change."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    buffer.pop()
    return True
