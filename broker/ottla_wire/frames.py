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
_STRANGERS = {
    b"GET ": "an HTTP request",
    b"POST": "an HTTP request",
    b"PUT ": "an HTTP request",
    b"HEAD": "an HTTP request",
    b"PRI ": "an HTTP/2 request",
    b"SSH-": "an SSH client",
    b"\x16\x03\x01\x00": "a TLS handshake on a plain listener",
    b"\x16\x03\x01\x01": "a TLS handshake on a plain listener",
    b"\x16\x03\x01\x02": "a TLS handshake on a plain listener",
    b"\x16\x03\x03\x00": "a TLS handshake on a plain listener",
}


class FrameReader:
    """Cuts the bytes of one connection into frames.

    Feed it with `receive_data`, or read straight into `direct_buffer` while that offers one, then take frames with
    `next_frame` until it returns None. After FrameTooLarge the connection is lost: nothing tells where frames begin.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._ready: deque[bytearray | memoryview] = deque()
        self._length = bytearray()  # the part of a length field that has arrived
        self._size = 0  # of the frame being assembled
        self._filled = 0
        self._body: bytearray | None = None
        self._spare: bytearray | None = None  # the body of the last large frame, reused once nobody refers to it

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes in the order in which they came. They are copied: the caller may reuse its buffer.

        Raises FrameTooLarge for a length that is negative or above the limit.
        """
        view = memoryview(data)
        position, end = 0, len(view)
        while position < end:
            if self._body is not None:
                taken = min(end - position, self._size - self._filled)
                self._make_room(taken)
                self._body[self._filled : self._filled + taken] = view[position : position + taken]
                self._advance(taken)
                position += taken
                continue
            if self._length or end - position < LENGTH_SIZE:
                taken = min(end - position, LENGTH_SIZE - len(self._length))
                self._length += view[position : position + taken]
                position += taken
                if len(self._length) < LENGTH_SIZE:
                    return
                size = self._announced(self._length)
                self._length.clear()
            else:
                size = self._announced(view[position : position + LENGTH_SIZE])
                position += LENGTH_SIZE
            if size <= SMALL_FRAME and size <= end - position:
                self._ready.append(bytearray(view[position : position + size]))
                position += size
            else:
                self._begin(size)

    def next_frame(self) -> bytearray | memoryview | None:
        """The next whole frame, without its length field, or None until more bytes arrive.

        A frame is writable and stays valid for as long as it is referred to.
        """
        return self._ready.popleft() if self._ready else None

    def direct_buffer(self) -> memoryview | None:
        """Where the next bytes of a large frame belong, or None when bytes are to go through `receive_data`.

        Release it before the next call of this reader, and report what was written into it by `direct_received`.
        """
        if self._body is None or self._size <= SMALL_FRAME:
            return None
        self._make_room(1)
        return memoryview(self._body)[self._filled : self._size]

    def direct_received(self, count: int) -> None:
        """`count` bytes were written to the start of what `direct_buffer` returned."""
        self._advance(count)

    @property
    def mid_frame(self) -> bool:
        """Whether the bytes so far end within a frame: a connection that closes now was cut off."""
        return self._body is not None or bool(self._length)

    def _announced(self, length: bytearray | memoryview) -> int:
        size: int = _LENGTH.unpack(length)[0]
        if 0 <= size <= self._max_size:
            return size
        stranger = _STRANGERS.get(bytes(length))
        if stranger is not None:
            raise FrameTooLarge(f"the peer is no Kafka client: this looks like {stranger}")
        raise FrameTooLarge(f"a frame announces {size} bytes, the limit is {self._max_size}")

    def _begin(self, size: int) -> None:
        self._size, self._filled = size, 0
        if self._spare is not None and len(self._spare) >= size > SMALL_FRAME and _is_free(self._spare):
            self._body, self._spare = self._spare, None
        else:
            self._body = bytearray(min(size, FIRST_ROOM))
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
            if self._size > SMALL_FRAME:
                self._ready.append(memoryview(body)[: self._size])
                self._spare = body
            else:
                self._ready.append(body)


def _is_free(buffer: bytearray) -> bool:
    """Whether no memoryview of the buffer is left: only then can its size change."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    buffer.pop()
    return True
