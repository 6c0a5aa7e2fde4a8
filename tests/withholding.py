"""A TCP proxy before a broker that can withhold its answers to one kind of request: what was asked has happened, and
the client does not know.
"""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

END_TXN = 26


class WithholdingProxy:
    """Passes on whole frames to `target`, a broker that names the proxy's `address` as its own.

    In `withholding` the answers to requests with an API key stay here until `deliver`, and with each those that come
    after it on its connection.
    """

    def __init__(self) -> None:
        self.target = ""
        self.address = ""
        self._withheld = threading.Event()
        self._key: int | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="withholding proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @contextmanager
    def withholding(self, key: int) -> Iterator[threading.Event]:
        """Withholds answers to requests that are still to come. The event is set when one is here."""
        self._key = key
        self._withheld.clear()
        try:
            yield self._withheld
        finally:
            self.deliver()

    def deliver(self) -> None:
        """All that is withheld, and withholds no more."""
        self._key = None
        self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._delivered.set()
        self._delivered = asyncio.Event()

    async def _serve(self) -> None:
        self._loop, self._stop, self._delivered = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def accept(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await self._connect(client, to_client)
            finally:
                connections.discard(task)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        host, _, port = self.target.rpartition(":")
        # Either side hung up, or the test is over: the other side is told by the close.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            broker, to_broker = await asyncio.open_connection(host, int(port))
            asked: set[bytes] = set()
            sides = [
                asyncio.ensure_future(self._requests(client, to_broker, asked)),
                asyncio.ensure_future(self._answers(broker, to_client, asked)),
            ]
            try:
                await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for side in sides:
                    side.cancel()
                await asyncio.gather(*sides, return_exceptions=True)
                to_broker.close()
        to_client.close()

    async def _requests(self, client: asyncio.StreamReader, to_broker: asyncio.StreamWriter, asked: set[bytes]) -> None:
        while True:
            frame = await _read_frame(client)
            if int.from_bytes(frame[4:6], "big") == self._key:
                asked.add(frame[8:12])
            to_broker.write(frame)
            await to_broker.drain()

    async def _answers(self, broker: asyncio.StreamReader, to_client: asyncio.StreamWriter, asked: set[bytes]) -> None:
        while True:
            frame = await _read_frame(broker)
            if frame[4:8] in asked and self._key is not None:
                self._withheld.set()
                await self._delivered.wait()
            to_client.write(frame)
            await to_client.drain()


@contextmanager
def broker_behind_proxy(directory: Path) -> Iterator[WithholdingProxy]:
    """A proxy with an Ottla broker of its own."""
    with WithholdingProxy() as proxy:
        command = [sys.executable, "-m", "ottla_broker", "--listen", "127.0.0.1:0", "--exit-with-parent"]
        command += ["--data-dir", str(directory), "--set", f"advertised.listeners=PLAINTEXT://{proxy.address}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            proxy.target = process.stdout.readline().removeprefix("ottla broker: listening on ").split(",")[0].strip()
            yield proxy
            process.terminate()


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    """A frame with its length."""
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big"))
