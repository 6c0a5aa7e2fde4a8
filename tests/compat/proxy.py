"""A TCP proxy between clients and a broker that can lose the answers to produce requests, or the requests."""

import asyncio
import threading
from types import TracebackType
from typing import Self

PRODUCE = 0
CLIENT_ID_AT = 14  # in a frame with its length


class LossyProxy:
    """Passes on whole frames until `lose_next_answer`: then the next produce reaches the broker, and as soon as the
    broker has answered, the connection ends instead. What a client makes of that is what idempotence is for.

    From `hold_produces` until `lose_what_is_held` no produce reaches the broker that has some bytes in it, nor what
    follows on its connection, while all else does; then these connections end. `spared` is the client id, or its
    beginning, of a client that it is not done to.

    `grow_silent` says after how many requests of a client no more reach the broker, while its connections stay.
    """

    def __init__(self, spared: str = "none") -> None:
        self.target = ""
        self.address = ""
        self.lost = 0
        self._losing = False
        self._held: bytes | None = None
        self._spared = spared.encode()
        self._answered: dict[bytes, int] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def lose_next_answer(self) -> None:
        self._losing = True

    def hold_produces(self, having: bytes) -> None:
        self._held = having

    def lose_what_is_held(self) -> None:
        self._loop.call_soon_threadsafe(self._lose)

    def grow_silent(self, client_id: str, requests: int) -> None:
        """To the clients whose ids begin like that, after so many requests of theirs together."""
        self._answered[client_id.encode()] = requests

    def is_silent(self, client_id: str) -> bool:
        """Whether a request of theirs was not passed on."""
        return self._answered[client_id.encode()] < 0

    def _is_unheard(self, frame: bytes) -> bool:
        for client_id, left in self._answered.items():
            if frame.startswith(client_id, CLIENT_ID_AT):
                self._answered[client_id] = left - 1
                return left <= 0
        return False

    def _lose(self) -> None:
        self._held = None
        self._released.set()
        self._released = asyncio.Event()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._released = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        host, _, port = self.target.rpartition(":")
        try:
            broker, to_broker = await asyncio.open_connection(host, int(port))
            try:
                await self._pass_on(client, to_client, broker, to_broker)
            finally:
                to_broker.close()
        except (OSError, asyncio.CancelledError):
            pass  # either side hung up, or the suite is over: the other side is told by the close
        finally:
            to_client.close()
            self._connections.discard(task)

    def _is_held(self, frame: bytes) -> bool:
        return self._held is not None and self._held in frame and not frame.startswith(self._spared, CLIENT_ID_AT)

    async def _pass_on(
        self,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        broker: asyncio.StreamReader,
        to_broker: asyncio.StreamWriter,
    ) -> None:
        doomed: set[bytes] = set()

        async def requests() -> None:
            while frame := await _read_frame(client):
                if self._is_unheard(frame):
                    continue
                key, correlation_id = int.from_bytes(frame[4:6], "big"), frame[8:12]
                if key == PRODUCE and self._is_held(frame):
                    await self._released.wait()
                    return
                if key == PRODUCE and self._losing:
                    self._losing = False
                    doomed.add(correlation_id)
                to_broker.write(frame)
                await to_broker.drain()

        async def answers() -> None:
            while frame := await _read_frame(broker):
                if frame[4:8] in doomed:
                    self.lost += 1
                    return
                to_client.write(frame)
                await to_client.drain()

        sides = [asyncio.ensure_future(requests()), asyncio.ensure_future(answers())]
        try:
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    """A frame with its length, empty at the end of the stream."""
    try:
        length = await reader.readexactly(4)
        return length + await reader.readexactly(int.from_bytes(length, "big"))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
