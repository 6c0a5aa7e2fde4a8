"""The sending side of a connection: everything arrives, once and in order, however slowly it is read."""

import asyncio
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from ottla_broker.writer import SMALL_REGION_BYTES, SocketWriter
from ottla_wire.chunks import FileRegion, Part


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def file(tmp_path: Path) -> Iterator[tuple[int, bytes]]:
    data = random.Random(3).randbytes(3_000_000)
    path = tmp_path / "segment"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor, data
    os.close(descriptor)


async def read(theirs: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    received = b""
    while len(received) < size:
        chunk = await asyncio.wait_for(loop.sock_recv(theirs, 64 * 1024), 60)
        if not chunk:
            break
        received += chunk
    return received


def fail() -> None:
    pytest.fail("the peer is there")


def test_bytes_and_regions_arrive_in_order(pair: tuple[socket.socket, socket.socket], file: tuple[int, bytes]) -> None:
    ours, theirs = pair
    descriptor, data = file
    small = SMALL_REGION_BYTES
    parts: list[Part] = [
        b"head",
        FileRegion(descriptor, 10, small),
        b"between",
        FileRegion(descriptor, 100, 2_000_000),
        memoryview(b"memory"),
        FileRegion(descriptor, 2_999_990, 10),
        bytearray(500_000),
        b"tail",
    ]
    expected = b"".join(
        data[part.position : part.position + part.size] if isinstance(part, FileRegion) else part for part in parts
    )

    async def main() -> None:
        drained = asyncio.Event()
        writer = SocketWriter(asyncio.get_running_loop(), ours.fileno(), drained.set, fail)
        writer.send(parts)
        assert writer.pending_bytes == len(expected)
        writer.flush()
        assert writer.pending_bytes > 0, "a socket's buffer does not hold all of this"
        assert await read(theirs, len(expected)) == expected
        await asyncio.wait_for(drained.wait(), 60)
        assert writer.pending_bytes == 0
        writer.send([b"more"])
        writer.flush()
        assert await read(theirs, 4) == b"more"
        writer.close()

    uvloop.run(main())


def test_what_is_sent_while_others_wait_goes_behind_them(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair

    async def main() -> None:
        writer = SocketWriter(asyncio.get_running_loop(), ours.fileno(), lambda: None, fail)
        writer.send([bytes(1_000_000)])
        writer.flush()
        writer.send([b"last"])
        writer.flush()
        assert (await read(theirs, 1_000_004))[-4:] == b"last"
        writer.close()

    uvloop.run(main())


def test_a_peer_that_goes_away_while_something_waits_is_reported(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair

    async def main() -> None:
        lost = asyncio.Event()
        writer = SocketWriter(asyncio.get_running_loop(), ours.fileno(), fail, lost.set)
        writer.send([bytes(5_000_000)])
        writer.flush()
        theirs.close()
        await asyncio.wait_for(lost.wait(), 60)
        writer.close()

    uvloop.run(main())


def test_a_file_shorter_than_promised_is_an_error(
    pair: tuple[socket.socket, socket.socket], file: tuple[int, bytes]
) -> None:
    ours, _ = pair
    descriptor, data = file

    async def main() -> None:
        writer = SocketWriter(asyncio.get_running_loop(), ours.fileno(), fail, fail)
        with pytest.raises(OSError, match="ended before"):
            writer.send([FileRegion(descriptor, len(data) - 5, 10)])
        writer.close()
        writer.send([FileRegion(descriptor, len(data), SMALL_REGION_BYTES + 1)])
        with pytest.raises(OSError, match="ended before"):
            writer.flush()
        writer.close()

    uvloop.run(main())


def test_closing_forgets_what_waits(pair: tuple[socket.socket, socket.socket], file: tuple[int, bytes]) -> None:
    ours, _ = pair
    descriptor, _ = file

    async def main() -> None:
        writer = SocketWriter(asyncio.get_running_loop(), ours.fileno(), fail, fail)
        writer.send([FileRegion(descriptor, 0, 3_000_000)])
        writer.flush()
        writer.close()
        assert writer.pending_bytes == 0
        writer.flush()

    uvloop.run(main())


def test_whoever_reads_much_leaves_others_their_turn(
    pair: tuple[socket.socket, socket.socket], file: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = pair
    descriptor, _ = file
    sizes: list[int] = []

    def takes_all(_socket: int, _file: int, _position: int, size: int) -> int:
        sizes.append(size)
        return size

    monkeypatch.setattr(os, "sendfile", takes_all)

    async def main() -> None:
        drained = asyncio.Event()
        writer = SocketWriter(asyncio.get_running_loop(), ours.fileno(), drained.set, fail)
        writer.send([FileRegion(descriptor, 0, 1_000_000)] * 3)
        writer.flush()
        assert sum(sizes) == 1024 * 1024
        await asyncio.wait_for(drained.wait(), 60)
        assert sum(sizes) == 3_000_000
        assert writer.pending_bytes == 0
        writer.close()

    uvloop.run(main())
