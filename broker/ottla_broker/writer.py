"""The sending side of a plain TCP connection: bytes and file regions, strictly in order.

Bytes leave through `writev` and file regions through `sendfile`, straight on the socket, so that the two keep their
order without waiting for each other; the event loop's transport is used for reading only. When the socket takes no
more, the rest waits here until the loop says that there is room.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice, takewhile
from typing import Any

from ottla_wire.chunks import FileRegion, Part

# Regions up to this size are read, and leave in one writev together with the bytes around them: one system call and one
# packet where sendfile would make two of each.
SMALL_REGION_BYTES = 16 * 1024
_MAX_BUFFERS_PER_WRITE = 64
# After so much from files the other connections have their turn.
_MAX_BYTES_PER_TURN = 1024 * 1024


class _Region:
    """What is left of a file region."""

    __slots__ = ("file", "position", "size")

    def __init__(self, region: FileRegion) -> None:
        self.file = region.file
        self.position = region.position
        self.size = region.size


class SocketWriter:
    """What waits to be sent on one socket.

    `on_drained` is called from the loop when everything that a `flush` had to leave behind is gone, `on_lost` when the
    peer is. A region's descriptor object is kept until the region has left, and with it the file is kept open.
    """

    __slots__ = ("_fd", "_loop", "_on_drained", "_on_lost", "_queue", "_regions", "_waits", "_watched", "pending_bytes")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fd: int, on_drained: Callable[[], None], on_lost: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._fd = fd
        # A second descriptor of the socket, once we have had to wait: loops refuse to watch a transport's own.
        self._watched = -1
        self._waits = False
        self._on_drained = on_drained
        self._on_lost = on_lost
        self._queue: deque[bytes | bytearray | memoryview | _Region] = deque()
        self._regions = 0  # how many of these are in the queue
        self.pending_bytes = 0

    def send(self, parts: Iterable[Part]) -> None:
        """Queue parts; nothing leaves before `flush`.

        Raises OSError if a region's file cannot be read, or is shorter than promised.
        """
        for part in parts:
            self.pending_bytes += len(part)
            if not isinstance(part, FileRegion):
                self._queue.append(part)
            elif part.size <= SMALL_REGION_BYTES:
                self._queue.append(_read(part))
            else:
                self._queue.append(_Region(part))
                self._regions += 1

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """`send` and `flush` for what is a single byte string. Raises OSError when the peer is gone."""
        if not self._queue:
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return
            data = memoryview(data)[sent:]
        self._queue.append(data)
        self.pending_bytes += len(data)
        self.flush()

    def flush(self) -> None:
        """Send what the socket takes now; the rest follows by itself. Raises OSError when the peer is gone."""
        if self._waits or not self._queue:
            return
        if not self._send_queue():
            if self._watched < 0:
                self._watched = os.dup(self._fd)
            self._waits = True
            self._loop.add_writer(self._watched, self._has_room)

    def close(self) -> None:
        """Forget what has not left. The socket itself belongs to the transport."""
        self._stop_waiting()
        if self._watched >= 0:
            os.close(self._watched)
            self._watched = -1
        self._queue.clear()
        self._regions = 0
        self.pending_bytes = 0

    def _has_room(self) -> None:
        try:
            if not self._send_queue():
                return
        except OSError:
            self._stop_waiting()
            self._on_lost()
            return
        self._stop_waiting()
        self._on_drained()

    def _stop_waiting(self) -> None:
        if self._waits:
            self._loop.remove_writer(self._watched)
            self._waits = False

    def _send_queue(self) -> bool:
        """Send as much as possible in one turn; whether that was everything."""
        queue, room = self._queue, _MAX_BYTES_PER_TURN
        try:
            while queue:
                head = queue[0]
                if self._regions and isinstance(head, _Region):
                    if room <= 0:
                        return False
                    room -= self._send_region(head, room)
                else:
                    self._send_buffers()
        except BlockingIOError:
            return False
        return True

    def _send_region(self, region: _Region, room: int) -> int:
        sent = os.sendfile(self._fd, region.file, region.position, min(region.size, room))
        if sent == 0:
            raise OSError("a log file ended before the region that was to be sent from it")
        self.pending_bytes -= sent
        region.position += sent
        region.size -= sent
        if not region.size:
            self._queue.popleft()
            self._regions -= 1
        return sent

    def _send_buffers(self) -> None:
        """Send the buffers that the queue begins with, as far as one call takes them."""
        queue: deque[Any] = self._queue
        if len(queue) == 1:
            sent = os.write(self._fd, queue[0])
        else:
            buffers = list(islice(queue, _MAX_BUFFERS_PER_WRITE))
            if self._regions:
                buffers = list(takewhile(lambda part: not isinstance(part, _Region), buffers))
            sent = os.writev(self._fd, buffers)
        self.pending_bytes -= sent
        if not self.pending_bytes:
            queue.clear()
            return
        while sent:
            buffer = queue.popleft()
            if sent < len(buffer):
                queue.appendleft(memoryview(buffer)[sent:])
                return
            sent -= len(buffer)


def _read(region: FileRegion) -> bytes:
    data = os.pread(region.file, region.size, region.position)
    if len(data) != region.size:
        raise OSError("a log file ended before the region that was to be sent from it")
    return data
